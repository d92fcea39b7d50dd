//! ListSnapshots: the state of a snapshot that exists already.

use controller::{CallFailure, Next, UNTIL_GROWN};
use crds::v1::VolumeSnapshotContent;
use jiff::Timestamp;

use super::secrets::{self, Need};
use super::status::{self, Answer};
use super::{Call, Plan, StatusChange, Step, begin, may_be_behind, parameters, poll};
use crate::observe::{ClassLookup, ContentExt as _, Memory, Observed, Snapshot};

/// Decides how to look at a snapshot: pre-provisioned, or a member of a group.
///
/// Reads: class, annotations. Sends: GET of the Secret, then ListSnapshots; for a driver that cannot list, only
/// the status. Bound or not does not count `[K]`. Source: snapshot.md 3.4.2.
pub(super) fn plan(observed: &Observed<'_>, handle: &str, now: Timestamp) -> Plan {
    let plan = begin(observed);
    let unusable = match observed.class {
        ClassLookup::NotNamed => None,
        ClassLookup::Absent(name) => Some(format!("failed to get snapshot class {name}: it does not exist")),
        ClassLookup::Found(class) => parameters::of_another_driver(observed, class),
    };
    match unusable {
        None => {}
        Some(_) if may_be_behind(observed, now) => return plan.then(Next::After(UNTIL_GROWN)),
        Some(reason) => return status::failed(observed, plan, &reason, now),
    }
    if !observed.settings.can_list {
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
        secrets::of_list(observed)
    };
    match need {
        Need::Nothing | Need::Ready => {}
        Need::Read(secret) => return plan.read_secret(secret).then(Next::Again),
        Need::Missing(text) | Need::Invalid(text) => return status::failed(observed, plan, &text, now),
    }
    plan.step(Step::Call(Call::List {
        snapshot_handle: handle.to_string(),
    }))
    .then(Next::Again)
}

/// Decides what follows from the answer to ListSnapshots: what was listed counts only if it bears the handle that was
/// asked for. Sends: PATCH of the status where it changes.
pub(super) fn after(
    observed: &Observed<'_>,
    outcome: &Result<Vec<Snapshot>, CallFailure>,
    now: Timestamp,
) -> Plan {
    let plan = begin(observed);
    let content = observed.content;
    let handle = asked_for(content);
    match outcome {
        Ok(listed) => match listed.iter().find(|snapshot| snapshot.handle == handle) {
            Some(snapshot) => answered(observed, plan, snapshot, now),
            None => {
                let mut reason = format!("can not find snapshot for snapshotID {handle}");
                if let Some(other) = listed.first() {
                    let other = format!("; the driver listed {:?} instead", other.handle);
                    reason.push_str(&other);
                }
                status::failed(observed, plan, &reason, now)
            }
        },
        Err(failure) => {
            let reason = format!(
                "failed to list snapshot for content {}: {:?}",
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
    if let Some(answer) = Answer::of(content, &snapshot.handle, snapshot, now) {
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

/// The handle that ListSnapshots is asked for.
fn asked_for(content: &VolumeSnapshotContent) -> &str {
    let handle = content.source_snapshot_handle().or(content.stored_handle());
    handle.unwrap_or_default()
}
