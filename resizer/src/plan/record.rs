//! What is written of an answer. Source: resize.md 3.4 rows 7 and 8, 3.5.

use std::time::Duration;

use controller::plan::Trouble;
use controller::{CallFailure, Event, Next};
use csi::Class;
use jiff::{SignedDuration, Timestamp};
use runtime::objects::{ResizeStatus, Volume};
use tonic::Code;

use super::conditions::{self, CONTROLLER_RESIZE_ERROR, Conditions};
use super::{ClaimChange, Plan, Step, VolumeChange, backoff_of, begin, later, wait_until};
use crate::events;
use crate::observe::{Attempt, Grown, Hold, Memory, Observed};

/// A text that changes under one code is written at most once in this time.
const QUIET: SignedDuration = SignedDuration::from_secs(60);
/// The longest wait that a driver may ask for: EC2 counts modifications over this time.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Kubelet's longest pause between two tries on a node.
const NODE_BACKOFF: Duration = Duration::from_secs(122);

/// Decides what is written of an attempt. Sends: PATCH of the volume and PATCH of the claim's status, where they
/// change.
pub(super) fn plan(observed: &Observed<'_>, volume: &Volume, attempt: &Attempt, now: Timestamp) -> Plan {
    match &attempt.outcome {
        Ok(grown) if has_ended_short(observed, attempt, *grown) => {
            ended_short(observed, volume, attempt, *grown, now)
        }
        Ok(grown) => succeeded(observed, volume, attempt, *grown, now),
        Err(failure) => failed(observed, volume, attempt, failure, now),
    }
}

/// The driver made less than was asked for.
fn is_short(attempt: &Attempt, grown: Grown) -> bool {
    grown.capacity < attempt.target
}

/// The same, and no node makes more of it: kubelet looks only at a volume that is larger than its claim says. A claim that has
/// the size is not concerned.
fn has_ended_short(observed: &Observed<'_>, attempt: &Attempt, grown: Grown) -> bool {
    let proven = observed.claim.capacity;
    let is_for_node = grown.node_stage && Some(grown.capacity) > proven;
    is_short(attempt, grown) && !is_for_node && proven < Some(attempt.target)
}

/// What a driver answered that made less than was asked for.
pub(crate) fn too_little(answered: i64, asked: i64) -> String {
    format!("a capacity of {answered} bytes where {asked} were asked for")
}

fn answer(attempt: &Attempt, grown: Grown) -> String {
    too_little(grown.capacity.bytes(), attempt.target.bytes())
}

/// What there is is written, and this size waits: the driver will hardly make another one of it (Q9).
fn ended_short(
    observed: &Observed<'_>,
    volume: &Volume,
    attempt: &Attempt,
    grown: Grown,
    now: Timestamp,
) -> Plan {
    let settings = observed.settings;
    let without_node = Grown {
        node_stage: false,
        ..grown
    };
    let plan = with_volume(observed, volume, attempt, without_node);
    let text = CallFailure::nonsense(Class::Final, &answer(attempt, grown)).text;
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let told = format!(
        "resize volume {name:?} by resizer {:?} failed: {text}",
        settings.driver
    );
    let plan = plan
        .step(Step::Claim(short_change(observed, grown, &text, now)))
        .event(Event::warning(events::FAILED, told));
    let memory = Memory {
        hold: Some(hold(observed, attempt, now)),
        ..Memory::default()
    };
    Plan { memory, ..plan }.then(Next::Again)
}

/// As an end at the size that there is, but with the error.
fn short_change(observed: &Observed<'_>, grown: Grown, text: &str, now: Timestamp) -> ClaimChange {
    let claim = observed.claim;
    let there_is = Grown {
        capacity: grown.capacity.max(claim.capacity.unwrap_or_default()),
        ..grown
    };
    let change = finished(observed, there_is, now);
    if !observed.settings.recover {
        return change;
    }
    let message = format!("failed to expand pvc with {text}");
    ClaimChange {
        conditions: Conditions::of(claim, now).ended_short(message).changed(claim),
        // Other nodes may have work to do of an earlier growth.
        node_expansion_not_required: change.node_expansion_not_required.filter(|_| !grown.node_stage),
        ..change
    }
}

/// This size is not asked for again before the longest interval is over.
fn hold(observed: &Observed<'_>, attempt: &Attempt, now: Timestamp) -> Hold {
    Hold {
        until: later(now, observed.settings.retry_interval_max),
        target: Some(attempt.target),
    }
}

fn succeeded(
    observed: &Observed<'_>,
    volume: &Volume,
    attempt: &Attempt,
    grown: Grown,
    now: Timestamp,
) -> Plan {
    let mut plan = with_volume(observed, volume, attempt, grown);
    let told = if observed.claim.capacity >= Some(grown.capacity) {
        // Whoever follows was faster: there is nothing left to write, and nothing to tell.
        None
    } else {
        let change = if grown.node_stage {
            node_required(observed, attempt, grown, now)
        } else {
            finished(observed, grown, now)
        };
        if change != ClaimChange::none() {
            plan = plan.step(Step::Claim(change));
        }
        Some(grown.node_stage)
    };
    let plan = match told {
        Some(true) => plan.event(Event::normal(
            events::NODE_REQUIRED,
            "Require file system resize of volume on node".to_owned(),
        )),
        Some(false) => plan.event(Event::normal(
            events::SUCCESSFUL,
            "Resize volume succeeded".to_owned(),
        )),
        None => plan,
    };
    let plan = if told == Some(true) && is_short(attempt, grown) && !has_given_up(observed) {
        plan.event(short_event(observed, volume, attempt, grown))
    } else {
        plan
    };
    let memory = after_success(observed, attempt, grown, now);
    Plan { memory, ..plan }.then(Next::Again)
}

/// Rounds with a node that gives up are paced (Q16). While the size that is asked for differs from the allocated one, as with a
/// driver that rounds, kubelet gives up at any error, and such a one may pass: then the pace is kubelet's own.
fn after_success(observed: &Observed<'_>, attempt: &Attempt, grown: Grown, now: Timestamp) -> Memory {
    let claim = observed.claim;
    if !has_given_up(observed) {
        // Without recovery nothing else says that the node is to come.
        let waits = !observed.settings.recover && is_short(attempt, grown);
        return Memory {
            hold: waits.then(|| hold(observed, attempt, now)),
            ..Memory::default()
        };
    }
    let settings = observed.settings;
    let longest = match claim.request == claim.allocated {
        true => settings.retry_interval_max,
        false => settings.retry_interval_max.min(NODE_BACKOFF),
    };
    let rounds = observed.memory.node_rounds.saturating_add(1);
    let factor = 2_u32.saturating_pow(rounds.min(31) - 1);
    let wait = settings.retry_interval_start.saturating_mul(factor);
    Memory {
        node_rounds: rounds,
        hold: Some(Hold {
            until: later(now, wait.min(longest)),
            target: Some(attempt.target),
        }),
        ..Memory::default()
    }
}

/// The node has given up the last round.
fn has_given_up(observed: &Observed<'_>) -> bool {
    observed.claim.resize == Some(ResizeStatus::NodeResizeInfeasible)
}

fn short_event(observed: &Observed<'_>, volume: &Volume, attempt: &Attempt, grown: Grown) -> Event {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let (driver, what) = (&observed.settings.driver, answer(attempt, grown));
    let told = format!(
        "resize volume {name:?} by resizer {driver:?}: the CSI driver answered {what}; its node grows to what there is"
    );
    Event::warning(events::SHORT, told)
}

/// Begins with the volume.
fn with_volume(observed: &Observed<'_>, volume: &Volume, attempt: &Attempt, grown: Grown) -> Plan {
    let change = volume_change(observed, volume, attempt, grown);
    change
        .map(Step::Volume)
        .into_iter()
        .fold(begin(observed), Plan::step)
}

/// The volume's size only grows, unless a driver that works on its nodes only gives a size up (resize.md 3.8).
fn volume_change(
    observed: &Observed<'_>,
    volume: &Volume,
    attempt: &Attempt,
    grown: Grown,
) -> Option<VolumeChange> {
    let settings = observed.settings;
    let present = volume.capacity.unwrap_or_default();
    let capacity = if settings.controller_expands {
        present.max(grown.capacity)
    } else {
        grown.capacity
    };
    let annotate = settings.annotate && grown.node_stage && !volume.has_pre_resize_capacity;
    let before = attempt.before.filter(|before| annotate && *before < capacity);
    (capacity != present || before.is_some()).then_some(VolumeChange::Grown { capacity, before })
}

/// Kubelet writes the allocated size as the claim's, so that is never less than what was asked for.
fn node_required(observed: &Observed<'_>, attempt: &Attempt, grown: Grown, now: Timestamp) -> ClaimChange {
    let claim = observed.claim;
    let conditions = Conditions::of(claim, now);
    if !observed.settings.recover {
        return ClaimChange {
            conditions: conditions.only_node_required().changed(claim),
            ..ClaimChange::none()
        };
    }
    let pending = Some(ResizeStatus::NodeResizePending);
    let allocated = grown.capacity.max(attempt.target);
    ClaimChange {
        allocated: (claim.allocated != Some(allocated)).then_some(allocated),
        resize: (claim.resize != pending).then_some(pending),
        conditions: conditions.node_required().changed(claim),
        node_expansion_not_required: claim.node_expansion_not_required.then_some(false),
        ..ClaimChange::none()
    }
}

fn finished(observed: &Observed<'_>, grown: Grown, now: Timestamp) -> ClaimChange {
    let claim = observed.claim;
    let change = ClaimChange {
        capacity: Some(grown.capacity),
        conditions: Conditions::of(claim, now).finished().changed(claim),
        ..ClaimChange::none()
    };
    if !observed.settings.recover {
        return change;
    }
    ClaimChange {
        allocated: (claim.allocated != Some(grown.capacity)).then_some(grown.capacity),
        resize: claim.resize.map(|_| None),
        node_expansion_not_required: (!claim.node_expansion_not_required).then_some(true),
        ..change
    }
}

fn failed(
    observed: &Observed<'_>,
    volume: &Volume,
    attempt: &Attempt,
    failure: &CallFailure,
    now: Timestamp,
) -> Plan {
    let settings = observed.settings;
    let mut plan = begin(observed);
    plan.memory.attempt = None;
    let infeasible = failure.class == Class::Infeasible;
    let is_final = infeasible || failure.class == Class::Final;
    let message = format!("failed to expand pvc with {}", failure.text);
    // A driver that says when it may be asked again has not failed.
    let waits = failure.retry_after.is_some() && !infeasible;
    let change = match (settings.recover, waits) {
        (true, true) => wait_change(observed, failure, now),
        (true, false) => failure_change(observed, failure, &message, now),
        (false, _) => ClaimChange::none(),
    };
    if change != ClaimChange::none() {
        if change.conditions.is_some() && !waits {
            plan.memory.error_written = Some(now);
        }
        plan = plan.step(Step::Claim(change));
    }
    plan.memory.settled = (settings.recover && is_final).then_some(attempt.target);
    plan.memory.slow_until =
        (settings.recover && infeasible).then(|| later(now, settings.retry_interval_max));
    if failure.code == Some(Code::FailedPrecondition) && settings.handle_in_use {
        plan.memory.in_use_since = Some(now);
    }
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let driver = &settings.driver;
    let text = &failure.text;
    let plan = if waits {
        let told = format!("resize volume {name:?} by resizer {driver:?} waits: {text}");
        plan.event(Event::normal(events::WAITING, told))
    } else {
        let told = format!("resize volume {name:?} by resizer {driver:?} failed: {text}");
        plan.event(Event::warning(events::FAILED, told))
    };
    wait(observed, plan, attempt, failure, now)
}

/// As long as the driver asked for; for ever the same infeasible size slowly; else the back-off.
fn wait(
    observed: &Observed<'_>,
    mut plan: Plan,
    attempt: &Attempt,
    failure: &CallFailure,
    now: Timestamp,
) -> Plan {
    if let Some(asked) = failure.wait(LONGEST_WAIT) {
        let until = later(now, asked);
        // It refuses every size until then, unless it is the size that it refuses.
        let target = (failure.class == Class::Infeasible).then_some(attempt.target);
        plan.memory.hold = Some(Hold { until, target });
        return wait_until(plan, until, now);
    }
    if let Some(until) = plan.memory.slow_until {
        return wait_until(plan, until, now);
    }
    plan.then(Next::Backoff(Trouble {
        why: failure.text.clone(),
        of: backoff_of(observed, attempt.target),
    }))
}

/// The call may run now. The mark says so already, but for an infeasible size that was tried once more.
fn running(observed: &Observed<'_>) -> Option<Option<ResizeStatus>> {
    let is_infeasible = observed.claim.resize == Some(ResizeStatus::ControllerResizeInfeasible);
    is_infeasible.then_some(Some(ResizeStatus::ControllerResizeInProgress))
}

/// An error of an earlier call is over while the driver only waits.
fn wait_change(observed: &Observed<'_>, failure: &CallFailure, now: Timestamp) -> ClaimChange {
    let claim = observed.claim;
    ClaimChange {
        resize: running(observed).filter(|_| failure.class == Class::InProgress),
        conditions: Conditions::of(claim, now).waiting().changed(claim),
        ..ClaimChange::none()
    }
}

/// Nothing is written of an unclear outcome where the mark says already that the call may run `[K]`.
fn failure_change(
    observed: &Observed<'_>,
    failure: &CallFailure,
    message: &str,
    now: Timestamp,
) -> ClaimChange {
    let claim = observed.claim;
    let infeasible = failure.class == Class::Infeasible;
    // What failed before the call is told, whatever runs (Q13).
    let reached = Some(ResizeStatus::ControllerResizeInfeasible);
    if !infeasible && failure.class != Class::Final && failure.code.is_some() {
        return ClaimChange {
            resize: running(observed),
            ..ClaimChange::none()
        };
    }
    let conditions = if is_told(observed, message, now) {
        None
    } else {
        Conditions::of(claim, now)
            .failed(message.to_owned())
            .changed(claim)
    };
    ClaimChange {
        resize: (infeasible && claim.resize != reached).then_some(reached),
        conditions,
        ..ClaimChange::none()
    }
}

/// An equal error stands there, or one of the same code that was written less than a minute ago.
fn is_told(observed: &Observed<'_>, message: &str, now: Timestamp) -> bool {
    let Some(present) = conditions::find(observed.claim, CONTROLLER_RESIZE_ERROR) else {
        return false;
    };
    let present = present.message.as_deref().unwrap_or_default();
    if csi::mask::mask(present) == csi::mask::mask(message) {
        return true;
    }
    let written = observed.memory.error_written;
    code(present) == code(message) && written.is_some_and(|at| now.duration_since(at) < QUIET)
}

/// The text up to the description.
fn code(message: &str) -> &str {
    message.split_once(" desc = ").map_or(message, |(code, _)| code)
}
