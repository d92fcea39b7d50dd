//! DeleteSnapshot. Source: spec 1.6, 1.8.

use csi::v1::{DeleteSnapshotRequest, DeleteSnapshotResponse};
use tonic::Status;

use super::{Call, required, snapshot_class};
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::in_flight::Key;
use crate::names::without_snow;

pub(super) async fn call(
    core: &Core,
    request: &DeleteSnapshotRequest,
    call: Call,
) -> Result<DeleteSnapshotResponse, Status> {
    let id = required(&request.snapshot_id, "snapshot_id")?;
    if !without_snow(id).starts_with("snap-") {
        // No snapshot has such an ID: a content with this handle can go.
        tracing::warn!(
            snapshot = id,
            "deleting what is no EC2 snapshot ID: nothing to do"
        );
        return Ok(DeleteSnapshotResponse {});
    }
    let _guard = core.in_flight.begin(Key::Snapshot(id.to_owned()))?;
    match core.ec2.delete_snapshot(id, call.deadline).await {
        Err(error) if !Purpose::DeleteSnapshot.is_done(&error) => Err(Purpose::DeleteSnapshot.status(&error)),
        Err(error) if snapshot_class::may_be_there(core, id, &error) => {
            Err(snapshot_class::too_early(id, &error.to_string()))
        }
        _ => {
            core.snapshots.forget_snapshot(id);
            Ok(DeleteSnapshotResponse {})
        }
    }
}
