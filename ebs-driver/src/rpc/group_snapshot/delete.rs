//! DeleteVolumeGroupSnapshot: all snapshots that bear the group's name.

use std::collections::BTreeSet;

use csi::v1::{DeleteVolumeGroupSnapshotRequest, DeleteVolumeGroupSnapshotResponse};
use tonic::Status;

use super::get;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::in_flight::Key;
use crate::memory::Made as _;
use crate::names::without_snow;
use crate::rpc::{Call, required, snapshot_class};

const NOT_SHOWN: &str = "it is not shown";

pub(in crate::rpc) async fn call(
    core: &Core,
    request: &DeleteVolumeGroupSnapshotRequest,
    call: Call,
) -> Result<DeleteVolumeGroupSnapshotResponse, Status> {
    let name = required(&request.group_snapshot_id, "group_snapshot_id")?;
    let _guard = core.in_flight.begin(Key::GroupName(name.to_owned()))?;
    let found = get::members(core, name, &request.snapshot_ids, call.deadline).await?;
    let found: BTreeSet<String> = found.into_iter().map(|snapshot| snapshot.id).collect();
    let hidden = hidden(core, name, &request.snapshot_ids, &found);
    let (mut refused, mut early) = (Vec::new(), hidden.map(|id| (id, NOT_SHOWN.to_owned())));
    for id in &found {
        match core.ec2.delete_snapshot(id, call.deadline).await {
            Err(error) if !Purpose::DeleteSnapshot.is_done(&error) => {
                // The others are deleted first: one that is locked keeps nobody else.
                refused.push((id, error));
            }
            Err(error) if snapshot_class::may_be_there(core, id, &error) => {
                early = Some((id.clone(), error.to_string()));
            }
            _ => {}
        }
    }
    // While it is remembered the next call knows that what is missing is new.
    if early.is_none() {
        core.groups.forget(name);
        for id in &found {
            core.groups.forget_snapshot(id);
        }
    }
    match refused.as_slice() {
        [] => match early {
            Some((id, why)) => Err(snapshot_class::too_early(&id, &why)),
            None => Ok(DeleteVolumeGroupSnapshotResponse {}),
        },
        [(_, error)] => Err(Purpose::DeleteSnapshot.status(error)),
        all => {
            let texts: Vec<String> = all.iter().map(|(id, error)| format!("{id}: {error}")).collect();
            Err(Status::internal(texts.join("; ")))
        }
    }
}

/// A snapshot of the group that EC2 does not show, and may not know yet.
fn hidden(core: &Core, name: &str, listed: &[String], found: &BTreeSet<String>) -> Option<String> {
    let known = core.groups.get(name).and_then(|name| name.known);
    let known = known.map(|known| known.made).unwrap_or_default();
    let all = known.ids().into_iter().chain(listed.iter().map(String::as_str));
    let mut hidden = all.filter(|id| without_snow(id).starts_with("snap-") && !found.contains(*id));
    hidden
        .find(|id| snapshot_class::may_be_unknown(core, id))
        .map(str::to_owned)
}
