//! Names that users and policies depend on: driver, topology keys, tags. Source: spec 1.2, 1.5, 2.6.

/// The CSI driver name.
pub const DRIVER: &str = "ebs.csi.aws.com";

/// The version that GetPluginInfo reports, with the leading `v`.
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// Topology key of the zone that every Kubernetes component knows.
pub const TOPOLOGY_ZONE: &str = "topology.kubernetes.io/zone";
/// Topology key of the zone as older versions and the in-tree translation write it.
pub const TOPOLOGY_LEGACY_ZONE: &str = "topology.ebs.csi.aws.com/zone";
/// Topology key of a node's operating system.
pub const TOPOLOGY_OS: &str = "kubernetes.io/os";
/// Topology key of the zone ID, such as `use1-az1`.
pub const TOPOLOGY_ZONE_ID: &str = "topology.k8s.aws/zone-id";
/// Topology key of an Outpost's partition.
pub const TOPOLOGY_PARTITION: &str = "topology.ebs.csi.aws.com/partition";
/// Topology key of an Outpost's region.
pub const TOPOLOGY_REGION: &str = "topology.ebs.csi.aws.com/region";
/// Topology key of an Outpost's account.
pub const TOPOLOGY_ACCOUNT: &str = "topology.ebs.csi.aws.com/account-id";
/// Topology key of an Outpost's ID.
pub const TOPOLOGY_OUTPOST: &str = "topology.ebs.csi.aws.com/outpost-id";

/// Tag that holds the CSI name of a volume; the lookup after a lost answer goes by it.
pub const TAG_VOLUME_NAME: &str = "CSIVolumeName";
/// Tag that holds the CSI name of a snapshot; the lookup before a creation goes by it.
pub const TAG_SNAPSHOT_NAME: &str = "CSIVolumeSnapshotName";
/// Tag that holds the CSI name of a group, which is also its ID, on each of its snapshots.
pub const TAG_GROUP_NAME: &str = "CSIVolumeGroupSnapshotName";
/// Tag that tells the snapshots of one CreateSnapshots from those of another one of the same group: when it was sent.
pub const TAG_GROUP_ATTEMPT: &str = "ebs.csi.aws.com/group-snapshot-attempt";
/// Tag that marks what the driver made.
pub const TAG_MANAGED: &str = "ebs.csi.aws.com/cluster";
/// Tag that holds the cluster ID of `--k8s-tag-cluster-id`.
pub const TAG_CLUSTER_NAME: &str = "ebs.csi.aws.com/cluster-name";
/// Value of [`cluster_tag`] for what is a cluster's alone.
pub const CLUSTER_OWNS: &str = "owned";
/// Tag that holds the IOPS ratio of the class.
pub const TAG_IOPS_PER_GIB: &str = "ebs.csi.aws.com/IOPSPerGb";
/// Tag that says whether a resize recomputes IOPS.
pub const TAG_AUTO_IOPS: &str = "ebs.csi.aws.com/AllowAutoIOPSIncreaseOnModify";
/// Tag with the name of the claim a volume was made for.
pub const TAG_CLAIM_NAME: &str = "kubernetes.io/created-for/pvc/name";
/// Tag with the namespace of the claim a volume was made for.
pub const TAG_CLAIM_NAMESPACE: &str = "kubernetes.io/created-for/pvc/namespace";
/// Tag with the name of the persistent volume.
pub const TAG_VOLUME_OBJECT: &str = "kubernetes.io/created-for/pv/name";

/// Tag of what was made for the cluster of `--k8s-tag-cluster-id`, as all of Kubernetes knows it.
#[must_use]
pub fn cluster_tag(id: &str) -> String {
    format!("kubernetes.io/cluster/{id}")
}

/// Prefix of handles that name a device present on every node (spec 3.9).
pub const NODE_LOCAL_PREFIX: &str = "local-ebs://";

/// Prefix of the IDs of HyperPod's nodes (spec 3.10).
pub const HYPERPOD_PREFIX: &str = "hyperpod-";

/// An ID without what those of a Snow device begin with: `s.vol-1` is `vol-1`.
#[must_use]
pub fn without_snow(id: &str) -> &str {
    id.strip_prefix("s.").unwrap_or(id)
}

/// Key of the publish context that holds the device name.
pub const DEVICE_PATH: &str = "devicePath";
/// Key of the publish context that holds the ID of the volume behind a node-local handle.
pub const VOLUME_ID: &str = "volumeID";

/// Parameter that delays publishing; also a key of the volume context (spec 3.7).
pub const BLOCK_ATTACH: &str = "blockattachuntilinitialized";

/// The commit that was built, where the build names it in `SLACKWATER_COMMIT`.
const COMMIT: Option<&str> = option_env!("SLACKWATER_COMMIT");
/// When it was built, where the build names it in `SLACKWATER_BUILD_DATE`: RFC 3339. The same source gives the same binary
/// otherwise.
const BUILD_DATE: Option<&str> = option_env!("SLACKWATER_BUILD_DATE");

/// The answer to `--version`: one JSON object with upstream's keys (spec 5).
#[must_use]
pub fn version_json() -> String {
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    let commit = COMMIT.unwrap_or_default();
    let date = BUILD_DATE.unwrap_or_default();
    format!(
        "{{\n  \"driverVersion\": \"{VERSION}\",\n  \"gitCommit\": \"{commit}\",\n  \"buildDate\": \"{date}\",\n  \
         \"goVersion\": \"\",\n  \"compiler\": \"rustc\",\n  \"platform\": \"{platform}\"\n}}"
    )
}
