//! ListSnapshots and GetVolumeGroupSnapshot: the state of what exists already.

use controller::{CallFailure, Next, UNTIL_GROWN};
use jiff::Timestamp;

use super::secrets::{self, Need};
use super::status::{self, Answer};
use super::{Plan, StatusChange, Step, begin, may_be_behind, parameters, poll};
use crate::content::Content;
use crate::observe::{ClassLookup, Memory, Observed, Snapshot};

/// Decides how to look at what is pre-provisioned, or at a member of a group.
///
/// Reads: class, annotations. Sends: GET of the Secret, then ListSnapshots or GetVolumeGroupSnapshot; for a driver that cannot
/// list, only the status. Bound or not does not count `[K]`. Source: snapshot.md 3.4.2, 4.2.
pub(super) fn plan(observed: &Observed<'_>, handle: &str, now: Timestamp) -> Plan {
    let plan = begin(observed);
    let unusable = match observed.class {
        ClassLookup::NotNamed => None,
        ClassLookup::Absent(name) => Some(parameters::absent(observed, name)),
        ClassLookup::Found(class) => parameters::of_another_driver(observed, class),
    };
    match unusable {
        None => {}
        Some(_) if may_be_behind(observed, now) => return plan.then(Next::After(UNTIL_GROWN)),
        Some(reason) => return status::failed(observed, plan, &reason, now),
    }
    if !observed.settings.can_look {
        let trusted = Snapshot {
            handle: handle.to_string(),
            ready: true,
            ..Snapshot::default()
        };
        return answered(observed, plan, &trusted, now);
    }
    let need = if observed.content.is_group_member() {
        secrets::of_annotations(observed)
    } else {
        secrets::of_look(observed)
    };
    match need {
        Need::Nothing | Need::Ready => {}
        Need::Read(secret) => return plan.read_secret(secret).then(Next::Again),
        Need::Missing(text) | Need::Invalid(text) => return status::failed(observed, plan, &text, now),
    }
    plan.step(Step::Call(observed.content.look_call(handle)))
        .then(Next::Again)
}

/// Decides what follows from the answer. One snapshot alone is the one that was asked for, though drivers may name it in a form of
/// their own; of several that counts which bears the handle, in whatever case of letters. Sends: PATCH of the status where it
/// changes.
pub(super) fn after(
    observed: &Observed<'_>,
    outcome: &Result<Vec<Snapshot>, CallFailure>,
    now: Timestamp,
) -> Plan {
    let plan = begin(observed);
    let content = observed.content;
    let handle = asked_for(content);
    match outcome {
        Ok(listed) => match shown(listed, handle) {
            Some(snapshot) => answered(observed, plan, snapshot, now),
            None => {
                let words = content.words();
                let mut reason = format!("can not find {} for {} {handle}", words.noun, words.id);
                if let Some(other) = listed.first() {
                    let other = format!("; the driver answered {:?} instead", other.handle);
                    reason.push_str(&other);
                }
                status::failed(observed, plan, &reason, now)
            }
        },
        Err(failure) => {
            let reason = format!(
                "failed to {} {} for content {}: {:?}",
                content.words().look,
                content.words().noun,
                content.name(),
                failure.text
            );
            let plan = status::failed(observed, plan, &reason, now);
            status::wait_as_asked(observed, plan, failure)
        }
    }
}

fn answered(observed: &Observed<'_>, mut plan: Plan, snapshot: &Snapshot, now: Timestamp) -> Plan {
    let content = observed.content;
    if let Some(answer) = Answer::of(content, asked_for(content), snapshot, now) {
        let group = Some(snapshot.group_handle.clone());
        let answer = Answer {
            group_handle: group.filter(|group| !group.is_empty() && content.group_handle().is_none()),
            ..answer
        };
        plan = plan.step(Step::Status(StatusChange::Answer(answer)));
    }
    plan.memory.told.clear();
    if snapshot.ready {
        plan.memory = Memory::default();
        return plan;
    }
    poll(plan, observed, now)
}

fn shown<'a>(listed: &'a [Snapshot], handle: &str) -> Option<&'a Snapshot> {
    if let [only] = listed {
        return Some(only);
    }
    let exact = listed.iter().find(|snapshot| snapshot.handle == handle);
    exact.or_else(|| {
        listed
            .iter()
            .find(|snapshot| snapshot.handle.eq_ignore_ascii_case(handle))
    })
}

/// The handle that the driver is asked for.
fn asked_for(content: &dyn Content) -> &str {
    let handle = content.source_handle().or(content.stored_handle());
    handle.unwrap_or_default()
}
