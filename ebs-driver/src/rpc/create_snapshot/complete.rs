//! Fast restores and lock of a snapshot. Source: spec 1.7 (2, 4, 5), Q14.

use tonic::Status;

use super::ask::Ask;
use crate::deadline::Deadline;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::ec2::errors::Ec2Error;
use crate::ec2::types::{Snapshot, SnapshotState};
use crate::rpc::snapshot_class;

/// Where a snapshot comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// Just created: nobody knows of it yet.
    Created,
    /// It was there before: it may already be in use.
    Found,
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
    let done = snapshot_class::carry_out(core, &ask.parameters, &snapshot.id, deadline).await;
    let is_new = core.snapshots.is_newer_than(&ask.name, core.consistency_delay());
    match (done, origin) {
        (Ok(()), _) => {
            core.snapshots.complete(&ask.name);
            Ok(())
        }
        (Err(error), _) if snapshot_class::is_of_lag(&error, is_new) => Err(snapshot_class::not_yet(
            &format!("snapshot {}", snapshot.id),
            &error,
        )),
        (Err(error), Origin::Created) => Err(undone(core, ask, &snapshot.id, &error, is_new, deadline).await),
        (Err(error), Origin::Found) => {
            let is_pending = snapshot.state == SnapshotState::Pending;
            let told = snapshot_class::refused(&format!("snapshot {}", snapshot.id), &error, is_pending);
            if !error.meaning().is_transient() {
                core.snapshots.complete(&ask.name);
            }
            told
        }
    }
}

/// Deletes a new snapshot that cannot be made as the class asks; final only when that worked. It may be gone or not, or be shown
/// for a while although it is: the next call looks it up by its name once it can tell.
async fn undone(
    core: &Core,
    ask: &Ask,
    id: &str,
    error: &Ec2Error,
    is_new: bool,
    deadline: Deadline,
) -> Status {
    let _attempt = core.snapshots.attempt(&ask.name).removing([id.to_owned()]);
    match core.ec2.delete_snapshot(id, deadline).await {
        Err(second)
            if snapshot_class::is_of_lag(&second, is_new) || !Purpose::DeleteSnapshot.is_done(&second) =>
        {
            Status::aborted(format!(
                "snapshot {id}: {error}; it could not be deleted: {second}"
            ))
        }
        _ => Status::new(
            Purpose::NewSnapshotClass.code(error),
            format!("{error}; the snapshot {id} was deleted"),
        ),
    }
}
