//! The controller's share of a group's content (spec snapshot 4.2).

use std::sync::Arc;

use controller::template::can_be_named;
use controller::{Action, Event, patch};
use crds::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotContent};
use crds::names::group as names;
use json_patch::PatchOperation;

use super::super::bind::guarded;
use super::{
    ContentIntent, Lookup, Plan, Refusal, Step, delete, is_bound, is_deleting, settled, then_again,
    then_await, then_retry,
};
use crate::events::group::{self as events, CONTENT_VALIDATION_ERROR};

/// All that the decision about one content reads.
#[derive(Clone, Debug)]
pub struct ObservedGroupContent {
    /// The content.
    pub content: Arc<VolumeGroupSnapshotContent>,
    /// The group under the name of its reference.
    pub group: Lookup<Arc<VolumeGroupSnapshot>>,
    /// The group is what the API server answered in this very round, not only what the cache holds.
    pub is_read: bool,
}

/// Decides about a content: its finalizer, and what becomes of it when it is deleted and its group is no more.
///
/// Sends: PATCH vgsc; GET vgs before a content is marked or let go on its own. Never a DELETE.
/// Source: spec snapshot 4.2, 2.10, Q18.
#[must_use]
pub fn plan(observed: &ObservedGroupContent) -> Plan {
    let content = &observed.content;
    let source = &content.spec.source;
    if source.volume_handles.is_some() == source.group_snapshot_handles.is_some() {
        return invalid();
    }
    if is_deleting(&**content) {
        return ending(observed);
    }
    if has_no_uid(content) {
        return settled();
    }
    let present = content.metadata.finalizers.as_deref();
    let operations = patch::add_finalizers(present, &[names::CONTENT_FINALIZER]);
    let step = changed(content, ContentIntent::Protect, operations);
    then_await(step.into_iter().map(Action::from).collect())
}

/// A content that was deleted waits for the group that is bound to it. Without one it is marked, so that the sidecar
/// follows its policy; one that was taken from volumes and has no UID goes at once and keeps its snapshots, since
/// nothing tells whose wish its deletion is.
fn ending(observed: &ObservedGroupContent) -> Plan {
    let content = &observed.content;
    if let Some(group) = observed.group.found()
        && is_bound(content, group)
    {
        return match is_deleting(&**group) {
            true => settled(),
            false => then_await(vec![Action::Event(events::waits_for(group))]),
        };
    }
    let Some(mark) =
        delete::mark(content).filter(|_| patch::has_finalizer(&content.metadata, names::CONTENT_FINALIZER))
    else {
        return settled();
    };
    if let (false, Some((namespace, name))) = (observed.is_read, named(content)) {
        return then_again(vec![Step::ReadGroup { namespace, name }.into()]);
    }
    if content.spec.source.volume_handles.is_none() || !has_no_uid(content) {
        return then_await(vec![mark.into()]);
    }
    let ours = [names::CONTENT_FINALIZER];
    let operations = patch::remove_finalizers(patch::finalizers(&content.metadata), &ours);
    let release = changed(content, ContentIntent::Release, operations);
    then_await(release.into_iter().map(Action::from).collect())
}

/// Namespace and name of the group that the reference names. What is no name is not asked for.
fn named(content: &VolumeGroupSnapshotContent) -> Option<(String, String)> {
    let reference = &content.spec.volume_group_snapshot_ref;
    let (namespace, name) = (reference.namespace.as_deref()?, reference.name.as_deref()?);
    can_be_named(namespace, name).then(|| (namespace.to_owned(), name.to_owned()))
}

fn has_no_uid(content: &VolumeGroupSnapshotContent) -> bool {
    let uid = content.spec.volume_group_snapshot_ref.uid.as_deref();
    uid.unwrap_or_default().is_empty()
}

fn changed(
    content: &VolumeGroupSnapshotContent,
    intent: ContentIntent,
    operations: Vec<PatchOperation>,
) -> Option<Step> {
    guarded(content.metadata.uid.as_deref(), operations).map(|change| Step::PatchContent { intent, change })
}

fn invalid() -> Plan {
    let refusal = Refusal::keeping(
        CONTENT_VALIDATION_ERROR,
        "exactly one of volumeHandles and groupSnapshotHandles must be set in spec.source".to_owned(),
    );
    let told = Event::warning(refusal.reason, refusal.message.clone());
    then_retry(vec![Action::Event(told)], &refusal)
}
