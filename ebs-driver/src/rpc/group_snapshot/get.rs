//! GetVolumeGroupSnapshot.

use std::collections::BTreeSet;

use csi::v1::{GetVolumeGroupSnapshotRequest, GetVolumeGroupSnapshotResponse};
use futures::future::try_join_all;
use tonic::Status;

use super::message;
use crate::deadline::Deadline;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::ec2::types::Snapshot;
use crate::names::{TAG_GROUP_NAME, without_snow};
use crate::rpc::{Call, required};

pub(in crate::rpc) async fn call(
    core: &Core,
    request: &GetVolumeGroupSnapshotRequest,
    call: Call,
) -> Result<GetVolumeGroupSnapshotResponse, Status> {
    let name = required(&request.group_snapshot_id, "group_snapshot_id")?;
    let listed = &request.snapshot_ids;
    let mut found = members(core, name, listed, call.deadline).await?;
    if found.is_empty() {
        return Err(Status::not_found(format!(
            "no snapshot bears the group name {name}"
        )));
    }
    if !listed.is_empty() {
        let shown: BTreeSet<&String> = found.iter().map(|snapshot| &snapshot.id).collect();
        if let Some(lost) = listed.iter().find(|id| !shown.contains(id)) {
            return Err(Status::invalid_argument(format!(
                "{lost} is no snapshot of the group {name}"
            )));
        }
        // Duplicates of a lost answer may still be there.
        found.retain(|snapshot| listed.contains(&snapshot.id));
    }
    found.sort_by(|one, other| one.volume_id.cmp(&other.volume_id));
    Ok(GetVolumeGroupSnapshotResponse {
        group_snapshot: Some(message(name, &found)),
    })
}

/// What bears the name, and what is listed where EC2's search does not show it yet.
///
/// # Errors
/// InvalidArgument for what is listed and is not of the group.
pub(super) async fn members(
    core: &Core,
    name: &str,
    listed: &[String],
    deadline: Deadline,
) -> Result<Vec<Snapshot>, Status> {
    let found = core.lookups.snapshots_by_group.get(name, deadline).await;
    let mut found = found
        .map_err(|error| Purpose::SnapshotRead.status(&error))?
        .unwrap_or_default();
    let known = core.groups.get(name).and_then(|name| name.known);
    let known = known.map(|known| known.made).unwrap_or_default();
    let shown: BTreeSet<String> = found.iter().map(|snapshot| snapshot.id.clone()).collect();
    let hidden = known.iter().map(|snapshot| &snapshot.id).chain(listed);
    let hidden: BTreeSet<&String> = hidden
        .filter(|id| without_snow(id).starts_with("snap-") && !shown.contains(*id))
        .collect();
    let lookups = hidden
        .into_iter()
        .map(|id| core.lookups.snapshots.get(id, deadline));
    let others = try_join_all(lookups).await;
    for other in others
        .map_err(|error| Purpose::SnapshotRead.status(&error))?
        .into_iter()
        .flatten()
    {
        let is_member = known.iter().any(|snapshot| snapshot.id == other.id)
            || other.tags.get(TAG_GROUP_NAME).is_some_and(|of| of == name);
        if !is_member {
            return Err(Status::invalid_argument(format!(
                "{} is no snapshot of the group {name}",
                other.id
            )));
        }
        found.push(other);
    }
    Ok(found)
}
