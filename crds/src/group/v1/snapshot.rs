//! `VolumeGroupSnapshot`: a user's request for snapshots of several claims at one moment, or for a group that
//! exists already.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::schemas;
use crate::v1::VolumeSnapshotError;

/// What the user asks for.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "groupsnapshot.storage.k8s.io",
    version = "v1",
    kind = "VolumeGroupSnapshot",
    plural = "volumegroupsnapshots",
    singular = "volumegroupsnapshot",
    shortname = "vgs",
    namespaced,
    status = "VolumeGroupSnapshotStatus",
    derive = "PartialEq",
    doc = "A user's request for snapshots of the volumes behind several claims at one moment, or for a group of snapshots that exists already.",
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
        name = "VolumeGroupSnapshotClass",
        type_ = "string",
        json_path = ".spec.volumeGroupSnapshotClassName",
        description = "The VolumeGroupSnapshotClass that was asked for."
    ),
    printcolumn(
        name = "VolumeGroupSnapshotContent",
        type_ = "string",
        json_path = ".status.boundVolumeGroupSnapshotContentName",
        description = "The content to which the group snapshot means to be bound; check that the content refers back."
    ),
    printcolumn(
        name = "CreationTime",
        type_ = "date",
        json_path = ".status.creationTime",
        description = "When the storage system took the snapshots."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotSpec {
    /// Where the group comes from. Immutable.
    pub source: VolumeGroupSnapshotSource,
    /// The class to use. Without it the default class of the claims' driver is taken and written here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = ("size(self) > 0", "volumeGroupSnapshotClassName must not be the empty string when set")
    )]
    pub volume_group_snapshot_class_name: Option<String>,
}

/// Exactly one of the two members is set.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(oldSelf.selector) || has(self.selector)", "selector is required once set"),
    validation = (
        "!has(oldSelf.volumeGroupSnapshotContentName) || has(self.volumeGroupSnapshotContentName)",
        "volumeGroupSnapshotContentName is required once set"
    ),
    validation = (
        "(has(self.selector) && !has(self.volumeGroupSnapshotContentName)) || (!has(self.selector) && has(self.volumeGroupSnapshotContentName))",
        "exactly one of selector and volumeGroupSnapshotContentName must be set"
    )
)]
pub struct VolumeGroupSnapshotSource {
    /// Selects claims in the namespace of the group snapshot by their labels, once, when the group is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::label_selector")]
    #[x_kube(validation = ("self == oldSelf", "selector is immutable"))]
    pub selector: Option<LabelSelector>,
    /// A content that stands for a group of snapshots which exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == oldSelf", "volumeGroupSnapshotContentName is immutable"))]
    pub volume_group_snapshot_content_name: Option<String>,
}

/// How far the group snapshot is. Written by the snapshot controller.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeGroupSnapshotStatus {
    /// The content to which the group snapshot means to be bound. Set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = ("self == oldSelf", "boundVolumeGroupSnapshotContentName is immutable once set")
    )]
    pub bound_volume_group_snapshot_content_name: Option<String>,
    /// When the storage system took the snapshots, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<Time>,
    /// The last error; cleared by the first good answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<VolumeSnapshotError>,
    /// Whether volumes can be restored from the snapshots of the group; absent means unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
}
