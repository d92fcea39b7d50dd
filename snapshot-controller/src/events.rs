//! The events that users and tools look for: reasons and texts (spec snapshot 2.3 to 2.10).

pub mod group;

use controller::Event;
use crds::names;
use crds::v1::{DeletionPolicy, VolumeSnapshot, VolumeSnapshotContent};

use crate::plan::topology::TopologyError;

/// Component name in the events.
pub const COMPONENT: &str = "snapshot-controller";

/// A dynamic snapshot has a content and waits for its driver.
pub const CREATING_SNAPSHOT: &str = "CreatingSnapshot";
/// The driver has cut the snapshot.
pub const SNAPSHOT_CREATED: &str = "SnapshotCreated";
/// The driver refuses the snapshot: the reason under which the content tells it too.
pub const SNAPSHOT_CREATION_FAILED: &str = "SnapshotCreationFailed";
/// The snapshot can be restored from.
pub const SNAPSHOT_READY: &str = "SnapshotReady";
/// Not exactly one source.
pub const SNAPSHOT_VALIDATION_ERROR: &str = "SnapshotValidationError";
/// The named class does not exist.
pub const GET_SNAPSHOT_CLASS_FAILED: &str = "GetSnapshotClassFailed";
/// No class is named and the default cannot be told.
pub const SET_DEFAULT_SNAPSHOT_CLASS_FAILED: &str = "SetDefaultSnapshotClassFailed";
/// An input of a dynamic snapshot is missing or wrong.
pub const SNAPSHOT_CONTENT_CREATION_FAILED: &str = "SnapshotContentCreationFailed";
/// The API server refused the content.
pub const CREATE_SNAPSHOT_CONTENT_FAILED: &str = "CreateSnapshotContentFailed";
/// The content has no node where it should have one.
pub const SNAPSHOT_NODE_UNKNOWN: &str = "SnapshotNodeUnknown";
/// The content is not there (yet, or any more).
pub const SNAPSHOT_CONTENT_MISSING: &str = "SnapshotContentMissing";
/// The content has the other kind of source.
pub const SNAPSHOT_CONTENT_MISMATCH: &str = "SnapshotContentMismatch";
/// The content refers to another snapshot, and this one was never bound to it.
pub const SNAPSHOT_CONTENT_MISBOUND: &str = "SnapshotContentMisbound";
/// The content refers to another snapshot now.
pub const SNAPSHOT_MISBOUND: &str = "SnapshotMisbound";
/// The content was deleted while its snapshot is there.
pub const SNAPSHOT_CONTENT_BEING_DELETED: &str = "SnapshotContentBeingDeleted";
/// The content had lost the UID of its snapshot and has it back.
pub const SNAPSHOT_CONTENT_REBOUND: &str = "SnapshotContentRebound";
/// The content cannot be bound.
pub const SNAPSHOT_BIND_FAILED: &str = "SnapshotBindFailed";
/// The API server refused a change of the snapshot's finalizers.
pub const SNAPSHOT_FINALIZER_ERROR: &str = "SnapshotFinalizerError";
/// The API server refused a change of the claim's finalizers.
pub const ERROR_PVC_FINALIZER: &str = "ErrorPVCFinalizer";
/// The API server refused a change of the snapshot's status.
pub const SNAPSHOT_STATUS_UPDATE_FAILED: &str = "SnapshotStatusUpdateFailed";
/// A claim is being filled from the snapshot that is to be deleted.
pub const SNAPSHOT_DELETE_PENDING: &str = "SnapshotDeletePending";
/// The API server refused the deletion of the content.
pub const SNAPSHOT_CONTENT_OBJECT_DELETE_ERROR: &str = "SnapshotContentObjectDeleteError";
/// The content has not exactly one source.
pub const CONTENT_VALIDATION_ERROR: &str = "ContentValidationError";

/// A dynamic snapshot has its content.
#[must_use]
pub fn creating(snapshot: &VolumeSnapshot) -> Event {
    Event::normal(
        CREATING_SNAPSHOT,
        format!(
            "Waiting for a snapshot {} to be created by the CSI driver.",
            key(snapshot)
        ),
    )
}

/// The content is made without the node whose sidecar should take the snapshot.
#[must_use]
pub fn no_node(content: &VolumeSnapshotContent, why: &TopologyError) -> Event {
    let name = content.metadata.name.as_deref().unwrap_or_default();
    Event::warning(
        SNAPSHOT_NODE_UNKNOWN,
        format!(
            "VolumeSnapshotContent {name} has no label {}, without which a csi-snapshotter with --node-deployment leaves it \
             alone: {why}",
            names::MANAGED_BY_LABEL
        ),
    )
}

/// The snapshot was cut.
#[must_use]
pub fn created(snapshot: &VolumeSnapshot) -> Event {
    Event::normal(
        SNAPSHOT_CREATED,
        format!(
            "Snapshot {} was successfully created by the CSI driver.",
            key(snapshot)
        ),
    )
}

/// The driver refuses the snapshot, with this text.
#[must_use]
pub fn failed(snapshot: &VolumeSnapshot, message: &str) -> Event {
    Event::warning(
        SNAPSHOT_CREATION_FAILED,
        format!("Snapshot {}: {message}", key(snapshot)),
    )
}

/// The snapshot is ready.
#[must_use]
pub fn ready(snapshot: &VolumeSnapshot) -> Event {
    Event::normal(
        SNAPSHOT_READY,
        format!("Snapshot {} is ready to use.", key(snapshot)),
    )
}

/// On a snapshot: its content was deleted first.
#[must_use]
pub fn content_was_deleted(content: &VolumeSnapshotContent) -> Event {
    let then = match content.spec.deletion_policy {
        DeletionPolicy::Delete => {
            "the snapshot in the storage system is kept until this VolumeSnapshot is deleted, and goes with it"
        }
        DeletionPolicy::Retain => {
            "it goes once this VolumeSnapshot is deleted; the snapshot in the storage system stays"
        }
    };
    let name = content.metadata.name.as_deref().unwrap_or_default();
    Event::warning(
        SNAPSHOT_CONTENT_BEING_DELETED,
        format!("VolumeSnapshotContent {name} was deleted before its VolumeSnapshot: {then}"),
    )
}

/// On a bound snapshot: somebody took its UID out of the content's reference.
#[must_use]
pub fn rebound(content: &VolumeSnapshotContent) -> Event {
    let name = content.metadata.name.as_deref().unwrap_or_default();
    Event::normal(
        SNAPSHOT_CONTENT_REBOUND,
        format!(
            "spec.volumeSnapshotRef of VolumeSnapshotContent {name} had lost the UID and has it again. Applying the \
             content's first manifest takes it away, since the reference can only be replaced whole; leave that field out \
             of what is applied again (Argo CD: ignoreDifferences with RespectIgnoreDifferences, Flux: ssa IfNotPresent)"
        ),
    )
}

/// On a content that was deleted: what it waits for.
#[must_use]
pub fn waits_for(snapshot: &VolumeSnapshot) -> Event {
    Event::warning(
        SNAPSHOT_CONTENT_BEING_DELETED,
        format!(
            "VolumeSnapshot {} uses it; it goes once that is deleted",
            key(snapshot)
        ),
    )
}

fn key(snapshot: &VolumeSnapshot) -> String {
    format!(
        "{}/{}",
        snapshot.metadata.namespace.as_deref().unwrap_or_default(),
        snapshot.metadata.name.as_deref().unwrap_or_default()
    )
}
