//! Whether the snapshot of a name exists already: by the ID answered before, else by tag.

use csi::CreateSnapshotHint;
use tokio::time::Instant;
use tonic::Status;

use super::ask::Ask;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::ec2::types::Snapshot;
use crate::memory::Known;
use crate::rpc::{Call, by_name};
use crate::snapshot::{self, Memory, Plan};

/// The snapshot of the name; none when there is surely none.
pub(super) async fn find(
    core: &Core,
    ask: &Ask,
    call: Call,
    hint: CreateSnapshotHint<'_>,
) -> Result<Option<Snapshot>, Status> {
    let memory = core.snapshots.get(&ask.name);
    if let CreateSnapshotHint::Stored(id) = hint {
        let known = memory.and_then(|memory| memory.known);
        let known = known.filter(|known| known.made.id == id);
        return stored(core, ask, id, known, call).await.map(Some);
    }
    let is_settled = memory
        .as_ref()
        .is_some_and(|memory| memory.unclear_since.is_none());
    match memory.and_then(|memory| memory.known) {
        // After an unclear attempt there may be two of the name: only the lookup by tag shows both.
        Some(known) if is_settled => poll(core, ask, known, call).await.map(Some),
        _ => look_up(core, ask, call, hint).await,
    }
}

/// The caller keeps this snapshot, so it is never replaced by another one of its name, and none is created.
async fn stored(
    core: &Core,
    ask: &Ask,
    id: &str,
    known: Option<Known<Snapshot>>,
    call: Call,
) -> Result<Snapshot, Status> {
    if let Some(known) = known {
        return poll(core, ask, known, call).await;
    }
    let shown = core.polls.get(id, call.deadline).await;
    match shown.map_err(|error| Purpose::SnapshotRead.status(&error))? {
        Some(shown) if shown.volume_id != ask.source_volume_id => Err(conflict(ask, &shown)),
        Some(shown) => Ok(shown),
        None if core.snapshots.process_started.elapsed() < core.consistency_delay() => Err(
            Status::unavailable(format!("EC2 does not show snapshot {id} yet")),
        ),
        None => Err(deleted(id)),
    }
}

/// The state of a snapshot that was answered before, merged with the polls of all others.
async fn poll(core: &Core, ask: &Ask, known: Known<Snapshot>, call: Call) -> Result<Snapshot, Status> {
    let Known {
        made: snapshot,
        since,
        ..
    } = known;
    if snapshot.volume_id != ask.source_volume_id {
        return Err(conflict(ask, &snapshot));
    }
    let shown = core.polls.get(&snapshot.id, call.deadline).await;
    match shown.map_err(|error| Purpose::SnapshotRead.status(&error))? {
        Some(shown) => Ok(shown),
        // Too new to be shown.
        None if since.elapsed() < core.consistency_delay() => Ok(snapshot),
        None => Err(deleted(&snapshot.id)),
    }
}

fn deleted(id: &str) -> Status {
    Status::internal(format!(
        "snapshot {id} of this name was deleted outside of the driver"
    ))
}

async fn look_up(
    core: &Core,
    ask: &Ask,
    call: Call,
    hint: CreateSnapshotHint<'_>,
) -> Result<Option<Snapshot>, Status> {
    loop {
        let looked_at = Instant::now();
        let found = core.lookups.snapshots_by_name.get(&ask.name, call.deadline).await;
        let found = found
            .map_err(|error| Purpose::SnapshotRead.status(&error))?
            .unwrap_or_default();
        let decide = |memory: &Memory<'_>| snapshot::plan(&found, &ask.source_volume_id, looked_at, memory);
        let moment = match by_name::plan(core, &core.snapshots, &ask.name, hint, decide) {
            Plan::Create => {
                // Nothing came of an earlier attempt: what is created now is the only one of its name.
                core.snapshots.forget(&ask.name);
                return Ok(None);
            }
            Plan::Adopt(snapshot) => {
                by_name::settle(core, &core.snapshots, &ask.name, looked_at);
                return Ok(Some(snapshot));
            }
            Plan::Conflict(other) => return Err(conflict(ask, &other)),
            Plan::DeleteDuplicates { adopt, duplicates } => {
                by_name::delete_duplicates(core, &ask.name, &adopt.id, &duplicates, call).await?;
                by_name::settle(core, &core.snapshots, &ask.name, looked_at);
                return Ok(Some(adopt));
            }
            Plan::LookAgain(moment) => moment,
            Plan::Settle { at, duplicates } => {
                core.snapshots.saw_duplicates(&ask.name, &duplicates, looked_at);
                at
            }
        };
        core.waits
            .until(moment, call.deadline)
            .await
            .map_err(|error| by_name::interrupted(error, "snapshot"))?;
    }
}

fn conflict(ask: &Ask, other: &Snapshot) -> Status {
    Status::already_exists(format!(
        "snapshot {} bears the name {} and is of volume {}, not {}",
        other.id, ask.name, other.volume_id, ask.source_volume_id
    ))
}
