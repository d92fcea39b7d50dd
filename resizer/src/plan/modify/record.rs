//! What is written of an answer. Source: resize.md 5.3, 5.4, 5.5.

use std::time::Duration;

use controller::plan::Trouble;
use controller::{CallFailure, Event, Next};
use csi::Class;
use csi::status::code_name;
use jiff::{SignedDuration, Timestamp};
use runtime::migration;
use runtime::objects::{ModifyStatus, Volume};
use tonic::Code;

use super::super::conditions::{self, Conditions, MODIFY_VOLUME_ERROR};
use super::super::{ClaimChange, later, wait_until};
use super::{Attempt, Hold, Memory, Observed, Plan, Slow, Step, target_of};
use crate::events;

/// A text that changes under one code is written at most once in this time.
const QUIET: SignedDuration = SignedDuration::from_secs(60);
/// The longest wait that a driver may ask for: EC2 counts modifications over this time.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Decides what is written of an attempt. Sends: PATCH of the volume and PATCH of the claim's status, where they change.
pub(super) fn plan(observed: &Observed<'_>, volume: &Volume, attempt: &Attempt, now: Timestamp) -> Plan {
    match &attempt.outcome {
        Ok(()) => succeeded(observed, volume, &attempt.class, now),
        Err(failure) => failed(observed, attempt, failure, now),
    }
}

/// The volume first, so that the claim never runs ahead of it `[K]`. The API server lets no in-tree volume have a class: of
/// those only the claim tells it.
fn succeeded(observed: &Observed<'_>, volume: &Volume, class: &str, now: Timestamp) -> Plan {
    let claim = observed.claim;
    let mut plan = Plan::resting(Memory::default());
    if !migration::is_migrated(volume) && volume.attributes_class.as_deref() != Some(class) {
        plan = plan.step(Step::Volume(class.to_owned()));
    }
    let change = ClaimChange {
        current_class: (claim.current_class() != Some(class)).then(|| class.to_owned()),
        modify: claim.modify().map(|_| None),
        conditions: Conditions::of(claim, now).modify_ended().changed(claim),
        ..ClaimChange::none()
    };
    if change == ClaimChange::none() {
        // Whoever follows was faster: there is nothing left to tell.
        return plan.then(Next::Again);
    }
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let message = format!("external resizer modified volume {name} with vac {class} successfully");
    plan.step(Step::Claim(change))
        .event(Event::normal(events::MODIFIED, message))
        .then(Next::Again)
}

fn failed(observed: &Observed<'_>, attempt: &Attempt, failure: &CallFailure, now: Timestamp) -> Plan {
    let class = attempt.class.as_str();
    let infeasible = failure.class == Class::Infeasible;
    let unclear = failure.class == Class::InProgress;
    let mut plan = Plan::resting(Memory {
        attempt: None,
        ..observed.memory.clone()
    });
    let (change, writes_error) = failure_change(observed, class, failure, now);
    if change != ClaimChange::none() {
        if writes_error {
            plan.memory.error_written = Some(now);
        }
        plan = plan.step(Step::Claim(change));
    }
    let settled = plan.memory.settled.take();
    plan.memory.settled = match failure.code {
        // Nothing was asked.
        None => settled,
        Some(_) if unclear => settled.filter(|settled| settled != class),
        Some(_) => Some(class.to_owned()),
    };
    plan.memory.slow = infeasible.then(|| Slow {
        class: class.to_owned(),
        until: later(now, observed.settings.retry_interval_max),
    });
    let tail = if unclear {
        format!(". Still modifying to VAC {class}")
    } else {
        String::new()
    };
    let told = format!("{}{tail}", failure.text);
    let plan = plan.event(if is_wait(failure) {
        Event::normal(events::MODIFY_WAITING, told)
    } else {
        Event::warning(events::MODIFY_FAILED, told)
    });
    wait(plan, class, failure, now)
}

/// A driver that says when it may be asked again has not failed.
fn is_wait(failure: &CallFailure) -> bool {
    failure.retry_after.is_some() && failure.class != Class::Infeasible
}

/// As long as the driver asked for; for ever the same infeasible class slowly; else the back-off.
fn wait(mut plan: Plan, class: &str, failure: &CallFailure, now: Timestamp) -> Plan {
    let asked = failure.wait(LONGEST_WAIT).map(|asked| later(now, asked));
    if let Some(slow) = &mut plan.memory.slow {
        // It is the class that is refused: another one need not wait.
        slow.until = asked.map_or(slow.until, |asked| asked.max(slow.until));
        let until = slow.until;
        return wait_until(plan, until, now);
    }
    if let Some(until) = asked {
        plan.memory.hold = Some(Hold {
            class: class.to_owned(),
            until,
        });
        return wait_until(plan, until, now);
    }
    plan.then(Next::Backoff(Trouble {
        why: failure.text.clone(),
        of: class.to_owned(),
    }))
}

/// The change, and whether the text of the error is in it.
fn failure_change(
    observed: &Observed<'_>,
    class: &str,
    failure: &CallFailure,
    now: Timestamp,
) -> (ClaimChange, bool) {
    let claim = observed.claim;
    let infeasible = failure.class == Class::Infeasible;
    let status = if infeasible {
        ModifyStatus::Infeasible
    } else {
        ModifyStatus::InProgress
    };
    let reached = target_of(status, class);
    // What failed without a call changes nothing of the status, unless no call can ever help.
    let concerns_status = infeasible || failure.code.is_some();
    let how = if failure.class == Class::InProgress {
        "is still in progress."
    } else if is_wait(failure) {
        "waits for the storage."
    } else {
        "failed. Waiting for retry."
    };
    let conditions = Conditions::of(claim, now);
    let progress = format!("Modifying volume to {class:?} {how}");
    let reason = reason(failure);
    let text = bare(&failure.text);
    let is_told = is_wait(failure) || is_told(observed, reason, text, now);
    let conditions = if is_wait(failure) {
        // An error of an earlier call is over.
        conditions.modify_begun(progress)
    } else if is_told {
        conditions.modifying(progress)
    } else {
        conditions
            .modifying(progress)
            .modify_failed(reason, text.to_owned())
    };
    let change = ClaimChange {
        modify: (concerns_status && claim.modify() != Some(&reached)).then_some(Some(reached)),
        conditions: conditions.changed(claim),
        ..ClaimChange::none()
    };
    (change, !is_told)
}

/// The name of the code; of what failed without a call, the code that says the same.
fn reason(failure: &CallFailure) -> &'static str {
    code_name(match (failure.code, failure.class) {
        (Some(code), _) => code,
        (None, Class::Infeasible) => Code::InvalidArgument,
        (None, _) => Code::FailedPrecondition,
    })
}

/// The driver's words without the code, which is the reason of the condition.
fn bare(text: &str) -> &str {
    text.split_once(" desc = ").map_or(text, |(_, words)| words)
}

/// An equal error stands there, or one of the same code that was written less than a minute ago.
fn is_told(observed: &Observed<'_>, reason: &str, text: &str, now: Timestamp) -> bool {
    let Some(present) = conditions::find(observed.claim, MODIFY_VOLUME_ERROR) else {
        return false;
    };
    if present.reason.as_deref() != Some(reason) {
        return false;
    }
    let written = observed.memory.error_written;
    csi::mask::mask(present.message.as_deref().unwrap_or_default()) == csi::mask::mask(text)
        || written.is_some_and(|at| now.duration_since(at) < QUIET)
}
