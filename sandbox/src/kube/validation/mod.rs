//! Defaults, admission and validation of the built-in kinds, as far as Slackwater meets them.
//!
//! | Module | Subject |
//! |---|---|
//! | [`error`] | field errors and their texts |
//! | [`defaults`] | what the API server fills in at every write |
//! | [`admission`] | what its admission plugins add or refuse |
//! | [`claim`], [`sources`], [`volume`], [`affinity`], [`attachment`], [`classes`], [`event`], [`other`], [`quota`], [`workload`] | rules of the kinds |
//! | [`warnings`] | what the writer is told of an object that is taken |
//! | [`quantity`] | sizes like `5Gi` |
//!
//! Sources: spec resize 4.1 and 4.2; `kubernetes/kubernetes: pkg/apis/core/validation`.

mod admission;
mod affinity;
mod attachment;
mod claim;
mod classes;
mod defaults;
pub mod error;
mod event;
mod other;
pub mod quantity;
mod quota;
mod sources;
mod volume;
mod warnings;
mod workload;

use serde_json::Value;

pub use self::admission::admit;
pub(crate) use self::admission::{class_of, default_class};
pub use self::defaults::{begin_life, default, prepare_update};
pub(crate) use self::error::quote;
pub use self::error::{ErrorKind, FieldError};
pub use self::warnings::warnings;

/// The stored objects that rules and admission plugins look at.
pub trait Lookup {
    /// One object; `namespace` is empty for objects of the cluster.
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value>;

    /// All objects of a type, in key order.
    fn list(&self, group: &str, resource: &str) -> Vec<Value>;
}

/// Everything wrong with an object of a built-in kind; on an update `old` is the stored one.
/// Kinds without rules are never wrong.
#[must_use]
pub fn validate(
    group: &str,
    kind: &str,
    new: &Value,
    old: Option<&Value>,
    _context: &dyn Lookup,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match (group, kind) {
        ("", "PersistentVolumeClaim") => claim::validate(new, old, &mut errors),
        ("", "PersistentVolume") => volume::validate(new, old, &mut errors),
        ("storage.k8s.io", "VolumeAttachment") => attachment::validate(new, old, &mut errors),
        ("storage.k8s.io", "StorageClass") => classes::storage_class(new, old, &mut errors),
        ("storage.k8s.io", "VolumeAttributesClass") => classes::attributes_class(new, old, &mut errors),
        ("", "Secret") => other::secret(new, old, &mut errors),
        ("", "ConfigMap") => other::config_map(new, old, &mut errors),
        ("", "Event") => event::validate(new, old, &mut errors),
        ("", "ResourceQuota") => quota::validate(new, &mut errors),
        ("coordination.k8s.io", "Lease") => other::lease(new, &mut errors),
        ("", "Pod") => workload::pod(new, &mut errors),
        ("apps", "Deployment" | "ReplicaSet") => workload::template(new, old, &mut errors),
        _ => {}
    }
    errors
}

/// The text of a field; empty where it is missing or something else.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list; none where it is missing or something else.
pub(crate) fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Complains unless a field is the same as before.
fn unchanged(field: &str, new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    if new != old {
        errors.push(FieldError::invalid(field, new, "field is immutable"));
    }
}

/// Complains unless a field is one of a few texts.
fn one_of(field: &str, value: &Value, allowed: &[&str], errors: &mut Vec<FieldError>) {
    if !value.as_str().is_some_and(|text| allowed.contains(&text)) {
        let allowed: Vec<String> = allowed.iter().map(|text| (*text).to_owned()).collect();
        errors.push(FieldError::not_supported(field, value, &allowed));
    }
}

#[cfg(test)]
pub(crate) mod tests;
