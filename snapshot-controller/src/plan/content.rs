//! The controller's share of a content (spec snapshot 2.10).

use std::sync::Arc;

use controller::template::can_be_named;
use controller::{Action, Event, patch};
use crds::names;
use crds::v1::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use json_patch::PatchOperation;
use kube::ResourceExt;

use super::bind::{foreign_class, guarded};
use super::refusal::Refusal;
use super::{
    ContentIntent, Lookup, Plan, Source, Step, delete, is_bound, is_deleting, may_bind, settled, then_again,
    then_await, then_retry,
};
use crate::events::{self, CONTENT_VALIDATION_ERROR, SNAPSHOT_BIND_FAILED};

/// All that the decision about one content reads.
#[derive(Clone, Debug)]
pub struct ObservedContent {
    /// The content.
    pub content: Arc<VolumeSnapshotContent>,
    /// The snapshot under the name of its reference.
    pub snapshot: Lookup<Arc<VolumeSnapshot>>,
    /// The class that this snapshot names.
    pub class: Lookup<Arc<VolumeSnapshotClass>>,
    /// The snapshot is what the API server answered in this very round, not only what the cache holds.
    pub is_read: bool,
}

/// Decides about a content: its finalizer, and what becomes of it when it is deleted and its snapshot is no
/// more.
///
/// Sends: PATCH vsc; GET vs before a content is marked or let go on its own. Never a DELETE.
/// Source: spec snapshot 2.10, Q18.
#[must_use]
pub fn plan(observed: &ObservedContent) -> Plan {
    let content = &observed.content;
    let source = &content.spec.source;
    if source.volume_handle.is_some() == source.snapshot_handle.is_some() {
        return invalid();
    }
    if is_deleting(&**content) {
        return ending(observed);
    }
    if has_no_uid(content) {
        return unbound(observed);
    }
    let present = content.metadata.finalizers.as_deref();
    let operations = patch::add_finalizers(present, &[names::CONTENT_FINALIZER]);
    let step = changed(content, ContentIntent::Protect, operations);
    then_await(step.into_iter().map(Action::from).collect())
}

/// A content that no snapshot is bound to yet is left alone; that the one which asks for it names a class of another driver
/// is told on both.
fn unbound(observed: &ObservedContent) -> Plan {
    let content = &observed.content;
    let asks = observed.snapshot.found().is_some_and(|snapshot| {
        Source::of(snapshot) == Source::PreProvisioned(&content.name_any())
            && may_bind(content, snapshot)
            && !is_bound(content, snapshot)
    });
    let class = observed.class.found().filter(|_| asks);
    match class.and_then(|class| foreign_class(class, content)) {
        Some(text) => then_await(vec![Action::Event(Event::warning(SNAPSHOT_BIND_FAILED, text))]),
        None => settled(),
    }
}

/// A content that was deleted waits for the snapshot that is bound to it. Without one it is marked, so that the sidecar
/// follows its policy; one that was taken from a volume and has lost the UID goes at once and keeps its snapshot, since
/// nothing tells any more whose wish its deletion is.
fn ending(observed: &ObservedContent) -> Plan {
    let content = &observed.content;
    if let Some(snapshot) = observed.snapshot.found()
        && is_bound(content, snapshot)
    {
        return match is_deleting(&**snapshot) {
            true => settled(),
            false => then_await(vec![Action::Event(events::waits_for(snapshot))]),
        };
    }
    let Some(mark) =
        delete::mark(content).filter(|_| patch::has_finalizer(&content.metadata, names::CONTENT_FINALIZER))
    else {
        return settled();
    };
    if let (false, Some((namespace, name))) = (observed.is_read, named(content)) {
        return then_again(vec![Step::ReadSnapshot { namespace, name }.into()]);
    }
    if content.spec.source.volume_handle.is_none() || !has_no_uid(content) {
        return then_await(vec![mark.into()]);
    }
    let operations =
        patch::remove_finalizers(patch::finalizers(&content.metadata), &[names::CONTENT_FINALIZER]);
    let release = changed(content, ContentIntent::Release, operations);
    then_await(release.into_iter().map(Action::from).collect())
}

/// Namespace and name of the snapshot that the reference names. What is no name is not asked for: it would be a part of
/// the request's path, and nothing can have it.
fn named(content: &VolumeSnapshotContent) -> Option<(String, String)> {
    let reference = &content.spec.volume_snapshot_ref;
    let (namespace, name) = (reference.namespace.as_deref()?, reference.name.as_deref()?);
    can_be_named(namespace, name).then(|| (namespace.to_owned(), name.to_owned()))
}

fn has_no_uid(content: &VolumeSnapshotContent) -> bool {
    let uid = content.spec.volume_snapshot_ref.uid.as_deref();
    uid.unwrap_or_default().is_empty()
}

fn changed(
    content: &VolumeSnapshotContent,
    intent: ContentIntent,
    operations: Vec<PatchOperation>,
) -> Option<Step> {
    guarded(content.metadata.uid.as_deref(), operations).map(|change| Step::PatchContent {
        name: content.name_any(),
        intent,
        change,
    })
}

fn invalid() -> Plan {
    let refusal = Refusal::keeping(
        CONTENT_VALIDATION_ERROR,
        "exactly one of volumeHandle and snapshotHandle must be set in spec.source".to_owned(),
    );
    let told = Event::warning(refusal.reason, refusal.message.clone());
    then_retry(vec![Action::Event(told)], &refusal)
}
