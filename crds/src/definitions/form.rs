//! The form in which definitions are shipped: what the derive makes is brought to that of upstream's files (specification
//! `snapshot.md` 1.1), where optional fields are absent, not null.

use kube::Resource;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::Version;

/// What the definition of a class does not take from its type.
pub(super) struct ClassNames {
    pub singular: &'static str,
    pub short: [&'static str; 2],
    pub approved: &'static str,
    /// What the column of the policy says.
    pub policy: &'static str,
}

/// The definition of a class: it has no `spec`, so it is written here around the schema of its fields.
pub(super) fn class_definition<K: Resource<DynamicType = ()> + JsonSchema>(names: &ClassNames) -> Value {
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
pub(super) fn finished(mut definition: Value) -> Value {
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

/// Gives a definition of `v1` these versions. `older` makes of the version `v1` what `v1beta1` was.
pub(super) fn with_versions(mut definition: Value, versions: &[Version], older: fn(&mut Value)) -> Value {
    let Some(v1) = definition.pointer("/spec/versions/0").cloned() else {
        return definition;
    };
    let made = |version: &Version| {
        let mut made = v1.clone();
        made["name"] = json!(version.name);
        made["served"] = json!(version.served);
        made["storage"] = json!(version.stored);
        if version.name == "v1beta1" {
            made["deprecated"] = json!(true);
            older(&mut made);
        }
        made
    };
    definition["spec"]["versions"] = versions.iter().map(made).collect();
    definition
}

/// Takes out every validation rule.
pub(super) fn without_rules(schema: &mut Value) {
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

/// Takes out what a pointer names.
pub(super) fn remove(document: &mut Value, pointer: &str) {
    let Some((parent, member)) = pointer.rsplit_once('/') else {
        return;
    };
    if let Some(members) = document.pointer_mut(parent).and_then(Value::as_object_mut) {
        members.remove(member);
    }
}
