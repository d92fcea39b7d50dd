//! CreateSnapshot: creation, and the readiness polls that repeat it. Source: spec 1.7, 1.8, Q12-Q14;
//! decisions 14, 21, 22.

mod ask;
mod complete;
mod find;

use std::collections::BTreeSet;

use csi::CreateSnapshotHint;
use csi::v1::{CreateSnapshotRequest, CreateSnapshotResponse};
use tonic::Status;

use super::{Call, by_name, list_snapshots, snapshot_class};
use crate::driver::Core;
use crate::ec2::codes::{Meaning, Purpose};
use crate::ec2::limit::line::Asks;
use crate::ec2::types::{NewSnapshot, Snapshot};
use crate::in_flight::Key;
use crate::quotas::Room;
use crate::snapshot;

use ask::Ask;
use complete::Origin;

pub(super) async fn call(
    core: &Core,
    request: &CreateSnapshotRequest,
    call: Call,
    hint: CreateSnapshotHint<'_>,
) -> Result<CreateSnapshotResponse, Status> {
    let ask = Ask::parse(core, request)?;
    let _guard = core.in_flight.begin(Key::SnapshotName(ask.name.clone()))?;
    let (snapshot, origin) = match &ask.refusal {
        Some(refusal) => {
            let find = find::find(core, &ask, call, hint);
            let snapshot = by_name::taken_before(&ask.name, refusal, hint, find).await?;
            (snapshot, Origin::Found)
        }
        None => found_or_made(core, &ask, call, hint).await?,
    };
    // From now on its name is known, and its state is asked for with that of the others.
    core.snapshots.remember(&ask.name, &snapshot);
    core.polls.watch(&snapshot);
    let is_stored = is_stored(core, &ask, &snapshot, hint);
    match (snapshot::failure(&snapshot), &ask.refusal) {
        (Some(failure), _) if is_stored => return Err(Status::internal(failure)),
        (Some(failure), _) => tracing::warn!(snapshot = ask.name, "{failure}; its ID is answered first"),
        (None, Some(refusal)) if is_stored => {
            let what = format!("snapshot {}", snapshot.id);
            snapshot_class::refused_by_itself(&core.snapshots, &ask.name, &what, refusal)?;
        }
        (None, Some(_)) => {}
        (None, None) => complete::complete(core, &ask, &snapshot, origin, call.deadline).await?,
    }
    Ok(CreateSnapshotResponse {
        snapshot: Some(list_snapshots::message(&snapshot)),
    })
}

async fn found_or_made(
    core: &Core,
    ask: &Ask,
    call: Call,
    hint: CreateSnapshotHint<'_>,
) -> Result<(Snapshot, Origin), Status> {
    // Before anything is looked up: who has to wait comes again many times.
    let held = if is_known(core, ask, hint) {
        None
    } else {
        Some(room(core, ask, call).await?)
    };
    if let Some(snapshot) = find::find(core, ask, call, hint).await? {
        return Ok((snapshot, Origin::Found));
    }
    let room = match held {
        Some(room) => room,
        None => room(core, ask, call).await?,
    };
    Ok((create(core, ask, &room, call).await?, Origin::Created))
}

/// Whether the caller has the ID of a failed snapshot, so that it deletes the snapshot with its object: Internal is
/// final, and a caller without the ID would forget the snapshot. Others than ours do not say it; they have had the ID
/// when it was answered long enough ago.
fn is_stored(core: &Core, ask: &Ask, snapshot: &Snapshot, hint: CreateSnapshotHint<'_>) -> bool {
    hint == CreateSnapshotHint::Stored(&snapshot.id) || core.snapshots.is_surely_stored(&ask.name)
}

/// Whether the snapshot was answered before, so that none is to be taken.
fn is_known(core: &Core, ask: &Ask, hint: CreateSnapshotHint<'_>) -> bool {
    matches!(hint, CreateSnapshotHint::Stored(_))
        || core
            .snapshots
            .get(&ask.name)
            .is_some_and(|name| name.known.is_some())
}

/// Waits until EC2 is likely to take another snapshot.
async fn room(core: &Core, ask: &Ask, call: Call) -> Result<Room, Status> {
    let asks = Asks {
        work: ask.name.clone(),
        owner: ask.parameters.snapshot_namespace.clone(),
        needs: 1,
    };
    let volumes = BTreeSet::from([ask.source_volume_id.clone()]);
    let room = core
        .quotas
        .room(asks, volumes, call.patience, call.deadline)
        .await;
    room.map_err(|error| Purpose::SnapshotRead.status(&error))
}

async fn create(core: &Core, ask: &Ask, room: &Room, call: Call) -> Result<Snapshot, Status> {
    snapshot_class::check(core, &ask.parameters, call.deadline).await?;
    let new = NewSnapshot {
        volume_id: ask.source_volume_id.clone(),
        description: format!(
            "Created by AWS EBS CSI driver for volume {}",
            ask.source_volume_id
        ),
        outpost_arn: ask.parameters.outpost_arn.clone(),
        tags: ask.tags.clone(),
        namespace: ask.parameters.snapshot_namespace.clone(),
    };
    // From here on the outcome is unclear until EC2 answers, also when this call is cancelled.
    let attempt = core.snapshots.attempt(&ask.name);
    let answer = core.ec2.create_snapshot(&new, call.deadline).await;
    if !matches!(&answer, Err(error) if error.meaning() == Meaning::Unclear) {
        attempt.resolve();
    }
    let snapshot = answer.map_err(|error| Purpose::CreateSnapshot.status(&room.refused(error)))?;
    room.taken(std::slice::from_ref(&snapshot));
    Ok(snapshot)
}
