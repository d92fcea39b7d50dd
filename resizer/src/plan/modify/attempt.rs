//! An attempt: the class, the pauses before the call, the mark, the Secret, the call. Source: resize.md 5.2, 5.3, 5.5, 5.6.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::plan::Trouble;
use controller::{CallFailure, Event, Next, SecretAnswer};
use csi::Class;
use jiff::Timestamp;
use runtime::migration;
use runtime::objects::{AttributesClass, ModifyStatus, SecretName, Volume};

use super::super::conditions::Conditions;
use super::super::{ClaimChange, later, wait_until, wants_more};
use super::{Attempt, Call, Hold, Memory, Observed, Plan, Step, begun_event, in_progress, target_of};
use crate::events;

/// Classes come by a watch of their own: one that was made together with the wish for it may be seen later.
const GRACE: Duration = Duration::from_secs(1);

const CLAIM_NAME: &str = "csi.storage.k8s.io/pvc/name";
const CLAIM_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";
const VOLUME_NAME: &str = "csi.storage.k8s.io/pv/name";

/// The recorded target once more. Sends: GET of the Secret, ControllerModifyVolume.
pub(super) fn again(observed: &Observed<'_>, volume: &Volume, class: &str, now: Timestamp) -> Plan {
    let plan = Plan::resting(observed.memory.clone());
    if let Some(stop) = pause(observed, &plan, class, now) {
        return stop;
    }
    match observed.target {
        Some(found) if found.driver != observed.settings.driver => {
            of_another_driver(observed, volume, plan, found, class)
        }
        Some(found) => call(observed, volume, plan, found, class),
        None => plan.event(missing(class)).then(Next::Backoff(Trouble {
            why: format!("VAC {class:?} does not exist"),
            of: class.to_owned(),
        })),
    }
}

/// The wanted class. Sends: PATCH of the claim's status where it changes, GET of the Secret, ControllerModifyVolume.
pub(super) fn begin(observed: &Observed<'_>, volume: &Volume, class: &str, now: Timestamp) -> Plan {
    let Some(found) = observed.wanted else {
        return pending(observed, class, now);
    };
    let memory = observed.memory;
    let mut plan = Plan::resting(Memory {
        // That it is there now may be told anew.
        told: memory.told.clone().filter(|_| memory.missing.is_none()),
        missing: None,
        ..memory.clone()
    });
    if let Some(stop) = pause(observed, &plan, class, now) {
        return stop;
    }
    if found.driver != observed.settings.driver {
        return of_another_driver(observed, volume, plan, found, class);
    }
    if let Some(change) = mark(observed, class, now) {
        plan = plan
            .step(Step::Claim(change))
            .event(begun_event(observed.claim, class));
        plan.memory.settled = Some(class.to_owned());
        plan.memory.told = None;
    }
    call(observed, volume, plan, found, class)
}

/// Why not now: infeasible a short while ago, as the driver asked, or in back-off.
fn pause(observed: &Observed<'_>, plan: &Plan, class: &str, now: Timestamp) -> Option<Plan> {
    let memory = &plan.memory;
    let slow = memory.slow.as_ref().filter(|slow| slow.class == class);
    // The class that the volume has needs no change: who takes a wish back does not wait for it.
    let is_back = |hold: &&Hold| observed.claim.current_class() == Some(class) && hold.class != class;
    let hold = memory.hold.as_ref().filter(|hold| !is_back(hold));
    let until = slow.map(|slow| slow.until).max(hold.map(|hold| hold.until));
    if let Some(until) = until.filter(|until| now < *until) {
        return Some(wait_until(plan.clone(), until, now));
    }
    // Whatever wakes the claim does not shorten a back-off.
    let until = observed.retries.held(class, now)?;
    Some(plan.clone().then(Next::Held(until)))
}

fn missing(class: &str) -> Event {
    Event::warning(events::MODIFY_FAILED, format!("VAC {class:?} does not exist."))
}

/// The class is not there. Its arrival wakes the claim (Q19).
fn pending(observed: &Observed<'_>, class: &str, now: Timestamp) -> Plan {
    let memory = observed.memory;
    let mut plan = Plan::resting(memory.clone());
    let since = match &memory.missing {
        Some((name, since)) if name == class => *since,
        _ => now,
    };
    plan.memory.missing = Some((class.to_owned(), since));
    let sure = later(since, GRACE);
    if now < sure {
        return wait_until(plan, sure, now);
    }
    if !observed.classes_followed {
        return plan.then(Next::After(GRACE));
    }
    let modify = observed.claim.modify();
    if modify.is_none_or(|modify| modify.status != ModifyStatus::Pending) {
        plan = plan.step(Step::Claim(ClaimChange {
            modify: Some(Some(runtime::objects::Modify {
                status: ModifyStatus::Pending,
                // The former target stays.
                target: None,
            })),
            ..ClaimChange::none()
        }));
    }
    if memory.told.as_deref() != Some(class) {
        plan = plan.event(missing(class));
        plan.memory.told = Some(class.to_owned());
    }
    plan
}

/// Its parameters are for somebody else: no driver is asked (Q18). Both are immutable, so only another class helps.
fn of_another_driver(
    observed: &Observed<'_>,
    volume: &Volume,
    mut plan: Plan,
    found: &AttributesClass,
    class: &str,
) -> Plan {
    if plan.memory.told.as_deref() == Some(class) {
        return plan;
    }
    plan.memory.told = Some(class.to_owned());
    let (theirs, ours) = (&found.driver, &observed.settings.driver);
    let text = format!("VAC {class:?} is of the CSI driver {theirs}, and the volume of {ours}");
    failed_before(plan, volume, class, Class::Infeasible, text)
}

/// The mark: durable before the call, so that whoever follows knows what may be running. The same class once more needs
/// none.
fn mark(observed: &Observed<'_>, class: &str, now: Timestamp) -> Option<ClaimChange> {
    let claim = observed.claim;
    let stands = claim.modify().is_some_and(|modify| {
        let begun = matches!(modify.status, ModifyStatus::InProgress | ModifyStatus::Infeasible);
        begun && modify.target.as_deref() == Some(class)
    });
    if stands {
        return None;
    }
    let conditions = Conditions::of(claim, now).modify_begun(in_progress(class));
    Some(ClaimChange {
        conditions: conditions.changed(claim),
        modify: Some(Some(target_of(ModifyStatus::InProgress, class))),
        ..ClaimChange::none()
    })
}

fn call(observed: &Observed<'_>, volume: &Volume, plan: Plan, found: &AttributesClass, class: &str) -> Plan {
    let csi = match migration::source_of(volume) {
        Ok(csi) => csi,
        Err(error) => return failed_before(plan, volume, class, Class::Final, error.to_string()),
    };
    if csi.volume_handle.is_empty() {
        let text = "the volume handle is empty".to_owned();
        return failed_before(plan, volume, class, Class::Final, text);
    }
    let of_expansion = csi.controller_expand_secret_ref.as_deref();
    let secret = volume.modify_secret.as_deref().or(of_expansion);
    if let Some(secret) = secret.filter(|secret| !secret.name.is_empty()) {
        let read = observed.secret.filter(|read| read.secret == *secret);
        let why = match read.map(|read| &read.answer) {
            None => return plan.read_secret(secret.clone()).then(Next::Again),
            Some(SecretAnswer::Found(_)) => None,
            Some(SecretAnswer::NotFound) => Some("it does not exist"),
            Some(SecretAnswer::Refused(why)) => Some(why.as_str()),
        };
        if let Some(why) = why {
            let text = unreadable(secret, why);
            return failed_before(plan, volume, class, Class::Final, text);
        }
    }
    let mut plan = plan.step(Step::Modify(Call {
        class: class.to_owned(),
        volume_handle: csi.volume_handle.clone(),
        parameters: parameters(observed, volume, found),
        single_change: !wants_more(observed.claim),
        migrated: migration::is_migrated(volume),
    }));
    plan.memory.settled = plan.memory.settled.filter(|settled| settled != class);
    // Known even if the call never returns. What is settled of a former class stays so until the mark is written.
    let mut at_once = plan.memory.clone();
    at_once.settled = observed.memory.settled.clone().filter(|settled| settled != class);
    plan.remembering_at_once(at_once).then(Next::Again)
}

fn unreadable(secret: &SecretName, why: &str) -> String {
    format!("failed to get secret {}/{}: {why}", secret.namespace, secret.name)
}

/// The parameters of the class, under the metadata where it is wanted.
fn parameters(observed: &Observed<'_>, volume: &Volume, found: &AttributesClass) -> BTreeMap<String, String> {
    let mut parameters = found.parameters.clone();
    if observed.settings.extra_modify_metadata {
        let claim = &observed.claim.metadata;
        let metadata = [
            (CLAIM_NAME, &claim.name),
            (CLAIM_NAMESPACE, &claim.namespace),
            (VOLUME_NAME, &volume.metadata.name),
        ];
        for (key, value) in metadata {
            parameters.insert(key.to_owned(), value.clone().unwrap_or_default());
        }
    }
    parameters
}

/// What failed without a call says nothing of one that may be running (Q13, Q23).
fn failed_before(mut plan: Plan, volume: &Volume, class: &str, kind: Class, text: String) -> Plan {
    plan.memory.attempt = Some(Attempt {
        outcome: Err(CallFailure {
            class: kind,
            code: None,
            text,
            retry_after: None,
        }),
        ..begun(volume, class)
    });
    plan.then(Next::Again)
}

/// An attempt at this class, without what it brings.
pub(crate) fn begun(volume: &Volume, class: &str) -> Attempt {
    Attempt {
        class: class.to_owned(),
        volume_uid: volume.metadata.uid.clone().unwrap_or_default(),
        outcome: Ok(()),
    }
}
