//! Fast restores and lock of a snapshot. Source: spec 1.7 (2, 4, 5), Q14.

use tonic::Status;

use super::ask::Ask;
use crate::deadline::Deadline;
use crate::driver::Core;
use crate::ec2::errors::{Class, Ec2Error};
use crate::ec2::types::Snapshot;
use crate::rpc::status;

/// Where a snapshot comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// Just created: nobody knows of it yet.
    Created,
    /// It was there before: it may already be in use.
    Found,
}

/// Refuses what cannot be done once the snapshot is made. A snapshot that is there already is not refused for it: its class
/// may have changed meanwhile.
pub(super) async fn check(core: &Core, ask: &Ask, deadline: Deadline) -> Result<(), Status> {
    if let Some(lock) = &ask.parameters.lock {
        lock.check(core.clock.now()).map_err(status::bad)?;
    }
    check_zones(core, ask, deadline).await
}

/// Refuses zones that the region does not have. When EC2 cannot be asked, it will refuse them itself.
async fn check_zones(core: &Core, ask: &Ask, deadline: Deadline) -> Result<(), Status> {
    let wanted = &ask.parameters.fast_restore_zones;
    if wanted.is_empty() {
        return Ok(());
    }
    match core.ec2.describe_zones(deadline).await {
        Err(error) => tracing::warn!("the zones of fast restores are not checked: {error}"),
        Ok(zones) => {
            if let Some(unknown) = wanted.iter().find(|zone| !zones.contains(zone)) {
                return Err(Status::invalid_argument(format!(
                    "fastSnapshotRestoreAvailabilityZones: the region has no zone {unknown:?}"
                )));
            }
        }
    }
    Ok(())
}

/// Does what the class asks for beside the snapshot, once a process: for a snapshot that was found, the process
/// before may have died in between.
pub(super) async fn complete(
    core: &Core,
    ask: &Ask,
    snapshot: &Snapshot,
    origin: Origin,
    deadline: Deadline,
) -> Result<(), Status> {
    let known = core.snapshots.get(&ask.name).and_then(|name| name.known);
    if known.is_some_and(|known| known.is_complete) {
        return Ok(());
    }
    match (steps(core, ask, &snapshot.id, deadline).await, origin) {
        (Ok(()), _) => {
            core.snapshots.complete(&ask.name);
            Ok(())
        }
        // It may be in use, and may be locked already: it is never deleted for this.
        (Err(error), Origin::Found) => Err(Status::aborted(format!(
            "snapshot {} exists, but: {error}",
            snapshot.id
        ))),
        (Err(error), Origin::Created) => Err(undone(core, &snapshot.id, &error, deadline).await),
    }
}

async fn steps(core: &Core, ask: &Ask, id: &str, deadline: Deadline) -> Result<(), Ec2Error> {
    let zones = &ask.parameters.fast_restore_zones;
    if !zones.is_empty() {
        core.ec2.enable_fast_restores(id, zones, deadline).await?;
    }
    if let Some(lock) = &ask.parameters.lock {
        core.ec2.lock_snapshot(id, lock, deadline).await?;
    }
    Ok(())
}

/// Deletes a new snapshot that cannot be made as the class asks; final only when that worked.
async fn undone(core: &Core, id: &str, error: &Ec2Error, deadline: Deadline) -> Status {
    match core.ec2.delete_snapshot(id, deadline).await {
        Err(second) if second.class() != Class::NotFound => Status::aborted(format!(
            "snapshot {id}: {error}; it could not be deleted: {second}"
        )),
        _ => {
            core.snapshots.forget_snapshot(id);
            Status::internal(format!("{error}; the snapshot {id} was deleted"))
        }
    }
}
