//! Admission plugins: in-use protection, default storage class, claim resize.

use serde_json::{Map, Value, json};

use super::quantity::Quantity;
use super::{Lookup, text};

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// Runs the plugins for a write through the main resource, after defaults and before validation.
/// At creation (`old` missing) they may add to the object.
///
/// # Errors
/// The text that follows `is forbidden: ` in the 403 of the API server.
pub fn admit(
    group: &str,
    kind: &str,
    new: &mut Value,
    old: Option<&Value>,
    context: &dyn Lookup,
) -> Result<(), &'static str> {
    match (group, kind, old) {
        ("", "PersistentVolumeClaim", None) => {
            protect(new, "kubernetes.io/pvc-protection");
            give_default_class(new, context);
            Ok(())
        }
        ("", "PersistentVolumeClaim", Some(old)) => resize(new, old, context),
        ("", "PersistentVolume", None) => {
            protect(new, "kubernetes.io/pv-protection");
            Ok(())
        }
        ("storage.k8s.io", "VolumeAttributesClass", None) => {
            protect(new, "kubernetes.io/vac-protection");
            Ok(())
        }
        ("", "Pod", None) => {
            if let Some(Value::Object(spec)) = new.get_mut("spec") {
                spec.entry("serviceAccountName")
                    .or_insert_with(|| Value::from("default"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// StorageObjectInUseProtection: the finalizer that keeps an object in use.
fn protect(object: &mut Value, finalizer: &str) {
    let Some(Value::Object(metadata)) = object.get_mut("metadata") else {
        return;
    };
    let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if let Value::Array(finalizers) = finalizers
        && !finalizers.iter().any(|present| present == finalizer)
    {
        finalizers.push(Value::from(finalizer));
    }
}

/// The class of a claim: the old annotation wins over the field. None where neither says anything.
pub(crate) fn class_of(claim: &Value) -> Option<&str> {
    let annotation = claim["metadata"]["annotations"].get(CLASS_ANNOTATION);
    annotation
        .or_else(|| claim["spec"].get("storageClassName"))
        .and_then(Value::as_str)
}

/// DefaultStorageClass: a claim that says nothing gets the newest default class.
fn give_default_class(claim: &mut Value, context: &dyn Lookup) {
    if class_of(claim).is_some() {
        return;
    }
    let classes = context.list("storage.k8s.io", "storageclasses");
    if let (Some(class), Some(spec)) = (
        default_class(classes.iter()),
        claim.get_mut("spec").and_then(Value::as_object_mut),
    ) {
        set(spec, "storageClassName", &Value::from(class));
    }
}

/// The name of the newest class that is marked as the default.
pub(crate) fn default_class<'a>(classes: impl Iterator<Item = &'a Value>) -> Option<&'a str> {
    let marked = |class: &&Value| {
        let annotations = &class["metadata"]["annotations"];
        DEFAULT_CLASS.iter().any(|name| text(annotations, name) == "true")
    };
    let newest = classes.filter(marked).max_by(|left, right| {
        let created = |class: &Value| text(&class["metadata"], "creationTimestamp").to_owned();
        let name = |class: &Value| text(&class["metadata"], "name").to_owned();
        created(left)
            .cmp(&created(right))
            .then_with(|| name(right).cmp(&name(left)))
    });
    newest.map(|class| text(&class["metadata"], "name"))
}

fn set(object: &mut Map<String, Value>, name: &str, value: &Value) {
    object.insert(name.to_owned(), value.clone());
}

fn requested(claim: &Value) -> Option<Quantity> {
    claim
        .pointer("/spec/resources/requests/storage")
        .and_then(Quantity::read)
}

/// PersistentVolumeClaimResize: growth needs a bound claim and a class that allows it (resize 4.2).
fn resize(new: &Value, old: &Value, context: &dyn Lookup) -> Result<(), &'static str> {
    match (requested(new), requested(old)) {
        (Some(wanted), Some(present)) if wanted > present => {}
        _ => return Ok(()),
    }
    if text(&old["status"], "phase") != "Bound" {
        return Err("Only bound persistent volume claims can be expanded");
    }
    let class = class_of(new).filter(|class| !class.is_empty() && class_of(old) == Some(*class));
    let class = class.and_then(|name| context.get("storage.k8s.io", "storageclasses", "", name));
    if class.is_some_and(|class| class["allowVolumeExpansion"] == true) {
        Ok(())
    } else {
        Err(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
             support resize",
        )
    }
}
