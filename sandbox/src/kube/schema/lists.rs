//! Lists whose items must be unique: `x-kubernetes-list-type` set and map.

use serde_json::{Map, Value};

use super::node::{ListType, Node};
use crate::kube::validation::FieldError;

/// Complains about repeated items anywhere in a whole object.
pub(super) fn root(schema: &Node, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    walk(schema, "", new, old, errors);
}

fn walk(schema: &Node, path: &str, new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if old == Some(new) {
        return;
    }
    match new {
        Value::Object(object) => {
            for (name, child) in object {
                if let Some(member) = schema.member(name) {
                    let path = match (path.is_empty(), schema.is_key(name)) {
                        (true, _) => name.clone(),
                        (false, true) => format!("{path}[{name}]"),
                        (false, false) => format!("{path}.{name}"),
                    };
                    walk(member, &path, child, schema.former_member(old, name), errors);
                }
            }
        }
        Value::Array(items) => {
            repeated(&schema.list, path, items, errors);
            if let Some(item_schema) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    let former = schema.former_item(old, item);
                    walk(item_schema, &format!("{path}[{index}]"), item, former, errors);
                }
            }
        }
        _ => {}
    }
}

fn repeated(list: &ListType, path: &str, items: &[Value], errors: &mut Vec<FieldError>) {
    let identities: Vec<Value> = match list {
        ListType::Atomic => return,
        ListType::Set => items.to_vec(),
        ListType::Map(keys) => items.iter().map(|item| identity(keys, item)).collect(),
    };
    for (index, identity) in identities.iter().enumerate() {
        if identities.iter().take(index).any(|earlier| earlier == identity) {
            errors.push(FieldError::duplicate(format!("{path}[{index}]"), identity));
        }
    }
}

fn identity(keys: &[String], item: &Value) -> Value {
    let members: Map<String, Value> = keys
        .iter()
        .filter_map(|key| Some((key.clone(), item.get(key)?.clone())))
        .collect();
    Value::Object(members)
}
