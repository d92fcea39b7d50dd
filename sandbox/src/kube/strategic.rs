//! Strategic merge patches: as merge patches, but lists whose items have a key are merged item by item.
//!
//! Source: `apimachinery pkg/util/strategicpatch`. Directives: `$patch` (`replace`, `delete`, `merge`),
//! `$retainKeys`, `$deleteFromPrimitiveList/x`, `$setElementOrder/x`.

use serde_json::{Map, Value};

use super::error::ApiError;
use super::openapi::Schema;

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_ITEMS: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies a patch to an object. Without a schema every list is replaced.
///
/// # Errors
/// BadRequest for directives that make no sense.
pub(crate) fn patch(schema: Option<Schema>, object: &Value, patch: &Value) -> Result<Value, ApiError> {
    let (Value::Object(object), Value::Object(patch)) = (object, patch) else {
        return Err(ApiError::bad_request(
            "error decoding patch: a strategic merge patch is a JSON object",
        ));
    };
    merge_members(schema, object.clone(), patch).map(Value::Object)
}

fn wrong(what: &str) -> ApiError {
    ApiError::bad_request(format!("invalid strategic merge patch: {what}"))
}

fn merge_members(
    schema: Option<Schema>,
    mut object: Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<Map<String, Value>, ApiError> {
    match patch
        .get(PATCH)
        .map(|directive| directive.as_str().unwrap_or_default())
    {
        None | Some("merge") => {}
        Some("replace") => return Ok(without_directives(patch)),
        Some("delete") => return Ok(Map::new()),
        Some(other) => return Err(wrong(&format!("unknown $patch directive {other:?}"))),
    }
    retain(&mut object, patch)?;
    for (name, change) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let member = schema.and_then(|schema| schema.member(name));
        let former = object.remove(name);
        let list = List {
            schema: member,
            order: directive(patch, ORDER, name),
            deleted: directive(patch, DELETE_ITEMS, name),
        };
        match (former, change) {
            (_, Value::Null) => {}
            (Some(Value::Object(former)), Value::Object(change)) => {
                let merged = merge_members(member, former, change)?;
                object.insert(name.clone(), Value::Object(merged));
            }
            (Some(Value::Array(former)), Value::Array(change)) => {
                object.insert(name.clone(), Value::Array(list.merge(former, change)?));
            }
            (None, Value::Array(change)) => {
                object.insert(name.clone(), Value::Array(list.merge(Vec::new(), change)?));
            }
            (_, Value::Object(change)) => {
                let merged = merge_members(member, Map::new(), change)?;
                object.insert(name.clone(), Value::Object(merged));
            }
            (_, other) => {
                object.insert(name.clone(), other.clone());
            }
        }
    }
    // Lists that only directives speak of.
    for key in patch.keys() {
        let name = key.strip_prefix(ORDER).or_else(|| key.strip_prefix(DELETE_ITEMS));
        let Some(name) = name.filter(|name| !patch.contains_key(*name)) else {
            continue;
        };
        let list = List {
            schema: schema.and_then(|schema| schema.member(name)),
            order: directive(patch, ORDER, name),
            deleted: directive(patch, DELETE_ITEMS, name),
        };
        if let Some(Value::Array(former)) = object.get_mut(name) {
            *former = list.merge(std::mem::take(former), &[])?;
        }
    }
    Ok(object)
}

fn directive<'a>(patch: &'a Map<String, Value>, prefix: &str, name: &str) -> Option<&'a Vec<Value>> {
    patch.get(&format!("{prefix}{name}"))?.as_array()
}

/// `$retainKeys`: every other member goes.
fn retain(object: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), ApiError> {
    let Some(kept) = patch.get(RETAIN) else {
        return Ok(());
    };
    let kept = kept.as_array().ok_or_else(|| wrong("$retainKeys is no list"))?;
    let is_kept = |name: &String| kept.iter().any(|key| key == name);
    let stranger = patch.keys().find(|name| !name.starts_with('$') && !is_kept(name));
    if let Some(name) = stranger {
        return Err(wrong(&format!(
            "$retainKeys lacks {name:?}, which the patch sets"
        )));
    }
    object.retain(|name, _| is_kept(name));
    Ok(())
}

/// A new value as it is stored: its directives have nothing to act on.
fn without_directives(members: &Map<String, Value>) -> Map<String, Value> {
    let members = members.iter().filter(|(name, value)| {
        let directive =
            *name == PATCH || *name == RETAIN || name.starts_with(ORDER) || name.starts_with(DELETE_ITEMS);
        !directive && !value.is_null()
    });
    members
        .map(|(name, value)| (name.clone(), cleaned(value)))
        .collect()
}

fn cleaned(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(without_directives(members)),
        Value::Array(items) => {
            let items = items.iter().filter(|item| item.get(PATCH).is_none());
            Value::Array(items.map(cleaned).collect())
        }
        other => other.clone(),
    }
}

/// A list that is patched.
struct List<'a> {
    schema: Option<Schema>,
    order: Option<&'a Vec<Value>>,
    deleted: Option<&'a Vec<Value>>,
}

impl List<'_> {
    fn merge(&self, former: Vec<Value>, change: &[Value]) -> Result<Vec<Value>, ApiError> {
        let Some(schema) = self.schema.filter(|schema| schema.has_strategy("merge")) else {
            return Ok(change.iter().map(cleaned).collect());
        };
        let merged = match schema.merge_key() {
            None => self.merge_values(former.clone(), change),
            Some(key) => self.merge_items(schema, key, former.clone(), change)?,
        };
        Ok(self.ordered(schema.merge_key(), &former, merged, change))
    }

    fn merge_values(&self, mut values: Vec<Value>, change: &[Value]) -> Vec<Value> {
        values.retain(|value| !self.deleted.is_some_and(|deleted| deleted.contains(value)));
        for value in change {
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
        values
    }

    fn merge_items(
        &self,
        schema: Schema,
        key: &str,
        mut items: Vec<Value>,
        change: &[Value],
    ) -> Result<Vec<Value>, ApiError> {
        if change
            .iter()
            .any(|item| item[PATCH] == "replace" && item.get(key).is_none())
        {
            let items = change.iter().filter(|item| item.get(PATCH).is_none());
            return Ok(items.map(cleaned).collect());
        }
        for item in change {
            let (Value::Object(members), Some(identity)) = (item, item.get(key)) else {
                return Err(wrong(&format!("an item of the list has no merge key {key:?}")));
            };
            let place = items.iter().position(|former| former.get(key) == Some(identity));
            if item[PATCH] == "delete" {
                items.retain(|former| former.get(key) != Some(identity));
                continue;
            }
            match place {
                Some(place) => {
                    let former = match std::mem::take(&mut items[place]) {
                        Value::Object(former) => former,
                        _ => Map::new(),
                    };
                    items[place] = Value::Object(merge_members(schema.item(), former, members)?);
                }
                None => items.push(Value::Object(merge_members(schema.item(), Map::new(), members)?)),
            }
        }
        Ok(items)
    }

    /// Items in the order that the patch wants, which is that of its own items when it does not say; those that it
    /// does not name keep their places between.
    fn ordered(
        &self,
        key: Option<&str>,
        former: &[Value],
        items: Vec<Value>,
        change: &[Value],
    ) -> Vec<Value> {
        let order = self.order.map_or(change, Vec::as_slice);
        let identity = |value: &Value| match key {
            Some(key) => value.get(key).cloned().unwrap_or_default(),
            None => value.clone(),
        };
        let rank = |item: &Value| order.iter().position(|wanted| identity(wanted) == identity(item));
        let (mut named, others): (Vec<Value>, Vec<Value>) =
            items.into_iter().partition(|item| rank(item).is_some());
        named.sort_by_key(&rank);
        let place = |item: &Value| former.iter().position(|one| identity(one) == identity(item));
        let mut merged = Vec::with_capacity(named.len() + others.len());
        let mut named = named.into_iter().peekable();
        for other in others {
            // What stood before the other item, or is new, comes before it.
            while let Some(next) = named.next_if(|next| place(next) < place(&other)) {
                merged.push(next);
            }
            merged.push(other);
        }
        merged.extend(named);
        merged
    }
}
