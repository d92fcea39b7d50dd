//! CreateSnapshot and CreateVolumeGroupSnapshot: the cut, and the poll for readiness.

use std::collections::BTreeMap;

use controller::{CallFailure, Event, Next, UNTIL_GROWN};
use crds::names;
use csi::{Class, CreateSnapshotHint};
use jiff::Timestamp;

use super::behind::{self, Asker};
use super::secrets::{self, Need};
use super::status::{self, Answer};
use super::{Plan, StatusChange, Step, begin, delete, may_be_behind, members, parameters, poll};
use crate::content::Content;
use crate::observe::{Memory, Observed, Snapshot};

/// How often a call that has come to no end is repeated with the parameters that it was begun with.
const TRIES: u32 = 5;

/// Decides how to call CreateSnapshot, or CreateVolumeGroupSnapshot.
///
/// Reads: class, annotations, status. Sends: GET of the Secret, and of the snapshot that asked where that is not known; then
/// the being-created mark and the call. What has a handle is polled by the call alone.
/// The mark is set only when everything is valid and no handle is stored (decisions 12, 14).
/// Source: snapshot.md 3.4.1, 3.7, 4.2, Q23.
pub(super) fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let content = observed.content;
    let uid = match content.asker_uid() {
        // The calls up to now were named by it.
        "" if content.is_being_created() || content.stored_handle().is_some() => content.uid_in_name(),
        uid => uid,
    };
    if uid.is_empty() {
        // The name comes from the uid: without it all such contents would share one snapshot.
        let words = content.words();
        let reason = format!(
            "spec.{}.uid is missing; a content with {} needs it",
            words.reference, words.volume_field
        );
        return status::failed(observed, begin(observed), &reason, now);
    }
    let mut notes = Vec::new();
    let parameters = match usable_parameters(observed, &mut notes) {
        Ok(parameters) => parameters,
        Err(_) if may_be_behind(observed, now) => return begin(observed).then(Next::After(UNTIL_GROWN)),
        Err(reason) => return status::failed(observed, begin(observed), &reason, now),
    };
    let mut plan = begin(observed);
    match secrets::of_annotations(observed) {
        Need::Nothing | Need::Ready => {}
        Need::Read(secret) => return plan.read_secret(secret).then(Next::Again),
        Need::Missing(text) if must_end(observed) => notes.push(format!("{text}; going on without it")),
        Need::Missing(text) | Need::Invalid(text) => return status::failed(observed, plan, &text, now),
    }
    if is_of_unknown_origin(content) {
        match behind::known(observed) {
            Asker::Unasked(asks) => return plan.step(asks).then(Next::Again),
            Asker::Nobody => return status::failed(observed, plan, &nobody_asked(content), now),
            Asker::Hidden | Asker::Stands { .. } => {}
        }
    }
    let words = content.words();
    for note in notes {
        let text = format!("Failed to create {}: {note}", words.noun);
        let message = status::steady(&mut plan.memory, &text);
        plan = plan.event(Event::warning(words.creation_failed, message));
    }
    if content.stored_handle().is_none() && !content.is_being_created() {
        plan = plan.step(Step::Mark);
    }
    let is_same = observed.memory.parameters.as_ref() == Some(&parameters);
    plan.memory.repeated = if is_same {
        observed.memory.repeated.saturating_add(1)
    } else {
        0
    };
    plan.memory.parameters = Some(parameters.clone());
    let name = parameters::snapshot_name(observed.settings, uid);
    plan.step(Step::Call(content.create_call(name, parameters)))
        .then(Next::Again)
}

/// Whether somebody else than our snapshot-controller may have made the content, such as a backup tool that puts an
/// exported one back: nothing was tried for it yet, and it is not fresh.
fn is_of_unknown_origin(content: &dyn Content) -> bool {
    content.stored_handle().is_none()
        && !content.is_being_created()
        && content.annotation(names::FRESH_ANNOTATION).is_none()
}

/// What the driver may be told of earlier calls for this content, as it was observed before the plan that calls: without
/// a mark the plan has just set it, so nobody has called yet.
pub fn hint(content: &dyn Content) -> CreateSnapshotHint<'_> {
    match content.stored_handle() {
        Some(handle) => CreateSnapshotHint::Stored(handle),
        // A status without a handle tells of a call that failed.
        None if content.is_being_created() || content.status().is_some() => CreateSnapshotHint::None,
        None => CreateSnapshotHint::FirstAttempt,
    }
}

/// Why nothing is made for a content that was put there by hand.
fn nobody_asked(content: &dyn Content) -> String {
    let words = content.words();
    let (asker, noun, field) = (words.asker, words.noun, words.handle_field);
    format!(
        "no {asker} stands behind this content, so no {noun} is taken; delete it, and import an existing {noun} by a \
         content with spec.source.{field}"
    )
}

/// A call that was begun must end before the content can go, whatever has vanished meanwhile (Q23).
fn must_end(observed: &Observed<'_>) -> bool {
    observed.content.is_terminating() && observed.content.is_being_created()
}

/// The parameters of the class, or those of the last call while that one may still run: only the same request is repeated. A call
/// that comes to no end in so many tries may owe it to them, and the class may have been edited for that.
/// Where the class has vanished: those of the last call if a call must end or a snapshot exists, and none at all if a call must
/// end and nothing is remembered.
fn usable_parameters(
    observed: &Observed<'_>,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, String> {
    let content = observed.content;
    let remembered = observed.memory.parameters.clone();
    let may_run = content.is_being_created() && content.stored_handle().is_none();
    let reason = match parameters::of_class(observed) {
        Ok(parameters) => {
            let is_to_be_repeated = may_run && observed.memory.repeated < TRIES;
            return Ok(remembered.filter(|_| is_to_be_repeated).unwrap_or(parameters));
        }
        Err(reason) => reason,
    };
    if must_end(observed) {
        notes.push(reason);
        return Ok(remembered.unwrap_or_default());
    }
    match remembered {
        Some(parameters) if content.stored_handle().is_some() => Ok(parameters),
        _ => Err(reason),
    }
}

/// Decides what follows from the answer to the call.
///
/// Sends: PATCH of the status where it changes, PATCH that ends the mark unless the call may still run.
/// Source: snapshot.md 3.4.1, 4.2.
pub(super) fn after(
    observed: &Observed<'_>,
    outcome: &Result<Snapshot, CallFailure>,
    now: Timestamp,
) -> Plan {
    match outcome {
        Ok(snapshot) => match members::flaw(observed.content, snapshot) {
            Some(flaw) => flawed(observed, snapshot, &flaw, now),
            None => tell_renamed(answered(observed, snapshot, now), observed, snapshot),
        },
        Err(failure) => call_failed(observed, failure, now),
    }
}

fn answered(observed: &Observed<'_>, snapshot: &Snapshot, now: Timestamp) -> Plan {
    let content = observed.content;
    let mut plan = begin(observed);
    if let Some(answer) = Answer::of(content, &snapshot.handle, snapshot, now) {
        plan = plan.step(Step::Status(StatusChange::Answer(answer)));
    }
    if content.is_being_created() {
        plan = plan.step(Step::Settle);
    }
    plan.memory.told.clear();
    if delete::is_wanted_unmarked(content) {
        return plan.then(Next::Again);
    }
    if snapshot.ready {
        plan.memory = Memory::default();
        return plan.then(Next::Await);
    }
    poll(plan, observed, now)
}

/// A group of which a part is missing, or that has become another one, is not ready. Its handle is kept with all that is in it,
/// so that it can be deleted.
fn flawed(observed: &Observed<'_>, snapshot: &Snapshot, flaw: &str, now: Timestamp) -> Plan {
    let content = observed.content;
    let mut plan = begin(observed);
    let is_begun = content.is_being_created();
    if is_begun || members::grows(content, snapshot) {
        let kept = Answer::of_flawed(content, snapshot, now);
        plan = plan.step(Step::Status(StatusChange::Answer(kept)));
        let ends = is_begun.then_some(Step::Settle);
        return ends.into_iter().fold(plan, Plan::step).then(Next::Again);
    }
    status::failed(observed, plan, flaw, now)
}

/// Another ID than the one that is stored may be the same snapshot by another name, as LINSTOR's driver answers once it is a new
/// version: nothing is deleted for it, and the first one stays (decision 14).
fn tell_renamed(plan: Plan, observed: &Observed<'_>, answered: &Snapshot) -> Plan {
    let content = observed.content;
    let (words, handle) = (content.words(), &answered.handle);
    match content.stored_handle() {
        Some(first) if first != handle && observed.memory.renamed.as_ref() != Some(handle) => {
            let text = format!(
                "the driver answered {} {handle} where it had answered {first} before; {first} is kept, and nothing is deleted: if \
                 {handle} is another one, delete it by hand",
                words.noun
            );
            let mut plan = plan.event(Event::warning(words.check_failed, text));
            plan.memory.renamed = Some(handle.clone());
            plan
        }
        _ => plan,
    }
}

fn call_failed(observed: &Observed<'_>, failure: &CallFailure, now: Timestamp) -> Plan {
    let content = observed.content;
    let mut plan = begin(observed);
    let may_run = matches!(failure.class, Class::InProgress | Class::Ok);
    if content.is_being_created() && !may_run {
        plan = plan.step(Step::Unmark);
    }
    if may_run && status::is_wait(failure) {
        return status::waits(observed, plan, failure, now);
    }
    let words = content.words();
    let reason = format!(
        "failed to take {} of the {} {}: {:?}",
        words.noun,
        words.volumes,
        content.volumes().unwrap_or_default().join(", "),
        failure.text
    );
    let plan = status::failed(observed, plan, &reason, now);
    if !may_run && delete::is_wanted_unmarked(content) {
        return plan.then(Next::Again);
    }
    status::wait_as_asked(observed, plan, failure)
}
