//! Calls of the driver. Knows no rule.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::CallFailure;
use crds::v1::VolumeSnapshotContent;
use csi::v1::{self, CreateSnapshotRequest, DeleteSnapshotRequest, ListSnapshotsRequest};
use csi::{Channel, Class, Operation};
use jiff::Timestamp;
use tonic::Status;

use crate::observe::{Reply, Snapshot};
use crate::plan::Call;
use crate::plan::create::hint;

/// The way to the driver.
pub(crate) struct Calls {
    pub(crate) channel: Channel,
    /// Longest time of one call.
    pub(crate) timeout: Duration,
}

impl Calls {
    pub(crate) async fn call(
        &self,
        content: &VolumeSnapshotContent,
        call: &Call,
        secrets: BTreeMap<String, String>,
    ) -> Reply {
        let failure = |operation, status: &Status| CallFailure::of(operation, status, &secrets);
        let mut client = self.channel.controller();
        match call {
            Call::Create {
                volume_handle,
                name,
                parameters,
            } => {
                let asked = CreateSnapshotRequest {
                    source_volume_id: volume_handle.clone(),
                    name: name.clone(),
                    secrets: secrets.clone(),
                    parameters: parameters.clone(),
                    ..CreateSnapshotRequest::default()
                };
                let mut request = csi::channel::request(asked, self.timeout);
                hint(content).attach(&mut request);
                let answer = client.create_snapshot(request).await;
                Reply::Created(match answer {
                    Ok(answer) => created(answer.into_inner().snapshot),
                    Err(status) => Err(failure(Operation::CreateSnapshot, &status)),
                })
            }
            Call::List { snapshot_handle } => {
                let asked = ListSnapshotsRequest {
                    snapshot_id: snapshot_handle.clone(),
                    secrets: secrets.clone(),
                    ..ListSnapshotsRequest::default()
                };
                let answer = client
                    .list_snapshots(csi::channel::request(asked, self.timeout))
                    .await;
                Reply::Listed(match answer {
                    Ok(answer) => Ok(listed(answer.into_inner().entries)),
                    Err(status) => Err(failure(Operation::ListSnapshots, &status)),
                })
            }
            Call::Delete { snapshot_handle } => {
                let asked = DeleteSnapshotRequest {
                    snapshot_id: snapshot_handle.clone(),
                    secrets: secrets.clone(),
                };
                let answer = client
                    .delete_snapshot(csi::channel::request(asked, self.timeout))
                    .await;
                Reply::Deleted {
                    handle: snapshot_handle.clone(),
                    outcome: match answer {
                        Ok(_) => Ok(()),
                        Err(status) => Err(failure(Operation::DeleteSnapshot, &status)),
                    },
                }
            }
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

fn described(snapshot: v1::Snapshot) -> Option<Snapshot> {
    let creation_time = snapshot
        .creation_time
        .and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
    (!snapshot.snapshot_id.is_empty()).then_some(Snapshot {
        handle: snapshot.snapshot_id,
        creation_time,
        size_bytes: snapshot.size_bytes,
        ready: snapshot.ready_to_use,
        group_handle: snapshot.group_snapshot_id,
    })
}
