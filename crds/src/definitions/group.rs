//! The definitions of the group kinds. `v1beta1` lacks most rules and tells only the handles of a group's members
//! (specification `snapshot.md` 1.2).

use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::form::{ClassNames, class_definition, finished, remove};
use crate::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent};

const SCHEMA: &str = "/schema/openAPIV3Schema";
const RULES: &str = "x-kubernetes-validations";

pub(super) fn classes() -> Value {
    finished(class_definition::<VolumeGroupSnapshotClass>(&ClassNames {
        singular: "volumegroupsnapshotclass",
        short: ["vgsclass", "vgsclasses"],
        approved: "https://github.com/kubernetes-csi/external-snapshotter/pull/1337",
        policy: "Whether content and physical snapshots go when the bound VolumeGroupSnapshot is deleted.",
    }))
}

pub(super) fn older_class(version: &mut Value) {
    for field in ["deletionPolicy", "driver", "parameters"] {
        remove(version, &format!("{SCHEMA}/properties/{field}/{RULES}"));
    }
}

pub(super) fn snapshots() -> Value {
    finished(json!(VolumeGroupSnapshot::crd()))
}

pub(super) fn older_snapshot(version: &mut Value) {
    let bound = "properties/status/properties/boundVolumeGroupSnapshotContentName";
    remove(version, &format!("{SCHEMA}/{bound}/{RULES}"));
}

pub(super) fn contents() -> Value {
    finished(json!(VolumeGroupSnapshotContent::crd()))
}

pub(super) fn older_content(version: &mut Value) {
    for field in [
        "spec/properties/driver",
        "spec/properties/volumeGroupSnapshotClassName",
        "status/properties/volumeGroupSnapshotHandle",
    ] {
        remove(version, &format!("{SCHEMA}/properties/{field}/{RULES}"));
    }
    let rules = format!("{SCHEMA}/properties/spec/properties/volumeGroupSnapshotRef/{RULES}");
    if let Some(rules) = version.pointer_mut(&rules).and_then(Value::as_array_mut) {
        // Presence of name and namespace is the first one; the others came later.
        rules.truncate(1);
    }
    with_pairs(version);
}

/// The list of members as `v1beta1` has it.
fn with_pairs(version: &mut Value) {
    let status = format!("{SCHEMA}/properties/status/properties");
    let Some(status) = version.pointer_mut(&status).and_then(Value::as_object_mut) else {
        return;
    };
    let Some(mut list) = status.remove("volumeSnapshotInfoList") else {
        return;
    };
    for field in ["creationTime", "readyToUse", "restoreSize"] {
        remove(&mut list, &format!("/items/properties/{field}"));
    }
    list["items"]["required"] = json!(["snapshotHandle", "volumeHandle"]);
    status.insert("volumeSnapshotHandlePairList".to_owned(), list);
}
