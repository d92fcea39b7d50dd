//! EC2 as the driver sees it: one port with the actions that it uses, and what stands behind it.
//!
//! | Module | Subject |
//! |---|---|
//! | [`types`] | requests and answers, free of their form on the wire |
//! | [`errors`] | the codes of EC2 and their classes |
//! | [`client`] | the port over the Query protocol, and its transports |
//! | [`limit`] | turns at EC2's buckets |
//! | [`retry`] | our own retries |
//! | `spans` | requests as spans of a trace |
//! | [`batch`] | many lookups in one Describe call |
//! | [`lookups`] | the batches that the driver keeps |
//!
//! Nowhere else in this crate is EC2 called. Source: spec 3.

pub mod batch;
pub mod client;
pub mod codes;
pub mod errors;
pub mod limit;
pub mod lookups;
pub mod retry;
mod spans;
pub mod types;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::deadline::Deadline;
use errors::Ec2Error;
use types::{
    Attachment, Initialization, Instance, InstanceType, Modification, NewAttachment, NewSnapshot,
    NewSnapshotSet, NewVolume, Selection, Snapshot, SnapshotList, SnapshotPage, Volume, VolumeChange,
    VolumeCopy, VolumeList, VolumePage,
};

use crate::hyperpod::ClusterNode;
use crate::parameters::snapshot::Lock;

/// The EC2 actions around instances and attachments, by the same rules as [`Ec2`].
#[async_trait]
pub trait Instances: Send + Sync + 'static {
    /// `AttachVolume`. After a lost answer it is repeated, and then EC2 may say `VolumeInUse`.
    async fn attach_volume(
        &self,
        attachment: &NewAttachment,
        deadline: Deadline,
    ) -> Result<Attachment, Ec2Error>;

    /// `DetachVolume`, never forced.
    async fn detach_volume(
        &self,
        volume_id: &str,
        instance_id: &str,
        deadline: Deadline,
    ) -> Result<Attachment, Ec2Error>;

    /// SageMaker's `AttachClusterNodeVolume`, for nodes of HyperPod. It chooses the device.
    async fn attach_to_cluster(
        &self,
        node: &ClusterNode,
        volume_id: &str,
        deadline: Deadline,
    ) -> Result<Attachment, Ec2Error>;

    /// SageMaker's `DetachClusterNodeVolume`.
    async fn detach_from_cluster(
        &self,
        node: &ClusterNode,
        volume_id: &str,
        deadline: Deadline,
    ) -> Result<Attachment, Ec2Error>;

    /// `DescribeInstances`.
    async fn describe_instances(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Instance>, Ec2Error>;

    /// `DescribeInstanceTypes` of one type.
    async fn describe_instance_type(
        &self,
        instance_type: &str,
        deadline: Deadline,
    ) -> Result<InstanceType, Ec2Error>;

    /// `DescribeVolumeStatus`: how far volumes are filled, by ID. A row without details is an error.
    async fn describe_initialization(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<(String, Initialization)>, Ec2Error>;
}

/// The EC2 actions that the driver uses. Describe actions follow all pages unless said otherwise; retries happen
/// inside, until the deadline.
#[async_trait]
pub trait Ec2: Instances {
    /// `CreateVolume`. The answer is usually still `creating`.
    async fn create_volume(&self, volume: &NewVolume, deadline: Deadline) -> Result<Volume, Ec2Error>;

    /// `CreateVolume` with `DryRun`, of four GiB and more IOPS than any type has: the refusal names the most
    /// that is allowed. Not recorded.
    async fn probe_iops(&self, volume: &NewVolume, deadline: Deadline) -> Result<(), Ec2Error>;

    /// `CopyVolumes`. Exactly one volume comes back.
    async fn copy_volume(&self, copy: &VolumeCopy, deadline: Deadline) -> Result<Volume, Ec2Error>;

    /// `DeleteVolume`.
    async fn delete_volume(&self, id: &str, deadline: Deadline) -> Result<(), Ec2Error>;

    /// `DescribeVolumes`.
    async fn describe_volumes(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Volume>, Ec2Error>;

    /// `DescribeVolumes` of those made for a cluster under a CSI name, one page.
    async fn list_volumes(&self, list: &VolumeList, deadline: Deadline) -> Result<VolumePage, Ec2Error>;

    /// `ModifyVolume`. Not repeated after an unclear outcome.
    async fn modify_volume(
        &self,
        change: &VolumeChange,
        deadline: Deadline,
    ) -> Result<Modification, Ec2Error>;

    /// `DescribeVolumesModifications` by filter: a volume that was never modified has no row and is no error (Q5).
    async fn describe_modifications(
        &self,
        volume_ids: &[String],
        deadline: Deadline,
    ) -> Result<Vec<Modification>, Ec2Error>;

    /// `CreateTags` on one resource: values that are there are replaced.
    async fn create_tags(
        &self,
        id: &str,
        tags: &BTreeMap<String, String>,
        deadline: Deadline,
    ) -> Result<(), Ec2Error>;

    /// `DeleteTags` on one resource, by keys; one that is not there is no error.
    async fn delete_tags(
        &self,
        id: &str,
        keys: &BTreeSet<String>,
        deadline: Deadline,
    ) -> Result<(), Ec2Error>;

    /// `CreateSnapshot`. There is no client token, so it is not repeated after an unclear outcome.
    async fn create_snapshot(&self, snapshot: &NewSnapshot, deadline: Deadline)
    -> Result<Snapshot, Ec2Error>;

    /// `CreateSnapshots` of volumes of one instance: all of them or none. There is no client token, so it is not repeated
    /// after an unclear outcome.
    async fn create_snapshots(
        &self,
        set: &NewSnapshotSet,
        deadline: Deadline,
    ) -> Result<Vec<Snapshot>, Ec2Error>;

    /// `DeleteSnapshot`.
    async fn delete_snapshot(&self, id: &str, deadline: Deadline) -> Result<(), Ec2Error>;

    /// `DescribeSnapshots` of some.
    async fn describe_snapshots(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Snapshot>, Ec2Error>;

    /// `DescribeSnapshots` of the account's own that are pending, whoever took them.
    async fn pending_snapshots(&self, deadline: Deadline) -> Result<Vec<Snapshot>, Ec2Error>;

    /// `DescribeSnapshots` of the account's own, one page.
    async fn list_snapshots(&self, list: &SnapshotList, deadline: Deadline)
    -> Result<SnapshotPage, Ec2Error>;

    /// `EnableFastSnapshotRestores`; an item that EC2 names unsuccessful is an error.
    async fn enable_fast_restores(
        &self,
        snapshot_id: &str,
        zones: &[String],
        deadline: Deadline,
    ) -> Result<(), Ec2Error>;

    /// `LockSnapshot` with exactly the given fields.
    async fn lock_snapshot(&self, snapshot_id: &str, lock: &Lock, deadline: Deadline)
    -> Result<(), Ec2Error>;

    /// `DescribeAvailabilityZones`: the names.
    async fn describe_zones(&self, deadline: Deadline) -> Result<Vec<String>, Ec2Error>;

    /// `DescribeAvailabilityZones` with `DryRun`: whether EC2 would have let us. Not recorded.
    async fn check_access(&self, deadline: Deadline) -> Result<(), Ec2Error>;
}
