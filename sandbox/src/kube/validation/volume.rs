//! PersistentVolume (spec resize 4.1).

use serde_json::{Map, Value};

use super::claim::{access_modes, positive};
use super::{FieldError, affinity, one_of, text, unchanged};
use crate::kube::metadata::subdomain_errors;

/// The members of a volume's spec that name a place to keep data.
const SOURCES: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

pub(super) fn validate(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = &new["spec"];
    access_modes(spec, "", errors);
    match spec.get("capacity").and_then(Value::as_object) {
        None => errors.push(FieldError::required("spec.capacity", "")),
        Some(capacity) => match capacity.get("storage") {
            None => errors.push(FieldError::not_supported(
                "spec.capacity",
                &spec["capacity"],
                &["storage".to_owned()],
            )),
            Some(size) => positive("spec.capacity[storage]", size, errors),
        },
    }
    let policies = ["Delete", "Recycle", "Retain"];
    one_of(
        "spec.persistentVolumeReclaimPolicy",
        &spec["persistentVolumeReclaimPolicy"],
        &policies,
        errors,
    );
    one_of(
        "spec.volumeMode",
        &spec["volumeMode"],
        &["Block", "Filesystem"],
        errors,
    );
    affinity::validate(spec, errors);
    source(spec, errors);
    if spec.get("volumeAttributesClassName").is_some() && spec.get("csi").is_none() {
        errors.push(FieldError::required(
            "spec.csi",
            "has to be specified when using volumeAttributesClassName",
        ));
    }
    if let Some(old) = old {
        update(spec, &old["spec"], errors);
    }
}

fn source(spec: &Value, errors: &mut Vec<FieldError>) {
    let mut present = SOURCES
        .iter()
        .filter(|name| spec.get(**name).is_some_and(|source| !source.is_null()));
    match present.next() {
        None => errors.push(FieldError::required("spec", "must specify a volume type")),
        Some(&"csi") => {
            for field in ["driver", "volumeHandle"] {
                if text(&spec["csi"], field).is_empty() {
                    errors.push(FieldError::required(format!("spec.csi.{field}"), ""));
                }
            }
            let driver = text(&spec["csi"], "driver").to_lowercase();
            if !driver.is_empty() {
                for detail in subdomain_errors(&driver) {
                    errors.push(FieldError::invalid(
                        "spec.csi.driver",
                        &spec["csi"]["driver"],
                        &detail,
                    ));
                }
            }
        }
        Some(_) => {}
    }
    for more in present {
        errors.push(FieldError::forbidden(
            format!("spec.{more}"),
            "may not specify more than 1 volume type",
        ));
    }
}

fn update(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    if sources(new, old) != sources(old, old) {
        errors.push(FieldError::forbidden(
            "spec.persistentvolumesource",
            "spec.persistentvolumesource is immutable after creation",
        ));
    }
    unchanged("volumeMode", &new["volumeMode"], &old["volumeMode"], errors);
    affinity::update(new, old, errors);
    if old.get("volumeAttributesClassName").is_some() && new.get("volumeAttributesClassName").is_none() {
        errors.push(FieldError::forbidden(
            "spec.volumeAttributesClassName",
            "update from non-nil value to nil is forbidden",
        ));
    }
}

/// The sources of a spec; a secret for expansion may be added where there was none.
fn sources(spec: &Value, old: &Value) -> Map<String, Value> {
    let listed = SOURCES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), spec.get(*name)?.clone())));
    let mut sources: Map<String, Value> = listed.collect();
    if old["csi"].get("controllerExpandSecretRef").is_none()
        && let Some(Value::Object(csi)) = sources.get_mut("csi")
    {
        csi.remove("controllerExpandSecretRef");
    }
    sources
}
