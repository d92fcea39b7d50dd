//! What a claim is filled from: `spec.dataSource` and `spec.dataSourceRef`.
//!
//! Source: `kubernetes/kubernetes: pkg/api/persistentvolumeclaim`.

use serde_json::{Map, Value};

use super::{FieldError, text};
use crate::kube::metadata::subdomain_errors;

const SOURCE: &str = "dataSource";
const REFERENCE: &str = "dataSourceRef";
const CORE_ONLY: &str = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";

/// Drops what the API server drops without a word, so that the user gets an empty volume, and lets either form stand
/// for both. `old` is the spec of the stored claim.
pub(super) fn prepare(claim: &mut Value, old: Option<&Value>, may_cross: bool) {
    let Some(Value::Object(spec)) = claim.get_mut("spec") else {
        return;
    };
    let had = |field: &str| old.is_some_and(|old| old.get(field).is_some_and(Value::is_object));
    if spec.get(REFERENCE).is_some_and(names_namespace) && !had(REFERENCE) && !may_cross {
        // References to other namespaces are behind a gate that is off by default.
        spec.remove(REFERENCE);
    }
    let is_new = !had(SOURCE) && !had(REFERENCE);
    if is_new && !spec.contains_key(REFERENCE) && !spec.get(SOURCE).is_some_and(is_known) {
        spec.remove(SOURCE);
    }
    if let Some(copy) = spec.get(SOURCE).map(local) {
        spec.entry(REFERENCE).or_insert(copy);
    } else if let Some(copy) = spec
        .get(REFERENCE)
        .filter(|source| !names_namespace(source))
        .map(local)
    {
        spec.insert(SOURCE.to_owned(), copy);
    }
}

/// Fills in what the type of a source always writes.
pub(super) fn complete(claim: &mut Value) {
    for field in [SOURCE, REFERENCE] {
        let source = claim.get_mut("spec").and_then(|spec| spec.get_mut(field));
        if let Some(Value::Object(source)) = source {
            source.entry("apiGroup").or_insert(Value::Null);
            for field in ["kind", "name"] {
                source.entry(field).or_insert_with(|| Value::from(""));
            }
        }
    }
}

fn names_namespace(source: &Value) -> bool {
    !text(source, "namespace").is_empty()
}

/// The kinds that `dataSource` has had from its beginning.
fn is_known(source: &Value) -> bool {
    matches!(
        (text(source, "apiGroup"), text(source, "kind")),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    )
}

/// A source in its own namespace.
fn local(source: &Value) -> Value {
    let members = ["apiGroup", "kind", "name"].map(|field| (field.to_owned(), source[field].clone()));
    Value::Object(Map::from_iter(members))
}

pub(super) fn validate(spec: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let of = |field: &str| spec.get(field).filter(|source| source.is_object());
    let had_group = old.is_some_and(|old| {
        let groups = [SOURCE, REFERENCE].map(|field| &old[field]["apiGroup"]);
        groups.iter().any(|group| group.is_string())
    });
    for field in [SOURCE, REFERENCE] {
        if let Some(source) = of(field) {
            validate_one(&format!("spec.{field}"), source, !had_group, errors);
        }
    }
    let (Some(source), Some(reference)) = (of(SOURCE), of(REFERENCE)) else {
        return;
    };
    let detail = if names_namespace(reference) {
        "may not be specified when dataSourceRef.namespace is specified"
    } else if local(source) == local(reference) {
        return;
    } else {
        "must match dataSourceRef"
    };
    errors.push(FieldError::invalid("spec", &Value::Object(Map::new()), detail));
}

fn validate_one(path: &str, source: &Value, checks_group: bool, errors: &mut Vec<FieldError>) {
    for field in ["kind", "name"] {
        if text(source, field).is_empty() {
            errors.push(FieldError::required(format!("{path}.{field}"), ""));
        }
    }
    let (group, kind) = (text(source, "apiGroup"), text(source, "kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        errors.push(FieldError::invalid(path, &Value::from(kind), CORE_ONLY));
    }
    if !group.is_empty() && checks_group {
        for detail in subdomain_errors(group) {
            errors.push(FieldError::invalid(
                format!("{path}.apiGroup"),
                &source["apiGroup"],
                &detail,
            ));
        }
    }
}
