//! The actions around volumes and snapshots, one request each.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::Timestamp;

use super::super::Ec2;
use super::super::errors::{Action, Ec2Error, Failure, Lost, stable_message};
use super::super::types::{
    Modification, NewSnapshot, NewSnapshotSet, NewVolume, Selection, Snapshot, SnapshotList, SnapshotPage,
    Volume, VolumeChange, VolumeCopy, VolumeList, VolumePage,
};
use super::QueryEc2;
use super::answers::{
    Done, FastRestores, Modifications, Modified, NotRestored, SnapshotElement, SnapshotSet, Snapshots,
    VolumeElement, Volumes, Zones,
};
use super::form::Form;
use crate::deadline::Deadline;
use crate::names::{CLUSTER_OWNS, TAG_CLAIM_NAMESPACE, TAG_VOLUME_NAME, cluster_tag};
use crate::parameters::snapshot::Lock;

/// Rows of a page where all are wanted: as many as EC2 gives.
const PAGE: usize = 1000;
/// The same of volumes.
const VOLUMES_PAGE: usize = 500;

#[async_trait]
impl Ec2 for QueryEc2 {
    async fn create_volume(&self, volume: &NewVolume, deadline: Deadline) -> Result<Volume, Ec2Error> {
        let place = &volume.place;
        let form = Form::new(Action::CreateVolume)
            .with("ClientToken", &volume.client_token)
            .with("Size", volume.size_gib)
            .with("VolumeType", &volume.volume_type)
            .with("Encrypted", volume.is_encrypted)
            .with("MultiAttachEnabled", volume.is_multi_attach)
            .with_set("AvailabilityZone", place.zone.as_deref())
            .with_set("AvailabilityZoneId", place.zone_id.as_deref())
            .with_set("OutpostArn", place.outpost_arn.as_deref())
            .with_set("KmsKeyId", volume.kms_key_id.as_deref())
            .with_set("SnapshotId", volume.snapshot_id.as_deref())
            .with_set("VolumeInitializationRate", volume.initialization_rate)
            .with_set("Iops", volume.iops)
            .with_set("Throughput", volume.throughput)
            .with_tags("volume", &volume.tags)
            .owned_by(volume.tags.get(TAG_CLAIM_NAMESPACE).map(String::as_str));
        let made: VolumeElement = self.call(&form, deadline).await?;
        Ok(made.into())
    }

    async fn probe_iops(&self, volume: &NewVolume, deadline: Deadline) -> Result<(), Ec2Error> {
        let place = &volume.place;
        let zone_id = place.zone_id.as_deref().filter(|_| place.zone.is_none());
        let form = Form::new(Action::CreateVolume)
            .with("DryRun", true)
            .with("Size", 4)
            .with("Iops", i32::MAX)
            .with("VolumeType", &volume.volume_type)
            .with_set("AvailabilityZone", place.zone.as_deref())
            .with_set("AvailabilityZoneId", zone_id)
            .with_set("OutpostArn", place.outpost_arn.as_deref())
            .with_tags("volume", &volume.tags);
        self.rehearse(&form, deadline).await
    }

    async fn copy_volume(&self, copy: &VolumeCopy, deadline: Deadline) -> Result<Volume, Ec2Error> {
        let action = Action::CopyVolumes;
        let form = Form::new(action)
            .with("SourceVolumeId", &copy.source_volume_id)
            .with("ClientToken", &copy.client_token)
            .with("Size", copy.size_gib)
            .with("VolumeType", &copy.volume_type)
            .with("MultiAttachEnabled", copy.is_multi_attach)
            .with_set("Encrypted", copy.is_encrypted.then_some(true))
            .with_set("KmsKeyId", copy.kms_key_id.as_deref())
            .with_set("Iops", copy.iops)
            .with_set("Throughput", copy.throughput)
            .with_tags("volume", &copy.tags)
            .owned_by(copy.tags.get(TAG_CLAIM_NAMESPACE).map(String::as_str));
        let answer: Volumes = self.call(&form, deadline).await?;
        let mut volumes: Vec<Volume> = answer.volume_set.into();
        match (volumes.pop(), volumes.len()) {
            (Some(volume), 0) => Ok(volume),
            (_, others) => {
                let detail = format!("{others} volumes came back, not one");
                Err(Ec2Error::lost(action, Lost::Malformed, detail))
            }
        }
    }

    async fn delete_volume(&self, id: &str, deadline: Deadline) -> Result<(), Ec2Error> {
        let form = Form::new(Action::DeleteVolume).with("VolumeId", id);
        self.call(&form, deadline).await.map(|Done {}| ())
    }

    async fn describe_volumes(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Volume>, Ec2Error> {
        let form = Form::new(Action::DescribeVolumes).with_selection("VolumeId", "volume-id", selection);
        let split = |page: Volumes| (page.volume_set.into(), page.next_token);
        self.pages(&form, deadline, split).await
    }

    async fn list_volumes(&self, list: &VolumeList, deadline: Deadline) -> Result<VolumePage, Ec2Error> {
        let of_cluster = format!("tag:{}", cluster_tag(&list.cluster_id));
        let form = Form::new(Action::DescribeVolumes)
            .with("MaxResults", VOLUMES_PAGE)
            .with_set("NextToken", list.next_token.as_deref())
            .with_filters(&[(of_cluster.as_str(), CLUSTER_OWNS), ("tag-key", TAG_VOLUME_NAME)]);
        let page: Volumes = self.call(&form, deadline).await?;
        Ok(VolumePage {
            volumes: page.volume_set.into(),
            next_token: page.next_token.filter(|token| !token.is_empty()),
        })
    }

    async fn modify_volume(
        &self,
        change: &VolumeChange,
        deadline: Deadline,
    ) -> Result<Modification, Ec2Error> {
        let form = Form::new(Action::ModifyVolume)
            .with("VolumeId", &change.volume_id)
            .with_set("Size", change.size_gib)
            .with_set("VolumeType", change.volume_type.as_deref())
            .with_set("Iops", change.iops)
            .with_set("Throughput", change.throughput);
        let answer: Modified = self.call(&form, deadline).await?;
        Ok(answer.volume_modification.into())
    }

    async fn describe_modifications(
        &self,
        volume_ids: &[String],
        deadline: Deadline,
    ) -> Result<Vec<Modification>, Ec2Error> {
        let form = Form::new(Action::DescribeVolumesModifications).with_filter("volume-id", volume_ids);
        let split = |page: Modifications| (page.volume_modification_set.into(), page.next_token);
        self.pages(&form, deadline, split).await
    }

    async fn create_tags(
        &self,
        id: &str,
        tags: &BTreeMap<String, String>,
        deadline: Deadline,
    ) -> Result<(), Ec2Error> {
        let form = Form::new(Action::CreateTags).with("ResourceId.1", id);
        let form = tags
            .iter()
            .zip(1..)
            .fold(form, |form, ((key, value), number): (_, usize)| {
                form.with(format!("Tag.{number}.Key"), key)
                    .with(format!("Tag.{number}.Value"), value)
            });
        self.call(&form, deadline).await.map(|Done {}| ())
    }

    async fn delete_tags(
        &self,
        id: &str,
        keys: &BTreeSet<String>,
        deadline: Deadline,
    ) -> Result<(), Ec2Error> {
        let form = Form::new(Action::DeleteTags).with("ResourceId.1", id);
        let form = keys
            .iter()
            .zip(1..)
            .fold(form, |form, (key, number): (_, usize)| {
                form.with(format!("Tag.{number}.Key"), key)
            });
        self.call(&form, deadline).await.map(|Done {}| ())
    }

    async fn create_snapshot(
        &self,
        snapshot: &NewSnapshot,
        deadline: Deadline,
    ) -> Result<Snapshot, Ec2Error> {
        let form = Form::new(Action::CreateSnapshot)
            .with("VolumeId", &snapshot.volume_id)
            .with("Description", &snapshot.description)
            .with_set("OutpostArn", snapshot.outpost_arn.as_deref())
            .with_tags("snapshot", &snapshot.tags)
            .owned_by(Some(&snapshot.namespace));
        let made: SnapshotElement = self.call(&form, deadline).await?;
        Ok(made.into())
    }

    async fn create_snapshots(
        &self,
        set: &NewSnapshotSet,
        deadline: Deadline,
    ) -> Result<Vec<Snapshot>, Ec2Error> {
        let form = Form::new(Action::CreateSnapshots)
            .with("InstanceSpecification.InstanceId", &set.instance_id)
            .with(
                "InstanceSpecification.ExcludeBootVolume",
                set.excludes_boot_volume,
            )
            .with_list(
                "InstanceSpecification.ExcludeDataVolumeId",
                &set.excluded_volume_ids,
            )
            .with("Description", &set.description)
            .with_set("OutpostArn", set.outpost_arn.as_deref())
            .with_tags("snapshot", &set.tags);
        let made: SnapshotSet = self.call(&form, deadline).await?;
        Ok(made.snapshot_set.into())
    }

    async fn delete_snapshot(&self, id: &str, deadline: Deadline) -> Result<(), Ec2Error> {
        let form = Form::new(Action::DeleteSnapshot).with("SnapshotId", id);
        self.call(&form, deadline).await.map(|Done {}| ())
    }

    async fn describe_snapshots(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Snapshot>, Ec2Error> {
        let form =
            Form::new(Action::DescribeSnapshots).with_selection("SnapshotId", "snapshot-id", selection);
        let split = |page: Snapshots| (page.snapshot_set.into(), page.next_token);
        self.pages(&form, deadline, split).await
    }

    async fn pending_snapshots(&self, deadline: Deadline) -> Result<Vec<Snapshot>, Ec2Error> {
        let form = Form::new(Action::DescribeSnapshots)
            .with("Owner.1", "self")
            .with("MaxResults", PAGE)
            .with_filter("status", &["pending".to_owned()]);
        let split = |page: Snapshots| (page.snapshot_set.into(), page.next_token);
        self.pages(&form, deadline, split).await
    }

    async fn list_snapshots(
        &self,
        list: &SnapshotList,
        deadline: Deadline,
    ) -> Result<SnapshotPage, Ec2Error> {
        let mut form = Form::new(Action::DescribeSnapshots)
            .with("Owner.1", "self")
            .with_set("MaxResults", list.max_results)
            .with_set("NextToken", list.next_token.as_deref());
        if let Some(id) = &list.volume_id {
            form = form.with_filter("volume-id", std::slice::from_ref(id));
        }
        let page: Snapshots = self.call(&form, deadline).await?;
        Ok(SnapshotPage {
            snapshots: page.snapshot_set.into(),
            next_token: page.next_token.filter(|token| !token.is_empty()),
        })
    }

    async fn enable_fast_restores(
        &self,
        snapshot_id: &str,
        zones: &[String],
        deadline: Deadline,
    ) -> Result<(), Ec2Error> {
        let form = Form::new(Action::EnableFastSnapshotRestores)
            .with_list("AvailabilityZone", zones)
            .with("SourceSnapshotId.1", snapshot_id);
        let answer: FastRestores = self.call(&form, deadline).await?;
        match answer.unsuccessful.into_vec().pop() {
            None => Ok(()),
            Some(item) => Err(unsuccessful(item)),
        }
    }

    async fn lock_snapshot(
        &self,
        snapshot_id: &str,
        lock: &Lock,
        deadline: Deadline,
    ) -> Result<(), Ec2Error> {
        let form = Form::new(Action::LockSnapshot)
            .with("SnapshotId", snapshot_id)
            .with_set("LockMode", lock.mode.as_deref())
            .with_set("LockDuration", lock.duration_days)
            .with_set("ExpirationDate", lock.expiration.map(seconds))
            .with_set("CoolOffPeriod", lock.cool_off_hours);
        self.call(&form, deadline).await.map(|Done {}| ())
    }

    async fn describe_zones(&self, deadline: Deadline) -> Result<Vec<String>, Ec2Error> {
        let form = Form::new(Action::DescribeAvailabilityZones);
        let answer: Zones = self.call(&form, deadline).await?;
        let zones = answer.availability_zone_info.into_vec().into_iter();
        Ok(zones.filter_map(|zone| zone.zone_name).collect())
    }

    async fn check_access(&self, deadline: Deadline) -> Result<(), Ec2Error> {
        let form = Form::new(Action::DescribeAvailabilityZones).with("DryRun", true);
        self.rehearse(&form, deadline).await
    }
}

/// An item of EnableFastSnapshotRestores that failed, as an error.
fn unsuccessful(item: NotRestored) -> Ec2Error {
    let states = item.fast_snapshot_restore_state_error_set.into_vec();
    let state = states.into_iter().next();
    let (zone, cause) = state.map_or_else(Default::default, |state| (state.availability_zone, state.error));
    let (code, message) = cause.map_or_else(Default::default, |cause| (cause.code, cause.message));
    Ec2Error {
        action: Action::EnableFastSnapshotRestores,
        failure: Failure::Answer {
            status: 200,
            code: code.unwrap_or_else(|| "Unsuccessful".to_owned()),
            message: format!("{zone}: {}", stable_message(&message)),
        },
    }
}

/// A time as EC2 takes it, to the second.
fn seconds(time: Timestamp) -> impl ToString {
    time.strftime("%Y-%m-%dT%H:%M:%SZ")
}
