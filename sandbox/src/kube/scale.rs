//! The `scale` subresource of workloads, `autoscaling/v1`.

use serde_json::{Value, json};

use super::error::{ApiError, Cause};
use super::write::Target;

/// The scale of a workload.
pub(crate) fn of(workload: &Value) -> Value {
    let metadata = &workload["metadata"];
    let mut shown = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        shown[field] = metadata[field].clone();
    }
    let labels = workload["spec"]["selector"]["matchLabels"].as_object();
    let mut labels: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    labels.sort();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": shown,
        "spec": {"replicas": workload["spec"]["replicas"].as_i64().unwrap_or(0)},
        "status": {
            "replicas": workload["status"]["replicas"].as_i64().unwrap_or(0),
            "selector": labels.join(","),
        },
    })
}

/// The workload with the replicas of a scale.
///
/// # Errors
/// Invalid for a number of replicas that cannot be.
pub(crate) fn apply(target: &Target<'_>, workload: &Value, scale: &Value) -> Result<Value, ApiError> {
    let replicas = &scale["spec"]["replicas"];
    let wanted = if replicas.is_null() {
        Some(0)
    } else {
        replicas.as_i64()
    };
    let Some(wanted) = wanted.filter(|number| *number >= 0) else {
        let detail = "must be greater than or equal to 0";
        let cause = Cause::invalid("spec.replicas", replicas, detail);
        return Err(ApiError::invalid(
            "Scale",
            "autoscaling",
            target.name,
            vec![cause],
        ));
    };
    let mut changed = workload.clone();
    changed["spec"]["replicas"] = json!(wanted);
    let version = &scale["metadata"]["resourceVersion"];
    if version.as_str().is_some_and(|version| !version.is_empty()) {
        changed["metadata"]["resourceVersion"] = version.clone();
    }
    Ok(changed)
}
