//! Reasons of the events that this function records on claims. Source: resize.md 1.6.

/// The driver is about to be called. Normal.
pub const RESIZING: &str = "Resizing";
/// The call, or what belongs to it, failed; or the volume is in use. Warning.
pub const FAILED: &str = "VolumeResizeFailed";
/// The driver asks to be called later, and says when. Normal.
pub const WAITING: &str = "VolumeResizeWaiting";
/// The volume has grown and its node has work to do. Normal.
pub const NODE_REQUIRED: &str = "FileSystemResizeRequired";
/// The volume has grown, by less than was asked for, and its node has work to do. Warning.
pub const SHORT: &str = "VolumeResizeShort";
/// The volume has grown and nothing is left to do. Normal.
pub const SUCCESSFUL: &str = "VolumeResizeSuccessful";

/// The class was marked as target, and the driver is about to be called. Normal.
pub const MODIFYING: &str = "VolumeModify";
/// The volume has the class. Normal.
pub const MODIFIED: &str = "VolumeModifySuccessful";
/// The call, or what belongs to it, failed; or the class is not there, or nobody here applies it. Warning.
pub const MODIFY_FAILED: &str = "VolumeModifyFailed";
/// The driver asks to be called later, and says when. Normal.
pub const MODIFY_WAITING: &str = "VolumeModifyWaiting";
/// The wish was taken back before anything was begun. Normal.
pub const MODIFY_CANCELLED: &str = "VolumeModifyCanceled";

/// The source component: `external-resizer <driver>`.
#[must_use]
pub fn component(driver: &str) -> String {
    format!("external-resizer {driver}")
}
