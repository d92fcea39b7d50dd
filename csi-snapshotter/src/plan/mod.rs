//! The decisions: what a content needs now. Pure: no request, no clock, no randomness, no log line. They hold for snapshots
//! and for groups of snapshots; where those differ, [`Content`] says how.
//!
//! | Module | Decides |
//! |---|---|
//! | this one | which row of snapshot.md 3.3 a content is in |
//! | [`behind`] | whether something that asks for it stands behind a content |
//! | [`create`] | the call that takes it, and the poll for readiness (3.4.1, 4.2) |
//! | [`check`] | looking at pre-provisioned ones (3.4.2, 4.2) |
//! | [`delete`] | the call that deletes it, and the finalizer (3.5, 4.2) |
//! | [`incapable`] | contents of groups whose driver takes none (4.2) |
//! | [`members`] | the snapshots of a group (4.2) |
//! | [`status`] | what is written of an answer or an error (3.4.3) |
//! | [`parameters`] | names and parameters of calls (3.7) |
//! | [`secrets`] | which Secret a call needs (3.6) |

pub mod behind;
pub mod check;
pub mod create;
pub mod delete;
mod incapable;
mod members;
pub mod parameters;
pub mod secrets;
pub mod status;

use std::collections::BTreeMap;
use std::time::Duration;

use controller::{Next, is_young_at};
use jiff::{SignedDuration, Timestamp};

use crate::content::{Content, is_blank};
use crate::observe::{Memory, Observed, Reply};

/// The shortest and the longest wait between two polls for readiness, and what it grows to at once.
const SHORTEST_POLL: Duration = Duration::from_secs(1);
const LONGEST_POLL: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(5);

/// What is to be done about a content.
pub type Plan = controller::Plan<Step, Memory>;

/// One request or one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// PATCH that adds the being-created mark, to the object with the observed UID.
    Mark,
    /// PATCH that takes the mark away, from the object with the observed UID: the call is over, and nothing was taken.
    Unmark,
    /// The same once the snapshot is cut: the content is fresh no more.
    Settle,
    /// GET of the VolumeSnapshot or VolumeGroupSnapshot that the reference names, where our role allows it. The reply is in
    /// the next observation.
    ReadAsker {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// PATCH of the status.
    Status(StatusChange),
    /// PATCH that takes our finalizer away; it must still stand at this position.
    RemoveFinalizer {
        /// Index in `metadata.finalizers`.
        position: usize,
    },
    /// A CSI call, with the Secret of this run if one was found. The reply is in the next observation.
    Call(Call),
}

/// A call of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// CreateSnapshot.
    Create {
        /// The volume.
        volume_handle: String,
        /// The name that makes the call repeatable.
        name: String,
        /// Without Secret keys.
        parameters: BTreeMap<String, String>,
    },
    /// ListSnapshots of one snapshot.
    List {
        /// The snapshot.
        snapshot_handle: String,
    },
    /// DeleteSnapshot.
    Delete {
        /// The snapshot.
        snapshot_handle: String,
    },
    /// CreateVolumeGroupSnapshot.
    CreateGroup {
        /// The volumes.
        volume_handles: Vec<String>,
        /// The name that makes the call repeatable.
        name: String,
        /// Without Secret keys.
        parameters: BTreeMap<String, String>,
    },
    /// GetVolumeGroupSnapshot.
    GetGroup {
        /// The group.
        group_handle: String,
        /// Its snapshots.
        snapshot_handles: Vec<String>,
    },
    /// DeleteVolumeGroupSnapshot.
    DeleteGroup {
        /// The group.
        group_handle: String,
        /// Its snapshots; CSI wants to be told them.
        snapshot_handles: Vec<String>,
    },
}

/// A change of `status`. Absent members are not written.
#[derive(Clone, Debug, PartialEq)]
pub enum StatusChange {
    /// From a good answer.
    Answer(status::Answer),
    /// From a failure.
    Failed {
        /// `error.message`.
        message: String,
        /// `error.time`.
        time: Timestamp,
        /// `readyToUse` is to become false.
        not_ready: bool,
    },
    /// The snapshot is deleted while foreign finalizers keep the object: handle, time, size and readiness go.
    Cleared,
}

/// Whether the class may exist and only not be known yet.
fn may_be_behind(observed: &Observed<'_>, now: Timestamp) -> bool {
    !observed.is_live || is_young_at(observed.content.metadata(), now)
}

/// Nothing yet.
fn begin(observed: &Observed<'_>) -> Plan {
    Plan::resting(observed.memory.clone())
}

/// The next poll for readiness: each time after a tenth of the time that the snapshot has been pending, after five
/// seconds at most while that is less, never above `--retry-interval-max` (decision 90).
fn poll(mut plan: Plan, observed: &Observed<'_>, now: Timestamp) -> Plan {
    let since = *plan.memory.pending_since.get_or_insert(now);
    // A clock that was set back makes it young again.
    let pending: Duration = now.duration_since(since).try_into().unwrap_or_default();
    let wait = (pending / 10)
        .max(pending.min(SOON))
        .clamp(SHORTEST_POLL, LONGEST_POLL);
    let wait = wait.min(observed.settings.retry_interval_max);
    call_in(&mut plan.memory, wait, now);
    plan.then(Next::After(wait))
}

/// Nothing is called before this time has passed.
fn call_in(memory: &mut Memory, wait: Duration, now: Timestamp) {
    let signed = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    memory.poll_due = now.checked_add(signed).ok();
    memory.poll_wait = wait;
}

/// How long until the next poll is due. Whatever wakes a pending content before is none: only the time is.
fn until_due(observed: &Observed<'_>, now: Timestamp) -> Option<Duration> {
    let left: Duration = observed.memory.poll_due?.duration_since(now).try_into().ok()?;
    // More is left than there was where the clock was set back.
    (!left.is_zero() && left <= observed.memory.poll_wait).then_some(left)
}

/// Decides what a content needs. Source: snapshot.md 3.3.
#[must_use]
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    if !is_ours(observed) {
        return begin(observed);
    }
    match observed.reply {
        Some(Reply::Created(outcome)) => create::after(observed, outcome, now),
        Some(Reply::Listed(outcome)) => check::after(observed, outcome, now),
        Some(Reply::Deleted { handle, outcome }) => delete::after(observed, handle, outcome),
        Some(Reply::Behind(_)) | None => decide(observed, now),
    }
}

/// Whether this driver is to serve the content. The class has no part in it: one of another driver is an error that is
/// told where a class is needed.
fn is_ours(observed: &Observed<'_>) -> bool {
    let content = observed.content;
    content.volumes().is_some() != content.source_handle().is_some()
        && content.driver() == observed.settings.driver
}

/// The rows of 3.3.
fn decide(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let content = observed.content;
    let plan = begin(observed);
    let finished = content.stored_handle().is_some() || content.is_ready();
    if content.is_being_created() && finished {
        // Row 4, and a crash between the answer and the end of the mark: the call is over.
        return plan.step(Step::Settle).then(Next::Again);
    }
    if !observed.settings.can_take {
        return incapable::plan(observed, now);
    }
    if delete::is_wanted(content) || delete::is_unbound(content) {
        return delete::plan(observed, now);
    }
    if let Some(source) = blank_source(content) {
        let reason = format!(
            "spec.source.{source} is blank and names nothing; delete this content and make another one"
        );
        // It is immutable: nothing is gained by trying again.
        return status::failed(observed, plan, &reason, now).then(Next::Await);
    }
    if content.is_ready() {
        // Memory does not grow with the number of ready snapshots.
        return Plan::resting(Memory::default());
    }
    if let Some(left) = until_due(observed, now) {
        return plan.then(Next::After(left));
    }
    if let Some(handle) = content.source_handle() {
        return check::plan(observed, handle, now);
    }
    if !content.is_group_member() {
        return create::plan(observed, now);
    }
    match (content.stored_handle(), content.group_handle()) {
        (Some(handle), Some(_)) => check::plan(observed, handle, now),
        // Its group has not answered yet.
        _ => poll(plan, observed, now),
    }
}

/// The field of the source that holds what can be no handle.
fn blank_source(content: &dyn Content) -> Option<&'static str> {
    let words = content.words();
    if content.source_handle().is_some_and(is_blank) {
        return Some(words.handle_field);
    }
    let volumes = content.volumes()?;
    (volumes.is_empty() || volumes.iter().any(|volume| is_blank(volume))).then_some(words.volume_field)
}
