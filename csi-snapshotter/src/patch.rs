//! Steps as patches. All of them name the UID that was observed, so that another content of that name is never hit: those
//! of the status as a test, since the API server drops the metadata of a merge patch of the status (decision 69).

use controller::Part;
use controller::patch::{self, Change, Members};
use crds::names;
use crds::v1::{VolumeSnapshotContent, VolumeSnapshotContentStatus};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::observe::ContentExt as _;
use crate::plan::status::Answer;
use crate::plan::{StatusChange, Step};

/// The patch of a step; none for a call or a read.
#[must_use]
pub fn of(content: &VolumeSnapshotContent, step: &Step) -> Option<(Part, Change)> {
    Some(match step {
        Step::Mark => (Part::Main, mark(content)),
        Step::Unmark => (Part::Main, unmark(content, &[names::BEING_CREATED_ANNOTATION])),
        Step::Settle => (
            Part::Main,
            unmark(
                content,
                &[names::BEING_CREATED_ANNOTATION, names::FRESH_ANNOTATION],
            ),
        ),
        Step::RemoveFinalizer { position } => (Part::Main, without_finalizer(content, *position)),
        Step::Status(change) => (Part::Status, status(content, change)),
        Step::Call(_) | Step::ReadSnapshot { .. } => return None,
    })
}

/// "No mark" was read: only at that version is the call that follows surely the first one
/// ([`crate::plan::create::hint`]).
fn mark(content: &VolumeSnapshotContent) -> Change {
    annotated(json!({
        "uid": content.metadata.uid,
        "resourceVersion": content.metadata.resource_version,
        "annotations": { (names::BEING_CREATED_ANNOTATION): names::MARK_VALUE },
    }))
}

fn unmark(content: &VolumeSnapshotContent, marks: &[&str]) -> Change {
    let present = marks.iter().filter(|mark| content.annotation(mark).is_some());
    let none: Map<String, Value> = present.map(|mark| ((*mark).to_owned(), Value::Null)).collect();
    annotated(json!({ "uid": content.metadata.uid, "annotations": none }))
}

fn annotated(metadata: Value) -> Change {
    Change::Merge(json!({ "metadata": metadata }))
}

fn without_finalizer(content: &VolumeSnapshotContent, position: usize) -> Change {
    let position = position.to_string();
    let path = ["metadata", "finalizers", position.as_str()];
    Change::json(vec![
        patch::same_object(content.metadata.uid.as_deref()),
        patch::test(&path, names::CONTENT_FINALIZER),
        patch::remove(&path),
    ])
}

fn status(content: &VolumeSnapshotContent, change: &StatusChange) -> Change {
    let seen = content.status.as_ref();
    let (members, writes_handle) = match change {
        StatusChange::Answer(answer) => (answered(seen, answer), answer.handle.is_some()),
        StatusChange::Failed {
            message,
            time,
            not_ready,
        } => (failed(message, *time, *not_ready), false),
        StatusChange::Cleared => (seen.map(cleared).unwrap_or_default(), false),
    };
    let mut operations = patch::status(&content.metadata, seen.is_some(), members);
    if let (true, Some(seen)) = (writes_handle, seen) {
        // Whoever wrote a handle meanwhile has won. Nothing else is tested, since the snapshot-controller writes the
        // content at the same time.
        let handle = ["status", "snapshotHandle"];
        operations.insert(1, patch::test(&handle, json!(seen.snapshot_handle)));
    }
    Change::json(operations)
}

fn answered(seen: Option<&VolumeSnapshotContentStatus>, answer: &Answer) -> Members {
    let has_error = seen.is_some_and(|status| status.error.is_some());
    let mut members: Members = [
        ("snapshotHandle", json!(answer.handle)),
        ("creationTime", json!(answer.creation_time)),
        ("restoreSize", json!(answer.restore_size)),
        ("readyToUse", json!(answer.ready)),
        ("volumeGroupSnapshotHandle", json!(answer.group_handle)),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_null())
    .map(|(name, value)| (name, Some(value)))
    .collect();
    if answer.clear_error && has_error {
        members.push(("error", None));
    }
    members
}

/// Whole seconds, as Kubernetes keeps times.
fn failed(message: &str, time: Timestamp, not_ready: bool) -> Members {
    let time = Timestamp::from_second(time.as_second()).unwrap_or(time);
    let mut members = vec![("error", Some(json!({ "message": message, "time": time })))];
    if not_ready {
        members.push(("readyToUse", Some(json!(false))));
    }
    members
}

fn cleared(seen: &VolumeSnapshotContentStatus) -> Members {
    [
        ("snapshotHandle", seen.snapshot_handle.is_some()),
        ("readyToUse", seen.ready_to_use.is_some()),
        ("creationTime", seen.creation_time.is_some()),
        ("restoreSize", seen.restore_size.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_there)| is_there.then_some((name, None)))
    .collect()
}
