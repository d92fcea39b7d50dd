//! Fields that a schema does not know, which pruning will remove.

use serde_json::{Map, Value};

use super::node::{Additional, Node};
use super::prepare::{METADATA, is_identity};

/// The paths of all of them, in order.
pub(super) fn root(schema: &Node, object: &Value, found: &mut Vec<String>) {
    if let Value::Object(members) = object {
        object_at(schema, "", members, true, found);
    }
}

fn object_at(schema: &Node, path: &str, members: &Map<String, Value>, whole: bool, found: &mut Vec<String>) {
    let keeps_unknown = schema.preserve_unknown || !matches!(schema.additional, Additional::None);
    for (name, child) in members {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if whole && is_identity(name) {
            let metadata = child.as_object().filter(|_| name == "metadata");
            for field in metadata.into_iter().flat_map(Map::keys) {
                if !METADATA.contains(&field.as_str()) {
                    found.push(format!("{path}.{field}"));
                }
            }
            continue;
        }
        match schema.member(name) {
            Some(member) => value_at(member, &path, child, found),
            None if keeps_unknown => {}
            None => found.push(path),
        }
    }
}

fn value_at(schema: &Node, path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => object_at(schema, path, members, schema.embedded, found),
        Value::Array(items) => {
            if let Some(item_schema) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    value_at(item_schema, &format!("{path}[{index}]"), item, found);
                }
            }
        }
        _ => {}
    }
}
