//! `VolumeSnapshotContent`: the cluster-scoped object that stands for a physical snapshot.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeletionPolicy, VolumeSnapshotError};
use crate::schemas;

/// Which snapshot the content stands for, and for whom.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "snapshot.storage.k8s.io",
    version = "v1",
    kind = "VolumeSnapshotContent",
    plural = "volumesnapshotcontents",
    singular = "volumesnapshotcontent",
    shortname = "vsc",
    shortname = "vscs",
    status = "VolumeSnapshotContentStatus",
    derive = "PartialEq",
    doc = "A snapshot in the storage system.",
    annotation(
        "api-approved.kubernetes.io",
        "https://github.com/kubernetes-csi/external-snapshotter/pull/955"
    ),
    printcolumn(
        name = "ReadyToUse",
        type_ = "boolean",
        json_path = ".status.readyToUse",
        description = "Whether a volume can be restored from the snapshot."
    ),
    printcolumn(
        name = "RestoreSize",
        type_ = "integer",
        json_path = ".status.restoreSize",
        description = "The size of the snapshot in bytes."
    ),
    printcolumn(
        name = "DeletionPolicy",
        type_ = "string",
        json_path = ".spec.deletionPolicy",
        description = "Whether content and physical snapshot go when the bound VolumeSnapshot is deleted."
    ),
    printcolumn(
        name = "Driver",
        type_ = "string",
        json_path = ".spec.driver",
        description = "The CSI driver that made the snapshot."
    ),
    printcolumn(
        name = "VolumeSnapshotClass",
        type_ = "string",
        json_path = ".spec.volumeSnapshotClassName",
        description = "The class to which the snapshot belongs."
    ),
    printcolumn(
        name = "VolumeSnapshot",
        type_ = "string",
        json_path = ".spec.volumeSnapshotRef.name",
        description = "The VolumeSnapshot to which the content is bound."
    ),
    printcolumn(
        name = "VolumeSnapshotNamespace",
        type_ = "string",
        json_path = ".spec.volumeSnapshotRef.namespace",
        description = "The namespace of that VolumeSnapshot."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "!has(oldSelf.sourceVolumeMode) || has(self.sourceVolumeMode)",
        "sourceVolumeMode is required once set"
    )
)]
pub struct VolumeSnapshotContentSpec {
    /// What becomes of the physical snapshot when the `VolumeSnapshot` is deleted. May be changed.
    #[schemars(schema_with = "schemas::deletion_policy")]
    pub deletion_policy: DeletionPolicy,
    /// The CSI driver that made, or will make, the snapshot: the name that its GetPluginInfo answers.
    pub driver: String,
    /// The volume to take a snapshot of, or the snapshot that exists already. Immutable.
    pub source: VolumeSnapshotContentSource,
    /// `Filesystem` or `Block`: the mode of the volume of which the snapshot was taken. Immutable once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "sourceVolumeMode is immutable"))]
    pub source_volume_mode: Option<String>,
    /// The class of which the snapshot was made. It may have changed or gone since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_class_name: Option<String>,
    /// The `VolumeSnapshot` for which the content exists. Name and namespace are required; the uid is
    /// empty until a pre-provisioned content is bound.
    #[schemars(schema_with = "schemas::object_reference")]
    #[x_kube(
        validation = (
            "has(self.name) && has(self.__namespace__)",
            "both spec.volumeSnapshotRef.name and spec.volumeSnapshotRef.namespace must be set"
        )
    )]
    pub volume_snapshot_ref: ObjectReference,
}

/// Exactly one of the two members is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(oldSelf.volumeHandle) || has(self.volumeHandle)", "volumeHandle is required once set"),
    validation = (
        "!has(oldSelf.snapshotHandle) || has(self.snapshotHandle)",
        "snapshotHandle is required once set"
    ),
    validation = (
        "(has(self.volumeHandle) && !has(self.snapshotHandle)) || (!has(self.volumeHandle) && has(self.snapshotHandle))",
        "exactly one of volumeHandle and snapshotHandle must be set"
    )
)]
pub struct VolumeSnapshotContentSource {
    /// The CSI snapshot ID of a snapshot that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "snapshotHandle is immutable"))]
    pub snapshot_handle: Option<String>,
    /// The CSI volume ID of the volume to take a snapshot of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "volumeHandle is immutable"))]
    pub volume_handle: Option<String>,
}

/// What the storage system says. Written by the csi-snapshotter.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotContentStatus {
    /// When the snapshot was taken, in nanoseconds since 1970-01-01 00:00:00 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<i64>,
    /// The last error; cleared by the first good answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<VolumeSnapshotError>,
    /// Whether a volume can be restored from the snapshot; absent means unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// The size of the snapshot in bytes; absent means unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::bytes")]
    pub restore_size: Option<i64>,
    /// The CSI snapshot ID; absent until the driver has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_handle: Option<String>,
    /// The CSI group snapshot ID, for a member of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_group_snapshot_handle: Option<String>,
}
