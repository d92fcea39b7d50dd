//! An applied configuration laid over a live object, and removal of fields.

use serde_json::{Map, Value};

use super::fields::{Fields, Step};
use super::layout::{Layout, Place, key_of};

/// `live` with everything that `applied` gives. A null removes a member.
pub(super) fn merge(place: Place<'_>, live: &Value, applied: &Value) -> Value {
    match (Layout::of(place, live), Layout::of(place, applied), live, applied) {
        (Layout::Members, Layout::Members, Value::Object(live), Value::Object(applied)) => {
            Value::Object(members(place, live, applied))
        }
        (Layout::Keyed(keys), Layout::Keyed(_), Value::Array(live), Value::Array(applied)) => {
            Value::Array(keyed(place, keys, live, applied))
        }
        (Layout::Set, Layout::Set, Value::Array(live), Value::Array(applied)) => {
            let new = applied.iter().filter(|item| !live.contains(item));
            Value::Array(live.iter().chain(new).cloned().collect())
        }
        _ => applied.clone(),
    }
}

fn members(place: Place<'_>, live: &Map<String, Value>, applied: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = live.clone();
    for (name, child) in applied {
        let value = match (child, live.get(name)) {
            (Value::Null, _) => {
                merged.remove(name);
                continue;
            }
            (child, Some(former)) => merge(place.member(name), former, child),
            (child, None) => child.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

/// Items keep their live places; new ones come last.
fn keyed(place: Place<'_>, keys: &[&str], live: &[Value], applied: &[Value]) -> Vec<Value> {
    let identity = |item: &Value| key_of(keys, item);
    let mut merged: Vec<Value> = live
        .iter()
        .map(|item| {
            let wanted = applied.iter().find(|other| identity(other) == identity(item));
            wanted.map_or_else(|| item.clone(), |wanted| merge(place.item(), item, wanted))
        })
        .collect();
    let new = applied
        .iter()
        .filter(|item| !live.iter().any(|other| identity(other) == identity(item)));
    merged.extend(new.cloned());
    merged
}

/// Removes fields, and what becomes empty by that.
pub(super) fn remove(object: &mut Value, dropped: &Fields) {
    remove_at(Place::ROOT, object, dropped);
}

/// True when nothing is left of the value.
fn remove_at(place: Place<'_>, value: &mut Value, dropped: &Fields) -> bool {
    if dropped.owned && dropped.children.is_empty() {
        return true;
    }
    let layout = Layout::of(place, value);
    match value {
        Value::Object(object) => {
            for (step, fields) in &dropped.children {
                let Step::Field(name) = step else { continue };
                if object
                    .get_mut(name)
                    .is_some_and(|child| remove_at(place.member(name), child, fields))
                {
                    object.remove(name);
                }
            }
            object.is_empty()
        }
        Value::Array(items) => {
            items.retain_mut(|item| {
                let step = match layout {
                    Layout::Keyed(keys) => Step::Key(key_of(keys, item)),
                    Layout::Set => Step::item(item),
                    Layout::One | Layout::Members => return true,
                };
                !dropped
                    .children
                    .get(&step)
                    .is_some_and(|fields| fields.owned || remove_at(place.item(), item, fields))
            });
            items.is_empty()
        }
        _ => false,
    }
}
