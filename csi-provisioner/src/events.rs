//! Reasons of the events that this function records. Source: sidecars.md 2.13.

/// The driver is being called, or somebody else makes the volume. Normal, on the claim.
pub const PROVISIONING: &str = "Provisioning";
/// The volume is not made, and why. Warning, on the claim.
pub const FAILED: &str = "ProvisioningFailed";
/// The volume is there. Normal, on the claim.
pub const SUCCEEDED: &str = "ProvisioningSucceeded";
/// The volume is to be deleted once it is detached. Normal, on the volume.
pub const DELETE_WAITS: &str = "VolumeDelete";
/// The volume is not deleted, and why. Warning, on the volume.
pub const DELETE_FAILED: &str = "VolumeFailedDelete";

/// Capacity cannot be published. Warning, on the class.
pub const NOT_PUBLISHED: &str = "CapacityNotPublished";

/// The source component: `<driver>_<pod>`. Upstream's has a random end, so that its events do not add up over restarts.
#[must_use]
pub fn component(driver: &str, pod: &str) -> String {
    format!("{driver}_{pod}")
}
