//! The CustomResourceDefinitions, made from the types.
//!
//! What the derive makes is brought to upstream's form here: optional fields are absent, not null, and
//! each kind lists the unserved `v1beta1` so that clusters whose `status.storedVersions` holds it can
//! upgrade (specification `snapshot.md` 1.1). The versions of the group kinds are in `group`.

mod group;

use kube::{CustomResourceExt, Resource};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::names::GROUP;
use crate::v1::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};

/// The definitions as YAML, by file name, in the order in which to apply them. Equal to what
/// [`all`] makes; a test holds that.
pub const MANIFESTS: [(&str, &str); 6] = [
    (
        "groupsnapshot.storage.k8s.io_volumegroupsnapshotclasses.yaml",
        include_str!("../manifests/groupsnapshot.storage.k8s.io_volumegroupsnapshotclasses.yaml"),
    ),
    (
        "groupsnapshot.storage.k8s.io_volumegroupsnapshotcontents.yaml",
        include_str!("../manifests/groupsnapshot.storage.k8s.io_volumegroupsnapshotcontents.yaml"),
    ),
    (
        "groupsnapshot.storage.k8s.io_volumegroupsnapshots.yaml",
        include_str!("../manifests/groupsnapshot.storage.k8s.io_volumegroupsnapshots.yaml"),
    ),
    (
        "snapshot.storage.k8s.io_volumesnapshotclasses.yaml",
        include_str!("../manifests/snapshot.storage.k8s.io_volumesnapshotclasses.yaml"),
    ),
    (
        "snapshot.storage.k8s.io_volumesnapshotcontents.yaml",
        include_str!("../manifests/snapshot.storage.k8s.io_volumesnapshotcontents.yaml"),
    ),
    (
        "snapshot.storage.k8s.io_volumesnapshots.yaml",
        include_str!("../manifests/snapshot.storage.k8s.io_volumesnapshots.yaml"),
    ),
];

/// The definitions as JSON, in the order of [`MANIFESTS`].
#[must_use]
pub fn all() -> Vec<Value> {
    groups().into_iter().chain(snapshots()).collect()
}

/// Those of the group kinds.
#[must_use]
pub fn groups() -> [Value; 3] {
    group::all()
}

/// Those of single snapshots.
#[must_use]
pub fn snapshots() -> [Value; 3] {
    [
        volume_snapshot_classes(),
        volume_snapshot_contents(),
        volume_snapshots(),
    ]
}

fn volume_snapshots() -> Value {
    let mut definition = finished(json!(VolumeSnapshot::crd()));
    append_v1beta1(
        &mut definition,
        "VolumeSnapshot",
        &["/status/properties/volumeGroupSnapshotName"],
    );
    definition
}

fn volume_snapshot_contents() -> Value {
    let mut definition = finished(json!(VolumeSnapshotContent::crd()));
    append_v1beta1(
        &mut definition,
        "VolumeSnapshotContent",
        &[
            "/spec/properties/sourceVolumeMode",
            "/status/properties/volumeGroupSnapshotHandle",
        ],
    );
    definition
}

/// The class has no `spec`, so its definition is written here around the schema of its fields.
fn volume_snapshot_classes() -> Value {
    let mut definition = finished(class_definition::<VolumeSnapshotClass>(&ClassNames {
        singular: "volumesnapshotclass",
        short: ["vsclass", "vsclasses"],
        approved: "https://github.com/kubernetes-csi/external-snapshotter/pull/814",
        policy: "Whether content and physical snapshot go when the bound VolumeSnapshot is deleted.",
    }));
    append_v1beta1(&mut definition, "VolumeSnapshotClass", &[]);
    definition
}

/// What the definition of a class does not take from its type.
struct ClassNames {
    singular: &'static str,
    short: [&'static str; 2],
    approved: &'static str,
    /// What the column of the policy says.
    policy: &'static str,
}

fn class_definition<K: Resource<DynamicType = ()> + JsonSchema>(names: &ClassNames) -> Value {
    let mut generator = SchemaSettings::openapi3()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let mut schema = generator.root_schema_for::<K>().to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("$schema");
        schema.remove("title");
        schema.remove("components");
    }
    let (group, plural) = (K::group(&()), K::plural(&()));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": { "api-approved.kubernetes.io": names.approved },
        },
        "spec": {
            "group": group,
            "names": {
                "kind": K::kind(&()),
                "plural": plural,
                "singular": names.singular,
                "shortNames": names.short,
            },
            "scope": "Cluster",
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {},
                "additionalPrinterColumns": [
                    { "name": "Driver", "type": "string", "jsonPath": ".driver" },
                    {
                        "name": "DeletionPolicy",
                        "type": "string",
                        "jsonPath": ".deletionPolicy",
                        "description": names.policy,
                    },
                    { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
                ],
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    })
}

/// Brings a generated definition to the form that is shipped.
fn finished(mut definition: Value) -> Value {
    if let Some(names) = definition
        .pointer_mut("/spec/names")
        .and_then(Value::as_object_mut)
    {
        let list_kind = format!(
            "{}List",
            names.get("kind").and_then(Value::as_str).unwrap_or_default()
        );
        names.insert("listKind".to_owned(), json!(list_kind));
        names.remove("categories");
    }
    if let Some(schema) = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        without_nullables(schema);
        with_whole_numbers(schema);
        add_type_fields(schema);
    }
    definition
}

/// Absent and null are one to us, and upstream's schema has no nullable field.
fn without_nullables(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove("nullable");
            members.remove("default");
            if members
                .get("properties")
                .is_some_and(|properties| properties.is_object())
            {
                members.remove("title");
            }
            members.values_mut().for_each(without_nullables);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nullables),
        _ => {}
    }
}

/// The derive writes bounds as floating-point numbers.
fn with_whole_numbers(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(minimum) = members.get_mut("minimum")
                && minimum.as_f64() == Some(0.0)
            {
                *minimum = json!(0);
            }
            members.values_mut().for_each(with_whole_numbers);
        }
        Value::Array(items) => items.iter_mut().for_each(with_whole_numbers),
        _ => {}
    }
}

/// `apiVersion`, `kind` and `metadata` stand in the schema of every kind.
fn add_type_fields(schema: &mut Value) {
    if let Some(properties) = schema.pointer_mut("/properties").and_then(Value::as_object_mut) {
        properties.insert("apiVersion".to_owned(), json!({ "type": "string" }));
        properties.insert("kind".to_owned(), json!({ "type": "string" }));
        properties.insert("metadata".to_owned(), json!({ "type": "object" }));
    }
}

/// Adds the version that is no longer served: the first one without validation rules and without the
/// fields that came later (pointers below the schema's properties).
fn append_v1beta1(definition: &mut Value, kind: &str, later: &[&str]) {
    let Some(mut version) = definition.pointer("/spec/versions/0").cloned() else {
        return;
    };
    version["name"] = json!("v1beta1");
    version["served"] = json!(false);
    version["storage"] = json!(false);
    version["deprecated"] = json!(true);
    version["deprecationWarning"] = json!(format!(
        "{GROUP}/v1beta1 {kind} is deprecated; use {GROUP}/v1 {kind}"
    ));
    if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
        without_rules(schema);
        remove(schema, "/properties/metadata");
        for pointer in later {
            remove(schema, &format!("/properties{pointer}"));
        }
    }
    if let Some(versions) = definition
        .pointer_mut("/spec/versions")
        .and_then(Value::as_array_mut)
    {
        versions.push(version);
    }
}

fn without_rules(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove("x-kubernetes-validations");
            members.remove("x-kubernetes-map-type");
            members.values_mut().for_each(without_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(without_rules),
        _ => {}
    }
}

fn remove(document: &mut Value, pointer: &str) {
    let Some((parent, member)) = pointer.rsplit_once('/') else {
        return;
    };
    if let Some(members) = document.pointer_mut(parent).and_then(Value::as_object_mut) {
        members.remove(member);
    }
}
