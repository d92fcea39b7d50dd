//! The actions of the port, one request each.

use async_trait::async_trait;
use aws_sdk_ec2::types as sdk;

use super::super::errors::{Action, Ec2Error, Failure, Lost, stable_message};
use super::super::types::{
    Modification, NewSnapshot, NewVolume, Selection, Snapshot, SnapshotList, SnapshotPage, Volume,
    VolumeChange, VolumeCopy,
};
use super::super::{Ec2, convert};
use super::{SdkEc2, failure};
use crate::deadline::Deadline;
use crate::parameters::snapshot::Lock;

fn int(value: i64) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}

#[async_trait]
impl Ec2 for SdkEc2 {
    async fn create_volume(&self, volume: &NewVolume, deadline: Deadline) -> Result<Volume, Ec2Error> {
        let action = Action::CreateVolume;
        let client = self.client(action, deadline).await?;
        let send = || async {
            client
                .create_volume()
                .client_token(&volume.client_token)
                .size(int(volume.size_gib))
                .volume_type(sdk::VolumeType::from(volume.volume_type.as_str()))
                .encrypted(volume.is_encrypted)
                .multi_attach_enabled(volume.is_multi_attach)
                .set_availability_zone(volume.place.zone.clone())
                .set_availability_zone_id(volume.place.zone_id.clone())
                .set_outpost_arn(volume.place.outpost_arn.clone())
                .set_kms_key_id(volume.kms_key_id.clone())
                .set_snapshot_id(volume.snapshot_id.clone())
                .set_volume_initialization_rate(volume.initialization_rate)
                .set_iops(volume.iops)
                .set_throughput(volume.throughput)
                .tag_specifications(convert::tag_specification(
                    sdk::ResourceType::Volume,
                    &volume.tags,
                ))
                .send()
                .await
                .map_err(|error| failure(action, error))
                .and_then(convert::created_volume)
        };
        self.caller.call(action, deadline, send).await
    }

    async fn probe_iops(&self, volume: &NewVolume, deadline: Deadline) -> Result<(), Ec2Error> {
        let action = Action::CreateVolume;
        let place = &volume.place;
        let zone_id = place.zone_id.clone().filter(|_| place.zone.is_none());
        let probe = self
            .client(action, deadline)
            .await?
            .create_volume()
            .dry_run(true)
            .size(4)
            .iops(i32::MAX)
            .volume_type(sdk::VolumeType::from(volume.volume_type.as_str()))
            .set_availability_zone(place.zone.clone())
            .set_availability_zone_id(zone_id)
            .set_outpost_arn(place.outpost_arn.clone())
            .tag_specifications(convert::tag_specification(
                sdk::ResourceType::Volume,
                &volume.tags,
            ))
            .send();
        let answer = deadline.limit(probe).await;
        let answer = answer.ok_or_else(|| Ec2Error::lost(action, Lost::Timeout, ""))?;
        answer.map(drop).map_err(|error| failure(action, error))
    }

    async fn copy_volume(&self, copy: &VolumeCopy, deadline: Deadline) -> Result<Volume, Ec2Error> {
        let action = Action::CopyVolumes;
        let client = self.client(action, deadline).await?;
        let send = || async {
            client
                .copy_volumes()
                .source_volume_id(&copy.source_volume_id)
                .client_token(&copy.client_token)
                .size(int(copy.size_gib))
                .volume_type(sdk::VolumeType::from(copy.volume_type.as_str()))
                .multi_attach_enabled(copy.is_multi_attach)
                .set_iops(copy.iops)
                .set_throughput(copy.throughput)
                .tag_specifications(convert::tag_specification(sdk::ResourceType::Volume, &copy.tags))
                .send()
                .await
                .map_err(|error| failure(action, error))
        };
        let answer = self.caller.call(action, deadline, send).await?;
        let mut volumes = answer.volumes.unwrap_or_default();
        match (volumes.pop(), volumes.len()) {
            (Some(volume), 0) => convert::volume(action, volume),
            (_, others) => {
                let detail = format!("{others} volumes came back, not one");
                Err(Ec2Error::lost(action, Lost::Malformed, detail))
            }
        }
    }

    async fn delete_volume(&self, id: &str, deadline: Deadline) -> Result<(), Ec2Error> {
        let action = Action::DeleteVolume;
        let client = self.client(action, deadline).await?;
        let send = || async {
            let answer = client.delete_volume().volume_id(id).send().await;
            answer.map(drop).map_err(|error| failure(action, error))
        };
        self.caller.call(action, deadline, send).await
    }

    async fn describe_volumes(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Volume>, Ec2Error> {
        let action = Action::DescribeVolumes;
        let client = self.client(action, deadline).await?;
        let (ids, filters) = convert::selection_parts(selection, "volume-id");
        let send = |token| {
            let request = client.describe_volumes().set_volume_ids(ids.clone());
            let request = request.set_filters(filters.clone()).set_next_token(token);
            async move { request.send().await.map_err(|error| failure(action, error)) }
        };
        let volumes = self
            .pages(action, deadline, send, |answer| {
                (answer.volumes.unwrap_or_default(), answer.next_token)
            })
            .await?;
        volumes
            .into_iter()
            .map(|volume| convert::volume(action, volume))
            .collect()
    }

    async fn modify_volume(
        &self,
        change: &VolumeChange,
        deadline: Deadline,
    ) -> Result<Modification, Ec2Error> {
        let action = Action::ModifyVolume;
        let client = self.client(action, deadline).await?;
        let send = || async {
            client
                .modify_volume()
                .volume_id(&change.volume_id)
                .set_size(change.size_gib.map(int))
                .set_volume_type(change.volume_type.as_deref().map(sdk::VolumeType::from))
                .set_iops(change.iops)
                .set_throughput(change.throughput)
                .send()
                .await
                .map_err(|error| failure(action, error))
        };
        let answer = self.caller.call(action, deadline, send).await?;
        match answer.volume_modification {
            Some(modification) => convert::modification(action, modification),
            None => Err(Ec2Error::lost(
                action,
                Lost::Malformed,
                "volumeModification is missing",
            )),
        }
    }

    async fn describe_modifications(
        &self,
        volume_ids: &[String],
        deadline: Deadline,
    ) -> Result<Vec<Modification>, Ec2Error> {
        let action = Action::DescribeVolumesModifications;
        let client = self.client(action, deadline).await?;
        let filter = convert::filter("volume-id", volume_ids.to_vec());
        let send = |token| {
            let request = client.describe_volumes_modifications().filters(filter.clone());
            let request = request.set_next_token(token);
            async move { request.send().await.map_err(|error| failure(action, error)) }
        };
        let modifications = self
            .pages(action, deadline, send, |answer| {
                (
                    answer.volumes_modifications.unwrap_or_default(),
                    answer.next_token,
                )
            })
            .await?;
        modifications
            .into_iter()
            .map(|modification| convert::modification(action, modification))
            .collect()
    }

    async fn create_snapshot(
        &self,
        snapshot: &NewSnapshot,
        deadline: Deadline,
    ) -> Result<Snapshot, Ec2Error> {
        let action = Action::CreateSnapshot;
        let client = self.client(action, deadline).await?;
        let send = || async {
            client
                .create_snapshot()
                .volume_id(&snapshot.volume_id)
                .description(&snapshot.description)
                .set_outpost_arn(snapshot.outpost_arn.clone())
                .tag_specifications(convert::tag_specification(
                    sdk::ResourceType::Snapshot,
                    &snapshot.tags,
                ))
                .send()
                .await
                .map_err(|error| failure(action, error))
                .and_then(convert::created_snapshot)
        };
        self.caller.call(action, deadline, send).await
    }

    async fn delete_snapshot(&self, id: &str, deadline: Deadline) -> Result<(), Ec2Error> {
        let action = Action::DeleteSnapshot;
        let client = self.client(action, deadline).await?;
        let send = || async {
            let answer = client
                .delete_snapshot()
                .snapshot_id(id)
                .dry_run(false)
                .send()
                .await;
            answer.map(drop).map_err(|error| failure(action, error))
        };
        self.caller.call(action, deadline, send).await
    }

    async fn describe_snapshots(
        &self,
        selection: &Selection,
        deadline: Deadline,
    ) -> Result<Vec<Snapshot>, Ec2Error> {
        let action = Action::DescribeSnapshots;
        let client = self.client(action, deadline).await?;
        let (ids, filters) = convert::selection_parts(selection, "snapshot-id");
        let send = |token| {
            let request = client.describe_snapshots().set_snapshot_ids(ids.clone());
            let request = request.set_filters(filters.clone()).set_next_token(token);
            async move { request.send().await.map_err(|error| failure(action, error)) }
        };
        let snapshots = self
            .pages(action, deadline, send, |answer| {
                (answer.snapshots.unwrap_or_default(), answer.next_token)
            })
            .await?;
        snapshots.into_iter().map(convert::snapshot).collect()
    }

    async fn list_snapshots(
        &self,
        list: &SnapshotList,
        deadline: Deadline,
    ) -> Result<SnapshotPage, Ec2Error> {
        let action = Action::DescribeSnapshots;
        let client = self.client(action, deadline).await?;
        let filters = list
            .volume_id
            .as_ref()
            .map(|id| vec![convert::filter("volume-id", vec![id.clone()])]);
        let send = || async {
            client
                .describe_snapshots()
                .owner_ids("self")
                .set_filters(filters.clone())
                .set_max_results(list.max_results)
                .set_next_token(list.next_token.clone())
                .send()
                .await
                .map_err(|error| failure(action, error))
        };
        let answer = self.caller.call(action, deadline, send).await?;
        let snapshots = answer.snapshots.unwrap_or_default().into_iter();
        Ok(SnapshotPage {
            snapshots: snapshots.map(convert::snapshot).collect::<Result<_, _>>()?,
            next_token: answer.next_token.filter(|token| !token.is_empty()),
        })
    }

    async fn enable_fast_restores(
        &self,
        snapshot_id: &str,
        zones: &[String],
        deadline: Deadline,
    ) -> Result<(), Ec2Error> {
        let action = Action::EnableFastSnapshotRestores;
        let client = self.client(action, deadline).await?;
        let send = || async {
            client
                .enable_fast_snapshot_restores()
                .set_availability_zones(Some(zones.to_vec()))
                .source_snapshot_ids(snapshot_id)
                .send()
                .await
                .map_err(|error| failure(action, error))
        };
        let answer = self.caller.call(action, deadline, send).await?;
        match answer.unsuccessful().first() {
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
        let action = Action::LockSnapshot;
        let client = self.client(action, deadline).await?;
        let expiration = lock
            .expiration
            .map(|end| aws_smithy_types::DateTime::from_secs(end.as_second()));
        let send = || async {
            let request = client
                .lock_snapshot()
                .snapshot_id(snapshot_id)
                .set_lock_mode(lock.mode.as_deref().map(sdk::LockMode::from))
                .set_lock_duration(lock.duration_days)
                .set_expiration_date(expiration)
                .set_cool_off_period(lock.cool_off_hours);
            let answer = request.send().await;
            answer.map(drop).map_err(|error| failure(action, error))
        };
        self.caller.call(action, deadline, send).await
    }

    async fn describe_zones(&self, deadline: Deadline) -> Result<Vec<String>, Ec2Error> {
        let action = Action::DescribeAvailabilityZones;
        let client = self.client(action, deadline).await?;
        let send = || async {
            let answer = client.describe_availability_zones().send().await;
            answer.map_err(|error| failure(action, error))
        };
        let zones = self.caller.call(action, deadline, send).await?.availability_zones;
        let names = zones
            .unwrap_or_default()
            .into_iter()
            .filter_map(|zone| zone.zone_name);
        Ok(names.collect())
    }

    async fn check_access(&self, deadline: Deadline) -> Result<(), Ec2Error> {
        let action = Action::DescribeAvailabilityZones;
        let client = self.client(action, deadline).await?;
        let answer = deadline.limit(client.describe_availability_zones().dry_run(true).send());
        let answer = answer
            .await
            .ok_or_else(|| Ec2Error::lost(action, Lost::Timeout, ""))?;
        answer.map(drop).map_err(|error| failure(action, error))
    }
}

/// An item of EnableFastSnapshotRestores that failed, as an error.
fn unsuccessful(item: &sdk::EnableFastSnapshotRestoreErrorItem) -> Ec2Error {
    let state = item.fast_snapshot_restore_state_errors().first();
    let zone = state
        .and_then(|state| state.availability_zone())
        .unwrap_or_default();
    let error = state.and_then(|state| state.error());
    let message = error.and_then(|error| error.message()).unwrap_or_default();
    Ec2Error {
        action: Action::EnableFastSnapshotRestores,
        failure: Failure::Answer {
            status: 200,
            code: error
                .and_then(|error| error.code())
                .unwrap_or("Unsuccessful")
                .to_owned(),
            message: format!("{zone}: {}", stable_message(message)),
        },
    }
}
