//! The definitions of the group kinds. They are made from `v1`; objects are stored as `v1beta2`, which is the same, and
//! `v1beta1` lacks most rules and tells only the handles of a group's members (specification `snapshot.md` 1.2).

use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::{ClassNames, class_definition, finished, remove};
use crate::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent};

const RULES: &str = "x-kubernetes-validations";

pub(super) fn all() -> [Value; 3] {
    [classes(), contents(), snapshots()]
}

fn classes() -> Value {
    let definition = finished(class_definition::<VolumeGroupSnapshotClass>(&ClassNames {
        singular: "volumegroupsnapshotclass",
        short: ["vgsclass", "vgsclasses"],
        approved: "https://github.com/kubernetes-csi/external-snapshotter/pull/1337",
        policy: "Whether content and physical snapshots go when the bound VolumeGroupSnapshot is deleted.",
    }));
    with_versions(definition, |schema| {
        for field in ["deletionPolicy", "driver", "parameters"] {
            remove(schema, &format!("/properties/{field}/{RULES}"));
        }
    })
}

fn snapshots() -> Value {
    with_versions(finished(json!(VolumeGroupSnapshot::crd())), |schema| {
        let bound = "/properties/status/properties/boundVolumeGroupSnapshotContentName";
        remove(schema, &format!("{bound}/{RULES}"));
    })
}

fn contents() -> Value {
    with_versions(finished(json!(VolumeGroupSnapshotContent::crd())), |schema| {
        for field in [
            "spec/properties/driver",
            "spec/properties/volumeGroupSnapshotClassName",
            "status/properties/volumeGroupSnapshotHandle",
        ] {
            remove(schema, &format!("/properties/{field}/{RULES}"));
        }
        let rules = format!("/properties/spec/properties/volumeGroupSnapshotRef/{RULES}");
        if let Some(rules) = schema.pointer_mut(&rules).and_then(Value::as_array_mut) {
            // Presence of name and namespace is the first one; the others came later.
            rules.truncate(1);
        }
        with_pairs(schema);
    })
}

/// The list of members as `v1beta1` has it.
fn with_pairs(schema: &mut Value) {
    let Some(status) = schema
        .pointer_mut("/properties/status/properties")
        .and_then(Value::as_object_mut)
    else {
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

/// `v1`, `v1beta1` and `v1beta2` in upstream's order.
fn with_versions(mut definition: Value, older: impl FnOnce(&mut Value)) -> Value {
    let Some(versions) = definition
        .pointer_mut("/spec/versions")
        .and_then(Value::as_array_mut)
    else {
        return definition;
    };
    let Some(v1) = versions.first_mut() else {
        return definition;
    };
    v1["storage"] = json!(false);
    let (mut v1beta1, mut v1beta2) = (v1.clone(), v1.clone());
    v1beta1["name"] = json!("v1beta1");
    v1beta1["deprecated"] = json!(true);
    if let Some(schema) = v1beta1.pointer_mut("/schema/openAPIV3Schema") {
        older(schema);
    }
    v1beta2["name"] = json!("v1beta2");
    v1beta2["storage"] = json!(true);
    versions.extend([v1beta1, v1beta2]);
    definition
}
