//! `VolumeGroupSnapshotContent`: the cluster-scoped object that stands for a group of physical snapshots.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schemas;
use crate::v1::{DeletionPolicy, VolumeSnapshotError};

/// Which group of snapshots the content stands for, and for whom.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "groupsnapshot.storage.k8s.io",
    version = "v1",
    kind = "VolumeGroupSnapshotContent",
    plural = "volumegroupsnapshotcontents",
    singular = "volumegroupsnapshotcontent",
    shortname = "vgsc",
    shortname = "vgscs",
    status = "VolumeGroupSnapshotContentStatus",
    derive = "PartialEq",
    doc = "A group of snapshots in the storage system.",
    annotation(
        "api-approved.kubernetes.io",
        "https://github.com/kubernetes-csi/external-snapshotter/pull/1337"
    ),
    printcolumn(
        name = "ReadyToUse",
        type_ = "boolean",
        json_path = ".status.readyToUse",
        description = "Whether volumes can be restored from the snapshots of the group."
    ),
    printcolumn(
        name = "DeletionPolicy",
        type_ = "string",
        json_path = ".spec.deletionPolicy",
        description = "Whether content and physical snapshots go when the bound VolumeGroupSnapshot is deleted."
    ),
    printcolumn(
        name = "Driver",
        type_ = "string",
        json_path = ".spec.driver",
        description = "The CSI driver that made the snapshots."
    ),
    printcolumn(
        name = "VolumeGroupSnapshotClass",
        type_ = "string",
        json_path = ".spec.volumeGroupSnapshotClassName",
        description = "The class to which the group snapshot belongs."
    ),
    printcolumn(
        name = "VolumeGroupSnapshotNamespace",
        type_ = "string",
        json_path = ".spec.volumeGroupSnapshotRef.namespace",
        description = "The namespace of the VolumeGroupSnapshot to which the content is bound."
    ),
    printcolumn(
        name = "VolumeGroupSnapshot",
        type_ = "string",
        json_path = ".spec.volumeGroupSnapshotRef.name",
        description = "The VolumeGroupSnapshot to which the content is bound."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotContentSpec {
    /// What becomes of the physical snapshots when the `VolumeGroupSnapshot` is deleted. May be changed.
    #[schemars(schema_with = "schemas::deletion_policy")]
    pub deletion_policy: DeletionPolicy,
    /// The CSI driver that made, or will make, the snapshots: the name that its GetPluginInfo answers.
    #[x_kube(validation = ("self == oldSelf", "driver is immutable once set"))]
    pub driver: String,
    /// The volumes to take snapshots of, or the group that exists already. Immutable.
    pub source: VolumeGroupSnapshotContentSource,
    /// The class of which the group snapshot was made. It may have gone since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "volumeGroupSnapshotClassName is immutable once set"))]
    pub volume_group_snapshot_class_name: Option<String>,
    /// The `VolumeGroupSnapshot` for which the content exists. Name and namespace are required and
    /// immutable; the uid is empty until a pre-provisioned content is bound.
    #[schemars(schema_with = "schemas::object_reference")]
    #[x_kube(
        validation = (
            "has(self.name) && has(self.__namespace__)",
            "both volumeGroupSnapshotRef.name and volumeGroupSnapshotRef.namespace must be set"
        ),
        validation = (
            "self.name == oldSelf.name && self.__namespace__ == oldSelf.__namespace__",
            "volumeGroupSnapshotRef.name and volumeGroupSnapshotRef.namespace are immutable"
        ),
        validation = (
            "!has(oldSelf.uid) || (has(self.uid) && self.uid == oldSelf.uid)",
            "volumeGroupSnapshotRef.uid is immutable once set"
        )
    )]
    pub volume_group_snapshot_ref: ObjectReference,
}

/// Exactly one of the two members is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(oldSelf.volumeHandles) || has(self.volumeHandles)", "volumeHandles is required once set"),
    validation = (
        "!has(oldSelf.groupSnapshotHandles) || has(self.groupSnapshotHandles)",
        "groupSnapshotHandles is required once set"
    ),
    validation = (
        "(has(self.volumeHandles) && !has(self.groupSnapshotHandles)) || (!has(self.volumeHandles) && has(self.groupSnapshotHandles))",
        "exactly one of volumeHandles and groupSnapshotHandles must be set"
    )
)]
pub struct VolumeGroupSnapshotContentSource {
    /// The IDs of a group snapshot that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "groupSnapshotHandles is immutable"))]
    pub group_snapshot_handles: Option<GroupSnapshotHandles>,
    /// The CSI volume IDs of the volumes to take snapshots of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "volumeHandles is immutable"))]
    pub volume_handles: Option<Vec<String>>,
}

/// The IDs of a group snapshot and of its members.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupSnapshotHandles {
    /// The CSI group snapshot ID.
    pub volume_group_snapshot_handle: String,
    /// The CSI snapshot IDs of the members.
    pub volume_snapshot_handles: Vec<String>,
}

/// What the storage system says. Written by the csi-snapshotter.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotContentStatus {
    /// When the snapshots were taken, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<Time>,
    /// The last error; cleared by the first good answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<VolumeSnapshotError>,
    /// Whether volumes can be restored from the snapshots of the group; absent means unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// The CSI group snapshot ID; absent until the driver has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "volumeGroupSnapshotHandle is immutable once set"))]
    pub volume_group_snapshot_handle: Option<String>,
    /// The members of a group that was made for the content; empty for one that existed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_info_list: Option<Vec<VolumeSnapshotInfo>>,
}

/// One member of the group, as the driver describes it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotInfo {
    /// When the snapshot was taken, in nanoseconds since 1970-01-01 00:00:00 UTC; absent means unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<i64>,
    /// Whether a volume can be restored from the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// The size of the snapshot in bytes; absent means unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_size: Option<i64>,
    /// The CSI snapshot ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_handle: Option<String>,
    /// The CSI volume ID of the volume that the snapshot is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_handle: Option<String>,
}
