//! A group and a content that exists: checks, binding, finalizer, members, status (spec snapshot 4.1, 4.5).

use controller::Action;
use controller::patch;
use crds::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotContent};
use crds::names::group as names;
use jiff::Timestamp;
use json_patch::PatchOperation;
use kube::ResourceExt;
use serde_json::json;

use super::super::bind::{guarded, stale_marks};
use super::create::{class_missing, content_missing};
use super::{
    ContentIntent, ObservedGroup, Plan, Refusal, Source, Step, bound_name, is_bound, is_deleting, may_bind,
    member, refuse, status, then_again, then_await,
};
use crate::events::group::{self as events, BIND_FAILED, CONTENT_MISBOUND, CONTENT_MISMATCH, MISBOUND};

/// Decides about a pre-provisioned group that is not being deleted.
///
/// Reads: content, class. Sends: PATCH vgs, PATCH vgsc, PATCH vgs/status. Source: spec snapshot 4.5.
#[must_use]
pub fn plan(observed: &ObservedGroup, now: Timestamp) -> Plan {
    let Some(content) = observed.content.found() else {
        return refuse(observed, &content_missing(), now);
    };
    if !is_bound(content, &observed.group) {
        let refusal = class_missing(observed)
            .or_else(|| class_of_another_driver(observed, content))
            .or_else(|| being_deleted(observed, content));
        if let Some(refusal) = refusal {
            return refuse(observed, &refusal, now);
        }
    }
    keep_up(observed, content, now)
}

/// Decides about a group whose content exists: that the two belong together, finalizer, binding, members, status. The
/// members come before the group is called ready.
#[must_use]
pub fn keep_up(observed: &ObservedGroup, content: &VolumeGroupSnapshotContent, now: Timestamp) -> Plan {
    let group = &observed.group;
    if let Some(refusal) = strangers(group, content) {
        return refuse(observed, &refusal, now);
    }
    let mut actions: Vec<Action<Step>> = [own(group, None), bind(group, content)]
        .into_iter()
        .flatten()
        .map(Action::from)
        .collect();
    let members = match member::missing(observed, content) {
        Ok(steps) => steps,
        Err(refusal) => return refuse(observed, &refusal, now),
    };
    if !members.is_empty() {
        actions.extend(members.into_iter().map(Action::from));
        return then_again(actions);
    }
    actions.extend(status::follow(group, content));
    if is_deleting(content) {
        actions.push(Action::Event(events::content_was_deleted(content)));
    }
    then_await(actions)
}

/// The PATCH that gives the group its finalizer, and the class that was chosen for it. Nothing when they are there.
#[must_use]
pub fn own(group: &VolumeGroupSnapshot, class_name: Option<String>) -> Option<Step> {
    let present = group.metadata.finalizers.as_deref();
    let mut operations = patch::add_finalizers(present, &[names::SNAPSHOT_FINALIZER]);
    if let Some(name) = class_name {
        let path = ["spec", "volumeGroupSnapshotClassName"];
        operations.push(patch::test(
            &path,
            json!(group.spec.volume_group_snapshot_class_name),
        ));
        operations.push(patch::add(&path, name));
    }
    guarded(group.metadata.uid.as_deref(), operations).map(Step::PatchGroup)
}

/// The PATCH that binds a pre-provisioned content: UID, class and finalizer at once, and without marks that it may have
/// brought from elsewhere. Nothing when all is so.
fn bind(group: &VolumeGroupSnapshot, content: &VolumeGroupSnapshotContent) -> Option<Step> {
    let unbound = !is_bound(content, group);
    let mut operations: Vec<PatchOperation> = Vec::new();
    if unbound {
        let seen = &content.spec.volume_group_snapshot_ref;
        let path = ["spec", "volumeGroupSnapshotRef", "uid"];
        operations.push(patch::test(&path, json!(seen.uid)));
        operations.push(patch::add(&path, group.uid().unwrap_or_default()));
        operations.extend(class_for(group, content));
    }
    let marks = [
        (names::BEING_DELETED_ANNOTATION, true),
        (names::BEING_CREATED_ANNOTATION, unbound),
    ];
    operations.extend(stale_marks(&content.metadata, marks));
    // None can be added to an object that is being deleted.
    if unbound && !is_deleting(content) {
        let present = content.metadata.finalizers.as_deref();
        operations.extend(patch::add_finalizers(present, &[names::CONTENT_FINALIZER]));
    }
    let intent = ContentIntent::Bind;
    guarded(content.metadata.uid.as_deref(), operations).map(|change| Step::PatchContent { intent, change })
}

/// The class of a content can be set once.
fn class_for(group: &VolumeGroupSnapshot, content: &VolumeGroupSnapshotContent) -> Vec<PatchOperation> {
    let path = ["spec", "volumeGroupSnapshotClassName"];
    let wanted = group.spec.volume_group_snapshot_class_name.as_deref();
    match (wanted, content.spec.volume_group_snapshot_class_name.as_deref()) {
        (Some(class), None) => vec![
            patch::test(&path, serde_json::Value::Null),
            patch::add(&path, class),
        ],
        _ => Vec::new(),
    }
}

/// A content of one driver is not bound under a class of another one: the class would go into the content.
fn class_of_another_driver(
    observed: &ObservedGroup,
    content: &VolumeGroupSnapshotContent,
) -> Option<Refusal> {
    let class = observed
        .class
        .found()
        .filter(|class| class.driver != content.spec.driver)?;
    let text = format!(
        "GroupSnapshot failed to bind VolumeGroupSnapshotContent {}: VolumeGroupSnapshotClass {} is of driver {}, but the \
         content is of driver {}",
        content.name_any(),
        class.name_any(),
        class.driver,
        content.spec.driver
    );
    Some(Refusal::lowering(BIND_FAILED, text))
}

fn being_deleted(observed: &ObservedGroup, content: &VolumeGroupSnapshotContent) -> Option<Refusal> {
    (is_deleting(content) && may_bind(content, &observed.group)).then(|| {
        let name = content.name_any();
        let text =
            format!("GroupSnapshot failed to bind VolumeGroupSnapshotContent {name}: it is being deleted");
        Refusal::lowering(BIND_FAILED, text)
    })
}

/// Why the two do not belong together, if they do not.
fn strangers(group: &VolumeGroupSnapshot, content: &VolumeGroupSnapshotContent) -> Option<Refusal> {
    let name = content.name_any();
    let source = &content.spec.source;
    let is_given = matches!(Source::of(group), Source::PreProvisioned(_));
    if is_given && source.group_snapshot_handles.is_none() {
        let text = format!(
            "VolumeGroupSnapshotContent {name} is made from volumes; a pre-provisioned one with \
             spec.source.groupSnapshotHandles is needed"
        );
        return Some(Refusal::lowering(CONTENT_MISMATCH, text));
    }
    let handle = source.group_snapshot_handles.as_ref();
    if handle.is_some_and(|handles| handles.volume_group_snapshot_handle.trim().is_empty()) {
        let text = format!(
            "VolumeGroupSnapshotContent {name}: volumeGroupSnapshotHandle is blank and names nothing; delete it and make \
             another one"
        );
        return Some(Refusal::lowering(CONTENT_MISMATCH, text));
    }
    if !is_given && source.volume_handles.is_none() {
        let text = format!(
            "VolumeGroupSnapshotContent {name} is pre-provisioned; one made from volumes is needed for a group snapshot \
             of claims"
        );
        return Some(Refusal::lowering(CONTENT_MISMATCH, text));
    }
    let belongs = match is_given {
        true => may_bind(content, group),
        false => is_bound(content, group),
    };
    if belongs {
        return None;
    }
    if bound_name(group) == Some(name.as_str()) {
        let text =
            format!("VolumeGroupSnapshot is not bound to the VolumeGroupSnapshotContent {name} any more");
        return Some(Refusal::lowering(MISBOUND, text));
    }
    let reference = &content.spec.volume_group_snapshot_ref;
    let text = format!(
        "VolumeGroupSnapshotContent {name} is bound to a different VolumeGroupSnapshot: {}/{} with UID {:?}",
        reference.namespace.as_deref().unwrap_or_default(),
        reference.name.as_deref().unwrap_or_default(),
        reference.uid.as_deref().unwrap_or_default()
    );
    Some(Refusal::lowering(CONTENT_MISBOUND, text))
}
