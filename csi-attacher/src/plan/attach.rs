//! An attachment that was not deleted. Source: sidecars.md 3.4, 3.6.

use std::collections::BTreeMap;

use controller::capability::{self, Access};
use controller::{Next, patch};
use jiff::Timestamp;
use runtime::objects::SecretName;

use super::detach::{is_unknown, published, refusals};
use super::problem::{Of, Problem, Secret, held, secret, told};
use super::{Mark, Plan, Publish, Status, Step, Unpublish, differs, is_held, memory, node_id};
use crate::observe::{Answer, Observed};
use crate::source::{NoSource, Source};

/// What is tried: leaving what is noted (Q36).
const LEAVE: &str = "leave";

pub(super) fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let is_wanted = !observed.attachment.is_attached() || differs(observed);
    if !is_wanted {
        return refuted(observed);
    }
    match (observed.answer, wanted(observed)) {
        (Some(Answer::Published(Ok(context))), _) => attached(observed, context),
        (_, Err(problem)) => told(observed, Of::Attachment, &problem, now),
        (Some(Answer::Published(Err(failure))), Ok((_, publish))) => {
            let problem = Problem::of_call(failure, of(&publish));
            told(observed, Of::Attachment, &problem, now)
        }
        (Some(Answer::Unpublished(Ok(()))), Ok((source, publish))) => {
            publishing(observed, &source, publish, now)
        }
        (Some(Answer::Unpublished(Err(failure))), Ok((source, publish))) => {
            if is_unknown(observed, failure) {
                return publishing(observed, &source, publish, now);
            }
            let problem = Problem::of_call(failure, LEAVE.to_owned());
            let mut plan = told(observed, Of::Attachment, &problem, now);
            plan.memory.refusals = refusals(observed, failure);
            plan
        }
        (_, Ok((source, publish))) => attempt(observed, &source, publish, now),
    }
}

/// It is attached. An error beside that is of a call that came too late: the first one was answered, but nobody had heard of it
/// yet (case 156); or of one that was made because the driver lists it differently, and stays as long as it does.
fn refuted(observed: &Observed<'_>) -> Plan {
    let plan = done(observed);
    match &observed.attachment.status {
        Some(status) if status.attach_error.is_some() && observed.differs_since.is_none() => {
            plan.step(Step::Status(Status::Attached(status.attachment_metadata.clone())))
        }
        _ => plan,
    }
}

/// Nothing to do; what may be needed for the detachment is remembered.
fn done(observed: &Observed<'_>) -> Plan {
    let mut memory = memory(observed);
    memory.missing_since = None;
    memory.not_before = None;
    Plan::resting(memory)
}

/// The call that the attachment wants.
fn wanted<'a>(observed: &Observed<'a>) -> Result<(Source<'a>, Publish), Problem> {
    let (attachment, settings) = (observed.attachment, observed.settings);
    let source = Source::of(attachment, observed.volume).map_err(|error| match error {
        // Those of other drivers are not followed.
        NoSource::Missing(_) => Problem::missing(format!(
            "{error}, or it is none of the CSI driver {}",
            settings.driver
        )),
        _ => Problem::new(error.to_string()),
    })?;
    if source.volume.metadata.deletion_timestamp.is_some() {
        let name = attachment.volume.as_deref().unwrap_or_default();
        return Err(Problem::new(format!(
            "PersistentVolume {name:?} is marked for deletion"
        )));
    }
    if source.csi.driver != settings.driver {
        return Err(Problem::new(format!(
            "the volume is one of the CSI driver {}",
            source.csi.driver
        )));
    }
    let fs_type = source
        .csi
        .fs_type
        .as_deref()
        .filter(|fs_type| !fs_type.is_empty());
    let access = Access {
        fs_type: fs_type.unwrap_or(&settings.default_fs_type),
        single_node_multi_writer: settings.single_node_multi_writer,
    };
    let capability =
        capability::of(source.volume, &access).map_err(|error| Problem::new(error.to_string()))?;
    let (node, driver) = (&attachment.node, &settings.driver);
    let Some(node_id) = node_id(observed) else {
        return Err(Problem::missing(match observed.node {
            None => format!("CSINode {node} not found: kubelet of {node} knows no CSI driver yet"),
            Some(_) => format!(
                "CSINode {node} does not contain driver {driver}: is its node plugin running on {node}?"
            ),
        }));
    };
    let publish = Publish {
        handle: source.csi.volume_handle.clone(),
        node_id: node_id.to_owned(),
        capability,
        read_only: source.csi.read_only && settings.publishes_read_only,
        attributes: source.csi.volume_attributes.clone(),
        migrated: source.migrated,
    };
    Ok((source, publish))
}

/// What may be attached under other names is detached first: the note of it is all that tells of it.
fn attempt(observed: &Observed<'_>, source: &Source<'_>, publish: Publish, now: Timestamp) -> Plan {
    if !differs(observed)
        && let Some(until) = held(observed, &of(&publish), now)
    {
        return Plan::resting(memory(observed)).then(Next::Held(until));
    }
    let Some((call, needed)) = to_leave(observed, &publish) else {
        return publishing(observed, source, publish, now);
    };
    if let Some(until) = held(observed, LEAVE, now) {
        return Plan::resting(memory(observed)).then(Next::Held(until));
    }
    match secret(observed, needed.as_ref()) {
        Ok(Secret::Ready) => done(observed).step(Step::Unpublish(call)).then(Next::Again),
        Ok(Secret::Unread(name)) => done(observed).read_secret(name).then(Next::Again),
        Err(problem) => told(observed, Of::Attachment, &problem, now),
    }
}

/// The call that undoes one under another name of node or volume, of which nothing else is known than that it was made. What is
/// attached is in use, under whatever name.
fn to_leave(observed: &Observed<'_>, publish: &Publish) -> Option<(Unpublish, Option<SecretName>)> {
    if !is_held(observed) || observed.attachment.is_attached() {
        return None;
    }
    let noted = published(observed).ok()?;
    let node_id = observed.attachment.node_id.as_deref().unwrap_or(&publish.node_id);
    let is_other = node_id != publish.node_id || noted.handle != publish.handle;
    let call = Unpublish {
        handle: noted.handle,
        node_id: node_id.to_owned(),
        migrated: noted.migrated,
    };
    let is_left = observed.memory.left.as_deref() == Some(&call);
    (is_other && !is_left).then_some((call, noted.secret))
}

/// The finalizers and the note come before the call: it must be undone whatever happens to this process.
fn publishing(observed: &Observed<'_>, source: &Source<'_>, publish: Publish, now: Timestamp) -> Plan {
    let mut plan = done(observed);
    match secret(observed, source.secret()) {
        Ok(Secret::Ready) => (plan.memory.left, plan.memory.refusals) = (None, 0),
        Ok(Secret::Unread(name)) => {
            if let Some((left, _)) = to_leave(observed, &publish) {
                plan.memory.left = Some(Box::new(left));
            }
            return plan.read_secret(name).then(Next::Again);
        }
        Err(problem) => return told(observed, Of::Attachment, &problem, now),
    }
    let finalizer = &observed.settings.finalizer;
    if observed.attachment.volume.is_some() && !patch::has_finalizer(&source.volume.metadata, finalizer) {
        plan = plan.step(Step::Keep);
    }
    if let Some(mark) = mark(observed, &publish) {
        plan = plan.step(Step::Mark(mark));
    }
    plan.step(Step::Publish(publish)).then(Next::Again)
}

/// What is not yet written down.
fn mark(observed: &Observed<'_>, publish: &Publish) -> Option<Mark> {
    let attachment = observed.attachment;
    let handle = attachment.volume.is_some().then_some(publish.handle.as_str());
    let is_noted = attachment.node_id.as_deref() == Some(&publish.node_id)
        && (handle.is_none() || attachment.volume_handle.as_deref() == handle);
    (!is_held(observed) || !is_noted).then(|| Mark {
        node_id: publish.node_id.clone(),
        volume_handle: handle.map(str::to_owned),
    })
}

/// The driver has attached it, whatever the caches say meanwhile.
fn attached(observed: &Observed<'_>, context: &BTreeMap<String, String>) -> Plan {
    let mut plan = done(observed);
    plan.memory.settled_difference = observed.differs_since;
    let status = observed.attachment.status.as_ref();
    let is_written = status.is_some_and(|status| {
        status.attached && status.attach_error.is_none() && status.attachment_metadata == *context
    });
    if is_written {
        return plan;
    }
    plan.step(Step::Status(Status::Attached(context.clone())))
}

/// A node or a volume that has another name since is tried at once (Q36).
fn of(publish: &Publish) -> String {
    format!("attach {} to {}", publish.handle, publish.node_id)
}
