//! Event: those of old, and those with a time of their own, which the newer API makes.
//!
//! Source: `kubernetes/kubernetes: pkg/apis/core/validation/events.go`.

use serde_json::Value;

use super::{FieldError, text};
use crate::kube::metadata::qualified_name_errors;

const COMPONENT: &str = "reportingComponent";
/// The longest texts of a newer event, in bytes.
const LIMITS: [(&str, usize); 4] = [
    ("reportingInstance", 128),
    ("action", 128),
    ("reason", 128),
    ("message", 1024),
];

/// Events are judged when they are made, and never again.
pub(super) fn validate(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if old.is_some() {
        return;
    }
    let is_newer = new["eventTime"].is_string();
    let namespace = text(&new["metadata"], "namespace");
    let about = text(&new["involvedObject"], "namespace");
    let fits = match (about, is_newer) {
        ("", true) => matches!(namespace, "default" | "kube-system"),
        ("", false) => namespace == "default",
        (about, newer) => newer || namespace == about,
    };
    if !fits {
        let value = Value::from(about);
        errors.push(FieldError::invalid(
            "involvedObject.namespace",
            &value,
            "does not match event.namespace",
        ));
    }
    if !is_newer {
        return;
    }
    let component = text(new, COMPONENT);
    if component.is_empty() {
        errors.push(FieldError::required(COMPONENT, ""));
    }
    for detail in qualified_name_errors(component) {
        errors.push(FieldError::invalid(COMPONENT, &Value::from(component), &detail));
    }
    for (field, limit) in LIMITS {
        let found = text(new, field);
        if found.is_empty() && field != "message" {
            errors.push(FieldError::required(field, ""));
        }
        if found.len() > limit {
            let detail = format!("can have at most {limit} characters");
            errors.push(FieldError::invalid(field, &Value::from(""), &detail));
        }
    }
}
