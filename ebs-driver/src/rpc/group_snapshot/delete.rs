//! DeleteVolumeGroupSnapshot: all snapshots that bear the group's name.

use std::collections::BTreeSet;

use csi::v1::{DeleteVolumeGroupSnapshotRequest, DeleteVolumeGroupSnapshotResponse};
use tonic::Status;

use super::get;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::in_flight::Key;
use crate::rpc::{Call, required};

pub(in crate::rpc) async fn call(
    core: &Core,
    request: &DeleteVolumeGroupSnapshotRequest,
    call: Call,
) -> Result<DeleteVolumeGroupSnapshotResponse, Status> {
    let name = required(&request.group_snapshot_id, "group_snapshot_id")?;
    let _guard = core.in_flight.begin(Key::GroupName(name.to_owned()))?;
    let found = get::members(core, name, &request.snapshot_ids, call.deadline).await?;
    let mut refused = Vec::new();
    for id in found
        .into_iter()
        .map(|snapshot| snapshot.id)
        .collect::<BTreeSet<_>>()
    {
        match core.ec2.delete_snapshot(&id, call.deadline).await {
            Err(error) if !Purpose::DeleteSnapshot.is_done(&error) => {
                // The others are deleted first: one that is locked keeps nobody else.
                refused.push((id, error));
            }
            _ => core.groups.forget_snapshot(&id),
        }
    }
    match refused.as_slice() {
        [] => Ok(DeleteVolumeGroupSnapshotResponse {}),
        [(_, error)] => Err(Purpose::DeleteSnapshot.status(error)),
        all => {
            let texts: Vec<String> = all.iter().map(|(id, error)| format!("{id}: {error}")).collect();
            Err(Status::internal(texts.join("; ")))
        }
    }
}
