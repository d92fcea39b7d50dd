//! DeleteSnapshot and DeleteVolumeGroupSnapshot, and the end of our finalizer.

use std::time::Duration;

use controller::{CallFailure, Event, Next};
use jiff::Timestamp;
use tonic::Code;

use super::behind::{self, Asker};
use super::secrets::{self, Need};
use super::{Plan, StatusChange, Step, begin, incapable, status};
use crate::content::{Content, is_blank};
use crate::observe::{Memory, Observed};

/// How long the word of the snapshot-controller is waited for where our role shows no VolumeSnapshots: long enough for
/// another replica to take over. Upstream's controller never says anything.
const WORD: Duration = Duration::from_secs(60);

/// Whether the content is to go now: the snapshot-controller says so, and no call runs. Source: snapshot.md 3.3.
pub(super) fn is_wanted(content: &dyn Content) -> bool {
    is_wanted_unmarked(content) && !content.call_may_run()
}

/// The same once the being-created mark is gone.
pub(super) fn is_wanted_unmarked(content: &dyn Content) -> bool {
    content.is_terminating() && content.is_being_deleted()
}

/// Whether a pre-provisioned content that is to go was never bound, as far as it shows itself: backup tools make and delete
/// such ones to have a snapshot deleted. But it may also have lost the UID of a living VolumeSnapshot, as when its manifest
/// is applied again.
pub(super) fn is_unbound(content: &dyn Content) -> bool {
    content.is_terminating()
        && !content.is_being_deleted()
        && content.source_handle().is_some()
        && content.asker_uid().is_empty()
}

/// Decides how to end a content that is to go (rows 1 and 2).
///
/// Reads: policy, handles, finalizers, annotations. Sends: GET of the asker of a pre-provisioned content where our role
/// allows it; GET of the Secret and the call that deletes, or the end of the finalizer. The class is not needed. Source:
/// snapshot.md 3.3, 3.5, 4.2, Q24, Q27.
pub(super) fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let content = observed.content;
    if content.finalizer_position().is_none() && content.stored_handle().is_none() {
        // It is done already (Q24).
        return begin(observed);
    }
    let handle = handle_to_delete(content);
    if handle.is_some() && observed.memory.deleted.as_deref() == handle {
        return finished(observed, begin(observed));
    }
    if content.source_handle().is_none() {
        return end(observed, handle);
    }
    match behind::known(observed) {
        Asker::Unasked(asks) => begin(observed).step(asks).then(Next::Again),
        Asker::Stands { is_going } if !is_going || !content.is_being_deleted() => {
            // The mark is of a former life, or the UID is lost: the controller takes the one away, gives the other back, and
            // marks the content when the VolumeSnapshot goes.
            begin(observed).then(Next::After(WORD))
        }
        Asker::Hidden if !content.is_being_deleted() => without_word(observed, handle, now),
        Asker::Nobody | Asker::Hidden | Asker::Stands { .. } => end(observed, handle),
    }
}

/// Nobody can tell whether a VolumeSnapshot is bound to it: the controller has its time, then it goes.
fn without_word(observed: &Observed<'_>, handle: Option<&str>, now: Timestamp) -> Plan {
    let mut waits = begin(observed);
    let since = *waits.memory.unbound_since.get_or_insert(now);
    let waited: Duration = now.duration_since(since).try_into().unwrap_or_default();
    match WORD.checked_sub(waited).filter(|left| !left.is_zero()) {
        Some(left) => waits.then(Next::After(left)),
        None => end(observed, handle),
    }
}

fn end(observed: &Observed<'_>, handle: Option<&str>) -> Plan {
    let content = observed.content;
    let plan = begin(observed);
    if !observed.settings.can_take {
        return incapable::end(observed, plan);
    }
    let Some(handle) = handle else {
        return without_finalizer(observed, plan);
    };
    let noun = content.words().noun;
    match secrets::of_annotations(observed) {
        // A missing Secret must not block for ever (Q27).
        Need::Nothing | Need::Ready | Need::Missing(_) => {}
        Need::Read(secret) => return plan.read_secret(secret).then(Next::Again),
        Need::Invalid(text) => {
            let text = format!("Failed to get {noun} credentials: {text}");
            return failed(observed, plan, &text);
        }
    }
    let mut members = content.member_handles();
    if members.is_empty() {
        members = observed.members.to_vec();
    }
    match content.delete_call(handle, members) {
        Some(call) => plan.step(Step::Call(call)).then(Next::Again),
        None => failed(observed, plan, &unnamed_members(handle)),
    }
}

/// Why a group cannot be deleted, and the way out (Q35).
fn unnamed_members(group: &str) -> String {
    format!(
        "Failed to delete group snapshot: no handles of the snapshots of group {group} are known, and CSI deletes none \
         without them; set spec.deletionPolicy to Retain to let this content go, and delete the group in the storage system"
    )
}

/// The snapshot that goes with the content, if one does. A pre-provisioned content whose status was never written
/// names it in its source (Q24); without our finalizer that may be done already, so only a stored handle counts.
fn handle_to_delete(content: &dyn Content) -> Option<&str> {
    // Its group takes it along; a copy of its annotations on a pre-provisioned one makes that no member.
    let is_member = content.is_group_member() && content.volumes().is_some();
    if !content.deletes() || content.group_handle().is_some() || is_member {
        return None;
    }
    let source = content
        .source_handle()
        .filter(|handle| !is_blank(handle) && content.finalizer_position().is_some());
    content.stored_handle().or(source)
}

/// Decides what follows from the answer to DeleteSnapshot: of the content's own snapshot, or of a second one that
/// a poll had answered.
pub(super) fn after(observed: &Observed<'_>, handle: &str, outcome: &Result<(), CallFailure>) -> Plan {
    let content = observed.content;
    let mut plan = begin(observed);
    let is_own = handle_to_delete(content) == Some(handle);
    // Nobody had ever seen it (Q24).
    let never_seen = content.stored_handle().is_none();
    match outcome {
        Err(failure) if !(is_own && never_seen && failure.code == Some(Code::NotFound)) => {
            if status::is_wait(failure) {
                return status::waits_to(observed, plan, "be deleted", failure);
            }
            let text = format!("Failed to delete {}: {}", content.words().noun, failure.text);
            let plan = failed(observed, plan, &text);
            status::wait_as_asked(observed, plan, failure)
        }
        _ if is_own && (is_wanted(content) || is_unbound(content)) => {
            plan.memory.deleted = Some(handle.to_string());
            // Known even when the write that follows fails: DeleteSnapshot is not repeated for it.
            let known = Memory {
                deleted: plan.memory.deleted.clone(),
                ..observed.memory.clone()
            };
            finished(observed, plan.remembering_at_once(known))
        }
        _ => plan.then(Next::backoff(format!(
            "{} {handle} was deleted, which is no longer what is to go",
            content.words().noun
        ))),
    }
}

/// The snapshot is deleted. The status is cleared only where foreign finalizers keep the object, so that nobody
/// restores from it meanwhile.
fn finished(observed: &Observed<'_>, plan: Plan) -> Plan {
    let content = observed.content;
    let ours = usize::from(content.finalizer_position().is_some());
    let stays = content.finalizers().len() > ours;
    let plan = if stays && !content.stale_members().is_empty() {
        plan.step(Step::Status(StatusChange::Cleared))
    } else {
        plan
    };
    without_finalizer(observed, plan)
}

pub(super) fn without_finalizer(observed: &Observed<'_>, plan: Plan) -> Plan {
    match observed.content.finalizer_position() {
        Some(position) => plan.step(Step::RemoveFinalizer { position }),
        None => plan,
    }
}

/// An event and the back-off; the status is left as it is (3.5).
pub(super) fn failed(observed: &Observed<'_>, mut plan: Plan, text: &str) -> Plan {
    let message = status::steady(&mut plan.memory, text);
    plan.event(Event::warning(observed.content.words().delete_error, message))
        .then(Next::backoff(text.to_string()))
}
