//! Names that users and other programs find on the objects (specification `snapshot.md` 1.5).

/// The API group of the snapshot kinds.
pub const GROUP: &str = "snapshot.storage.k8s.io";

/// On every `VolumeSnapshot`, from its first sync on.
pub const SNAPSHOT_SOURCE_FINALIZER: &str =
    "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection";
/// On a `VolumeSnapshot` whose content must go first.
pub const SNAPSHOT_BOUND_FINALIZER: &str = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";
/// On a `VolumeSnapshot` that is a member of a group, until the group is gone.
pub const SNAPSHOT_IN_GROUP_FINALIZER: &str =
    "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection";
/// On a `VolumeSnapshot` while the external-provisioner fills a claim from it. Foreign: only looked at.
pub const PROVISIONER_FINALIZER: &str =
    "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection";
/// On a `VolumeSnapshotContent`; the controller sets it, the sidecar removes it.
pub const CONTENT_FINALIZER: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";
/// On a claim while a snapshot of it is not ready.
pub const CLAIM_FINALIZER: &str = "snapshot.storage.kubernetes.io/pvc-as-source-protection";

/// Marks a class as the default of its driver, with exactly the value `true`.
pub const DEFAULT_CLASS_ANNOTATION: &str = "snapshot.storage.kubernetes.io/is-default-class";
/// On a content: a create call may be in flight.
pub const BEING_CREATED_ANNOTATION: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-created";
/// On a content: its `VolumeSnapshot` is being deleted. Never removed.
pub const BEING_DELETED_ANNOTATION: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";
/// The value of the two annotations above. Readers look at their presence only.
pub const MARK_VALUE: &str = "yes";
/// On a content: the Secret for CreateSnapshot and DeleteSnapshot.
pub const DELETION_SECRET_NAME_ANNOTATION: &str = "snapshot.storage.kubernetes.io/deletion-secret-name";
/// On a content: the namespace of that Secret.
pub const DELETION_SECRET_NAMESPACE_ANNOTATION: &str =
    "snapshot.storage.kubernetes.io/deletion-secret-namespace";
/// On a content that is a member of a group: CreateSnapshot must not be called for it.
pub const GROUP_HANDLE_ANNOTATION: &str = "groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle";
/// On a content, from its creation by our snapshot-controller until its snapshot is cut: a `VolumeSnapshot` asked for it.
/// A copy that is applied later does not bear it.
pub const FRESH_ANNOTATION: &str = "slackwater.io/fresh";

/// On a content: the node whose sidecar handles it, in distributed mode.
pub const MANAGED_BY_LABEL: &str = "snapshot.storage.kubernetes.io/managed-by";

/// Class parameter keys that name Secrets; they are not passed to the driver.
pub mod parameters {
    /// Prefix reserved for keys that Kubernetes interprets.
    pub const RESERVED_PREFIX: &str = "csi.storage.k8s.io/";
    /// Template of the name of the Secret for CreateSnapshot and DeleteSnapshot.
    pub const SECRET_NAME: &str = "csi.storage.k8s.io/snapshotter-secret-name";
    /// Template of its namespace.
    pub const SECRET_NAMESPACE: &str = "csi.storage.k8s.io/snapshotter-secret-namespace";
    /// Template of the name of the Secret for ListSnapshots.
    pub const LIST_SECRET_NAME: &str = "csi.storage.k8s.io/snapshotter-list-secret-name";
    /// Template of its namespace.
    pub const LIST_SECRET_NAMESPACE: &str = "csi.storage.k8s.io/snapshotter-list-secret-namespace";
    /// Template of the name of the Secret for the group calls.
    pub const GROUP_SECRET_NAME: &str = "csi.storage.k8s.io/group-snapshotter-secret-name";
    /// Template of its namespace.
    pub const GROUP_SECRET_NAMESPACE: &str = "csi.storage.k8s.io/group-snapshotter-secret-namespace";
    /// Template of the name of the Secret for GetVolumeGroupSnapshot.
    pub const GROUP_GET_SECRET_NAME: &str = "csi.storage.k8s.io/group-snapshotter-get-secret-name";
    /// Template of its namespace.
    pub const GROUP_GET_SECRET_NAMESPACE: &str = "csi.storage.k8s.io/group-snapshotter-get-secret-namespace";

    /// All keys above: removed before the parameters go to the driver.
    pub const SECRET_KEYS: [&str; 8] = [
        SECRET_NAME,
        SECRET_NAMESPACE,
        LIST_SECRET_NAME,
        LIST_SECRET_NAMESPACE,
        GROUP_SECRET_NAME,
        GROUP_SECRET_NAMESPACE,
        GROUP_GET_SECRET_NAME,
        GROUP_GET_SECRET_NAMESPACE,
    ];

    /// Sent to the driver with `--extra-create-metadata`.
    pub const SNAPSHOT_NAME: &str = "csi.storage.k8s.io/volumesnapshot/name";
    /// Sent to the driver with `--extra-create-metadata`.
    pub const SNAPSHOT_NAMESPACE: &str = "csi.storage.k8s.io/volumesnapshot/namespace";
    /// Sent to the driver with `--extra-create-metadata`.
    pub const CONTENT_NAME: &str = "csi.storage.k8s.io/volumesnapshotcontent/name";
}

/// Name of the content of a dynamic snapshot: `snapcontent-<uid of the VolumeSnapshot>`.
#[must_use]
pub fn dynamic_content_name(snapshot_uid: &str) -> String {
    format!("snapcontent-{snapshot_uid}")
}

/// Names on the group kinds.
pub mod group {
    /// The API group of the group kinds.
    pub const GROUP: &str = "groupsnapshot.storage.k8s.io";

    /// On a `VolumeGroupSnapshot`, from its first sync on, whatever the policy.
    pub const SNAPSHOT_FINALIZER: &str =
        "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection";
    /// On a `VolumeGroupSnapshotContent`; the controller sets it, the sidecar removes it.
    pub const CONTENT_FINALIZER: &str =
        "groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection";

    /// Marks a class as the default of its driver, with exactly the value `true`.
    pub const DEFAULT_CLASS_ANNOTATION: &str = "groupsnapshot.storage.kubernetes.io/is-default-class";
    /// On a content: a create call may be in flight.
    pub const BEING_CREATED_ANNOTATION: &str =
        "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-created";
    /// On a content: its `VolumeGroupSnapshot` is being deleted.
    pub const BEING_DELETED_ANNOTATION: &str =
        "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-deleted";
    /// On a content: the Secret for CreateVolumeGroupSnapshot and DeleteVolumeGroupSnapshot.
    pub const DELETION_SECRET_NAME_ANNOTATION: &str =
        "groupsnapshot.storage.kubernetes.io/deletion-secret-name";
    /// On a content: the namespace of that Secret.
    pub const DELETION_SECRET_NAMESPACE_ANNOTATION: &str =
        "groupsnapshot.storage.kubernetes.io/deletion-secret-namespace";
    /// On a content that was read as `v1beta1`: its list of members as JSON, of which that version has only the
    /// handles.
    pub const INFO_LIST_ANNOTATION: &str = "groupsnapshot.storage.kubernetes.io/volume-snapshot-info-list";

    /// Sent to the driver with `--extra-create-metadata`.
    pub const SNAPSHOT_NAME_PARAMETER: &str = "csi.storage.k8s.io/volumegroupsnapshot/name";
    /// Sent to the driver with `--extra-create-metadata`.
    pub const SNAPSHOT_NAMESPACE_PARAMETER: &str = "csi.storage.k8s.io/volumegroupsnapshot/namespace";
    /// Sent to the driver with `--extra-create-metadata`.
    pub const CONTENT_NAME_PARAMETER: &str = "csi.storage.k8s.io/volumegroupsnapshotcontent/name";

    /// Name of the content of a dynamic group: `groupsnapcontent-<uid of the VolumeGroupSnapshot>`.
    #[must_use]
    pub fn dynamic_content_name(group_uid: &str) -> String {
        format!("groupsnapcontent-{group_uid}")
    }

    /// Name of a member: `snapshot-<hash>`, of the SHA-256 in hexadecimal of the group's UID and the volume's handle.
    #[must_use]
    pub fn member_name(hash: &str) -> String {
        format!("snapshot-{hash}")
    }

    /// Name of the content of a member of this name; none for a name that no group gives.
    #[must_use]
    pub fn member_content_name(member: &str) -> Option<String> {
        let hash = member.strip_prefix("snapshot-")?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| format!("snapcontent-{hash}"))
    }
}
