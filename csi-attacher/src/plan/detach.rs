//! An attachment that was deleted. Source: sidecars.md 3.5, 3.6.

use controller::{CallFailure, Next, patch};
use csi::Class;
use jiff::Timestamp;
use runtime::objects::SecretName;
use tonic::Code;

use super::problem::{Of, Problem, Secret, held, secret, told};
use super::{Plan, Status, Step, Unpublish, differs, is_held, memory, node_id};
use crate::observe::{Answer, Observed, Published};
use crate::source::{NoSource, Source};

/// What is tried: what failed before the deletion does not hold it back (Q36).
const DETACH: &str = "detach";
/// After so many refusals in a row, some eight minutes, there is taken to be nothing under this name: drivers answer Internal for
/// a node that they do not know.
const TRIES: u32 = 9;

pub(super) fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    if !is_held(observed) && !differs(observed) {
        return Plan::resting(memory(observed));
    }
    if let Some(Answer::Unpublished(outcome)) = observed.answer {
        return unpublished(observed, outcome, now);
    }
    match wanted(observed) {
        Ok((call, secret)) => attempt(observed, call, secret.as_ref(), now),
        Err(problem) => told(observed, Of::Detachment, &problem, now),
    }
}

/// The call that the deletion wants.
fn wanted(observed: &Observed<'_>) -> Result<(Unpublish, Option<SecretName>), Problem> {
    let published = published(observed)?;
    let Some(node_id) = node_to_leave(observed) else {
        return Err(Problem::missing(format!(
            "cannot tell what the driver calls node {}: it has no CSINode with the driver, and the attachment no annotation {}",
            observed.attachment.node,
            runtime::objects::NODE_ID,
        )));
    };
    let call = Unpublish {
        handle: published.handle,
        node_id: node_id.to_owned(),
        migrated: published.migrated,
    };
    Ok((call, published.secret))
}

/// What was called with is what is undone: under the name of the node there may be another machine now. Where the driver does
/// not know it any more, what it calls the node now is asked for in turn: it may have changed its names.
fn node_to_leave<'a>(observed: &Observed<'a>) -> Option<&'a str> {
    let noted = observed.attachment.node_id.as_deref();
    let mut names = noted.into_iter().chain(node_id(observed));
    let unknown = observed.memory.unknown_node.as_deref();
    names
        .clone()
        .find(|name| unknown != Some(*name))
        .or_else(|| names.next())
}

/// The driver does not know what it was to detach, or from where; or says so by another final answer, again and again.
pub(super) fn is_unknown(observed: &Observed<'_>, failure: &CallFailure) -> bool {
    matches!(failure.code, Some(Code::NotFound | Code::InvalidArgument))
        || refusals(observed, failure) >= TRIES
}

/// How often in a row the driver has refused to detach for a reason that may lie in the name, with this time.
pub(super) fn refusals(observed: &Observed<'_>, failure: &CallFailure) -> u32 {
    let is_final = matches!(failure.class, Class::Final | Class::Infeasible);
    let of_another_reason = matches!(
        failure.code,
        Some(
            Code::PermissionDenied
                | Code::Unauthenticated
                | Code::FailedPrecondition
                | Code::ResourceExhausted
        )
    );
    match is_final && !of_another_reason {
        true => observed.memory.refusals.saturating_add(1),
        false => 0,
    }
}

/// The volume that was called with, also when its object is gone (Q33): under its name there may be another one now.
pub(super) fn published(observed: &Observed<'_>) -> Result<Published, Problem> {
    let attachment = observed.attachment;
    let present = Source::of(attachment, observed.volume).map(|source| Published::of(&source));
    let remembered = observed.memory.volume.as_deref().cloned();
    if let Some(noted) = Published::noted(attachment) {
        let mut known = present.ok().into_iter().chain(remembered);
        return Ok(known.find(|known| known.handle == noted.handle).unwrap_or(noted));
    }
    let error = match present {
        Ok(present) => return Ok(present),
        Err(error) => error,
    };
    remembered.ok_or_else(|| match error {
        NoSource::Missing(_) => Problem::missing(format!(
            "{error}, and nothing else tells what the driver calls it: detach it by hand, then remove the finalizer {} \
             from this VolumeAttachment",
            observed.settings.finalizer
        )),
        _ => Problem::new(error.to_string()),
    })
}

fn attempt(observed: &Observed<'_>, call: Unpublish, needed: Option<&SecretName>, now: Timestamp) -> Plan {
    let mut plan = Plan::resting(memory(observed));
    if !differs(observed)
        && let Some(until) = held(observed, DETACH, now)
    {
        return plan.then(Next::Held(until));
    }
    plan.memory.missing_since = None;
    plan.memory.not_before = None;
    match secret(observed, needed) {
        Ok(Secret::Ready) => plan.step(Step::Unpublish(call)).then(Next::Again),
        Ok(Secret::Unread(name)) => plan.read_secret(name).then(Next::Again),
        Err(problem) => told(observed, Of::Detachment, &problem, now),
    }
}

/// The status is written first, and only where somebody else holds the attachment: whoever holds it then reads the truth, and
/// a process that dies between the two detaches once more, which does no harm (Q32).
fn unpublished(observed: &Observed<'_>, outcome: &Result<(), CallFailure>, now: Timestamp) -> Plan {
    if let Err(failure) = outcome {
        let problem = Problem::of_call(failure, DETACH.to_owned());
        let mut plan = told(observed, Of::Detachment, &problem, now);
        let left = node_to_leave(observed).filter(|_| is_unknown(observed, failure));
        plan.memory.refusals = match left {
            Some(_) => 0,
            None => refusals(observed, failure),
        };
        plan.memory.unknown_node = left.map(str::to_owned);
        return plan;
    }
    let mut plan = Plan::resting(memory(observed));
    plan.memory.refusals = 0;
    plan.memory.settled_difference = observed.differs_since;
    let metadata = &observed.attachment.metadata;
    let finalizer = &observed.settings.finalizer;
    let stays = patch::finalizers(metadata).iter().any(|other| other != finalizer);
    let status = observed.attachment.status.as_ref();
    let is_written = status.is_none_or(|status| {
        !status.attached && status.detach_error.is_none() && status.attachment_metadata.is_empty()
    });
    if stays && !is_written {
        plan = plan.step(Step::Status(Status::Detached));
    }
    if is_held(observed) {
        plan = plan.step(Step::Release);
    }
    plan
}
