//! Writes as patches. None touches what another writer did in between (Q35).

use controller::patch::{
    Change, Members, add_finalizers, finalizers, remove_finalizers, same_object, status as status_of,
};
use runtime::objects::{Attachment, AttachmentError, AttachmentStatus, NODE_ID, VOLUME_HANDLE, Volume};
use serde_json::{Map, Value, json};

use crate::plan::{Mark, Status};

/// Our finalizer on a volume.
#[must_use]
pub fn keep(volume: &Volume, finalizer: &str) -> Change {
    let metadata = &volume.metadata;
    let mut operations = vec![same_object(metadata.uid.as_deref())];
    operations.extend(add_finalizers(metadata.finalizers.as_deref(), &[finalizer]));
    Change::json(operations)
}

/// Our finalizer away from a volume.
#[must_use]
pub fn let_go(volume: &Volume, finalizer: &str) -> Change {
    let metadata = &volume.metadata;
    let mut operations = vec![same_object(metadata.uid.as_deref())];
    operations.extend(remove_finalizers(finalizers(metadata), &[finalizer]));
    Change::json(operations)
}

/// Our finalizer and the annotations. A merge patch, since the map may or may not exist; it holds a whole list, hence the
/// version.
#[must_use]
pub fn mark(attachment: &Attachment, mark: &Mark, finalizer: &str) -> Change {
    let metadata = &attachment.metadata;
    let mut annotations = Map::new();
    annotations.insert(NODE_ID.to_owned(), json!(mark.node_id));
    if let Some(handle) = &mark.volume_handle {
        annotations.insert(VOLUME_HANDLE.to_owned(), json!(handle));
    }
    let mut names = finalizers(metadata).to_vec();
    if !names.iter().any(|name| name == finalizer) {
        names.push(finalizer.to_owned());
    }
    Change::Merge(json!({"metadata": {
        "uid": metadata.uid, "resourceVersion": metadata.resource_version,
        "finalizers": names, "annotations": annotations,
    }}))
}

/// Our finalizer away from an attachment.
#[must_use]
pub fn release(attachment: &Attachment, finalizer: &str) -> Change {
    let metadata = &attachment.metadata;
    let mut operations = vec![same_object(metadata.uid.as_deref())];
    operations.extend(remove_finalizers(finalizers(metadata), &[finalizer]));
    Change::json(operations)
}

/// The status.
#[must_use]
pub fn status(attachment: &Attachment, change: &Status) -> Change {
    let none = AttachmentStatus::default();
    let present = attachment.status.as_ref().unwrap_or(&none);
    // What is not there cannot be taken away.
    let without = |name, is_there: bool| is_there.then_some((name, None));
    let has_metadata = !present.attachment_metadata.is_empty();
    let mut members: Members = Vec::new();
    match change {
        Status::Attached(context) => {
            members.push(("attached", Some(json!(true))));
            if context.is_empty() {
                members.extend(without("attachmentMetadata", has_metadata));
            } else {
                members.push(("attachmentMetadata", Some(json!(context))));
            }
            members.extend(without("attachError", present.attach_error.is_some()));
        }
        Status::Detached => {
            members.push(("attached", Some(json!(false))));
            members.extend(without("attachmentMetadata", has_metadata));
            members.extend(without("detachError", present.detach_error.is_some()));
        }
        Status::AttachError(error) => members.push(("attachError", Some(of_error(error)))),
        Status::DetachError(error) => members.push(("detachError", Some(of_error(error)))),
    }
    if attachment.status.is_none() && !members.iter().any(|(name, _)| *name == "attached") {
        members.push(("attached", Some(json!(false))));
    }
    let has_status = attachment.status.is_some();
    Change::json(status_of(&attachment.metadata, has_status, members))
}

fn of_error(error: &AttachmentError) -> Value {
    let mut value = json!({"message": error.message, "time": error.time});
    if let Some(code) = error.error_code {
        value["errorCode"] = json!(code);
    }
    value
}
