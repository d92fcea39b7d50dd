//! When a volume is let go. Source: sidecars.md 3.7; Q39.

use controller::patch;
use runtime::migration;
use runtime::objects::{PROVISIONER_FINALIZER, Volume};

/// What is decided.
pub type Plan = controller::Plan<Release, ()>;

/// PATCH of the volume: our finalizer away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release;

/// Decides what the volume needs now. `is_attached` tells whether any attachment names it, whoever's it is.
#[must_use]
pub fn plan(volume: &Volume, is_attached: bool, driver: &str, finalizer: &str) -> Plan {
    let plan = Plan::resting(());
    if is_due(volume, driver, finalizer) && !is_attached {
        return plan.step(Release);
    }
    plan
}

/// Whether the volume is to be let go as soon as it is not attached: it is being deleted, and its provisioner, which may take our
/// finalizer along, has done its part; or it was handed back to its in-tree plugin.
#[must_use]
pub fn is_due(volume: &Volume, driver: &str, finalizer: &str) -> bool {
    let metadata = &volume.metadata;
    let is_last =
        metadata.deletion_timestamp.is_some() && !patch::has_finalizer(metadata, PROVISIONER_FINALIZER);
    let is_handed_back = migration::is_migrated(volume) && volume.migrated_to.as_deref() != Some(driver);
    patch::has_finalizer(metadata, finalizer) && (is_last || is_handed_back)
}
