//! What the expand controller of kube-controller-manager does: one event, and an in-tree volume is handed to the driver that
//! took over its plugin (spec resize 4.5).

use base::Clock;
use serde_json::Value;

use super::csi_volume::CsiVolume;
use super::events::Events;
use super::{Actor, CLAIMS, VOLUMES, attempt, is_gone, text};
use crate::kube::validation::quantity::Quantity;
use crate::kube::{Change, GroupResource, Store};

/// Annotation by which a claim is handed to a driver's resizer.
const RESIZER: &str = "volume.kubernetes.io/storage-resizer";

/// The expand controller.
pub(super) struct Expansion {
    store: Store,
    events: Events,
}

impl Expansion {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        let events = Events::new(store.clone(), clock, "volume_expand", "");
        Self { store, events }
    }
}

fn requested(claim: &Value) -> Option<Quantity> {
    claim
        .pointer("/spec/resources/requests/storage")
        .and_then(Quantity::read)
}

impl Actor for Expansion {
    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![CLAIMS]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&mut self, change: &Change) {
        let claim = change.object.value();
        let Some(previous) = change.previous.as_ref().filter(|_| !is_gone(change)) else {
            return;
        };
        let capacity = claim.pointer("/status/capacity/storage").and_then(Quantity::read);
        let grown = requested(claim) > requested(previous.value()) && requested(claim) > capacity;
        let Some(volume) = self.store.get(VOLUMES, "", text(claim, "/spec/volumeName")) else {
            return;
        };
        let Some(source) = CsiVolume::of(volume.value()).filter(|_| grown) else {
            return;
        };
        if volume.value()["spec"]["csi"].is_object() {
            let message = "waiting for an external controller to expand this PVC";
            self.events.normal(claim, "ExternalExpanding", message);
            return;
        }
        let message =
            "CSI migration enabled for kubernetes.io/aws-ebs; waiting for external resizer to expand the pvc";
        self.events.normal(claim, "ExternalExpanding", message);
        let (namespace, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
        attempt(self.store.update_status(CLAIMS, namespace, name, |claim| {
            claim["metadata"]["annotations"][RESIZER] = Value::String(source.driver.clone());
        }));
    }
}
