//! Pods and what makes them, as far as the examples need.

use serde_json::Value;

use super::{FieldError, items, text, unchanged};

pub(super) fn pod(new: &Value, errors: &mut Vec<FieldError>) {
    pod_spec("spec", &new["spec"], errors);
}

fn pod_spec(path: &str, spec: &Value, errors: &mut Vec<FieldError>) {
    let containers = items(spec, "containers");
    if containers.is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    for (index, container) in containers.iter().enumerate() {
        for field in ["name", "image"] {
            if text(container, field).is_empty() {
                errors.push(FieldError::required(
                    format!("{path}.containers[{index}].{field}"),
                    "",
                ));
            }
        }
    }
}

/// Deployment and ReplicaSet: a selector that picks the pods of its template.
pub(super) fn template(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = &new["spec"];
    let labels = spec.pointer("/selector/matchLabels").and_then(Value::as_object);
    let expressions = items(&spec["selector"], "matchExpressions");
    if labels.is_none_or(serde_json::Map::is_empty) && expressions.is_empty() {
        errors.push(FieldError::required("spec.selector", ""));
    }
    let of_template = &spec["template"]["metadata"]["labels"];
    let selected = labels.is_none_or(|labels| {
        labels
            .iter()
            .all(|(key, value)| of_template.get(key) == Some(value))
    });
    if !selected {
        errors.push(FieldError::invalid(
            "spec.template.metadata.labels",
            of_template,
            "`selector` does not match template `labels`",
        ));
    }
    pod_spec("spec.template.spec", &spec["template"]["spec"], errors);
    if let Some(old) = old {
        unchanged(
            "spec.selector",
            &spec["selector"],
            &old["spec"]["selector"],
            errors,
        );
    }
}
