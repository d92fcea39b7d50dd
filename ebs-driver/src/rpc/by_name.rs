//! What snapshots and groups have in common while they are looked up by name (decision 22).

use std::collections::BTreeMap;

use csi::CreateSnapshotHint;
use tokio::time::Instant;
use tonic::Status;

use super::Call;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::memory::{Made, Memory};
use crate::snapshot;
use crate::waits::Interrupted;

/// Decides with what is known of the name.
pub(super) fn plan<T: Made, P>(
    core: &Core,
    names: &Memory<T>,
    name: &str,
    hint: CreateSnapshotHint<'_>,
    decide: impl FnOnce(&snapshot::Memory<'_>) -> P,
) -> P {
    let remembered = names.get(name);
    let none = BTreeMap::new();
    decide(&snapshot::Memory {
        process_started: names.process_started,
        unclear_since: remembered.as_ref().and_then(|name| name.unclear_since),
        is_first_attempt: hint == CreateSnapshotHint::FirstAttempt,
        duplicates: remembered.as_ref().map_or(&none, |name| &name.duplicates),
        is_removing: remembered.as_ref().is_some_and(|name| !name.removing.is_empty()),
        consistency_delay: core.consistency_delay(),
    })
}

/// What was taken before its class came to be refused. InvalidArgument is final, and who hears it forgets what was taken: so the
/// refusal is said only where there is surely nothing of the name.
pub(super) async fn taken_before<T>(
    name: &str,
    refusal: &Status,
    hint: CreateSnapshotHint<'_>,
    find: impl Future<Output = Result<Option<T>, Status>>,
) -> Result<T, Status> {
    let taken = match hint {
        CreateSnapshotHint::FirstAttempt => None,
        _ => find.await?,
    };
    let taken = taken.ok_or_else(|| refusal.clone())?;
    tracing::warn!(
        name,
        "it was taken before its class changed: {}",
        refusal.message()
    );
    Ok(taken)
}

/// Forgets an unclear attempt once this lookup shows whatever came of it.
pub(super) fn settle<T: Made>(core: &Core, names: &Memory<T>, name: &str, looked_at: Instant) {
    let unclear = names.get(name).and_then(|name| name.unclear_since);
    if unclear.is_some_and(|since| snapshot::shows_all(since, looked_at, core.consistency_delay())) {
        names.settle(name);
    }
}

/// Deletes the later ones of a name. One that EC2 definitely keeps is logged and left; an unclear outcome makes the caller
/// ask again before what it adopts counts as ready.
pub(super) async fn delete_duplicates(
    core: &Core,
    name: &str,
    adopted: &str,
    duplicates: &[String],
    call: Call,
) -> Result<(), Status> {
    for id in duplicates {
        tracing::warn!(name, adopted, duplicate = id, "deleting a duplicate");
        if let Err(error) = core.ec2.delete_snapshot(id, call.deadline).await {
            if error.meaning().is_transient() {
                return Err(Purpose::SnapshotRead.status(&error));
            }
            if !Purpose::DeleteSnapshot.is_done(&error) {
                tracing::warn!(duplicate = id, "a duplicate could not be deleted: {error}");
            }
        }
    }
    Ok(())
}

/// A pause before the next lookup ended early.
pub(super) fn interrupted(error: Interrupted, what: &str) -> Status {
    Status::unavailable(format!(
        "{error}; EC2 may not show yet whether the {what} exists, so it is looked up again first"
    ))
}
