//! A snapshot and a content that exists: checks, binding, finalizers, status (spec snapshot 2.3, 2.5, 2.6).

use controller::Action;
use controller::patch::{self, Change};
use crds::names;
use crds::v1::{DeletionPolicy, VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use jiff::Timestamp;
use json_patch::PatchOperation;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::json;

use super::create::{content_missing, read_again, snapshot_finalizers};
use super::group::member;
use super::refusal::{self, Refusal};
use super::{
    ContentIntent, Lookup, Observed, Plan, Source, Step, class, is_bound, is_deleting, may_bind, protect,
    refers_to, settled, status, then_again, then_await,
};
use crate::events::{
    self, SNAPSHOT_BIND_FAILED, SNAPSHOT_CONTENT_MISBOUND, SNAPSHOT_CONTENT_MISMATCH, SNAPSHOT_MISBOUND,
};

/// Decides about a pre-provisioned snapshot that is not being deleted.
///
/// Reads: content, class. Sends: PATCH vs, PATCH vsc, PATCH vs/status. Source: spec snapshot 2.6.
#[must_use]
pub fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let Some(content) = observed.content.found() else {
        return refusal::show(observed, content_missing(), now);
    };
    if !is_bound(content, &observed.snapshot) {
        if let Some(refusal) = unusable_class(observed, content) {
            return refusal::show(observed, refusal, now);
        }
        if is_deleting(&**content) && may_bind(content, &observed.snapshot) {
            return refusal::show(observed, being_deleted(content), now);
        }
    }
    keep_up(observed, content, now)
}

/// Decides about a member of a group: it follows its content and is never cut. Its group makes the content, and what
/// the driver said of it follows at once: until then nothing is written, so that one PATCH tells all.
///
/// Sends: PATCH vs, PATCH vs/status. Source: spec snapshot 2.5 step 1, Q20, Q31, Q33.
#[must_use]
pub fn plan_member(observed: &Observed, now: Timestamp) -> Plan {
    match &observed.content {
        Lookup::Found(content) if is_coming(&observed.snapshot, content) => settled(),
        Lookup::Found(content) => keep_up(observed, content, now),
        Lookup::Unknown => then_again(vec![read_again(observed).into()]),
        Lookup::Absent | Lookup::NotReferenced if super::was_cut(&observed.snapshot) => {
            refusal::show(observed, content_missing(), now)
        }
        Lookup::Absent | Lookup::NotReferenced => settled(),
    }
}

/// Nothing is known of the snapshot yet, and the member does not name its content.
fn is_coming(snapshot: &VolumeSnapshot, content: &VolumeSnapshotContent) -> bool {
    let handle = content
        .status
        .as_ref()
        .and_then(|status| status.snapshot_handle.as_ref());
    handle.is_none() && !is_bound_by_status(snapshot)
}

fn is_bound_by_status(snapshot: &VolumeSnapshot) -> bool {
    let status = snapshot.status.as_ref();
    status.is_some_and(|status| status.bound_volume_snapshot_content_name.is_some())
}

/// Decides about a snapshot whose content exists: that the two belong together, finalizers, binding, status.
#[must_use]
pub fn keep_up(observed: &Observed, content: &VolumeSnapshotContent, now: Timestamp) -> Plan {
    let snapshot = &observed.snapshot;
    if let Some(refusal) = strangers(snapshot, content) {
        return refusal::show(observed, refusal, now);
    }
    // A member whose group was left half way has never been bound.
    let once = Source::of(snapshot) != Source::Member || is_bound_by_status(snapshot);
    let was_bound = once && is_bound(content, snapshot) && !refers_to(content, snapshot);
    let mut actions: Vec<Action<Step>> = [
        own(snapshot, content.spec.deletion_policy, None),
        member::join(observed),
        bind(observed, content),
        protect::again(observed),
    ]
    .into_iter()
    .flatten()
    .map(Action::from)
    .collect();
    if was_bound {
        actions.push(Action::Event(events::rebound(content)));
    }
    actions.extend(status::follow(snapshot, content, member::group_name(observed)));
    let lacks_class = wanted_class(snapshot, content).and_then(|_| unusable_class(observed, content));
    actions.extend(lacks_class.and_then(|refusal| refusal::warning(observed, refusal, now)));
    if is_deleting(content) {
        actions.push(Action::Event(events::content_was_deleted(content)));
    }
    then_await(actions)
}

/// Why the class that a pre-provisioned snapshot names must not go into its content, if that is so.
fn unusable_class(observed: &Observed, content: &VolumeSnapshotContent) -> Option<Refusal> {
    class::named_but_missing(observed).or_else(|| class_of_another_driver(observed, content))
}

/// A content of one driver is not bound under a class of another one: the class would go into the content.
fn class_of_another_driver(observed: &Observed, content: &VolumeSnapshotContent) -> Option<Refusal> {
    let text = foreign_class(observed.class.found()?, content)?;
    Some(Refusal::lowering(SNAPSHOT_BIND_FAILED, text))
}

/// Why a content cannot be bound under the class that its snapshot names, if that is of another driver.
#[must_use]
pub fn foreign_class(class: &VolumeSnapshotClass, content: &VolumeSnapshotContent) -> Option<String> {
    (class.driver != content.spec.driver).then(|| {
        format!(
            "Snapshot failed to bind VolumeSnapshotContent {}: VolumeSnapshotClass {} is of driver {}, but the content is \
             of driver {}",
            content.name_any(),
            class.name_any(),
            class.driver,
            content.spec.driver
        )
    })
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
    if source
        .snapshot_handle
        .as_deref()
        .is_some_and(|handle| handle.trim().is_empty())
    {
        let text = format!(
            "VolumeSnapshotContent {name}: spec.source.snapshotHandle is blank and names nothing; delete it and make another \
             one"
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
        is_bound(content, snapshot)
    };
    if belongs {
        None
    } else if bound {
        let text = format!("VolumeSnapshot is not bound to the VolumeSnapshotContent {name} any more");
        Some(Refusal::lowering(SNAPSHOT_MISBOUND, text))
    } else {
        let metadata = &snapshot.metadata;
        let text = format!(
            "VolumeSnapshotContent {name} is bound to a different VolumeSnapshot: {}, not {}/{} with UID {:?}",
            reference(content),
            metadata.namespace.as_deref().unwrap_or_default(),
            snapshot.name_any(),
            metadata.uid.as_deref().unwrap_or_default()
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

/// The PATCH that binds a content: UID, class and finalizer at once, and without the marks of a former binding, which
/// would delete the snapshot under this one. Nothing when the UID is there, no such mark is, and the class equals or one
/// side names none (spec snapshot Q9). A dynamic content is born bound, and only gets a lost UID back.
fn bind(observed: &Observed, content: &VolumeSnapshotContent) -> Option<Step> {
    let snapshot = &observed.snapshot;
    let unbound = !refers_to(content, snapshot);
    let mut operations = Vec::new();
    if unbound {
        operations.extend(reference_to(snapshot, content));
    }
    let pre_provisioned = matches!(Source::of(snapshot), Source::PreProvisioned(_));
    operations.extend(class_for(observed, content));
    let marks = [
        (names::BEING_DELETED_ANNOTATION, true),
        (names::BEING_CREATED_ANNOTATION, unbound && pre_provisioned),
    ];
    operations.extend(stale_marks(&content.metadata, marks));
    // None can be added to an object that is being deleted.
    if unbound && !is_deleting(content) {
        operations.extend(patch::add_finalizers(
            content.metadata.finalizers.as_deref(),
            &[names::CONTENT_FINALIZER],
        ));
    }
    guarded(content.metadata.uid.as_deref(), operations).map(|change| Step::PatchContent {
        name: content.name_any(),
        intent: ContentIntent::Bind,
        change,
    })
}

fn reference_to(snapshot: &VolumeSnapshot, content: &VolumeSnapshotContent) -> Vec<PatchOperation> {
    let uid = snapshot.metadata.uid.as_deref().unwrap_or_default();
    let seen = &content.spec.volume_snapshot_ref;
    let mut operations: Vec<PatchOperation> = [
        ("namespace", &seen.namespace),
        ("name", &seen.name),
        ("uid", &seen.uid),
    ]
    .into_iter()
    .map(|(member, value)| patch::test(&["spec", "volumeSnapshotRef", member], json!(value)))
    .collect();
    operations.push(patch::add(&["spec", "volumeSnapshotRef", "uid"], uid));
    operations
}

/// The class that a pre-provisioned content is to take from its snapshot. Once bound it keeps the one that it has.
fn wanted_class<'a>(snapshot: &'a VolumeSnapshot, content: &VolumeSnapshotContent) -> Option<&'a str> {
    let is_given = matches!(Source::of(snapshot), Source::PreProvisioned(_));
    let wanted = snapshot.spec.volume_snapshot_class_name.as_deref();
    let known = content.spec.volume_snapshot_class_name.as_deref();
    let may_be_set = !refers_to(content, snapshot) || known.is_none_or(str::is_empty);
    wanted.filter(|class| is_given && known != Some(class) && may_be_set)
}

/// With a class that is not there, or of another driver, no sidecar would look at the content any more.
fn class_for(observed: &Observed, content: &VolumeSnapshotContent) -> Vec<PatchOperation> {
    let path = ["spec", "volumeSnapshotClassName"];
    let known = content.spec.volume_snapshot_class_name.as_deref();
    match wanted_class(&observed.snapshot, content) {
        Some(class) if unusable_class(observed, content).is_none() => {
            vec![patch::test(&path, json!(known)), patch::add(&path, class)]
        }
        Some(_) | None => Vec::new(),
    }
}

/// Removes what tells of an earlier life of a content whose snapshot lives: that its snapshot is going, and, where it is
/// bound anew, that a call may be running. The names of its Secrets stay: they belong to the handle.
pub(super) fn stale_marks(metadata: &ObjectMeta, marks: [(&str, bool); 2]) -> Vec<PatchOperation> {
    let annotations = metadata.annotations.as_ref();
    marks
        .into_iter()
        .filter(|(_, is_stale)| *is_stale)
        .filter_map(|(key, _)| Some((key, annotations?.get(key)?)))
        .flat_map(|(key, value)| {
            let path = ["metadata", "annotations", key];
            [patch::test(&path, value.as_str()), patch::remove(&path)]
        })
        .collect()
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

/// The content that a snapshot owns: found, and bound to it.
#[must_use]
pub fn owned_content(observed: &Observed) -> Option<&VolumeSnapshotContent> {
    match &observed.content {
        Lookup::Found(content) if is_bound(content, &observed.snapshot) => Some(content),
        Lookup::Found(_) | Lookup::Absent | Lookup::Unknown | Lookup::NotReferenced => None,
    }
}
