//! Whether the group of a name exists already: by the IDs answered before, else by tag.

use std::collections::BTreeMap;

use csi::CreateSnapshotHint;
use futures::future::try_join_all;
use tokio::time::Instant;
use tonic::Status;

use super::ask::Ask;
use crate::driver::Core;
use crate::ec2::errors::Class;
use crate::ec2::types::Snapshot;
use crate::group::{self, Plan};
use crate::memory::Known;
use crate::rpc::{Call, status};
use crate::snapshot::{self, Memory};

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
        _ => by_name(core, ask, call, hint).await,
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
        match shown.map_err(|error| status::snapshot_lookup(&error))? {
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

async fn by_name(
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
            .map_err(|error| status::snapshot_lookup(&error))?
            .unwrap_or_default();
        match plan(core, ask, &found, looked_at, hint) {
            Plan::Create => {
                // Nothing came of an earlier attempt: what is created now is the only one of its name.
                settle(core, ask, looked_at);
                return Ok(None);
            }
            Plan::Adopt(snapshots) => {
                settle(core, ask, looked_at);
                return Ok(Some(snapshots));
            }
            Plan::Conflict(others) => return Err(conflict(ask, &others)),
            Plan::Incomplete { present, missing } => return Err(incomplete(ask, &present, &missing)),
            Plan::DeleteDuplicates { adopt, duplicates } => {
                delete_duplicates(core, ask, &duplicates, call).await?;
                settle(core, ask, looked_at);
                return Ok(Some(adopt));
            }
            Plan::LookAgain { at, sets } => {
                core.groups.saw_duplicates(&ask.name, &sets, looked_at);
                core.waits.until(at, call.deadline).await.map_err(|error| {
                    Status::unavailable(format!(
                        "{error}; EC2 may not show yet whether the group exists, so it is looked up again first"
                    ))
                })?;
            }
        }
    }
}

fn plan(
    core: &Core,
    ask: &Ask,
    found: &[Snapshot],
    looked_at: Instant,
    hint: CreateSnapshotHint<'_>,
) -> Plan {
    let remembered = core.groups.get(&ask.name);
    let none = BTreeMap::new();
    let memory = Memory {
        process_started: core.groups.process_started,
        unclear_since: remembered.as_ref().and_then(|name| name.unclear_since),
        is_first_attempt: hint == CreateSnapshotHint::FirstAttempt,
        duplicates: remembered.as_ref().map_or(&none, |name| &name.duplicates),
        consistency_delay: core.consistency_delay(),
    };
    group::plan(found, &ask.sources, looked_at, &memory)
}

/// Forgets an unclear attempt once this lookup shows whatever came of it.
fn settle(core: &Core, ask: &Ask, looked_at: Instant) {
    let unclear = core.groups.get(&ask.name).and_then(|name| name.unclear_since);
    if unclear.is_some_and(|since| snapshot::shows_all(since, looked_at, core.consistency_delay())) {
        core.groups.settle(&ask.name);
    }
}

/// An unclear outcome makes the caller ask again before the group counts as ready.
async fn delete_duplicates(core: &Core, ask: &Ask, duplicates: &[String], call: Call) -> Result<(), Status> {
    for id in duplicates {
        tracing::warn!(group = ask.name, duplicate = id, "deleting a duplicate");
        if let Err(error) = core.ec2.delete_snapshot(id, call.deadline).await {
            match error.class() {
                Class::NotFound => {}
                Class::Unclear | Class::Throttled | Class::NotSent => {
                    return Err(status::snapshot_lookup(&error));
                }
                _ => tracing::warn!(duplicate = id, "a duplicate could not be deleted: {error}"),
            }
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
