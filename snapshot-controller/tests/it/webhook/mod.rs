//! The conversion webhook.

mod certificate;
mod convert;
mod https;
mod review;

use serde_json::{Value, json};

const V1: &str = "groupsnapshot.storage.k8s.io/v1";
const V1BETA2: &str = "groupsnapshot.storage.k8s.io/v1beta2";
const V1BETA1: &str = "groupsnapshot.storage.k8s.io/v1beta1";
const ANNOTATION: &str = "groupsnapshot.storage.kubernetes.io/volume-snapshot-info-list";

/// A content with a status of two members.
fn content(api_version: &str) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": "VolumeGroupSnapshotContent",
        "metadata": { "name": "groupsnapcontent-u", "uid": "c", "labels": { "a": "b" } },
        "spec": { "driver": "d.example.com", "deletionPolicy": "Delete" },
        "status": {
            "volumeGroupSnapshotHandle": "group-1",
            "readyToUse": true,
            "volumeSnapshotInfoList": [
                { "volumeHandle": "vol-1", "snapshotHandle": "snap-1", "creationTime": 23, "readyToUse": true, "restoreSize": 12 },
                { "volumeHandle": "vol-2", "snapshotHandle": "snap-2", "creationTime": 23 },
            ],
        },
    })
}
