//! Which lists and maps are merged entry by entry.

use serde_json::{Map, Value};

/// Where a value stands: the names of the field and of the field around it. Items of a list stand where
/// their list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    parent: &'a str,
    name: &'a str,
}

impl<'a> Place<'a> {
    pub(super) const ROOT: Place<'static> = Place { parent: "", name: "" };

    pub(super) fn member(self, name: &'a str) -> Self {
        Self {
            parent: self.name,
            name,
        }
    }

    pub(super) fn item(self) -> Self {
        self
    }

    /// Whether a member of this place is the record of the owners itself, which nobody owns.
    pub(super) fn is_record(self, member: &str) -> bool {
        self == Self::ROOT.member("metadata") && member == "managedFields"
    }
}

/// How the entries of a value are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One value, with no parts of its own.
    One,
    /// An object with members.
    Members,
    /// A list whose items have keys.
    Keyed(&'static [&'static str]),
    /// A list of distinct values.
    Set,
}

/// Maps that are one value although they look like objects.
const ATOMIC: [&str; 14] = [
    "configMapKeyRef",
    "dataSource",
    "fieldRef",
    "involvedObject",
    "local",
    "localObjectReference",
    "nodePublishSecretRef",
    "ownerReferences",
    "required",
    "resourceFieldRef",
    "secretKeyRef",
    "selector",
    "targetRef",
    "volumeSnapshotRef",
];

impl Layout {
    pub(super) fn of(place: Place<'_>, value: &Value) -> Self {
        match value {
            Value::Object(_) if ATOMIC.contains(&place.name) || place.name.ends_with("SecretRef") => {
                Self::One
            }
            Value::Object(_) => Self::Members,
            Value::Array(items) => match list(place) {
                Self::Keyed(keys) if !items.iter().all(|item| has_keys(keys, item)) => Self::One,
                other => other,
            },
            _ => Self::One,
        }
    }
}

fn list(place: Place<'_>) -> Layout {
    match (place.parent, place.name) {
        ("metadata", "finalizers") | ("spec", "volumeLifecycleModes") => Layout::Set,
        ("metadata", "ownerReferences") => Layout::Keyed(&["uid"]),
        ("status", "conditions") => Layout::Keyed(&["type"]),
        (
            "spec",
            "containers" | "initContainers" | "ephemeralContainers" | "volumes" | "imagePullSecrets",
        )
        | (_, "env" | "resourceClaims")
        | ("", "imagePullSecrets" | "secrets") => Layout::Keyed(&["name"]),
        ("containers" | "initContainers" | "ephemeralContainers", "ports") => {
            Layout::Keyed(&["containerPort", "protocol"])
        }
        ("spec", "ports") => Layout::Keyed(&["port", "protocol"]),
        (_, "volumeMounts") => Layout::Keyed(&["mountPath"]),
        (_, "volumeDevices") => Layout::Keyed(&["devicePath"]),
        ("spec", "hostAliases") => Layout::Keyed(&["ip"]),
        ("spec", "topologySpreadConstraints") => Layout::Keyed(&["topologyKey", "whenUnsatisfiable"]),
        _ => Layout::One,
    }
}

/// The value of a key that may be left out.
fn default_of(key: &str) -> Option<&'static str> {
    (key == "protocol").then_some("TCP")
}

fn has_keys(keys: &[&str], item: &Value) -> bool {
    item.is_object()
        && keys
            .iter()
            .all(|key| item.get(key).is_some() || default_of(key).is_some())
}

/// The keys of an item as JSON, ordered by name.
pub(super) fn key_of(keys: &[&str], item: &Value) -> String {
    let mut named: Vec<(&str, Value)> = keys
        .iter()
        .filter_map(|key| {
            Some((
                *key,
                item.get(key)
                    .cloned()
                    .or_else(|| default_of(key).map(Value::from))?,
            ))
        })
        .collect();
    named.sort_by(|left, right| left.0.cmp(right.0));
    let map: Map<String, Value> = named
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    Value::Object(map).to_string()
}
