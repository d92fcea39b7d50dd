//! CreateVolumeGroupSnapshot: creation, and the readiness polls that repeat it.

use csi::CreateSnapshotHint;
use csi::v1::{CreateVolumeGroupSnapshotRequest, CreateVolumeGroupSnapshotResponse};
use futures::future::try_join_all;
use tonic::Status;

use super::ask::Ask;
use super::find::find;
use super::message;
use crate::deadline::Deadline;
use crate::driver::Core;
use crate::ec2::codes::{Meaning, Purpose};
use crate::ec2::errors::Ec2Error;
use crate::ec2::limit::line::Asks;
use crate::ec2::types::{Snapshot, SnapshotState, Volume};
use crate::group;
use crate::in_flight::Key;
use crate::memory::{Attempt, Made as _};
use crate::quotas::Room;
use crate::rpc::{Call, by_name, snapshot_class};
use crate::snapshot;

pub(in crate::rpc) async fn call(
    core: &Core,
    request: &CreateVolumeGroupSnapshotRequest,
    call: Call,
    hint: CreateSnapshotHint<'_>,
) -> Result<CreateVolumeGroupSnapshotResponse, Status> {
    let ask = Ask::parse(core, request)?;
    let _guard = core.in_flight.begin(Key::GroupName(ask.name.clone()))?;
    let find = find(core, &ask, call, hint);
    let (snapshots, is_made) = match &ask.refusal {
        Some(refusal) => (
            by_name::taken_before(&ask.name, refusal, hint, find).await?,
            false,
        ),
        None => match find.await? {
            Some(snapshots) => (snapshots, false),
            None => (create(core, &ask, call).await?, true),
        },
    };
    // From now on its name is known, and its state is asked for with that of the others.
    core.groups.remember(&ask.name, &snapshots);
    for snapshot in &snapshots {
        core.polls.watch(snapshot);
    }
    // Internal is final: a caller that has not stored the IDs yet would forget the snapshots.
    let is_stored = core.groups.is_surely_stored(&ask.name);
    match (snapshots.iter().find_map(snapshot::failure), &ask.refusal) {
        (Some(failure), _) if is_stored => return Err(Status::internal(failure)),
        (Some(failure), _) => tracing::warn!(group = ask.name, "{failure}; the IDs are answered first"),
        (None, Some(refusal)) if is_stored => {
            let what = format!("the group {}", ask.name);
            snapshot_class::refused_by_itself(&core.groups, &ask.name, &what, refusal)?;
        }
        (None, Some(_)) => {}
        (None, None) => complete(core, &ask, &snapshots, is_made, call.deadline).await?,
    }
    Ok(CreateVolumeGroupSnapshotResponse {
        group_snapshot: Some(message(&ask.name, &snapshots)),
    })
}

/// Waits until EC2 is likely to take as many snapshots.
async fn room(core: &Core, ask: &Ask, call: Call) -> Result<Room, Status> {
    let asks = Asks {
        work: ask.name.clone(),
        owner: ask.parameters.group_namespace.clone(),
        needs: ask.sources.len(),
    };
    let volumes = ask.sources.iter().cloned().collect();
    let room = core
        .quotas
        .room(asks, volumes, call.patience, call.deadline)
        .await;
    room.map_err(|error| Purpose::SnapshotRead.status(&error))
}

async fn create(core: &Core, ask: &Ask, call: Call) -> Result<Vec<Snapshot>, Status> {
    let deadline = call.deadline;
    let room = room(core, ask, call).await?;
    snapshot_class::check(core, &ask.parameters, deadline).await?;
    let volumes = volumes(core, ask, deadline).await?;
    let instance_id = group::common_instance(&volumes).map_err(|places| {
        Status::failed_precondition(format!(
            "EC2 takes a group of volumes that are attached to one instance: {places}"
        ))
    })?;
    let instance = core.lookups.instances.get(&instance_id, deadline).await;
    let instance = instance
        .map_err(|error| Purpose::SnapshotRead.status(&error))?
        .ok_or_else(|| Status::unavailable(format!("EC2 does not show the instance {instance_id}")))?;
    let mut set = group::excluding(&instance, &ask.sources);
    set.description = format!("Created by AWS EBS CSI driver for group {}", ask.name);
    set.outpost_arn.clone_from(&ask.parameters.outpost_arn);
    set.tags = ask.tags(core)?;
    // From here on the outcome is unclear until EC2 answers, also when this call is cancelled.
    let attempt = core.groups.attempt(&ask.name);
    let made = match core.ec2.create_snapshots(&set, deadline).await {
        Ok(made) => made,
        Err(error) => {
            if error.meaning() != Meaning::Unclear {
                attempt.resolve();
            }
            return Err(Purpose::CreateSnapshot.status(&room.refused(error)));
        }
    };
    room.taken(&made);
    checked(core, ask, made, attempt, deadline).await
}

async fn volumes(core: &Core, ask: &Ask, deadline: Deadline) -> Result<Vec<Volume>, Status> {
    let lookups = ask.sources.iter().map(async |id| {
        let found = core.lookups.volumes.get(id, deadline).await;
        found
            .map_err(|error| Purpose::SnapshotRead.status(&error))?
            .ok_or_else(|| Status::not_found(format!("there is no volume {id}")))
    });
    try_join_all(lookups).await
}

/// What was attached or detached while the instance was looked at is in the answer or is not: a part too many goes, and
/// without a part nothing stays. Until that is done nothing is remembered, so the attempt is unclear.
async fn checked(
    core: &Core,
    ask: &Ask,
    made: Vec<Snapshot>,
    attempt: Attempt<Vec<Snapshot>>,
    deadline: Deadline,
) -> Result<Vec<Snapshot>, Status> {
    let (wanted, others): (Vec<&Snapshot>, Vec<&Snapshot>) = made
        .iter()
        .partition(|snapshot| ask.sources.contains(&snapshot.volume_id));
    let missing = group::missing(&wanted, &ask.sources);
    if missing.is_empty() {
        remove(core, &others, true, deadline)
            .await
            .map_err(|error| Status::aborted(format!("a snapshot too many could not be deleted: {error}")))?;
        attempt.resolve();
        return Ok(group::in_order(&wanted, &ask.sources));
    }
    let all: Vec<&Snapshot> = made.iter().collect();
    let _attempt = attempt.removing(made.ids().into_iter().map(str::to_owned));
    let lack = format!("EC2 made no snapshot of {}", missing.join(" and "));
    match remove(core, &all, true, deadline).await {
        Ok(()) => Err(Status::aborted(format!(
            "{lack}; the others of the group were deleted"
        ))),
        Err(error) => Err(Status::aborted(format!(
            "{lack}; the others could not be deleted: {error}"
        ))),
    }
}

/// Deletes snapshots that nobody has heard of. New ones that EC2 does not know are not gone.
async fn remove(
    core: &Core,
    snapshots: &[&Snapshot],
    is_new: bool,
    deadline: Deadline,
) -> Result<(), Ec2Error> {
    for snapshot in snapshots {
        tracing::warn!(
            snapshot = snapshot.id,
            volume = snapshot.volume_id,
            "deleting a part of a group"
        );
        match core.ec2.delete_snapshot(&snapshot.id, deadline).await {
            Err(error)
                if snapshot_class::is_of_lag(&error, is_new) || !Purpose::DeleteSnapshot.is_done(&error) =>
            {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Does what the class asks for beside the snapshots, once a process. New ones that cannot be made so are deleted; those
/// that were found may be in use.
async fn complete(
    core: &Core,
    ask: &Ask,
    snapshots: &[Snapshot],
    is_made: bool,
    deadline: Deadline,
) -> Result<(), Status> {
    let known = core.groups.get(&ask.name).and_then(|name| name.known);
    if known.is_some_and(|known| known.is_complete) {
        return Ok(());
    }
    let Err(error) = steps(core, ask, snapshots, deadline).await else {
        core.groups.complete(&ask.name);
        return Ok(());
    };
    let is_new = core.groups.is_newer_than(&ask.name, core.consistency_delay());
    if snapshot_class::is_of_lag(&error, is_new) {
        return Err(snapshot_class::not_yet(
            &format!("the group {}", ask.name),
            &error,
        ));
    }
    if !is_made {
        let is_pending = snapshots
            .iter()
            .any(|snapshot| snapshot.state == SnapshotState::Pending);
        if !error.meaning().is_transient() {
            core.groups.complete(&ask.name);
        }
        return snapshot_class::refused(&format!("the group {}", ask.name), &error, is_pending);
    }
    let all: Vec<&Snapshot> = snapshots.iter().collect();
    let attempt = core.groups.attempt(&ask.name);
    let _attempt = attempt.removing(all.iter().map(|snapshot| snapshot.id.clone()));
    match remove(core, &all, is_new, deadline).await {
        Ok(()) => Err(Status::new(
            Purpose::NewSnapshotClass.code(&error),
            format!("{error}; the snapshots of the group were deleted"),
        )),
        Err(second) => Err(Status::aborted(format!(
            "group {}: {error}; its snapshots could not be deleted: {second}",
            ask.name
        ))),
    }
}

async fn steps(core: &Core, ask: &Ask, snapshots: &[Snapshot], deadline: Deadline) -> Result<(), Ec2Error> {
    for snapshot in snapshots {
        snapshot_class::carry_out(core, &ask.parameters, &snapshot.id, deadline).await?;
    }
    Ok(())
}
