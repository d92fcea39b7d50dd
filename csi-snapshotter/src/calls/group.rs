//! Calls about groups of snapshots.

use std::collections::BTreeMap;

use controller::CallFailure;
use csi::v1::{
    CreateVolumeGroupSnapshotRequest, DeleteVolumeGroupSnapshotRequest, GetVolumeGroupSnapshotRequest,
    VolumeGroupSnapshot,
};
use csi::{Class, Operation};

use super::{One, described, moment};
use crate::observe::Snapshot;

impl One<'_> {
    pub(super) async fn create_group(
        &self,
        volume_handles: &[String],
        name: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Snapshot, CallFailure> {
        let asked = CreateVolumeGroupSnapshotRequest {
            name: name.to_owned(),
            source_volume_ids: volume_handles.to_vec(),
            secrets: self.secrets.clone(),
            parameters: parameters.clone(),
        };
        let mut client = self.calls.channel.group_controller();
        match client.create_volume_group_snapshot(self.hinted(asked)).await {
            Ok(answer) => shown(answer.into_inner().group_snapshot, "CreateVolumeGroupSnapshot"),
            Err(status) => Err(self.failure(Operation::CreateGroupSnapshot, &status)),
        }
    }

    pub(super) async fn get_group(
        &self,
        group_handle: &str,
        snapshot_handles: &[String],
    ) -> Result<Vec<Snapshot>, CallFailure> {
        let asked = GetVolumeGroupSnapshotRequest {
            group_snapshot_id: group_handle.to_owned(),
            snapshot_ids: snapshot_handles.to_vec(),
            secrets: self.secrets.clone(),
        };
        let mut client = self.calls.channel.group_controller();
        match client.get_volume_group_snapshot(self.request(asked)).await {
            Ok(answer) => Ok(vec![shown(
                answer.into_inner().group_snapshot,
                "GetVolumeGroupSnapshot",
            )?]),
            Err(status) => Err(self.failure(Operation::GetGroupSnapshot, &status)),
        }
    }

    pub(super) async fn delete_group(
        &self,
        group_handle: &str,
        snapshot_handles: &[String],
    ) -> Result<(), CallFailure> {
        let asked = DeleteVolumeGroupSnapshotRequest {
            group_snapshot_id: group_handle.to_owned(),
            snapshot_ids: snapshot_handles.to_vec(),
            secrets: self.secrets.clone(),
        };
        let mut client = self.calls.channel.group_controller();
        match client.delete_volume_group_snapshot(self.request(asked)).await {
            Ok(_) => Ok(()),
            Err(status) => Err(self.failure(Operation::DeleteGroupSnapshot, &status)),
        }
    }
}

/// OK without a group says nothing about what the driver did (Q25).
fn shown(group: Option<VolumeGroupSnapshot>, rpc: &str) -> Result<Snapshot, CallFailure> {
    let group = group.filter(|group| !group.group_snapshot_id.is_empty());
    let nothing = || CallFailure::nonsense(Class::InProgress, &format!("{rpc} without a group"));
    let group = group.ok_or_else(nothing)?;
    Ok(Snapshot {
        handle: group.group_snapshot_id,
        creation_time: group.creation_time.and_then(moment),
        ready: group.ready_to_use,
        members: group.snapshots.into_iter().filter_map(described).collect(),
        ..Snapshot::default()
    })
}
