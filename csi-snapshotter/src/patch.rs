//! Steps as patches. All of them name the UID that was observed, so that another content of that name is never hit: those
//! of the status as a test, since the API server drops the metadata of a merge patch of the status (decision 69).

use controller::Part;
use controller::patch::{self, Change, Members};
use crds::names;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::content::{Content, Status};
use crate::plan::status::Answer;
use crate::plan::{StatusChange, Step};

/// The patch of a step; none for a call or a read.
#[must_use]
pub fn of(content: &dyn Content, step: &Step) -> Option<(Part, Change)> {
    let mark_of = content.words().being_created;
    Some(match step {
        Step::Mark => (Part::Main, mark(content)),
        Step::Unmark => (Part::Main, unmark(content, &[mark_of])),
        Step::Settle => (Part::Main, unmark(content, &[mark_of, names::FRESH_ANNOTATION])),
        Step::RemoveFinalizer { position } => (Part::Main, without_finalizer(content, *position)),
        Step::Status(change) => (Part::Status, status(content, change)),
        Step::Call(_) | Step::ReadAsker { .. } => return None,
    })
}

/// "No mark" was read: only at that version is the call that follows surely the first one
/// ([`crate::plan::create::hint`]).
fn mark(content: &dyn Content) -> Change {
    let metadata = content.metadata();
    annotated(json!({
        "uid": metadata.uid,
        "resourceVersion": metadata.resource_version,
        "annotations": { (content.words().being_created): names::MARK_VALUE },
    }))
}

fn unmark(content: &dyn Content, marks: &[&str]) -> Change {
    let present = marks.iter().filter(|mark| content.annotation(mark).is_some());
    let none: Map<String, Value> = present.map(|mark| ((*mark).to_owned(), Value::Null)).collect();
    annotated(json!({ "uid": content.metadata().uid, "annotations": none }))
}

fn annotated(metadata: Value) -> Change {
    Change::Merge(json!({ "metadata": metadata }))
}

fn without_finalizer(content: &dyn Content, position: usize) -> Change {
    let position = position.to_string();
    let path = ["metadata", "finalizers", position.as_str()];
    Change::json(vec![
        patch::same_object(content.metadata().uid.as_deref()),
        patch::test(&path, content.words().finalizer),
        patch::remove(&path),
    ])
}

fn status(content: &dyn Content, change: &StatusChange) -> Change {
    let seen = content.status();
    let (members, writes_handle) = match change {
        StatusChange::Answer(answer) => (answered(content, answer), answer.handle.is_some()),
        StatusChange::Failed {
            message,
            time,
            not_ready,
        } => (failed(message, *time, *not_ready), false),
        StatusChange::Cleared => {
            let stale = content.stale_members().into_iter();
            (stale.map(|name| (name, None)).collect(), false)
        }
    };
    let mut operations = patch::status(content.metadata(), seen.is_some(), members);
    if let (true, Some(Status { handle, .. })) = (writes_handle, seen) {
        // Whoever wrote a handle meanwhile has won. Nothing else is tested, since the snapshot-controller writes the
        // content at the same time.
        let path = ["status", content.words().stored_handle];
        operations.insert(1, patch::test(&path, json!(handle)));
    }
    Change::json(operations)
}

fn answered(content: &dyn Content, answer: &Answer) -> Members {
    let has_error = content.status().is_some_and(|status| status.error.is_some());
    let creation_time = answer.creation_time.map(|time| content.creation_time(time));
    let mut members: Members = [
        (content.words().stored_handle, json!(answer.handle)),
        ("creationTime", json!(creation_time)),
        ("restoreSize", json!(answer.restore_size)),
        ("readyToUse", json!(answer.ready)),
        ("volumeGroupSnapshotHandle", json!(answer.group_handle)),
        ("volumeSnapshotInfoList", json!(answer.members)),
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
