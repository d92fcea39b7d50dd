//! What differs between two forms of an object.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{Fields, Step};
use super::layout::{Layout, Place, key_of};

/// Fields by what happened to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) added: Fields,
    pub(super) modified: Fields,
    pub(super) removed: Fields,
}

impl Difference {
    /// What the newer form set.
    pub(super) fn set(self) -> Fields {
        self.added.union(self.modified)
    }

    fn adopt(&mut self, step: &Step, below: Self) {
        let parts = [
            (&mut self.added, below.added),
            (&mut self.modified, below.modified),
            (&mut self.removed, below.removed),
        ];
        for (all, part) in parts {
            if !part.is_empty() {
                all.children.insert(step.clone(), part);
            }
        }
    }
}

/// From `old` to `new`; a missing object is null.
pub(super) fn compare(old: &Value, new: &Value) -> Difference {
    // The server prints empty spec and status (and the source of an event) of its own kinds, so there they are never "added".
    let custom = is_custom(new);
    let mut difference = between(Place::ROOT, Some(old), Some(new));
    for fields in [&mut difference.added, &mut difference.removed] {
        fields.owned = false;
        for (step, child) in &mut fields.children {
            let always_there =
                matches!(step, Step::Field(name) if name == "metadata" || !custom && is_frame(name, new));
            child.owned &= !always_there;
            if matches!(step, Step::Field(name) if name == "spec") && !custom {
                disown_parts(child, new);
            }
        }
        fields.children.retain(|_, child| !child.is_empty());
    }
    difference
}

/// The parts of a spec that the server always prints, so that nobody adds them.
fn disown_parts(spec: &mut Fields, object: &Value) {
    let part = match object["kind"].as_str() {
        Some("PersistentVolumeClaim") => "resources",
        Some("VolumeAttachment") => "source",
        _ => return,
    };
    if let Some(fields) = spec.children.get_mut(&Step::Field(part.to_owned())) {
        fields.owned &= fields.children.is_empty();
    }
}

fn is_frame(name: &str, object: &Value) -> bool {
    matches!(name, "spec" | "status") || name == "source" && object["kind"] == "Event"
}

fn is_custom(object: &Value) -> bool {
    const BUILT_IN: [&str; 8] = [
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "authorization.k8s.io",
        "coordination.k8s.io",
        "events.k8s.io",
        "networking.k8s.io",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
    ];
    let version = object["apiVersion"].as_str().unwrap_or_default();
    version
        .split_once('/')
        .is_some_and(|(group, _)| group.contains('.') && !BUILT_IN.contains(&group))
}

fn between(place: Place<'_>, old: Option<&Value>, new: Option<&Value>) -> Difference {
    let (old, new) = (
        old.filter(|value| !value.is_null()),
        new.filter(|value| !value.is_null()),
    );
    match (old, new) {
        (None, None) => Difference::default(),
        (None, Some(new)) => Difference {
            added: whole(place, new),
            ..Difference::default()
        },
        (Some(old), None) => Difference {
            removed: whole(place, old),
            ..Difference::default()
        },
        (Some(old), Some(new)) if old == new => Difference::default(),
        (Some(old), Some(new)) => entries(place, old, new),
    }
}

/// Every field of a value including the objects and lists around its leaves.
fn whole(place: Place<'_>, value: &Value) -> Fields {
    let children = match (Layout::of(place, value), value) {
        (Layout::Members, Value::Object(object)) => object
            .iter()
            .filter(|(name, _)| !place.is_record(name))
            .map(|(name, child)| (Step::Field(name.clone()), whole(place.member(name), child)))
            .collect(),
        _ => items(place, value)
            .into_iter()
            .flatten()
            .map(|(step, item)| (step, whole(place.item(), item)))
            .collect(),
    };
    Fields {
        owned: true,
        children,
    }
}

/// The entries of a list that are compared one by one; none where the list is one value.
fn items<'a>(place: Place<'_>, value: &'a Value) -> Option<BTreeMap<Step, &'a Value>> {
    Some(match (Layout::of(place, value), value) {
        (Layout::Keyed(keys), Value::Array(items)) => items
            .iter()
            .map(|item| (Step::Key(key_of(keys, item)), item))
            .collect(),
        (Layout::Set, Value::Array(items)) => items.iter().map(|item| (Step::item(item), item)).collect(),
        _ => return None,
    })
}

fn entries(place: Place<'_>, old: &Value, new: &Value) -> Difference {
    let layouts = (Layout::of(place, old), Layout::of(place, new));
    if let (Value::Object(old), Value::Object(new), (Layout::Members, Layout::Members)) = (old, new, layouts)
    {
        return members(place, old, new);
    }
    let (Some(former), Some(latter)) = (items(place, old), items(place, new)) else {
        return Difference {
            modified: Fields::leaf(),
            ..Difference::default()
        };
    };
    let mut difference = Difference::default();
    for (step, old) in &former {
        difference.adopt(step, between(place.item(), Some(old), latter.get(step).copied()));
    }
    for (step, new) in latter.iter().filter(|(step, _)| !former.contains_key(*step)) {
        difference.adopt(step, between(place.item(), None, Some(new)));
    }
    difference
}

/// Steps are made for members that differ only: most do not.
fn members(place: Place<'_>, old: &Map<String, Value>, new: &Map<String, Value>) -> Difference {
    let mut difference = Difference::default();
    let names = old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names.filter(|name| !place.is_record(name)) {
        let (old, new) = (old.get(name), new.get(name));
        if old != new {
            let below = between(place.member(name), old, new);
            difference.adopt(&Step::Field(name.clone()), below);
        }
    }
    difference
}
