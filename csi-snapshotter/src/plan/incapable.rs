//! Contents of groups whose driver takes none: who waits is told once, and nothing that was never taken holds up a deletion.
//! The driver is not called. Once it has groups its sidecar starts anew, and takes what waits. Source: snapshot.md 4.2.

use controller::Event;
use controller::template::can_be_named;
use crds::group::v1::VolumeGroupSnapshot;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;

use super::{Plan, StatusChange, Step, delete};
use crate::content::Content;
use crate::events;
use crate::observe::{Memory, Observed};

/// Decides about a content that this driver cannot serve.
///
/// Reads: status, policy, marks. Sends: PATCH of the status, or the end of the finalizer.
pub(super) fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let content = observed.content;
    if delete::is_wanted_unmarked(content) || delete::is_unbound(content) {
        return delete::plan(observed, now);
    }
    if content.is_ready() {
        return Plan::resting(Memory::default());
    }
    told(observed, now)
}

/// Nothing is gained by trying again. What stands in the status was told, by whatever process.
fn told(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let content = observed.content;
    let plan = Plan::resting(Memory::default());
    let status = content.status().unwrap_or_default();
    let message = format!(
        "the CSI driver {} takes no group snapshots: it lacks the capability CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT; take a \
         VolumeSnapshot of each claim instead",
        observed.settings.driver
    );
    if status.error.and_then(|error| error.message.as_ref()) == Some(&message) {
        return plan;
    }
    let event = Event::warning(events::GROUP_NOT_SUPPORTED, message.clone());
    let plan = plan
        .step(Step::Status(StatusChange::Failed {
            message,
            time: now,
            not_ready: status.ready != Some(false),
        }))
        .event(event.clone());
    match asker(content) {
        Some(asker) => plan.event(event.about(asker)),
        None => plan,
    }
}

/// The VolumeGroupSnapshot, once the content is bound to it: the events of a content are in another namespace than those that
/// its users look at.
fn asker(content: &dyn Content) -> Option<ObjectReference> {
    let reference = content.reference();
    let (namespace, name) = (reference.namespace.as_deref()?, reference.name.as_deref()?);
    let is_bound = !content.asker_uid().is_empty() && can_be_named(namespace, name);
    is_bound.then(|| ObjectReference {
        api_version: Some(VolumeGroupSnapshot::api_version(&()).into_owned()),
        kind: Some(VolumeGroupSnapshot::kind(&()).into_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        uid: reference.uid.clone(),
        ..ObjectReference::default()
    })
}

/// Lets go of a content that is to go, unless the driver had groups before and may have taken one for it: that would be left
/// behind unseen.
pub(super) fn end(observed: &Observed<'_>, plan: Plan) -> Plan {
    let content = observed.content;
    let what = match content.stored_handle() {
        Some(handle) => format!("group {handle} exists"),
        None if content.call_may_run() => "a call that was begun may have taken one".to_owned(),
        None => return delete::without_finalizer(observed, plan),
    };
    if !content.deletes() {
        return delete::without_finalizer(observed, plan);
    }
    let text = format!(
        "Failed to delete group snapshot: the CSI driver {} takes no group snapshots any more, but {what}; use a \
         version of it that has groups, or set spec.deletionPolicy to Retain to let this content go, and delete the group in \
         the storage system",
        observed.settings.driver
    );
    delete::failed(observed, plan, &text)
}
