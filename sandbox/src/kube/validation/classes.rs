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
    for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
        if new[field] != old[field] {
            // The API server shows no value here.
            errors.push(FieldError::invalid(field, &Value::Null, "field is immutable"));
        }
    }
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
    unchanged("driverName", &new["driverName"], &old["driverName"], errors);
    if new["parameters"] != old["parameters"] {
        let detail = "updates to parameters are forbidden.";
        errors.push(FieldError::forbidden("parameters", detail));
    }
}
