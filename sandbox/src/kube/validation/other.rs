//! Secret, ConfigMap and Lease.

use serde_json::Value;

use super::{FieldError, unchanged};

pub(super) fn secret(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    keys(new, "data", errors);
    if let Some(old) = old {
        unchanged("type", &new["type"], &old["type"], errors);
        frozen(new, old, &["data"], errors);
    }
}

pub(super) fn config_map(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    keys(new, "data", errors);
    keys(new, "binaryData", errors);
    if let Some(old) = old {
        frozen(new, old, &["data", "binaryData"], errors);
    }
}

/// Keys of the data become names of files.
fn keys(object: &Value, field: &str, errors: &mut Vec<FieldError>) {
    for key in object[field].as_object().into_iter().flat_map(|data| data.keys()) {
        let is_good = !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !is_good {
            let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
                'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
            errors.push(FieldError::invalid(
                format!("{field}[{key}]"),
                &Value::from(key.as_str()),
                detail,
            ));
        }
    }
}

/// Once `immutable` is set, neither it nor the data may change.
fn frozen(new: &Value, old: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    if old["immutable"] != true {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if new["immutable"] != true {
        errors.push(FieldError::forbidden("immutable", detail));
    }
    for field in fields {
        if new[field] != old[field] {
            errors.push(FieldError::forbidden(*field, detail));
        }
    }
}

pub(super) fn lease(new: &Value, errors: &mut Vec<FieldError>) {
    let spec = &new["spec"];
    let seconds = &spec["leaseDurationSeconds"];
    if seconds.as_i64().is_some_and(|seconds| seconds <= 0) {
        errors.push(FieldError::invalid(
            "spec.leaseDurationSeconds",
            seconds,
            "must be greater than 0",
        ));
    }
    let transitions = &spec["leaseTransitions"];
    if transitions.as_i64().is_some_and(|transitions| transitions < 0) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid("spec.leaseTransitions", transitions, detail));
    }
}
