//! How a user's or a driver's mistake is shown: `status.error` and an event, once (spec snapshot 2.7.3).

use controller::patch::{self, Change, Members};
use controller::{Action, Event, Next, UNTIL_GROWN, is_young};
use crds::group::v1::VolumeGroupSnapshot;
use crds::v1::{VolumeSnapshot, VolumeSnapshotError};
use jiff::Timestamp;
use kube::Resource;
use serde_json::json;

use super::status::rfc3339_seconds;
use super::{Observed, Plan, Step};

/// Why nothing can be done until somebody acts. Its text is `status.error.message` and the event's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refusal {
    /// Reason of the event.
    pub reason: &'static str,
    /// What is wrong and what helps.
    pub message: String,
    /// What happens to `status.readyToUse`.
    pub ready: ReadyFlag,
}

/// What a refusal does to `status.readyToUse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyFlag {
    /// It stays what it is.
    Keep,
    /// It becomes false.
    Lower,
}

impl Refusal {
    /// A refusal that leaves `readyToUse` alone.
    #[must_use]
    pub fn keeping(reason: &'static str, message: String) -> Self {
        Self {
            reason,
            message,
            ready: ReadyFlag::Keep,
        }
    }

    /// A refusal that makes the snapshot unready.
    #[must_use]
    pub fn lowering(reason: &'static str, message: String) -> Self {
        Self {
            reason,
            message,
            ready: ReadyFlag::Lower,
        }
    }
}

/// An object that shows refusals in its status.
pub trait Shows: Resource {
    /// Whether it has a status.
    fn has_status(&self) -> bool;
    /// `status.readyToUse`.
    fn ready(&self) -> Option<bool>;
    /// `status.error`.
    fn error(&self) -> Option<&VolumeSnapshotError>;
}

impl Shows for VolumeSnapshot {
    fn has_status(&self) -> bool {
        self.status.is_some()
    }

    fn ready(&self) -> Option<bool> {
        self.status.as_ref()?.ready_to_use
    }

    fn error(&self) -> Option<&VolumeSnapshotError> {
        self.status.as_ref()?.error.as_ref()
    }
}

impl Shows for VolumeGroupSnapshot {
    fn has_status(&self) -> bool {
        self.status.is_some()
    }

    fn ready(&self) -> Option<bool> {
        self.status.as_ref()?.ready_to_use
    }

    fn error(&self) -> Option<&VolumeSnapshotError> {
        self.status.as_ref()?.error.as_ref()
    }
}

/// Writes the refusal to status and event of a snapshot; see [`told`].
#[must_use]
pub fn show(observed: &Observed, refusal: Refusal, now: Timestamp) -> Plan {
    let patch = Step::PatchSnapshotStatus;
    told(&*observed.snapshot, observed.is_live, &refusal, now, patch)
}

/// The event of a refusal of what the snapshot can do without: its status stays as it is. None while what seems to be missing
/// may be there.
#[must_use]
pub fn warning(observed: &Observed, refusal: Refusal, now: Timestamp) -> Option<Action<Step>> {
    let is_sure = observed.is_live && !is_young(&*observed.snapshot, now);
    is_sure.then(|| Action::Event(Event::warning(refusal.reason, refusal.message)))
}

/// Writes the refusal to status and event unless the same text stands there, and tries again with back-off. Nothing is
/// refused while the snapshot is young or a kind is not followed, as after an outage, when the watches come back one by
/// one: what seems to be missing may be there.
#[must_use]
pub fn told<S>(
    object: &impl Shows,
    is_live: bool,
    refusal: &Refusal,
    now: Timestamp,
    patch: impl Fn(Change) -> S,
) -> controller::Plan<S, ()> {
    let mut plan = controller::Plan::resting(());
    if !is_live || is_young(object, now) {
        return plan.then(Next::After(UNTIL_GROWN));
    }
    let known = object.error().and_then(|error| error.message.as_deref());
    let is_new = known != Some(refusal.message.as_str());
    let mut fields = Members::new();
    if refusal.ready == ReadyFlag::Lower && object.ready() != Some(false) {
        fields.push(("readyToUse", Some(json!(false))));
    }
    if is_new {
        let error = json!({"message": refusal.message, "time": rfc3339_seconds(now)});
        fields.push(("error", Some(error)));
    }
    if !fields.is_empty() {
        let operations = patch::status(object.meta(), object.has_status(), fields);
        plan.actions.push(Action::Step(patch(Change::json(operations))));
    }
    if is_new {
        let event = Event::warning(refusal.reason, refusal.message.clone());
        plan.actions.push(Action::Event(event));
    }
    plan.then(Next::backoff(refusal.to_string()))
}
