//! Calls about snapshots.

use std::collections::BTreeMap;

use controller::CallFailure;
use csi::v1::{self, CreateSnapshotRequest, DeleteSnapshotRequest, ListSnapshotsRequest};
use csi::{Class, Operation};

use super::{One, described};
use crate::observe::Snapshot;

impl One<'_> {
    pub(super) async fn create(
        &self,
        volume_handle: &str,
        name: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Snapshot, CallFailure> {
        let asked = CreateSnapshotRequest {
            source_volume_id: volume_handle.to_owned(),
            name: name.to_owned(),
            secrets: self.secrets.clone(),
            parameters: parameters.clone(),
            ..CreateSnapshotRequest::default()
        };
        let mut client = self.calls.channel.controller();
        match client.create_snapshot(self.hinted(asked)).await {
            Ok(answer) => created(answer.into_inner().snapshot),
            Err(status) => Err(self.failure(Operation::CreateSnapshot, &status)),
        }
    }

    pub(super) async fn list(&self, snapshot_handle: &str) -> Result<Vec<Snapshot>, CallFailure> {
        let asked = ListSnapshotsRequest {
            snapshot_id: snapshot_handle.to_owned(),
            secrets: self.secrets.clone(),
            ..ListSnapshotsRequest::default()
        };
        let mut client = self.calls.channel.controller();
        match client.list_snapshots(self.request(asked)).await {
            Ok(answer) => Ok(listed(answer.into_inner().entries)),
            Err(status) => Err(self.failure(Operation::ListSnapshots, &status)),
        }
    }

    pub(super) async fn delete(&self, snapshot_handle: &str) -> Result<(), CallFailure> {
        let asked = DeleteSnapshotRequest {
            snapshot_id: snapshot_handle.to_owned(),
            secrets: self.secrets.clone(),
        };
        let mut client = self.calls.channel.controller();
        match client.delete_snapshot(self.request(asked)).await {
            Ok(_) => Ok(()),
            Err(status) => Err(self.failure(Operation::DeleteSnapshot, &status)),
        }
    }
}

/// OK without a snapshot says nothing about what the driver did (Q25).
fn created(snapshot: Option<v1::Snapshot>) -> Result<Snapshot, CallFailure> {
    snapshot
        .and_then(described)
        .ok_or_else(|| CallFailure::nonsense(Class::InProgress, "CreateSnapshot without a snapshot"))
}

fn listed(entries: Vec<v1::list_snapshots_response::Entry>) -> Vec<Snapshot> {
    let snapshots = entries.into_iter().filter_map(|entry| entry.snapshot);
    snapshots.filter_map(described).collect()
}
