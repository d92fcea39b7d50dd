//! Whether the group of a name exists already: by the IDs answered before, else by tag.

use csi::CreateSnapshotHint;
use futures::future::try_join_all;
use tokio::time::Instant;
use tonic::Status;

use super::ask::Ask;
use crate::deadline::Deadline;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::ec2::types::Snapshot;
use crate::group::{self, Plan};
use crate::memory::{Known, Made as _};
use crate::rpc::{Call, by_name};
use crate::snapshot::Memory;

/// The snapshots of the group in the order of its sources; none when there is surely none.
pub(super) async fn find(
    core: &Core,
    ask: &Ask,
    call: Call,
    hint: CreateSnapshotHint<'_>,
) -> Result<Option<Vec<Snapshot>>, Status> {
    let memory = core.groups.get(&ask.name);
    let is_settled = memory
        .as_ref()
        .is_some_and(|memory| memory.unclear_since.is_none());
    match memory.and_then(|memory| memory.known) {
        // After an unclear attempt there may be two sets of the name: only the lookup by tag shows both.
        Some(known) if is_settled => poll(core, ask, known, call).await.map(Some),
        _ => look_up(core, ask, call, hint).await,
    }
}

/// The states of the snapshots that were answered before, merged with the polls of all others.
async fn poll(
    core: &Core,
    ask: &Ask,
    known: Known<Vec<Snapshot>>,
    call: Call,
) -> Result<Vec<Snapshot>, Status> {
    let of_others = known.made.iter().map(|snapshot| &snapshot.volume_id);
    let of_others: Vec<String> = of_others
        .filter(|volume| !ask.sources.contains(volume))
        .cloned()
        .collect();
    let all: Vec<&Snapshot> = known.made.iter().collect();
    if !of_others.is_empty() || !group::missing(&all, &ask.sources).is_empty() {
        return Err(conflict(ask, &of_others));
    }
    let lookups = group::in_order(&all, &ask.sources).into_iter().map(async |snapshot| {
        let shown = core.polls.get(&snapshot.id, call.deadline).await;
        match shown.map_err(|error| Purpose::SnapshotRead.status(&error))? {
            Some(shown) => Ok(shown),
            // Too new to be shown.
            None if known.since.elapsed() < core.consistency_delay() => Ok(snapshot),
            None => Err(Status::internal(format!(
                "snapshot {} of the group {} was deleted outside of the driver; delete the VolumeGroupSnapshot",
                snapshot.id, ask.name
            ))),
        }
    });
    try_join_all(lookups).await
}

async fn look_up(
    core: &Core,
    ask: &Ask,
    call: Call,
    hint: CreateSnapshotHint<'_>,
) -> Result<Option<Vec<Snapshot>>, Status> {
    loop {
        let looked_at = Instant::now();
        let found = core
            .lookups
            .snapshots_by_group
            .get(&ask.name, call.deadline)
            .await;
        let found = found
            .map_err(|error| Purpose::SnapshotRead.status(&error))?
            .unwrap_or_default();
        let decide = |memory: &Memory<'_>| group::plan(&found, &ask.sources, looked_at, memory);
        match by_name::plan(core, &core.groups, &ask.name, hint, decide) {
            Plan::Create => {
                // Nothing came of an earlier attempt: what is created now is the only one of its name.
                core.groups.forget(&ask.name);
                return Ok(None);
            }
            Plan::Adopt(snapshots) => {
                by_name::settle(core, &core.groups, &ask.name, looked_at);
                return Ok(Some(snapshots));
            }
            Plan::Conflict(others) => return Err(conflict(ask, &others)),
            Plan::Incomplete { present, .. } if is_ours_to_remove(core, ask, &present) => {
                remove_rest(core, ask, present, call.deadline).await?;
            }
            Plan::Incomplete { present, missing } => return Err(incomplete(ask, &present, &missing)),
            Plan::DeleteDuplicates { adopt, duplicates } => {
                let adopted = adopt.ids().join(", ");
                by_name::delete_duplicates(core, &ask.name, &adopted, &duplicates, call).await?;
                by_name::settle(core, &core.groups, &ask.name, looked_at);
                return Ok(Some(adopt));
            }
            Plan::LookAgain { at, sets } => {
                core.groups.saw_duplicates(&ask.name, &sets, looked_at);
                let waited = core.waits.until(at, call.deadline).await;
                waited.map_err(|error| by_name::interrupted(error, "group"))?;
            }
        }
    }
}

/// Whether all that is left was to be deleted by this process, which did not get to the end.
fn is_ours_to_remove(core: &Core, ask: &Ask, present: &[String]) -> bool {
    let removing = core.groups.get(&ask.name).map(|name| name.removing);
    removing.is_some_and(|removing| present.iter().all(|id| removing.contains(id)))
}

/// Goes on with it. What EC2 shows there is no longer new.
async fn remove_rest(core: &Core, ask: &Ask, present: Vec<String>, deadline: Deadline) -> Result<(), Status> {
    // What is deleted may still be shown for a while: the attempt stays unclear, and the next lookup waits for it.
    let attempt = core.groups.attempt(&ask.name);
    let _attempt = attempt.removing(present.iter().cloned());
    for id in &present {
        match core.ec2.delete_snapshot(id, deadline).await {
            Err(error) if !Purpose::DeleteSnapshot.is_done(&error) => {
                return Err(Status::aborted(format!(
                    "group {}: what is left of an earlier attempt could not be deleted: {error}",
                    ask.name
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

fn conflict(ask: &Ask, others: &[String]) -> Status {
    let others = if others.is_empty() {
        "fewer volumes".to_owned()
    } else {
        others.join(" and ")
    };
    Status::already_exists(format!("the group {} is of other volumes: {others}", ask.name))
}

/// EC2 makes all or none, so somebody deleted a part. What is left may be in use.
fn incomplete(ask: &Ask, present: &[String], missing: &[String]) -> Status {
    Status::internal(format!(
        "the group {} has no snapshot of {}, only {}: a part was deleted outside of the driver; delete the \
         VolumeGroupSnapshot",
        ask.name,
        missing.join(" and "),
        present.join(", ")
    ))
}
