//! The controller's share of a content (spec snapshot 2.10).

use std::sync::Arc;

use controller::{Action, Event, patch};
use crds::names;
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use kube::ResourceExt;

use super::bind::guarded;
use super::refusal::Refusal;
use super::{Lookup, Plan, Step, delete, is_deleting, settled, then_again, then_await, then_retry};
use crate::events::CONTENT_VALIDATION_ERROR;

/// All that the decision about one content reads.
#[derive(Clone, Debug)]
pub struct ObservedContent {
    /// The content.
    pub content: Arc<VolumeSnapshotContent>,
    /// What the cache holds under the name of its reference.
    pub snapshot: Lookup<Arc<VolumeSnapshot>>,
    /// A read of the API server in this very round found no snapshot of the reference's UID.
    pub confirmed_gone: bool,
}

/// Decides about a content: its finalizer, and what becomes of it when it is deleted and its snapshot is no
/// more.
///
/// Sends: PATCH vsc; GET vs before a content is marked on its own. Never a DELETE.
/// Source: spec snapshot 2.10, Q18.
#[must_use]
pub fn plan(observed: &ObservedContent) -> Plan {
    let content = &observed.content;
    let source = &content.spec.source;
    if source.volume_handle.is_some() == source.snapshot_handle.is_some() {
        return invalid();
    }
    let reference = &content.spec.volume_snapshot_ref;
    if reference.uid.as_deref().unwrap_or_default().is_empty() {
        return settled();
    }
    let finalizer = names::CONTENT_FINALIZER;
    let held = patch::has_finalizer(&content.metadata, finalizer);
    if !is_deleting(&**content) {
        let operations = patch::add_finalizers(content.metadata.finalizers.as_deref(), &[finalizer]);
        let change = guarded(content.metadata.uid.as_deref(), operations);
        let step = change.map(|change| Step::PatchContent {
            name: content.name_any(),
            change,
        });
        return then_await(step.into_iter().map(Action::from).collect());
    }
    if !held || has_owner(observed) {
        return settled();
    }
    let Some(mark) = delete::mark(content) else {
        return settled();
    };
    if observed.confirmed_gone {
        return then_await(vec![mark.into()]);
    }
    let read = Step::ReadSnapshot {
        namespace: reference.namespace.clone().unwrap_or_default(),
        name: reference.name.clone().unwrap_or_default(),
    };
    then_again(vec![read.into()])
}

fn has_owner(observed: &ObservedContent) -> bool {
    observed
        .snapshot
        .found()
        .is_some_and(|snapshot| snapshot.metadata.uid == observed.content.spec.volume_snapshot_ref.uid)
}

fn invalid() -> Plan {
    let refusal = Refusal::keeping(
        CONTENT_VALIDATION_ERROR,
        "exactly one of volumeHandle and snapshotHandle must be set in spec.source".to_owned(),
    );
    let told = Event::warning(refusal.reason, refusal.message.clone());
    then_retry(vec![Action::Event(told)], &refusal)
}
