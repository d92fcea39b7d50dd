//! Claims that wait for their volume, as metrics (journeys 7.3).

use base::Clock;
use controller::Difference;
use controller::stages::{Gauges, Stages, StagesTerm};
use k8s_openapi::api::storage::v1::StorageClass;
use prometheus::Registry;
use runtime::objects::Claim;
use runtime::{Cache, ObjectKey};

use crate::observe::Settings;
use crate::plan::{is_for_first_consumer, is_ours};

const GAUGES: Gauges = Gauges {
    label: "phase",
    count: [
        "slackwater_pvc_provisions",
        "PersistentVolumeClaims for which a volume is to be made now; those that wait for their first pod are not among them.",
    ],
    oldest: Some([
        "slackwater_pvc_provision_oldest_seconds",
        "For how long a PersistentVolumeClaim has waited for its volume, as this process has seen it.",
    ]),
};

/// Claims whose volume is to be made now.
#[derive(Clone)]
pub(crate) struct Pending(Stages);

impl Pending {
    pub(crate) fn new(registry: &Registry, clock: &Clock, driver: &str) -> Result<Self, prometheus::Error> {
        Ok(Self(Stages::new(registry, clock, driver, &GAUGES)?))
    }

    /// Counts a claim as it is now.
    pub(crate) fn count(
        &self,
        change: Difference<'_, Claim>,
        classes: &Cache<StorageClass>,
        settings: &Settings,
    ) {
        let is_due = change.new.is_some_and(|claim| is_due(claim, classes, settings));
        self.0.set(change.key, is_due.then_some(("creating", None)));
    }

    /// Counts for one term of leadership.
    pub(crate) fn term(&self) -> StagesTerm {
        self.0.term()
    }
}

/// The persistent volume controller has asked us, and the scheduler has chosen a node where the class waits for one.
fn is_due(claim: &Claim, classes: &Cache<StorageClass>, settings: &Settings) -> bool {
    let Some(wish) = claim.wish.as_deref().filter(|wish| is_ours(wish, settings)) else {
        return false;
    };
    if wish.selected_node().is_some() {
        return true;
    }
    let class = claim.class_of_new_volume().map(ObjectKey::cluster);
    let class = class.and_then(|key| classes.get(&key));
    !class.is_some_and(|class| is_for_first_consumer(&class))
}
