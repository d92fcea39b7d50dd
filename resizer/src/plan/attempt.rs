//! An attempt: the pauses before it, the mark, the Secret, the call. Source: resize.md 3.4, 3.6, 3.7, 3.8.

use controller::capability::{self, Access};
use controller::{CallFailure, Event, Next, SecretAnswer};
use jiff::Timestamp;
use runtime::migration;
use runtime::objects::{Claim, Quantity, ResizeStatus, SecretName, Volume};

use super::conditions::{self, Conditions, UNUSED};
use super::{ClaimChange, Expand, Plan, Step, backoff_of, begin, held, later, modify, size, wait_until};
use crate::events;
use crate::observe::{Attempt, Grown, Memory, Observed, Usage};

/// A closed gate is looked at again after this, should nobody wake the claim.
const GATE_CHECK: std::time::Duration = std::time::Duration::from_secs(60);

/// Decides the next step towards the call. Sends: PATCH of the claim's status where it changes, GET of the Secret,
/// ControllerExpandVolume.
pub(super) fn plan(observed: &Observed<'_>, volume: &Volume, now: Timestamp) -> Plan {
    let claim = observed.claim;
    let Some(target) = size::target(observed, volume) else {
        return resting(observed);
    };
    let unchanged = claim.allocated == Some(target);
    let mut plan = begin(observed);
    if let Some(stop) = pause(observed, &mut plan, target, unchanged, now) {
        return stop;
    }
    if let Some(change) = mark(observed, target, unchanged, now) {
        // One write for both, so that both calls begin together (Q5).
        let change = match observed.begins_class {
            Some(class) => modify::marked_with(claim, change, class, now),
            None => change,
        };
        plan = plan.step(Step::Claim(change));
        if let Some(class) = observed.begins_class {
            plan = plan.event(modify::begun_event(claim, class));
        }
        // Nobody was asked for this size yet, unless it is the one that was asked for before.
        if observed.settings.recover && is_fresh(observed, unchanged) {
            plan.memory.settled = Some(target);
        }
    }
    if observed.settings.controller_expands {
        call(observed, volume, plan, target)
    } else {
        grown_without_call(observed, volume, plan, target)
    }
}

/// No work now. What must be known when the stage on the node has ended is kept.
fn resting(observed: &Observed<'_>) -> Plan {
    let memory = Memory {
        node_rounds: observed.memory.node_rounds,
        hold: observed.memory.hold,
        ..Memory::default()
    };
    Plan::resting(memory)
}

/// The target differs from the recorded one, or nothing was running.
fn is_fresh(observed: &Observed<'_>, unchanged: bool) -> bool {
    !unchanged || size::stage(observed.claim).is_none()
}

/// Why not now: infeasible a short while ago, in back-off, or in use.
fn pause(
    observed: &Observed<'_>,
    plan: &mut Plan,
    target: Quantity,
    unchanged: bool,
    now: Timestamp,
) -> Option<Plan> {
    let memory = &mut plan.memory;
    if !unchanged {
        memory.slow_until = None;
        memory.node_rounds = 0;
    }
    if memory
        .hold
        .is_some_and(|hold| hold.target.is_some_and(|of| of != target))
    {
        // A new size starts its own back-off.
        memory.hold = None;
    }
    if let Some(until) = memory.slow_until.filter(|until| now < *until) {
        return Some(wait_until(plan.clone(), until, now));
    }
    let mut free = false;
    let in_use_since = memory.in_use_since.filter(|_| observed.settings.handle_in_use);
    if let Some(since) = in_use_since {
        let expired = now >= later(since, observed.settings.retry_interval_max);
        match usage(observed, since) {
            _ if expired => {}
            Usage::InUse => {
                plan.memory.was_in_use = true;
                return Some(closed(observed, plan.clone()));
            }
            Usage::Unknown => {
                let until = later(now, GATE_CHECK);
                return Some(plan.clone().then(Next::Held(until)));
            }
            // What was refused though nothing is seen to use it is refused for another reason: the back-off holds.
            Usage::Free if plan.memory.was_in_use => {
                plan.memory.hold = None;
                free = true;
            }
            Usage::Free | Usage::Hidden => {}
        }
    }
    if let Some(until) = held(&plan.memory, target, now) {
        return Some(wait_until(plan.clone(), until, now));
    }
    // Whatever wakes the claim does not shorten a back-off.
    let until = observed.retries.held(&backoff_of(observed, target), now);
    if let Some(until) = until.filter(|_| !free) {
        return Some(plan.clone().then(Next::Held(until)));
    }
    // What the driver answers now says anew whether it is in use.
    plan.memory.in_use_since = None;
    plan.memory.was_in_use = false;
    None
}

/// The control plane may have said it on the claim; else what was found out. That no pod used it before the driver refused tells
/// nothing: it can still be attached.
fn usage(observed: &Observed<'_>, refused: Timestamp) -> Usage {
    let Some(unused) = conditions::find(observed.claim, UNUSED) else {
        return observed.usage;
    };
    let since = unused.last_transition_time.as_ref().map(|time| time.0);
    match unused.status.as_str() {
        "True" if since >= Some(refused) => Usage::Free,
        "False" => Usage::InUse,
        _ => observed.usage,
    }
}

fn closed(observed: &Observed<'_>, plan: Plan) -> Plan {
    let metadata = &observed.claim.metadata;
    let message = format!(
        "Unable to expand {}/{} because CSI driver {} only supports offline expansion and volume is currently in-use",
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
        observed.settings.driver
    );
    plan.event(Event::warning(events::FAILED, message))
        .then(Next::After(GATE_CHECK))
}

/// The mark: durable before the call, so that whoever follows knows what may be running.
fn mark(observed: &Observed<'_>, target: Quantity, unchanged: bool, now: Timestamp) -> Option<ClaimChange> {
    let claim = observed.claim;
    let conditions = Conditions::of(claim, now);
    let change = if !observed.settings.recover {
        ClaimChange {
            conditions: conditions.begun().changed(claim),
            ..ClaimChange::none()
        }
    } else if is_fresh(observed, unchanged) {
        let running = ResizeStatus::ControllerResizeInProgress;
        ClaimChange {
            allocated: Some(target).filter(|_| !unchanged),
            resize: (claim.resize != Some(running)).then_some(Some(running)),
            conditions: conditions.begun().changed(claim),
            node_expansion_not_required: claim.node_expansion_not_required.then_some(false),
            ..ClaimChange::none()
        }
    } else {
        ClaimChange {
            conditions: conditions.resizing().changed(claim),
            node_expansion_not_required: claim.node_expansion_not_required.then_some(false),
            ..ClaimChange::none()
        }
    };
    Some(change).filter(|change| *change != ClaimChange::none())
}

fn call(observed: &Observed<'_>, volume: &Volume, plan: Plan, target: Quantity) -> Plan {
    let csi = match migration::source_of(volume) {
        Ok(csi) => csi,
        Err(error) => return failed_before(observed, volume, plan, target, error.to_string()),
    };
    if csi.driver != observed.settings.driver {
        // The annotation names us, and the plugin of the volume was taken over by another driver.
        let text = format!("the volume is one of the CSI driver {}", csi.driver);
        return failed_before(observed, volume, plan, target, text);
    }
    let access = Access {
        fs_type: csi.fs_type.as_deref().unwrap_or_default(),
        single_node_multi_writer: observed.settings.single_node_multi_writer,
    };
    let capability = match capability::of(volume, &access) {
        Ok(capability) => capability,
        Err(error) => return failed_before(observed, volume, plan, target, error.to_string()),
    };
    if csi.volume_handle.is_empty() {
        return failed_before(
            observed,
            volume,
            plan,
            target,
            "the volume handle is empty".to_owned(),
        );
    }
    let secret = csi.controller_expand_secret_ref.as_deref();
    if let Some(secret) = secret.filter(|secret| !secret.name.is_empty()) {
        match read(observed, secret) {
            None => return plan.read_secret(secret.clone()).then(Next::Again),
            Some(SecretAnswer::Found(_)) => {}
            Some(SecretAnswer::NotFound) => {
                let text = unreadable(secret, "it does not exist");
                return failed_before(observed, volume, plan, target, text);
            }
            Some(SecretAnswer::Refused(why)) => {
                let text = unreadable(secret, why);
                return failed_before(observed, volume, plan, target, text);
            }
        }
    }
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let mut plan = plan
        .event(Event::normal(
            events::RESIZING,
            format!("External resizer is resizing volume {name}"),
        ))
        .step(Step::Expand(Expand {
            target,
            volume_handle: csi.volume_handle.clone(),
            capability,
            single_change: !observed.claim.attributes_pending(),
            migrated: migration::is_migrated(volume),
        }));
    plan.memory.settled = None;
    // Known even if the call never returns. What is settled of a former target stays so until the mark is written.
    let mut at_once = plan.memory.clone();
    at_once.settled = observed.memory.settled.filter(|settled| *settled != target);
    plan.remembering_at_once(at_once).then(Next::Again)
}

fn unreadable(secret: &SecretName, why: &str) -> String {
    format!("failed to get secret {}/{}: {why}", secret.namespace, secret.name)
}

fn read<'a>(observed: &Observed<'a>, secret: &SecretName) -> Option<&'a SecretAnswer> {
    let read = observed.secret.filter(|read| read.secret == *secret)?;
    Some(&read.answer)
}

/// Without a call nothing can be running, unless it is already: then this says nothing of it (Q13).
fn failed_before(
    observed: &Observed<'_>,
    volume: &Volume,
    mut plan: Plan,
    target: Quantity,
    text: String,
) -> Plan {
    let class = if plan.memory.settled == Some(target) || !observed.settings.recover {
        csi::Class::Final
    } else {
        csi::Class::InProgress
    };
    plan.memory.attempt = Some(Attempt {
        outcome: Err(CallFailure {
            class,
            code: None,
            text,
            retry_after: None,
        }),
        ..begun(observed.claim, volume, target)
    });
    plan.then(Next::Again)
}

/// A driver that grows only on its nodes: the volume counts as grown (resize.md 3.8).
fn grown_without_call(observed: &Observed<'_>, volume: &Volume, mut plan: Plan, target: Quantity) -> Plan {
    plan.memory.attempt = Some(Attempt {
        outcome: Ok(Grown {
            capacity: target,
            node_stage: true,
        }),
        ..begun(observed.claim, volume, target)
    });
    plan.then(Next::Again)
}

/// An attempt at this size, without what it brings.
pub(crate) fn begun(claim: &Claim, volume: &Volume, target: Quantity) -> Attempt {
    Attempt {
        target,
        volume_uid: volume.metadata.uid.clone().unwrap_or_default(),
        before: claim.capacity,
        outcome: Ok(Grown {
            capacity: target,
            node_stage: false,
        }),
    }
}
