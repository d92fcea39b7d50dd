//! Deletion of a snapshot (spec snapshot 2.8).

use controller::patch::{self, Change};
use controller::{Action, Event, Next, UNTIL_GROWN};
use crds::group::v1::VolumeGroupSnapshot;
use crds::names;
use crds::v1::{DeletionPolicy, VolumeSnapshot, VolumeSnapshotContent};
use kube::ResourceExt;
use runtime::ObjectKey;

use super::bind::owned_content;
use super::create::read_again;
use super::refusal::Refusal;
use super::{
    ContentIntent, Lookup, Observed, Plan, Step, is_deleting, settled, then_again, then_await, then_retry,
};
use crate::events::SNAPSHOT_DELETE_PENDING;

/// Our finalizers on a snapshot.
const OURS: [&str; 3] = [
    names::SNAPSHOT_SOURCE_FINALIZER,
    names::SNAPSHOT_BOUND_FINALIZER,
    names::SNAPSHOT_IN_GROUP_FINALIZER,
];

/// Decides about a snapshot that is being deleted.
///
/// The content's own policy holds, not the class's. Under Delete the finalizers stay until the content is
/// gone; all of them go in one PATCH. A member waits for its group; while groups are off it is released like any other
/// (Q14, Q20). Reads: finalizers, content, group, pending restores. Sends: PATCH vsc, DELETE vsc, PATCH vs.
/// Source: spec snapshot 2.8, decision 13.
#[must_use]
pub fn plan(observed: &Observed) -> Plan {
    let metadata = &observed.snapshot.metadata;
    if !OURS.iter().any(|name| patch::has_finalizer(metadata, name)) {
        return settled();
    }
    match &observed.group {
        Lookup::Found(group) => return held(observed, group),
        // Whether it is gone will be known soon, and that wakes its members.
        Lookup::Unknown => return settled(),
        Lookup::Absent | Lookup::NotReferenced => {}
    }
    if observed.content == Lookup::Unknown {
        return then_again(vec![read_again(observed).into()]);
    }
    if !observed.sees_users {
        // What is bound to it or filled from it may only not be known yet.
        return settled().then(Next::After(UNTIL_GROWN));
    }
    let Some(content) = owned_content(observed) else {
        return then_await(vec![release(observed).into()]);
    };
    let restores = holding(&observed.snapshot, &observed.restores);
    if !restores.is_empty() {
        return pending(&restores);
    }
    let mut actions: Vec<Action<Step>> = mark(content).into_iter().map(Action::from).collect();
    match content.spec.deletion_policy {
        DeletionPolicy::Delete => {
            if !is_deleting(content) {
                let delete = Step::DeleteContent {
                    name: content.name_any(),
                    uid: content.uid().unwrap_or_default(),
                };
                actions.push(delete.into());
            }
        }
        DeletionPolicy::Retain => actions.push(release(observed).into()),
    }
    then_await(actions)
}

/// A member goes with its group and not before. That is told, unless the group is on its way (spec snapshot 2.8, Q38).
fn held(observed: &Observed, group: &VolumeGroupSnapshot) -> Plan {
    if is_deleting(group) {
        return settled();
    }
    let text = format!(
        "VolumeSnapshot {} is a member of VolumeGroupSnapshot {}: it goes when that is deleted, with all members",
        observed.snapshot.name_any(),
        group.name_any()
    );
    then_await(vec![Action::Event(Event::warning(SNAPSHOT_DELETE_PENDING, text))])
}

/// The PATCH that tells the sidecar that the snapshot is going; nothing when the mark is there.
#[must_use]
pub fn mark(content: &VolumeSnapshotContent) -> Option<Step> {
    let key = names::BEING_DELETED_ANNOTATION;
    (!patch::has_annotation(&content.metadata, key)).then(|| Step::PatchContent {
        name: content.name_any(),
        intent: ContentIntent::Mark,
        change: patch::annotate(&content.metadata, key, names::MARK_VALUE),
    })
}

fn release(observed: &Observed) -> Step {
    let metadata = &observed.snapshot.metadata;
    let mut operations = vec![patch::same_object(metadata.uid.as_deref())];
    operations.extend(patch::remove_finalizers(patch::finalizers(metadata), &OURS));
    Step::PatchSnapshot(Change::json(operations))
}

/// Those of the pending claims for which the deletion of the snapshot waits. One of another namespace counts once a
/// provisioner works on it, which holds the snapshot by a finalizer of its own: only a provisioner knows whether a
/// ReferenceGrant allows it, and without one anybody could hold up the deletion.
#[must_use]
pub fn holding(snapshot: &VolumeSnapshot, pending: &[ObjectKey]) -> Vec<ObjectKey> {
    let metadata = &snapshot.metadata;
    let provisioning = patch::has_finalizer(metadata, names::PROVISIONER_FINALIZER);
    let own = metadata.namespace.as_deref().unwrap_or_default();
    let counts = pending
        .iter()
        .filter(|claim| provisioning || claim.namespace == own);
    counts.cloned().collect()
}

fn pending(restores: &[ObjectKey]) -> Plan {
    let restores: Vec<String> = restores.iter().map(ToString::to_string).collect();
    let refusal = Refusal::keeping(
        SNAPSHOT_DELETE_PENDING,
        format!("Snapshot is being used to restore a PVC: {}", restores.join(", ")),
    );
    let told = Event::warning(refusal.reason, refusal.message.clone());
    then_retry(vec![Action::Event(told)], &refusal)
}
