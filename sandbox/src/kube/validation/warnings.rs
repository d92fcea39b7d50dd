//! What the API server tells the writer of an object that it takes.

use serde_json::Value;

use super::quantity::Quantity;

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// The warnings for an object of a built-in kind as it came out of a write through the main resource.
#[must_use]
pub fn warnings(group: &str, kind: &str, object: &Value) -> Vec<String> {
    match (group, kind) {
        ("", "PersistentVolumeClaim") => claim(object),
        _ => Vec::new(),
    }
}

fn claim(claim: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if claim["metadata"]["annotations"].get(CLASS_ANNOTATION).is_some() {
        warnings.push(format!(
            "metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
        ));
    }
    for list in ["requests", "limits"] {
        let size = &claim["spec"]["resources"][list]["storage"];
        if Quantity::read(size).is_some_and(|size| size.is_fractional()) {
            warnings.push(format!(
                "spec.resources.{list}[storage]: fractional byte value {size} is invalid, must be an integer"
            ));
        }
    }
    warnings
}
