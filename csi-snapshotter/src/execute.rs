//! Steps to requests and calls. This is the only file with clients, and it knows no rule.

use std::collections::BTreeMap;

use crds::names;
use crds::v1::VolumeSnapshotContent;
use csi::v1::{self, CreateSnapshotRequest, DeleteSnapshotRequest, ListSnapshotsRequest};
use csi::{Channel, Class, Operation, classify_status};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use runtime::json_patch::Patch;
use runtime::{ApiError, ApiErrorClass, Cache, ObjectKey, Writer};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::observe::{ContentExt as _, Failure, Reply, SecretAnswer, SecretRead, SecretRef, Snapshot};
use crate::plan::create::hint;
use crate::plan::{Call, StatusChange, Step};

/// What a step brought.
#[derive(Debug)]
pub(crate) enum Done {
    /// The object was written, and the overlay knows.
    Written,
    /// A Secret was read.
    Secret(SecretRead),
    /// The driver answered.
    Reply(Reply),
}

/// The clients.
pub(crate) struct Executor {
    pub(crate) contents: Cache<VolumeSnapshotContent>,
    pub(crate) writer: Writer<VolumeSnapshotContent>,
    pub(crate) secrets: Writer<Secret>,
    pub(crate) driver: Channel,
    pub(crate) timeout: std::time::Duration,
}

impl Executor {
    /// Takes one step for the content as it was observed.
    pub(crate) async fn take(
        &self,
        content: &VolumeSnapshotContent,
        step: &Step,
        secret: Option<&SecretRead>,
    ) -> Result<Done, ApiError> {
        let key = ObjectKey::of(content);
        let uid = content.metadata.uid.as_deref().unwrap_or_default();
        let written = match step {
            Step::ReadSecret(secret) => return self.read(secret).await.map(Done::Secret),
            Step::Call(call) => return Ok(Done::Reply(self.call(content, call, secret).await)),
            Step::Mark => {
                let mut patch = mark(uid, Some(names::MARK_VALUE));
                // "No mark" was read: only so is the call that follows surely the first one ([`hint`]).
                patch["metadata"]["resourceVersion"] = json!(content.metadata.resource_version);
                self.writer.patch_merge(&key, &patch).await?
            }
            Step::Unmark => self.writer.patch_merge(&key, &mark(uid, None)).await?,
            Step::Status(change) => match status_patch(content, change) {
                StatusPatch::Merge(patch) => self.writer.patch_merge_status(&key, &patch).await?,
                StatusPatch::Json(patch) => {
                    let patch = json_patch(patch)?;
                    self.writer.patch_json_status(&key, patch).await?
                }
            },
            Step::RemoveFinalizer { position } => {
                self.writer
                    .patch_json(&key, without_finalizer(uid, *position)?)
                    .await?
            }
        };
        self.contents.record(written);
        Ok(Done::Written)
    }

    async fn read(&self, secret: &SecretRef) -> Result<SecretRead, ApiError> {
        let key = ObjectKey::new(&secret.namespace, &secret.name);
        let answer = match self.secrets.get(&key).await {
            Ok(found) => SecretAnswer::Found(texts(found)),
            Err(error) => match error.class() {
                ApiErrorClass::NotFound => SecretAnswer::NotFound,
                ApiErrorClass::Forbidden | ApiErrorClass::Invalid => SecretAnswer::Refused(error.to_string()),
                _ => return Err(error),
            },
        };
        Ok(SecretRead {
            secret: secret.clone(),
            answer,
        })
    }

    async fn call(&self, content: &VolumeSnapshotContent, call: &Call, secret: Option<&SecretRead>) -> Reply {
        let secrets = match secret.map(|read| &read.answer) {
            Some(SecretAnswer::Found(data)) => data.clone(),
            _ => BTreeMap::new(),
        };
        let failure = |operation, status: &Status| failure(operation, status, &secrets);
        let mut client = self.driver.controller();
        match call {
            Call::Create {
                volume_handle,
                name,
                parameters,
            } => {
                let asked = CreateSnapshotRequest {
                    source_volume_id: volume_handle.clone(),
                    name: name.clone(),
                    secrets: secrets.clone(),
                    parameters: parameters.clone(),
                };
                let mut request = csi::channel::request(asked, self.timeout);
                hint(content).attach(&mut request);
                let answer = client.create_snapshot(request).await;
                Reply::Created(match answer {
                    Ok(answer) => created(answer.into_inner().snapshot),
                    Err(status) => Err(failure(Operation::CreateSnapshot, &status)),
                })
            }
            Call::List { snapshot_handle } => {
                let asked = ListSnapshotsRequest {
                    snapshot_id: snapshot_handle.clone(),
                    secrets: secrets.clone(),
                    ..ListSnapshotsRequest::default()
                };
                let answer = client
                    .list_snapshots(csi::channel::request(asked, self.timeout))
                    .await;
                Reply::Listed(match answer {
                    Ok(answer) => Ok(listed(answer.into_inner().entries)),
                    Err(status) => Err(failure(Operation::ListSnapshots, &status)),
                })
            }
            Call::Delete { snapshot_handle } => {
                let asked = DeleteSnapshotRequest {
                    snapshot_id: snapshot_handle.clone(),
                    secrets: secrets.clone(),
                };
                let answer = client
                    .delete_snapshot(csi::channel::request(asked, self.timeout))
                    .await;
                Reply::Deleted {
                    handle: snapshot_handle.clone(),
                    outcome: match answer {
                        Ok(_) => Ok(()),
                        Err(status) => Err(failure(Operation::DeleteSnapshot, &status)),
                    },
                }
            }
        }
    }
}

fn mark(uid: &str, value: Option<&str>) -> Value {
    let annotations = json!({ (names::BEING_CREATED_ANNOTATION): value });
    json!({ "metadata": { "uid": uid, "annotations": annotations } })
}

/// The two forms of a status patch.
enum StatusPatch {
    Merge(Value),
    /// With tests of what was read.
    Json(Value),
}

fn status_patch(content: &VolumeSnapshotContent, change: &StatusChange) -> StatusPatch {
    let status = match change {
        StatusChange::Answer(answer) => {
            let members = [
                ("snapshotHandle", json!(answer.handle)),
                ("creationTime", json!(answer.creation_time)),
                ("restoreSize", json!(answer.restore_size)),
                ("readyToUse", json!(answer.ready)),
                ("volumeGroupSnapshotHandle", json!(answer.group_handle)),
            ];
            let mut status: serde_json::Map<String, Value> = members
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.to_string(), value))
                .collect();
            if answer.clear_error {
                status.insert("error".to_string(), Value::Null);
            }
            if answer.handle.is_some() {
                return StatusPatch::Json(first_handle(content, status));
            }
            Value::Object(status)
        }
        StatusChange::Failed {
            message,
            time,
            not_ready,
        } => {
            // Whole seconds, as Kubernetes keeps times.
            let time = Timestamp::from_second(time.as_second()).unwrap_or(*time);
            let mut status = json!({ "error": { "message": message, "time": time } });
            if *not_ready {
                status["readyToUse"] = json!(false);
            }
            status
        }
        StatusChange::Cleared => json!({
            "snapshotHandle": null, "readyToUse": null, "creationTime": null, "restoreSize": null,
        }),
    };
    StatusPatch::Merge(json!({ "metadata": { "uid": content.metadata.uid }, "status": status }))
}

/// These members (null removes one) of a status whose handle is as it was read: whoever wrote one meanwhile has
/// won. Nothing else is tested, since the snapshot-controller writes the content at the same time.
fn first_handle(content: &VolumeSnapshotContent, members: serde_json::Map<String, Value>) -> Value {
    let test = |path: &str, value: Value| json!({ "op": "test", "path": path, "value": value });
    let mut operations = vec![test("/metadata/uid", json!(content.metadata.uid))];
    let Some(seen) = &content.status else {
        let members: serde_json::Map<_, _> = members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect();
        operations.push(test("/status", Value::Null));
        operations.push(json!({ "op": "add", "path": "/status", "value": members }));
        return Value::Array(operations);
    };
    operations.push(test("/status/snapshotHandle", json!(seen.snapshot_handle)));
    for (name, value) in members {
        let path = format!("/status/{name}");
        if !value.is_null() {
            operations.push(json!({ "op": "add", "path": path, "value": value }));
        } else if seen.error.is_some() {
            operations.push(json!({ "op": "remove", "path": path }));
        }
    }
    Value::Array(operations)
}

fn json_patch(operations: Value) -> Result<Patch, ApiError> {
    serde_json::from_value(operations).map_err(|error| ApiError::bad_request(&error.to_string()))
}

fn without_finalizer(uid: &str, position: usize) -> Result<Patch, ApiError> {
    let path = format!("/metadata/finalizers/{position}");
    let patch = json!([
        { "op": "test", "path": "/metadata/uid", "value": uid },
        { "op": "test", "path": path, "value": names::CONTENT_FINALIZER },
        { "op": "remove", "path": path },
    ]);
    json_patch(patch)
}

/// CSI wants text. What is none is passed on as far as it can be.
fn texts(secret: Secret) -> BTreeMap<String, String> {
    let data = secret.data.unwrap_or_default();
    data.into_iter()
        .map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned()))
        .collect()
}

fn failure(operation: Operation, status: &Status, secrets: &BTreeMap<String, String>) -> Failure {
    Failure {
        class: classify_status(operation, status),
        not_found: status.code() == Code::NotFound,
        text: csi::status::error_text_without(status, secrets.values()),
        retry_after: csi::retry::delay(status),
    }
}

/// OK without a snapshot says nothing about what the driver did (Q25).
fn created(snapshot: Option<v1::Snapshot>) -> Result<Snapshot, Failure> {
    snapshot.and_then(described).ok_or_else(|| Failure {
        class: Class::InProgress,
        not_found: false,
        text: "rpc error: code = Internal desc = the CSI driver answered CreateSnapshot without a snapshot"
            .into(),
        retry_after: None,
    })
}

/// The first entry counts.
fn listed(entries: Vec<v1::list_snapshots_response::Entry>) -> Option<Snapshot> {
    entries.into_iter().next()?.snapshot.and_then(described)
}

fn described(snapshot: v1::Snapshot) -> Option<Snapshot> {
    let creation_time = snapshot
        .creation_time
        .and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
    (!snapshot.snapshot_id.is_empty()).then_some(Snapshot {
        handle: snapshot.snapshot_id,
        creation_time,
        size_bytes: snapshot.size_bytes,
        ready: snapshot.ready_to_use,
        group_handle: snapshot.group_snapshot_id,
    })
}

/// The content, for events about it.
pub(crate) fn reference(content: &VolumeSnapshotContent) -> k8s_openapi::api::core::v1::ObjectReference {
    k8s_openapi::api::core::v1::ObjectReference {
        api_version: Some(format!("{}/v1", names::GROUP)),
        kind: Some("VolumeSnapshotContent".to_string()),
        name: Some(content.name().to_string()),
        uid: content.metadata.uid.clone(),
        resource_version: content.metadata.resource_version.clone(),
        ..Default::default()
    }
}
