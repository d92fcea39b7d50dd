//! The definitions of single snapshots. Their `v1beta1` was the first one, without validation rules and without the fields
//! that came later.

use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::form::{ClassNames, class_definition, finished, remove, without_rules};
use crate::names::GROUP;
use crate::v1::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};

pub(super) fn snapshots() -> Value {
    finished(json!(VolumeSnapshot::crd()))
}

pub(super) fn older_snapshot(version: &mut Value) {
    older(
        version,
        "VolumeSnapshot",
        &["status/properties/volumeGroupSnapshotName"],
    );
}

pub(super) fn contents() -> Value {
    finished(json!(VolumeSnapshotContent::crd()))
}

pub(super) fn older_content(version: &mut Value) {
    let later = [
        "spec/properties/sourceVolumeMode",
        "status/properties/volumeGroupSnapshotHandle",
    ];
    older(version, "VolumeSnapshotContent", &later);
}

pub(super) fn classes() -> Value {
    finished(class_definition::<VolumeSnapshotClass>(&ClassNames {
        singular: "volumesnapshotclass",
        short: ["vsclass", "vsclasses"],
        approved: "https://github.com/kubernetes-csi/external-snapshotter/pull/814",
        policy: "Whether content and physical snapshot go when the bound VolumeSnapshot is deleted.",
    }))
}

pub(super) fn older_class(version: &mut Value) {
    older(version, "VolumeSnapshotClass", &[]);
}

/// `later` are the fields that it had not, below the schema's properties.
fn older(version: &mut Value, kind: &str, later: &[&str]) {
    version["deprecationWarning"] = json!(format!(
        "{GROUP}/v1beta1 {kind} is deprecated; use {GROUP}/v1 {kind}"
    ));
    let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") else {
        return;
    };
    without_rules(schema);
    remove(schema, "/properties/metadata");
    for field in later {
        remove(schema, &format!("/properties/{field}"));
    }
}
