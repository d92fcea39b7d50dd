//! Deletion of a snapshot (spec snapshot 2.8).

use crds::names;
use crds::v1::{DeletionPolicy, VolumeSnapshotContent};
use kube::ResourceExt;

use super::bind::owned_content;
use super::patch::{self, Change};
use super::refusal::Refusal;
use super::{Lookup, Next, Observed, Plan, Step, content_name, is_deleting};
use crate::events::{Event, SNAPSHOT_DELETE_PENDING};

/// Our finalizers on a snapshot.
const OURS: [&str; 3] = [
    names::SNAPSHOT_SOURCE_FINALIZER,
    names::SNAPSHOT_BOUND_FINALIZER,
    names::SNAPSHOT_IN_GROUP_FINALIZER,
];

/// Decides about a snapshot that is being deleted.
///
/// The content's own policy holds, not the class's. Under Delete the finalizers stay until the content is
/// gone; all of them go in one PATCH. Groups are off, so a member is released like any other (Q14, Q20).
/// Reads: finalizers, content, pending restores. Sends: PATCH vsc, DELETE vsc, PATCH vs.
/// Source: spec snapshot 2.8, decision 13.
#[must_use]
pub fn plan(observed: &Observed) -> Plan {
    let metadata = &observed.snapshot.metadata;
    if !OURS.iter().any(|name| patch::has_finalizer(metadata, name)) {
        return Plan::settled();
    }
    if observed.content == Lookup::Unknown {
        return Plan::then_again(vec![Step::ReadContent {
            name: content_name(&observed.snapshot).unwrap_or_default(),
        }]);
    }
    let Some(content) = owned_content(observed) else {
        return Plan::then_await(vec![release(observed)]);
    };
    if !observed.restores.is_empty() {
        return pending(&observed.restores);
    }
    let mut steps = Vec::new();
    steps.extend(mark(content));
    match content.spec.deletion_policy {
        DeletionPolicy::Delete => {
            if !is_deleting(content) {
                steps.push(Step::DeleteContent {
                    name: content.name_any(),
                    uid: content.uid().unwrap_or_default(),
                });
            }
        }
        DeletionPolicy::Retain => steps.push(release(observed)),
    }
    Plan::then_await(steps)
}

/// The PATCH that tells the sidecar that the snapshot is going; nothing when the mark is there.
#[must_use]
pub fn mark(content: &VolumeSnapshotContent) -> Option<Step> {
    let key = names::BEING_DELETED_ANNOTATION;
    (!patch::has_annotation(&content.metadata, key)).then(|| Step::PatchContent {
        name: content.name_any(),
        change: patch::annotate(&content.metadata, key, names::MARK_VALUE),
    })
}

fn release(observed: &Observed) -> Step {
    let metadata = &observed.snapshot.metadata;
    let mut operations = vec![patch::same_object(metadata.uid.as_deref())];
    operations.extend(patch::remove_finalizers(patch::finalizers(metadata), &OURS));
    Step::PatchSnapshot(Change::json(operations))
}

fn pending(restores: &[String]) -> Plan {
    let refusal = Refusal::keeping(
        SNAPSHOT_DELETE_PENDING,
        format!("Snapshot is being used to restore a PVC: {}", restores.join(", ")),
    );
    Plan {
        steps: vec![Step::Event(Event::warning(
            refusal.reason,
            refusal.message.clone(),
        ))],
        next: Next::Retry(refusal),
    }
}
