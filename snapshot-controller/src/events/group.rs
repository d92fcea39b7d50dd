//! The same for groups (spec snapshot 4.1, 4.2).

use controller::Event;
use crds::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotContent};
use crds::v1::DeletionPolicy;

/// A group has a content and waits for its driver.
pub const CREATING: &str = "CreatingGroupSnapshot";
/// The driver has cut the group.
pub const CREATED: &str = "GroupSnapshotCreated";
/// The members of the group can be restored from.
pub const READY: &str = "GroupSnapshotReady";
/// Not exactly one source, or a selector that cannot be used.
pub const VALIDATION_ERROR: &str = "GroupSnapshotValidationError";
/// The named class does not exist.
pub const GET_CLASS_FAILED: &str = "GetGroupSnapshotClassFailed";
/// No class is named and the default cannot be told.
pub const SET_DEFAULT_CLASS_FAILED: &str = "SetDefaultGroupSnapshotClassFailed";
/// The content or a member cannot be made.
pub const CONTENT_CREATION_FAILED: &str = "GroupSnapshotContentCreationFailed";
/// A claim or volume of the group cannot be cut, or the API server refused the content.
pub const CREATE_CONTENT_FAILED: &str = "CreateGroupSnapshotContentFailed";
/// The content is not there (yet, or any more).
pub const CONTENT_MISSING: &str = "GroupSnapshotContentMissing";
/// The content has the other kind of source.
pub const CONTENT_MISMATCH: &str = "GroupSnapshotContentMismatch";
/// The content refers to another group, and this one was never bound to it.
pub const CONTENT_MISBOUND: &str = "GroupSnapshotContentMisbound";
/// The content refers to another group now.
pub const MISBOUND: &str = "GroupSnapshotMisbound";
/// The content was deleted while its group is there.
pub const CONTENT_BEING_DELETED: &str = "GroupSnapshotContentBeingDeleted";
/// The content cannot be bound.
pub const BIND_FAILED: &str = "GroupSnapshotBindFailed";
/// The API server refused a change of the group's finalizers.
pub const FINALIZER_ERROR: &str = "GroupSnapshotFinalizerError";
/// The API server refused a change of the group's status.
pub const STATUS_UPDATE_FAILED: &str = "GroupSnapshotStatusUpdateFailed";
/// The API server refused the deletion of the content.
pub const CONTENT_OBJECT_DELETE_ERROR: &str = "GroupSnapshotContentObjectDeleteError";
/// The API server refused the deletion of a member.
pub const MEMBER_DELETE_ERROR: &str = "SnapshotDeleteError";
/// The content has not exactly one source.
pub const CONTENT_VALIDATION_ERROR: &str = "GroupContentValidationError";

/// A group has its content.
#[must_use]
pub fn creating(group: &VolumeGroupSnapshot) -> Event {
    let key = key(group);
    Event::normal(
        CREATING,
        format!("Waiting for a group snapshot {key} to be created by the CSI driver."),
    )
}

/// The group was cut.
#[must_use]
pub fn created(group: &VolumeGroupSnapshot) -> Event {
    let key = key(group);
    Event::normal(
        CREATED,
        format!("GroupSnapshot {key} was successfully created by the CSI driver."),
    )
}

/// The group is ready.
#[must_use]
pub fn ready(group: &VolumeGroupSnapshot) -> Event {
    Event::normal(READY, format!("GroupSnapshot {} is ready to use.", key(group)))
}

/// On a group: its content was deleted first.
#[must_use]
pub fn content_was_deleted(content: &VolumeGroupSnapshotContent) -> Event {
    let then = match content.spec.deletion_policy {
        DeletionPolicy::Delete => {
            "the snapshots in the storage system are kept until this VolumeGroupSnapshot is deleted, and go with it"
        }
        DeletionPolicy::Retain => {
            "it goes once this VolumeGroupSnapshot is deleted; the snapshots in the storage system stay"
        }
    };
    let name = content.metadata.name.as_deref().unwrap_or_default();
    Event::warning(
        CONTENT_BEING_DELETED,
        format!("VolumeGroupSnapshotContent {name} was deleted before its VolumeGroupSnapshot: {then}"),
    )
}

/// On a content that was deleted: what it waits for.
#[must_use]
pub fn waits_for(group: &VolumeGroupSnapshot) -> Event {
    Event::warning(
        CONTENT_BEING_DELETED,
        format!(
            "VolumeGroupSnapshot {} uses it; it goes once that is deleted",
            key(group)
        ),
    )
}

fn key(group: &VolumeGroupSnapshot) -> String {
    format!(
        "{}/{}",
        group.metadata.namespace.as_deref().unwrap_or_default(),
        group.metadata.name.as_deref().unwrap_or_default()
    )
}
