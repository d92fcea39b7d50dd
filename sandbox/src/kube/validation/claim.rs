//! PersistentVolumeClaim (spec resize 4.1).

use serde_json::Value;

use super::quantity::Quantity;
use super::{FieldError, items, one_of, text};
use crate::kube::metadata::subdomain_errors;

pub(super) const ACCESS_MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];
const IMMUTABLE: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

pub(super) fn validate(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = &new["spec"];
    access_modes(spec, "at least 1 access mode is required", errors);
    let path = "spec.resources[storage]";
    match spec.pointer("/resources/requests/storage") {
        None => errors.push(FieldError::required(path, "")),
        Some(size) => positive(path, size, errors),
    }
    if spec.get("volumeMode").is_some() {
        one_of(
            "spec.volumeMode",
            &spec["volumeMode"],
            &["Block", "Filesystem"],
            errors,
        );
    }
    for source in ["dataSource", "dataSourceRef"] {
        for field in ["kind", "name"] {
            if spec
                .get(source)
                .is_some_and(|source| source.is_object() && text(source, field).is_empty())
            {
                errors.push(FieldError::required(format!("spec.{source}.{field}"), ""));
            }
        }
    }
    if let Some(class) = spec["storageClassName"]
        .as_str()
        .filter(|class| !class.is_empty())
    {
        for detail in subdomain_errors(class) {
            errors.push(FieldError::invalid(
                "spec.storageClassName",
                &spec["storageClassName"],
                &detail,
            ));
        }
    }
    for (index, expression) in items(&spec["selector"], "matchExpressions").iter().enumerate() {
        if !["In", "NotIn", "Exists", "DoesNotExist"].contains(&text(expression, "operator")) {
            let path = format!("spec.selector.matchExpressions[{index}].operator");
            let detail = "not a valid selector operator";
            errors.push(FieldError::invalid(path, &expression["operator"], detail));
        }
    }
    if let Some(old) = old {
        update(new, old, errors);
    }
}

pub(super) fn access_modes(spec: &Value, missing: &str, errors: &mut Vec<FieldError>) {
    let modes = items(spec, "accessModes");
    if modes.is_empty() {
        errors.push(FieldError::required("spec.accessModes", missing));
    }
    for mode in modes {
        one_of("spec.accessModes", mode, &ACCESS_MODES, errors);
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        errors.push(FieldError::forbidden(
            "spec.accessModes",
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
}

pub(super) fn positive(path: &str, size: &Value, errors: &mut Vec<FieldError>) {
    match Quantity::read(size) {
        Some(quantity) if quantity.is_positive() => {}
        Some(_) => errors.push(FieldError::invalid(path, size, "must be greater than zero")),
        None => errors.push(FieldError::invalid(
            path,
            size,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        )),
    }
}

fn update(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let bound = text(&old["status"], "phase") == "Bound";
    if comparable(new, old, bound) != comparable(old, old, bound) {
        errors.push(FieldError::forbidden("spec", IMMUTABLE));
    }
    shrink(new, old, errors);
    let mode = |claim: &Value| text(&claim["spec"], "volumeMode").to_owned();
    if mode(new) != mode(old) {
        errors.push(FieldError::invalid(
            "volumeMode",
            &new["spec"]["volumeMode"],
            "field is immutable",
        ));
    }
    attributes_class(new, old, errors);
}

/// The spec without what may change: the volume name once, a class where there was none, and for bound
/// claims the size and the attributes class.
fn comparable(claim: &Value, old: &Value, bound: bool) -> Value {
    let mut spec = claim["spec"].clone();
    let former = &old["spec"];
    let Some(members) = spec.as_object_mut() else {
        return spec;
    };
    if text(former, "volumeName").is_empty() {
        members.remove("volumeName");
    }
    if super::class_of(old).is_none() {
        members.remove("storageClassName");
    }
    if bound {
        members.remove("volumeAttributesClassName");
        if let Some(requests) = spec
            .pointer_mut("/resources/requests")
            .and_then(Value::as_object_mut)
        {
            requests.remove("storage");
        }
    }
    spec
}

/// A smaller request is allowed down to above the recorded capacity, to recover from a failed expansion.
fn shrink(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let size = |claim: &Value| {
        claim
            .pointer("/spec/resources/requests/storage")
            .and_then(Quantity::read)
    };
    let (Some(wanted), Some(former)) = (size(new), size(old)) else {
        return;
    };
    let capacity = old.pointer("/status/capacity/storage").and_then(Quantity::read);
    let is_too_small = match capacity {
        Some(capacity) => wanted <= capacity,
        None => !wanted.is_positive(),
    };
    if wanted < former && is_too_small {
        errors.push(FieldError::forbidden(
            "spec.resources.requests.storage",
            "field can not be less than status.capacity",
        ));
    }
}

/// Once a class is in force, the claim must go on naming one.
fn attributes_class(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let name = |claim: &Value| claim["spec"].get("volumeAttributesClassName").cloned();
    let in_force = !text(&old["status"], "currentVolumeAttributesClassName").is_empty();
    if !in_force || name(new) == name(old) || name(old).is_none() {
        return;
    }
    let detail = match name(new) {
        None => "update from non-nil value to nil is forbidden",
        Some(class) if class == "" => "update from non-nil value to an empty string is forbidden",
        Some(_) => return,
    };
    errors.push(FieldError::forbidden("spec.volumeAttributesClassName", detail));
}
