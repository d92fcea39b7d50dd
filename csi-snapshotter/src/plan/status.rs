//! What is written of an answer or an error.

use controller::{CallFailure, Event, Next};
use crds::group::v1::VolumeSnapshotInfo;
use csi::{Class, mask};
use jiff::{SignedDuration, Timestamp};

use super::{Plan, StatusChange, Step, members};
use crate::content::Content;
use crate::events;
use crate::observe::{Memory, Observed, Snapshot, Told};

/// Errors that are equal after masking are written at most once in this time (Q29).
const QUIET: SignedDuration = SignedDuration::from_secs(60);
/// Errors remembered of one content.
const LONGEST_MEMORY: usize = 8;

/// The members of `status` that a good answer changes. Handle, time, size and group are set once; readiness
/// follows the answer; the error goes with the first good answer (decision 16).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// `snapshotHandle`, of a group `volumeGroupSnapshotHandle`. Written only to the version that was observed: the first writer wins.
    pub handle: Option<String>,
    /// `creationTime`, nanoseconds since 1970.
    pub creation_time: Option<i64>,
    /// `restoreSize`, bytes.
    pub restore_size: Option<i64>,
    /// `readyToUse`.
    pub ready: Option<bool>,
    /// `volumeGroupSnapshotHandle` of a snapshot.
    pub group_handle: Option<String>,
    /// `volumeSnapshotInfoList`.
    pub members: Option<Vec<VolumeSnapshotInfo>>,
    /// `error` goes.
    pub clear_error: bool,
}

impl Answer {
    /// What an answer changes; `None` when the status says it all already.
    ///
    /// A driver that gives no time of creation took the snapshot now, not in 1970 (Q25).
    #[must_use]
    pub fn of(content: &dyn Content, handle: &str, snapshot: &Snapshot, now: Timestamp) -> Option<Self> {
        let status = content.status().unwrap_or_default();
        // Go's zero time, which some drivers answer, is none.
        let nanoseconds = |time: Timestamp| i64::try_from(time.as_nanosecond()).ok();
        let taken = snapshot.creation_time.and_then(nanoseconds).or(nanoseconds(now));
        let answer = Self {
            handle: content.stored_handle().is_none().then(|| handle.to_string()),
            creation_time: taken.filter(|_| !status.has_creation_time),
            restore_size: Some(snapshot.size_bytes).filter(|size| *size > 0 && !status.has_size),
            ready: Some(snapshot.ready).filter(|ready| status.ready != Some(*ready)),
            group_handle: None,
            members: members::infos(content, snapshot),
            clear_error: status.error.is_some(),
        };
        (answer != Self::default()).then_some(answer)
    }

    /// What is kept of an answer that makes no whole group: it is not ready, and nothing is settled.
    #[must_use]
    pub fn of_flawed(content: &dyn Content, group: &Snapshot, now: Timestamp) -> Self {
        let unready = Snapshot {
            ready: false,
            ..group.clone()
        };
        let answer = Self::of(content, &group.handle, &unready, now).unwrap_or_default();
        Self {
            clear_error: false,
            ..answer
        }
    }
}

/// A failure that users see in the status and in an event, then the back-off. Nothing is written when an equal
/// error is there already.
///
/// Reason and beginning of the text say whether the snapshot exists: upstream goes by "status is absent", so that
/// the second failure of one and the same cause reads otherwise than the first. Source: snapshot.md 3.4.3.
pub(super) fn failed(observed: &Observed<'_>, mut plan: Plan, reason: &str, now: Timestamp) -> Plan {
    let content = observed.content;
    let words = content.words();
    let noun = words.noun;
    let taking = content.source_handle().is_none() && content.stored_handle().is_none();
    let (event, text) = if taking {
        (
            words.creation_failed,
            format!("Failed to create {noun}: {reason}"),
        )
    } else {
        (
            words.check_failed,
            format!("Failed to check and update {noun} content: {reason}"),
        )
    };
    let status = content.status();
    let stored = status.and_then(|status| status.error?.message.as_deref());
    let message = match stored {
        Some(stored) if mask::mask(stored) == mask::mask(&text) => stored.to_string(),
        _ => {
            let message = steady(&mut plan.memory, &text);
            if stored.is_none() || may_write(&plan.memory, &message, now) {
                written(&mut plan.memory, &message, now);
                plan = plan.step(Step::Status(StatusChange::Failed {
                    message: message.clone(),
                    time: now,
                    not_ready: status.and_then(|status| status.ready) != Some(false),
                }));
            }
            message
        }
    };
    plan.event(Event::warning(event, message.clone()))
        .then(Next::backoff(message))
}

/// Whether no equal error was written within the last minute.
fn may_write(memory: &Memory, text: &str, now: Timestamp) -> bool {
    let told = memory.told.iter().find(|told| told.text == text);
    told.and_then(|told| told.written)
        .is_none_or(|at| now.duration_since(at) >= QUIET)
}

fn written(memory: &mut Memory, text: &str, now: Timestamp) {
    for told in memory.told.iter_mut().filter(|told| told.text == text) {
        told.written = Some(now);
    }
}

/// The text of an equal error told before, else this one: equal texts are what the recorder counts up.
pub(super) fn steady(memory: &mut Memory, text: &str) -> String {
    let masked = mask::mask(text);
    if let Some(told) = memory.told.iter().find(|told| told.masked == masked) {
        return told.text.clone();
    }
    memory.told.push(Told {
        masked,
        text: text.to_string(),
        written: None,
    });
    let surplus = memory.told.len().saturating_sub(LONGEST_MEMORY);
    memory.told.drain(..surplus);
    text.to_string()
}

/// Whether the driver only asks to be called later: it says when, and that the call is to be repeated as it is.
pub(super) fn is_wait(failure: &CallFailure) -> bool {
    failure.class == Class::InProgress && failure.retry_after.is_some()
}

/// A wait of what is not taken yet: an event that is no warning, and nothing in the status. Whatever wakes the content
/// meanwhile does not call earlier.
pub(super) fn waits(observed: &Observed<'_>, plan: Plan, failure: &CallFailure, now: Timestamp) -> Plan {
    let what = match observed.content.stored_handle() {
        None => "be taken",
        Some(_) => "be looked at",
    };
    let mut plan = waits_to(observed, plan, what, failure);
    if let Next::After(wait) = plan.next {
        super::call_in(&mut plan.memory, wait, now);
    }
    plan
}

/// The same of what is to be deleted.
pub(super) fn waits_to(observed: &Observed<'_>, mut plan: Plan, what: &str, failure: &CallFailure) -> Plan {
    let noun = observed.content.words().noun;
    let words = failure.text.split_once(" desc = ");
    let words = words.map_or(failure.text.as_str(), |(_, words)| words);
    let text = format!("The {noun} waits to {what}: {words}");
    let message = steady(&mut plan.memory, &text);
    let plan = plan.event(Event::normal(events::WAITING, message));
    wait_as_asked(observed, plan, failure)
}

/// Waits as long as the driver asked for, where it did, instead of the back-off.
pub(super) fn wait_as_asked(observed: &Observed<'_>, plan: Plan, failure: &CallFailure) -> Plan {
    match failure.wait(observed.settings.retry_interval_max) {
        None => plan,
        Some(wait) => plan.then(Next::After(wait)),
    }
}
