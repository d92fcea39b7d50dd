//! Reasons of the events that this function records: upstream's has none. They tell what the API server refuses; why a volume
//! is not attached is in the status of its attachment, from where the attach-detach controller tells its pod.

/// An attachment cannot be written, or a volume not be marked as attached. Warning.
pub const ATTACH_FAILED: &str = "FailedAttachVolume";
/// A detachment cannot be written. Warning.
pub const DETACH_FAILED: &str = "FailedDetachVolume";
/// A volume cannot be let go. Warning.
pub const RELEASE_FAILED: &str = "VolumeReleaseFailed";

/// The source component: `external-attacher <driver>`.
#[must_use]
pub fn component(driver: &str) -> String {
    format!("external-attacher {driver}")
}
