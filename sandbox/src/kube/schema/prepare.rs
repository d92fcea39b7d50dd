//! Pruning of unknown fields and filling in of defaults.

use serde_json::{Map, Value};

use super::node::{Additional, Node};

/// The fields of object metadata; others are dropped from every object.
pub(super) const METADATA: [&str; 16] = [
    "annotations",
    "clusterName",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// True for the members that every object has and that no schema can remove.
pub(super) fn is_identity(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

/// Removes what the schema of a whole object does not know.
pub(super) fn prune_root(schema: &Node, object: &mut Value) {
    prune_object(schema, object, true);
}

fn prune_metadata(object: &mut Map<String, Value>) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.retain(|name, _| METADATA.contains(&name.as_str()));
    }
}

fn prune_object(schema: &Node, value: &mut Value, whole: bool) {
    let Value::Object(object) = value else {
        return;
    };
    if whole {
        prune_metadata(object);
    }
    let keeps_unknown = schema.preserve_unknown || !matches!(schema.additional, Additional::None);
    object.retain(|name, child| {
        if whole && is_identity(name) {
            return true;
        }
        match schema.member(name) {
            Some(member) => {
                prune(member, child);
                true
            }
            None => keeps_unknown,
        }
    });
}

fn prune(schema: &Node, value: &mut Value) {
    match value {
        Value::Object(_) => prune_object(schema, value, schema.embedded),
        Value::Array(items) => {
            if let Some(item_schema) = &schema.items {
                for item in items {
                    prune(item_schema, item);
                }
            }
        }
        _ => {}
    }
}

/// Fills in the defaults of a whole object.
pub(super) fn default_root(schema: &Node, object: &mut Value) {
    default(schema, object);
}

fn default(schema: &Node, value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, member) in &schema.properties {
                default_member(name, member, object);
            }
            if let Additional::Schema(member) = &schema.additional {
                for (name, child) in object.iter_mut() {
                    if !schema.properties.contains_key(name) {
                        default(member, child);
                    }
                }
            }
        }
        Value::Array(items) => {
            if let Some(item_schema) = &schema.items {
                for item in items {
                    default(item_schema, item);
                }
            }
        }
        _ => {}
    }
}

/// A null counts as missing where the field has a default and may not be null.
fn default_member(name: &str, member: &Node, object: &mut Map<String, Value>) {
    if let Some(filling) = &member.default {
        let missing = match object.get(name) {
            None => true,
            Some(Value::Null) => !member.nullable,
            Some(_) => false,
        };
        if missing {
            object.insert(name.to_owned(), filling.clone());
        }
    }
    if let Some(child) = object.get_mut(name) {
        default(member, child);
    }
}
