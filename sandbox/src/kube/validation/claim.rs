//! PersistentVolumeClaim (spec resize 4.1).

use serde_json::Value;

use super::quantity::Quantity;
use super::{FieldError, items, one_of, sources, text};
use crate::kube::metadata::{qualified_name_errors, subdomain_errors};

pub(super) const ACCESS_MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];
const RESIZE_STATUSES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
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
    sources::validate(spec, old.and_then(|old| old.get("spec")), errors);
    for field in ["storageClassName", "volumeAttributesClassName"] {
        let class = text(spec, field);
        if !class.is_empty() {
            for detail in subdomain_errors(class) {
                errors.push(FieldError::invalid(
                    format!("spec.{field}"),
                    &spec[field],
                    &detail,
                ));
            }
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
    status(&new["status"], errors);
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

/// How far an expansion is: names of resources and states that there are, amounts from zero on.
fn status(status: &Value, errors: &mut Vec<FieldError>) {
    for (field, checks_key) in [("capacity", false), ("allocatedResources", true)] {
        for (name, size) in status[field].as_object().into_iter().flatten() {
            let path = format!("status.{field}");
            let before = errors.len();
            if checks_key {
                resource_name(&path, name, errors);
            }
            if errors.len() == before && Quantity::read(size).is_some_and(|size| size.bytes() < 0) {
                let bytes = Quantity::read(size).map_or(0, |size| size.bytes());
                let detail = "must be a valid resource quantity";
                errors.push(FieldError::invalid(
                    format!("{path}[{name}]"),
                    &bytes.into(),
                    detail,
                ));
            }
        }
    }
    let path = "status.allocatedResourceStatuses";
    for (name, state) in status["allocatedResourceStatuses"]
        .as_object()
        .into_iter()
        .flatten()
    {
        resource_name(path, name, errors);
        if !state
            .as_str()
            .is_some_and(|state| RESIZE_STATUSES.contains(&state))
        {
            let known = RESIZE_STATUSES.map(str::to_owned);
            errors.push(FieldError::not_supported(path, &name.as_str().into(), &known));
        }
    }
}

/// `storage` is the only name without a domain.
fn resource_name(path: &str, name: &str, errors: &mut Vec<FieldError>) {
    let value = Value::from(name);
    let details = qualified_name_errors(name);
    for detail in &details {
        errors.push(FieldError::invalid(path, &value, detail));
    }
    let is_native = !name.contains('/') || name.contains("kubernetes.io/");
    if details.is_empty() && is_native && name != "storage" {
        errors.push(FieldError::not_supported(path, &value, &["storage".to_owned()]));
    }
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
    for list in ["requests", "limits"] {
        amounts(spec["resources"].get_mut(list));
    }
    spec
}

/// Sizes are the same when they are the same amount, however it is written.
fn amounts(sizes: Option<&mut Value>) {
    for size in sizes
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
        .map(|(_, size)| size)
    {
        if let Some(amount) = Quantity::read(size) {
            *size = Value::from(amount.plain());
        }
    }
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
    let in_force = old["status"]
        .get("currentVolumeAttributesClassName")
        .is_some_and(Value::is_string);
    if !in_force || name(new) == name(old) {
        return;
    }
    let what = match name(new) {
        None => "nil",
        Some(class) if class == "" => "empty string",
        Some(_) => return,
    };
    let detail =
        format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil");
    errors.push(FieldError::forbidden("spec.volumeAttributesClassName", &detail));
}
