//! CreateVolumeGroupSnapshot, GetVolumeGroupSnapshot, DeleteVolumeGroupSnapshot.

use std::collections::BTreeSet;

use csi::v1::{
    CreateVolumeGroupSnapshotRequest, DeleteVolumeGroupSnapshotRequest, GetVolumeGroupSnapshotRequest,
    VolumeGroupSnapshot,
};
use jiff::Timestamp;
use tonic::Status;

use super::snapshots::{data_of, moment};
use super::volume_in;
use crate::capability::Capability;
use crate::driver::{Core, Failure};
use crate::folder::{Folder, Group, GroupRecord, Id, Kind, SnapshotRecord, Volume};
use crate::plan::{Refusal, parameters, required, snapshot};

impl Core {
    /// A group as CSI describes it.
    fn group(&self, group: &Group) -> VolumeGroupSnapshot {
        VolumeGroupSnapshot {
            group_snapshot_id: group.id.to_string(),
            snapshots: group.members.iter().map(|member| self.snapshot(member)).collect(),
            creation_time: Some(moment(group.record.created)),
            ready_to_use: self.is_ready(group.record.created),
        }
    }
}

pub(super) async fn create(
    core: &Core,
    request: CreateVolumeGroupSnapshotRequest,
) -> Result<VolumeGroupSnapshot, Status> {
    core.need(Capability::CreateDeleteGetVolumeGroupSnapshot)?;
    required(&request.name, "name")?;
    let volumes = snapshot::volumes_of_group(&request.source_volume_ids)?;
    parameters::check(&request.parameters)?;
    let (capacity, now) = (core.config.capacity_bytes, core.clock.now());
    let taken = core.in_folder(move |folder| take(folder, &request.name, &volumes, capacity, now));
    Ok(core.group(&taken.await?))
}

fn take(
    folder: &Folder,
    name: &str,
    volumes: &BTreeSet<Id>,
    capacity: u64,
    now: Timestamp,
) -> Result<Group, Failure> {
    let id = Id::named(Kind::Group, name);
    let existing = folder.group(&id)?;
    if !snapshot::is_group_taken(existing.as_ref(), name, volumes)? {
        let find = |id: &Id| volume_in(folder, id.as_str(), "source_volume_ids");
        let found: Vec<Volume> = volumes.iter().map(find).collect::<Result<_, _>>()?;
        let mut free = capacity.saturating_sub(folder.used_bytes()?);
        let mut members = Vec::new();
        for volume in &found {
            let data = data_of(volume, free)?;
            free -= data.bytes;
            let record = SnapshotRecord {
                name: name.to_owned(),
                source_volume: volume.id.clone(),
                created: now,
            };
            members.push((Id::member(&id, &volume.id), record, data));
        }
        let record = GroupRecord {
            name: name.to_owned(),
            created: now,
        };
        folder.create_group(&id, &record, &members)?;
    }
    let made = folder.group(&id)?;
    Ok(made.ok_or_else(|| Refusal::not_found("group snapshot", id.as_str()))?)
}

/// The group with this ID, if it is there.
fn find(folder: &Folder, text: &str) -> Result<Option<Group>, Failure> {
    match Id::parse(Kind::Group, text) {
        Some(id) => Ok(folder.group(&id)?),
        None => Ok(None),
    }
}

pub(super) async fn get(
    core: &Core,
    request: GetVolumeGroupSnapshotRequest,
) -> Result<VolumeGroupSnapshot, Status> {
    core.need(Capability::CreateDeleteGetVolumeGroupSnapshot)?;
    required(&request.group_snapshot_id, "group_snapshot_id")?;
    let found = core.in_folder(move |folder| {
        let text = &request.group_snapshot_id;
        let found = find(folder, text)?.ok_or_else(|| Refusal::not_found("group snapshot", text))?;
        snapshot::check_members(&found, &request.snapshot_ids)?;
        Ok(found)
    });
    Ok(core.group(&found.await?))
}

pub(super) async fn delete(core: &Core, request: DeleteVolumeGroupSnapshotRequest) -> Result<(), Status> {
    core.need(Capability::CreateDeleteGetVolumeGroupSnapshot)?;
    required(&request.group_snapshot_id, "group_snapshot_id")?;
    core.in_folder(move |folder| {
        if let Some(found) = find(folder, &request.group_snapshot_id)? {
            snapshot::check_members(&found, &request.snapshot_ids)?;
            folder.delete_group(&found.id)?;
        }
        Ok(())
    })
    .await
}
