//! What a class asks for beside the snapshot itself: fast restores and a lock. Source: spec 1.7 (2, 4, 5), Q14.

use tonic::Status;

use super::status;
use crate::deadline::Deadline;
use crate::driver::Core;
use crate::ec2::codes::{Meaning, Purpose};
use crate::ec2::errors::Ec2Error;
use crate::memory::{Made, Memory};
use crate::parameters::SnapshotParameters;
use crate::snapshot::{self, Absence};

/// Refuses what cannot be done once the snapshot is made. A snapshot that is there already is not refused for it: its class
/// may have changed meanwhile.
pub(super) async fn check(core: &Core, class: &SnapshotParameters, deadline: Deadline) -> Result<(), Status> {
    if let Some(lock) = &class.lock {
        lock.check(core.clock.now()).map_err(status::bad)?;
    }
    check_zones(core, class, deadline).await
}

/// Refuses zones that the region does not have. When EC2 cannot be asked, it will refuse them itself.
async fn check_zones(core: &Core, class: &SnapshotParameters, deadline: Deadline) -> Result<(), Status> {
    let wanted = &class.fast_restore_zones;
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

/// Does it for one snapshot.
pub(super) async fn carry_out(
    core: &Core,
    class: &SnapshotParameters,
    id: &str,
    deadline: Deadline,
) -> Result<(), Ec2Error> {
    let zones = &class.fast_restore_zones;
    if !zones.is_empty() {
        core.ec2.enable_fast_restores(id, zones, deadline).await?;
    }
    if let Some(lock) = &class.lock {
        core.ec2.lock_snapshot(id, lock, deadline).await?;
    }
    Ok(())
}

/// Whether a refusal only says that EC2 does not know yet what was just taken: it can be asked again, and what EC2 does not
/// know it has not deleted either.
pub(super) fn is_of_lag(error: &Ec2Error, is_new: bool) -> bool {
    is_new && error.meaning() == Meaning::NotFound
}

/// Whether EC2's word that it does not know a snapshot may only come too early.
pub(super) fn may_be_there(core: &Core, id: &str, error: &Ec2Error) -> bool {
    error.meaning() == Meaning::NotFound && may_be_unknown(core, id)
}

/// Whether EC2 may not know this snapshot yet.
pub(super) fn may_be_unknown(core: &Core, id: &str) -> bool {
    let delay = core.consistency_delay();
    let is_new = core.snapshots.has_new(id, delay) || core.groups.has_new(id, delay);
    let process_age = core.snapshots.process_started.elapsed();
    snapshot::absence(is_new, process_age, delay) == Absence::TooEarly
}

/// What the caller is told then who wants it deleted: it asks again, and keeps its object until then.
pub(super) fn too_early(id: &str, why: &str) -> Status {
    Status::aborted(format!("EC2 may not know snapshot {id} yet: {why}"))
}

/// What the caller is told then. Nothing is deleted for it and nothing forgotten.
pub(super) fn not_yet(what: &str, error: &Ec2Error) -> Status {
    Status::unavailable(format!(
        "{what} was just taken, and EC2 does not know it yet: {error}"
    ))
}

/// What the caller, who has stored what was taken, is told once where the class has come to ask for what nobody can do.
pub(super) fn refused_by_itself<T: Made>(
    names: &Memory<T>,
    name: &str,
    what: &str,
    refusal: &Status,
) -> Result<(), Status> {
    let known = names.get(name).and_then(|name| name.known);
    if known.is_none_or(|known| known.is_complete) || !names.tell_refusal(name) {
        return Ok(());
    }
    Err(Status::aborted(format!(
        "{what} exists; what its class asks for beside it is refused: {}",
        refusal.message()
    )))
}

/// What the caller is told when it cannot be done for what was there before. That may be in use, and may be locked already,
/// so it is never deleted for this, and its readiness is not kept from the caller: a refusal is told once, and while it is
/// pending anyway, what may pass is tried again with the next poll.
pub(super) fn refused(what: &str, error: &Ec2Error, is_pending: bool) -> Result<(), Status> {
    tracing::warn!("{what} is there, but not as its class asks: {error}");
    if is_pending && error.meaning().is_transient() {
        return Ok(());
    }
    Err(Status::new(
        Purpose::SnapshotClass.code(error),
        format!("{what} exists, but: {error}"),
    ))
}
