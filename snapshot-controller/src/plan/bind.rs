//! A snapshot and a content that exists: checks, binding, finalizers, status (spec snapshot 2.3, 2.5, 2.6).

use controller::Action;
use controller::patch::{self, Change};
use crds::names;
use crds::v1::{DeletionPolicy, VolumeSnapshot, VolumeSnapshotContent};
use jiff::Timestamp;
use json_patch::PatchOperation;
use kube::ResourceExt;
use serde_json::json;

use super::create::{content_missing, snapshot_finalizers};
use super::refusal::{self, Refusal};
use super::{
    Lookup, Observed, Plan, Source, Step, class, is_deleting, may_bind, protect, refers_to, settled, status,
    then_await,
};
use crate::events::{
    SNAPSHOT_BIND_FAILED, SNAPSHOT_CONTENT_MISBOUND, SNAPSHOT_CONTENT_MISMATCH, SNAPSHOT_MISBOUND,
};

/// Decides about a pre-provisioned snapshot that is not being deleted.
///
/// Reads: content, class. Sends: PATCH vs, PATCH vsc, PATCH vs/status. Source: spec snapshot 2.6.
#[must_use]
pub fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let Some(content) = observed.content.found() else {
        return refusal::show(observed, content_missing(), now);
    };
    if !refers_to(content, &observed.snapshot) {
        if let Some(refusal) = class::named_but_missing(observed) {
            return refusal::show(observed, refusal, now);
        }
        if is_deleting(&**content) && may_bind(content, &observed.snapshot) {
            return refusal::show(observed, being_deleted(content), now);
        }
    }
    keep_up(observed, content, now)
}

/// Decides about a member of a group while groups are off: it follows its content and is never cut.
///
/// Sends: PATCH vs, PATCH vs/status. Source: spec snapshot 2.5 step 1, Q20, Q31.
#[must_use]
pub fn plan_member(observed: &Observed, now: Timestamp) -> Plan {
    match observed.content.found() {
        Some(content) => keep_up(observed, content, now),
        None if super::was_cut(&observed.snapshot) => refusal::show(observed, content_missing(), now),
        None => settled(),
    }
}

/// Decides about a snapshot whose content exists: that the two belong together, finalizers, binding, status.
#[must_use]
pub fn keep_up(observed: &Observed, content: &VolumeSnapshotContent, now: Timestamp) -> Plan {
    let snapshot = &observed.snapshot;
    if let Some(refusal) = strangers(snapshot, content) {
        return refusal::show(observed, refusal, now);
    }
    let mut actions: Vec<Action<Step>> = [
        own(snapshot, content.spec.deletion_policy, None),
        bind(snapshot, content),
        protect::again(observed),
    ]
    .into_iter()
    .flatten()
    .map(Action::from)
    .collect();
    actions.extend(status::follow(snapshot, content));
    then_await(actions)
}

/// Why the two do not belong together, if they do not.
fn strangers(snapshot: &VolumeSnapshot, content: &VolumeSnapshotContent) -> Option<Refusal> {
    let bound = snapshot.status.as_ref().is_some_and(|status| {
        status.bound_volume_snapshot_content_name.as_deref() == content.metadata.name.as_deref()
    });
    let name = content.name_any();
    let pre_provisioned = matches!(Source::of(snapshot), Source::PreProvisioned(_));
    let source = &content.spec.source;
    if pre_provisioned && source.snapshot_handle.is_none() {
        let text = format!(
            "VolumeSnapshotContent {name} is made from a volume; a pre-provisioned one with spec.source.snapshotHandle is needed"
        );
        return Some(Refusal::lowering(SNAPSHOT_CONTENT_MISMATCH, text));
    }
    if !pre_provisioned && source.volume_handle.is_none() {
        let text = format!(
            "VolumeSnapshotContent {name} is pre-provisioned; one made from a volume is needed for a snapshot of a claim"
        );
        return Some(Refusal::lowering(SNAPSHOT_CONTENT_MISMATCH, text));
    }
    let belongs = if pre_provisioned {
        may_bind(content, snapshot)
    } else {
        refers_to(content, snapshot)
    };
    if belongs {
        None
    } else if bound {
        let text = format!("VolumeSnapshot is not bound to the VolumeSnapshotContent {name} any more");
        Some(Refusal::lowering(SNAPSHOT_MISBOUND, text))
    } else {
        let text = format!(
            "VolumeSnapshotContent {name} is bound to a different VolumeSnapshot: {}",
            reference(content)
        );
        Some(Refusal::lowering(SNAPSHOT_CONTENT_MISBOUND, text))
    }
}

fn reference(content: &VolumeSnapshotContent) -> String {
    let reference = &content.spec.volume_snapshot_ref;
    format!(
        "{}/{} with UID {:?}",
        reference.namespace.as_deref().unwrap_or_default(),
        reference.name.as_deref().unwrap_or_default(),
        reference.uid.as_deref().unwrap_or_default()
    )
}

fn being_deleted(content: &VolumeSnapshotContent) -> Refusal {
    Refusal::lowering(
        SNAPSHOT_BIND_FAILED,
        format!(
            "Snapshot failed to bind VolumeSnapshotContent {}: it is being deleted",
            content.name_any()
        ),
    )
}

/// The PATCH that gives the snapshot the finalizers that a content of this policy calls for, and the class
/// that was chosen for it. Nothing when they are there.
#[must_use]
pub fn own(snapshot: &VolumeSnapshot, policy: DeletionPolicy, class_name: Option<String>) -> Option<Step> {
    let present = snapshot.metadata.finalizers.as_deref();
    let mut operations = patch::add_finalizers(present, snapshot_finalizers(policy));
    if let Some(name) = class_name {
        let path = ["spec", "volumeSnapshotClassName"];
        operations.push(patch::test(
            &path,
            json!(snapshot.spec.volume_snapshot_class_name),
        ));
        operations.push(patch::add(&path, name));
    }
    guarded(snapshot.metadata.uid.as_deref(), operations).map(Step::PatchSnapshot)
}

/// The PATCH that binds a pre-provisioned content: UID, class and finalizer at once. Nothing when the UID is
/// there and the class equals or one side names none (spec snapshot Q9).
fn bind(snapshot: &VolumeSnapshot, content: &VolumeSnapshotContent) -> Option<Step> {
    if !matches!(Source::of(snapshot), Source::PreProvisioned(_)) {
        return None;
    }
    let unbound = !refers_to(content, snapshot);
    let mut operations = Vec::new();
    if unbound {
        let uid = snapshot.metadata.uid.as_deref().unwrap_or_default();
        let seen = &content.spec.volume_snapshot_ref;
        for (member, value) in [
            ("namespace", &seen.namespace),
            ("name", &seen.name),
            ("uid", &seen.uid),
        ] {
            operations.push(patch::test(&["spec", "volumeSnapshotRef", member], json!(value)));
        }
        operations.push(patch::add(&["spec", "volumeSnapshotRef", "uid"], uid));
    }
    let class = snapshot.spec.volume_snapshot_class_name.as_deref();
    let known = content.spec.volume_snapshot_class_name.as_deref();
    let empty = known.is_none_or(str::is_empty);
    if let Some(class) = class.filter(|class| known != Some(class) && (unbound || empty)) {
        operations.push(patch::test(&["spec", "volumeSnapshotClassName"], json!(known)));
        operations.push(patch::add(&["spec", "volumeSnapshotClassName"], class));
    }
    if unbound {
        operations.extend(patch::add_finalizers(
            content.metadata.finalizers.as_deref(),
            &[names::CONTENT_FINALIZER],
        ));
    }
    guarded(content.metadata.uid.as_deref(), operations).map(|change| Step::PatchContent {
        name: content.name_any(),
        change,
    })
}

/// A patch of these operations that fails for another object of the same name; nothing for none. What else
/// must not have changed they test themselves, so that a foreign write of something else is no lost race.
#[must_use]
pub fn guarded(uid: Option<&str>, operations: Vec<PatchOperation>) -> Option<Change> {
    if operations.is_empty() {
        return None;
    }
    let mut guarded = vec![patch::same_object(uid)];
    guarded.extend(operations);
    Some(Change::json(guarded))
}

/// The content that a snapshot owns: found, and referring to it by name, namespace and UID.
#[must_use]
pub fn owned_content(observed: &Observed) -> Option<&VolumeSnapshotContent> {
    match &observed.content {
        Lookup::Found(content) if refers_to(content, &observed.snapshot) => Some(content),
        Lookup::Found(_) | Lookup::Absent | Lookup::Unknown | Lookup::NotReferenced => None,
    }
}
