//! Reasons of the events that this function records on contents. Source: snapshot.md 3.4.3, 3.5, 4.2. All but a wait are
//! warnings: good news is told by the snapshot controller, on what asked for the content.

/// Taking the snapshot failed.
pub const CREATION_FAILED: &str = "SnapshotCreationFailed";
/// Looking after a snapshot that exists, or should exist, failed.
pub const CHECK_FAILED: &str = "SnapshotContentCheckandUpdateFailed";
/// Deleting the snapshot failed.
pub const DELETE_ERROR: &str = "SnapshotDeleteError";
/// Taking the group failed.
pub const GROUP_CREATION_FAILED: &str = "GroupSnapshotCreationFailed";
/// Looking after a group that exists, or should exist, failed.
pub const GROUP_CHECK_FAILED: &str = "GroupSnapshotContentCheckandUpdateFailed";
/// Deleting the group failed.
pub const GROUP_DELETE_ERROR: &str = "GroupSnapshotDeleteError";
/// The driver takes no groups. On what asked for the group too.
pub const GROUP_NOT_SUPPORTED: &str = "GroupSnapshotNotSupported";

/// The driver asks to be called later, and says when. Normal.
pub const WAITING: &str = "WaitingForStorage";

/// The source component: `csi-snapshotter <driver>`.
#[must_use]
pub fn component(driver: &str) -> String {
    format!("csi-snapshotter {driver}")
}
