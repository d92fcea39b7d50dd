//! Kinds that tests write and read.

use sandbox::kube::GroupResource;

const SNAPSHOT_GROUP: &str = "snapshot.storage.k8s.io";
const GROUP_GROUP: &str = "groupsnapshot.storage.k8s.io";

/// VolumeSnapshot.
pub const SNAPSHOTS: GroupResource<'_> = GroupResource::new(SNAPSHOT_GROUP, "volumesnapshots");
/// VolumeSnapshotContent.
pub const CONTENTS: GroupResource<'_> = GroupResource::new(SNAPSHOT_GROUP, "volumesnapshotcontents");
/// VolumeSnapshotClass.
pub const CLASSES: GroupResource<'_> = GroupResource::new(SNAPSHOT_GROUP, "volumesnapshotclasses");
/// VolumeGroupSnapshot.
pub const GROUPS: GroupResource<'_> = GroupResource::new(GROUP_GROUP, "volumegroupsnapshots");
/// VolumeGroupSnapshotContent.
pub const GROUP_CONTENTS: GroupResource<'_> = GroupResource::new(GROUP_GROUP, "volumegroupsnapshotcontents");
/// VolumeGroupSnapshotClass.
pub const GROUP_CLASSES: GroupResource<'_> = GroupResource::new(GROUP_GROUP, "volumegroupsnapshotclasses");
/// PersistentVolumeClaim.
pub const CLAIMS: GroupResource<'_> = GroupResource::new("", "persistentvolumeclaims");
/// PersistentVolume.
pub const VOLUMES: GroupResource<'_> = GroupResource::new("", "persistentvolumes");
/// StorageClass.
pub const STORAGE_CLASSES: GroupResource<'_> = GroupResource::new("storage.k8s.io", "storageclasses");
/// VolumeAttributesClass.
pub const ATTRIBUTES_CLASSES: GroupResource<'_> =
    GroupResource::new("storage.k8s.io", "volumeattributesclasses");
/// VolumeAttachment.
pub const ATTACHMENTS: GroupResource<'_> = GroupResource::new("storage.k8s.io", "volumeattachments");
/// CSINode.
pub const CSI_NODES: GroupResource<'_> = GroupResource::new("storage.k8s.io", "csinodes");
/// CSIDriver.
pub const DRIVERS: GroupResource<'_> = GroupResource::new("storage.k8s.io", "csidrivers");
/// Pod.
pub const PODS: GroupResource<'_> = GroupResource::new("", "pods");
/// Secret.
pub const SECRETS: GroupResource<'_> = GroupResource::new("", "secrets");
/// ResourceQuota.
pub const QUOTAS: GroupResource<'_> = GroupResource::new("", "resourcequotas");
/// Event.
pub const EVENTS: GroupResource<'_> = GroupResource::new("", "events");
/// CustomResourceDefinition.
pub const DEFINITIONS: GroupResource<'_> =
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");
