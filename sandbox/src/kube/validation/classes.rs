//! StorageClass and VolumeAttributesClass.

use serde_json::Value;

use super::{FieldError, one_of, text, unchanged};

pub(super) fn storage_class(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if text(new, "provisioner").is_empty() {
        errors.push(FieldError::required("provisioner", ""));
    }
    one_of(
        "reclaimPolicy",
        &new["reclaimPolicy"],
        &["Delete", "Retain"],
        errors,
    );
    one_of(
        "volumeBindingMode",
        &new["volumeBindingMode"],
        &["Immediate", "WaitForFirstConsumer"],
        errors,
    );
    let Some(old) = old else { return };
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if new.get(field) != old.get(field) {
            errors.push(FieldError::forbidden(
                field,
                &format!("updates to {field} are forbidden."),
            ));
        }
    }
    unchanged(
        "volumeBindingMode",
        &new["volumeBindingMode"],
        &old["volumeBindingMode"],
        errors,
    );
}

pub(super) fn attributes_class(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if text(new, "driverName").is_empty() {
        errors.push(FieldError::required("driverName", ""));
    }
    let parameters = new.get("parameters").and_then(Value::as_object);
    if parameters.is_none_or(serde_json::Map::is_empty) {
        errors.push(FieldError::required(
            "parameters",
            "must contain at least one key/value pair",
        ));
    }
    let Some(old) = old else { return };
    for field in ["driverName", "parameters"] {
        unchanged(field, &new[field], &old[field], errors);
    }
}
