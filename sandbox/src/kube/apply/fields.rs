//! Sets of fields, as trees, and their `FieldsV1` form.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::layout::{Layout, Place, key_of};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A member of an object.
    Field(String),
    /// An item of a list with keys: the keys as JSON.
    Key(String),
    /// An item of a set: the value as JSON.
    Item(String),
}

impl Step {
    pub(super) fn item(value: &Value) -> Self {
        Self::Item(value.to_string())
    }

    fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Item(value) => format!("v:{value}"),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_once(':')?;
        let rest = rest.to_owned();
        Some(match prefix {
            "f" => Self::Field(rest),
            "k" => Self::Key(rest),
            "v" => Self::Item(rest),
            _ => return None,
        })
    }

    fn show(&self, path: &mut String) {
        match self {
            Self::Field(name) => {
                path.push('.');
                path.push_str(name);
            }
            Self::Key(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                let _ = write!(path, "[{}]", keys.join(","));
            }
            Self::Item(value) => {
                let _ = write!(path, "[={value}]");
            }
        }
    }
}

/// A set of paths: those of the nodes that are `owned`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) owned: bool,
    pub(super) children: BTreeMap<Step, Fields>,
}

impl Fields {
    pub(super) fn leaf() -> Self {
        Self {
            owned: true,
            children: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.owned && self.children.is_empty()
    }

    /// The fields that an applied configuration sets: its leaves, and the items of its lists.
    pub(super) fn of(value: &Value) -> Self {
        Self::at(Place::ROOT, value)
    }

    fn at(place: Place<'_>, value: &Value) -> Self {
        let mut children = BTreeMap::new();
        match (Layout::of(place, value), value) {
            (Layout::Members, Value::Object(object)) => {
                for (name, child) in object {
                    children.insert(Step::Field(name.clone()), Self::at(place.member(name), child));
                }
            }
            (Layout::Keyed(keys), Value::Array(items)) => {
                for item in items {
                    let mut fields = Self::at(place.item(), item);
                    fields.owned = true;
                    children.insert(Step::Key(key_of(keys, item)), fields);
                }
            }
            (Layout::Set, Value::Array(items)) => {
                children.extend(items.iter().map(|item| (Step::item(item), Self::leaf())));
            }
            _ => {}
        }
        Self {
            owned: children.is_empty(),
            children,
        }
    }

    /// Without the fields that say which object it is and what only the server writes.
    pub(super) fn without_identity(mut self) -> Self {
        const OF_METADATA: [&str; 9] = [
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "generation",
            "managedFields",
            "name",
            "namespace",
            "resourceVersion",
            "uid",
        ];
        let metadata = Step::Field("metadata".to_owned());
        for name in ["apiVersion", "kind"] {
            self.children.remove(&Step::Field(name.to_owned()));
        }
        if let Some(fields) = self.children.get_mut(&metadata) {
            fields.owned = false;
            for name in OF_METADATA.into_iter().chain(["selfLink", "clusterName"]) {
                fields.children.remove(&Step::Field(name.to_owned()));
            }
            if fields.is_empty() {
                self.children.remove(&metadata);
            }
        }
        self.owned = false;
        self
    }

    /// The same with every object and list around an owned field: what holds something is not removed.
    pub(super) fn with_parents(&self) -> Self {
        let children = self.children.iter();
        Self {
            owned: self.owned || !self.children.is_empty(),
            children: children
                .map(|(step, fields)| (step.clone(), fields.with_parents()))
                .collect(),
        }
    }

    pub(super) fn union(mut self, other: Self) -> Self {
        self.owned |= other.owned;
        for (step, fields) in other.children {
            match self.children.entry(step) {
                Entry::Vacant(place) => {
                    place.insert(fields);
                }
                Entry::Occupied(mut own) => {
                    let merged = std::mem::take(own.get_mut()).union(fields);
                    own.insert(merged);
                }
            }
        }
        self
    }

    pub(super) fn difference(self, other: &Self) -> Self {
        if other.is_empty() {
            return self;
        }
        self.combine(other, |own, others| own && !others, true)
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |own, others| own && others, false)
    }

    fn combine(&self, other: &Self, owned: fn(bool, bool) -> bool, keep_unmatched: bool) -> Self {
        let children = self.children.iter().filter_map(|(step, fields)| {
            let combined = match other.children.get(step) {
                Some(matching) => fields.combine(matching, owned, keep_unmatched),
                None if keep_unmatched => fields.clone(),
                None => return None,
            };
            (!combined.is_empty()).then(|| (step.clone(), combined))
        });
        Self {
            owned: owned(self.owned, other.owned),
            children: children.collect(),
        }
    }

    /// The paths of the set in the notation of conflict messages.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(&mut String::new(), &mut paths);
        paths
    }

    fn collect(&self, path: &mut String, paths: &mut Vec<String>) {
        if self.owned {
            paths.push(path.clone());
        }
        for (step, fields) in &self.children {
            let length = path.len();
            step.show(path);
            fields.collect(path, paths);
            path.truncate(length);
        }
    }

    /// The `fieldsV1` value.
    pub(super) fn encode(&self) -> Value {
        let mut object = Map::new();
        if self.owned && !self.children.is_empty() {
            object.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (step, fields) in &self.children {
            object.insert(step.encode(), fields.encode());
        }
        Value::Object(object)
    }

    /// Whether a `fieldsV1` value has one of these fields.
    pub(super) fn touches(&self, stored: &Value) -> bool {
        let Value::Object(stored) = stored else {
            return false;
        };
        let is_owned = stored.is_empty() || stored.contains_key(".");
        self.owned && is_owned
            || self.children.iter().any(|(step, fields)| {
                let stored = stored.get(&step.encode());
                stored.is_some_and(|stored| fields.touches(stored))
            })
    }

    /// Reads a `fieldsV1` value; what is not understood is left out.
    pub(super) fn decode(value: &Value) -> Self {
        let mut fields = Self::decode_below(value);
        fields.owned &= !fields.children.is_empty();
        fields
    }

    fn decode_below(value: &Value) -> Self {
        let Value::Object(object) = value else {
            return Self::default();
        };
        let children = object
            .iter()
            .filter_map(|(text, child)| Some((Step::decode(text)?, Self::decode_below(child))));
        let children: BTreeMap<Step, Fields> = children.collect();
        Self {
            owned: children.is_empty() || object.contains_key("."),
            children,
        }
    }
}
