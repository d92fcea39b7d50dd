//! The decisions: what a content needs now. Pure: no request, no clock, no randomness, no log line.
//!
//! | Module | Decides |
//! |---|---|
//! | this one | which row of snapshot.md 3.3 a content is in |
//! | [`create`] | CreateSnapshot and the poll for readiness (3.4.1) |
//! | [`check`] | ListSnapshots of pre-provisioned contents (3.4.2) |
//! | [`delete`] | DeleteSnapshot and the finalizer (3.5) |
//! | [`status`] | what is written of an answer or an error (3.4.3) |
//! | [`parameters`] | names and parameters of CreateSnapshot (3.7) |
//! | [`secrets`] | which Secret a call needs (3.6) |

pub mod check;
pub mod create;
pub mod delete;
pub mod parameters;
pub mod secrets;
pub mod status;

use std::collections::BTreeMap;
use std::time::Duration;

use controller::Next;
use jiff::Timestamp;

use crate::observe::{ClassLookup, ContentExt as _, Memory, Observed, Reply};

/// The longest wait between two polls for readiness.
const LONGEST_POLL: Duration = Duration::from_secs(60);

/// What is to be done about a content.
pub type Plan = controller::Plan<Step, Memory>;

/// One request or one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// PATCH that adds the being-created mark, to the object with the observed UID.
    Mark,
    /// PATCH that takes the mark away, from the object with the observed UID.
    Unmark,
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
}

/// A change of `status`. Absent members are not written.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Nothing yet.
fn begin(observed: &Observed<'_>) -> Plan {
    Plan::resting(observed.memory.clone())
}

/// The next poll for readiness: 1, 2, 4 ... 60 s, never above `--retry-interval-max` (decision 15).
fn poll(mut plan: Plan, observed: &Observed<'_>) -> Plan {
    let wait = Duration::from_secs(1_u64 << plan.memory.polls.min(6));
    plan.memory.polls = plan.memory.polls.saturating_add(1);
    plan.then(Next::After(
        wait.min(LONGEST_POLL).min(observed.settings.retry_interval_max),
    ))
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
        None => decide(observed, now),
    }
}

/// A class re-created for another driver stops all work on its contents `[K]` (3.1).
fn is_ours(observed: &Observed<'_>) -> bool {
    let driver = &observed.settings.driver;
    let source = &observed.content.spec.source;
    source.volume_handle.is_some() != source.snapshot_handle.is_some()
        && observed.content.spec.driver == *driver
        && match observed.class {
            ClassLookup::Found(class) => class.driver == *driver,
            ClassLookup::Absent(_) | ClassLookup::NotNamed => true,
        }
}

/// The rows of 3.3.
fn decide(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let content = observed.content;
    let plan = begin(observed);
    let finished = content.stored_handle().is_some() || content.is_ready();
    if content.is_being_created() && finished {
        // Row 4, and a crash between the answer and the end of the mark: the call is over.
        return plan.step(Step::Unmark).then(Next::Again);
    }
    if delete::is_wanted(content) {
        return delete::plan(observed);
    }
    if content.is_ready() {
        // Memory does not grow with the number of ready snapshots.
        return Plan::resting(Memory::default());
    }
    if let Some(handle) = content.source_snapshot_handle() {
        return check::plan(observed, handle, now);
    }
    if !content.is_group_member() {
        return create::plan(observed, now);
    }
    match (content.stored_handle(), content.group_handle()) {
        (Some(handle), Some(_)) => check::plan(observed, handle, now),
        // Its group has not answered yet.
        _ => poll(plan, observed),
    }
}
