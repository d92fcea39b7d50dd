//! How a user's or a driver's mistake is shown: `status.error` and an event, once (spec snapshot 2.7.3).

use controller::patch::Change;
use controller::{Action, Event, Next, UNTIL_GROWN, is_young};
use crds::v1::VolumeSnapshot;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::status::{rfc3339_seconds, status_patch};
use super::{Observed, Plan, Step, then_await, then_retry};

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

/// Writes the refusal to status and event unless the same text stands there, and tries again with back-off. Nothing is
/// refused while the snapshot is young or a kind is not followed, as after an outage, when the watches come back one by
/// one: what seems to be missing may be there.
#[must_use]
pub fn show(observed: &Observed, refusal: Refusal, now: Timestamp) -> Plan {
    if !observed.is_live || is_young(&*observed.snapshot, now) {
        return then_await(Vec::new()).then(Next::After(UNTIL_GROWN));
    }
    let mut actions: Vec<Action<Step>> = Vec::new();
    if let Some(change) = error_patch(&observed.snapshot, &refusal, now) {
        actions.push(Step::PatchSnapshotStatus(change).into());
    }
    if stored_message(&observed.snapshot) != Some(refusal.message.as_str()) {
        let told = Event::warning(refusal.reason, refusal.message.clone());
        actions.push(Action::Event(told));
    }
    then_retry(actions, &refusal)
}

/// The text of `status.error`.
#[must_use]
pub fn stored_message(snapshot: &VolumeSnapshot) -> Option<&str> {
    snapshot.status.as_ref()?.error.as_ref()?.message.as_deref()
}

fn error_patch(snapshot: &VolumeSnapshot, refusal: &Refusal, now: Timestamp) -> Option<Change> {
    let mut fields: Vec<(&'static str, Option<Value>)> = Vec::new();
    let ready = snapshot.status.as_ref().and_then(|status| status.ready_to_use);
    if refusal.ready == ReadyFlag::Lower && ready != Some(false) {
        fields.push(("readyToUse", Some(json!(false))));
    }
    if stored_message(snapshot) != Some(refusal.message.as_str()) {
        let error = json!({"message": refusal.message, "time": rfc3339_seconds(now)});
        fields.push(("error", Some(error)));
    }
    status_patch(snapshot, fields)
}
