//! What the two kinds call the same things. Source: snapshot.md 1.5, 3.4.3, 3.5, 3.6, 3.7, 4.2.

use crds::names::{self, group, parameters};

use crate::events;

/// The names that a kind has for what both have.
#[derive(Debug)]
pub struct Words {
    /// What the driver takes has members.
    pub is_group: bool,
    /// What the driver takes: `snapshot`.
    pub noun: &'static str,
    /// What it takes that of: `volume`.
    pub volumes: &'static str,
    /// The kind that asks for contents.
    pub asker: &'static str,
    /// Field of the spec that names the asker.
    pub reference: &'static str,
    /// Field of the source with the volumes to cut.
    pub volume_field: &'static str,
    /// Field of the source with the handle of what existed before.
    pub handle_field: &'static str,
    /// Field of the status with the handle.
    pub stored_handle: &'static str,
    /// What the handle is called when it is not found.
    pub id: &'static str,
    /// What looking at one that exists is called.
    pub look: &'static str,
    /// The finalizer that we take away.
    pub finalizer: &'static str,
    /// Annotation: a call may be in flight.
    pub being_created: &'static str,
    /// Annotation: the asker is being deleted.
    pub being_deleted: &'static str,
    /// Annotation: the Secret of the calls.
    pub secret_name: &'static str,
    /// Annotation: its namespace.
    pub secret_namespace: &'static str,
    /// Class parameters that name the Secret for looking: name and namespace.
    pub look_secret: (&'static str, &'static str),
    /// Tokens of those: the content's name, the asker's namespace and name.
    pub tokens: [&'static str; 3],
    /// Parameters of `--extra-create-metadata`: the asker's name and namespace, the content's name.
    pub metadata_parameters: [&'static str; 3],
    /// Reason of the event: taking it failed.
    pub creation_failed: &'static str,
    /// Reason of the event: looking after it failed.
    pub check_failed: &'static str,
    /// Reason of the event: deleting it failed.
    pub delete_error: &'static str,
}

impl Words {
    /// Of snapshots.
    pub const SNAPSHOT: Self = Self {
        is_group: false,
        noun: "snapshot",
        volumes: "volume",
        asker: "VolumeSnapshot",
        reference: "volumeSnapshotRef",
        volume_field: "volumeHandle",
        handle_field: "snapshotHandle",
        stored_handle: "snapshotHandle",
        id: "snapshotID",
        look: "list",
        finalizer: names::CONTENT_FINALIZER,
        being_created: names::BEING_CREATED_ANNOTATION,
        being_deleted: names::BEING_DELETED_ANNOTATION,
        secret_name: names::DELETION_SECRET_NAME_ANNOTATION,
        secret_namespace: names::DELETION_SECRET_NAMESPACE_ANNOTATION,
        look_secret: (parameters::LIST_SECRET_NAME, parameters::LIST_SECRET_NAMESPACE),
        tokens: [
            "volumesnapshotcontent.name",
            "volumesnapshot.namespace",
            "volumesnapshot.name",
        ],
        metadata_parameters: [
            parameters::SNAPSHOT_NAME,
            parameters::SNAPSHOT_NAMESPACE,
            parameters::CONTENT_NAME,
        ],
        creation_failed: events::CREATION_FAILED,
        check_failed: events::CHECK_FAILED,
        delete_error: events::DELETE_ERROR,
    };

    /// Of groups.
    pub const GROUP: Self = Self {
        is_group: true,
        noun: "group snapshot",
        volumes: "volumes",
        asker: "VolumeGroupSnapshot",
        reference: "volumeGroupSnapshotRef",
        volume_field: "volumeHandles",
        handle_field: "groupSnapshotHandles",
        stored_handle: "volumeGroupSnapshotHandle",
        id: "groupSnapshotID",
        look: "get",
        finalizer: group::CONTENT_FINALIZER,
        being_created: group::BEING_CREATED_ANNOTATION,
        being_deleted: group::BEING_DELETED_ANNOTATION,
        secret_name: group::DELETION_SECRET_NAME_ANNOTATION,
        secret_namespace: group::DELETION_SECRET_NAMESPACE_ANNOTATION,
        look_secret: (
            parameters::GROUP_GET_SECRET_NAME,
            parameters::GROUP_GET_SECRET_NAMESPACE,
        ),
        tokens: [
            "volumegroupsnapshotcontent.name",
            "volumegroupsnapshot.namespace",
            "volumegroupsnapshot.name",
        ],
        metadata_parameters: [
            group::SNAPSHOT_NAME_PARAMETER,
            group::SNAPSHOT_NAMESPACE_PARAMETER,
            group::CONTENT_NAME_PARAMETER,
        ],
        creation_failed: events::GROUP_CREATION_FAILED,
        check_failed: events::GROUP_CHECK_FAILED,
        delete_error: events::GROUP_DELETE_ERROR,
    };
}
