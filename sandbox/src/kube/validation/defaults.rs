//! What the API server fills in at every write of a built-in kind.

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::quantity::canonicalise;
use super::{sources, text};

/// Fills in defaults and brings quantities into canonical form. Harmless when repeated.
pub fn default(group: &str, kind: &str, object: &mut Value) {
    match (group, kind) {
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "PersistentVolume") => volume(object),
        ("storage.k8s.io", "StorageClass") => {
            fill(
                object,
                "",
                &json!({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
            );
        }
        ("", "Secret") => secret(object),
        ("", "Namespace") => namespace(object),
        ("", "ResourceQuota") => quota(object),
        ("storage.k8s.io", "CSIDriver") => fill(
            object,
            "/spec",
            &json!({
                "attachRequired": true, "fsGroupPolicy": "ReadWriteOnceWithFSType", "podInfoOnMount": false,
                "preventPodSchedulingIfMissing": false,
                "requiresRepublish": false, "seLinuxMount": false, "storageCapacity": false,
                "volumeLifecycleModes": ["Persistent"],
            }),
        ),
        ("", "Pod") => {
            pod_spec(object.pointer_mut("/spec"));
            fill(object, "/spec", &json!({"enableServiceLinks": true}));
            fill(object, "/status", &json!({"phase": "Pending"}));
        }
        ("apps", "Deployment") => deployment(object),
        ("apps", "ReplicaSet") => {
            fill(object, "/spec", &json!({"replicas": 1}));
            template(object.pointer_mut("/spec/template"));
        }
        ("batch", "CronJob") => cron_job(object),
        _ => {}
    }
}

/// What the server sets on a new object whoever made it. The sources of claims may be in other namespaces where that is so.
pub fn begin_life(group: &str, kind: &str, object: &mut Value, sources_may_cross: bool) {
    match (group, kind) {
        ("", "PersistentVolumeClaim") => sources::prepare(object, None, sources_may_cross),
        ("", "Event") => event(object),
        ("", "Namespace") => fill(object, "/spec", &json!({"finalizers": ["kubernetes"]})),
        ("storage.k8s.io", "VolumeAttachment") => fill(object, "/status", &json!({"attached": false})),
        _ => {}
    }
}

/// What the server sets on a changed object whoever changed it.
pub fn prepare_update(group: &str, kind: &str, new: &mut Value, old: &Value) {
    match (group, kind) {
        ("", "PersistentVolumeClaim") => {
            sources::prepare(new, old.get("spec"), false);
            sources::complete(new);
        }
        ("", "Event") => event(new),
        _ => {}
    }
}

/// What the type of an event always writes.
fn event(object: &mut Value) {
    fill(
        object,
        "",
        &json!({
            "source": {}, "firstTimestamp": null, "lastTimestamp": null, "eventTime": null,
            "reportingComponent": "", "reportingInstance": "",
        }),
    );
}

/// Adds the members that the object at `pointer` does not have, making the object itself where its
/// parent has nothing there.
fn fill(object: &mut Value, pointer: &str, members: &Value) {
    if let Some((parent, name)) = pointer.rsplit_once('/')
        && let Some(Value::Object(parent)) = object.pointer_mut(parent)
    {
        parent.entry(name).or_insert_with(|| Value::Object(Map::new()));
    }
    let (Some(Value::Object(target)), Value::Object(members)) = (object.pointer_mut(pointer), members) else {
        return;
    };
    for (name, value) in members {
        if target.get(name).is_none_or(Value::is_null) {
            target.insert(name.clone(), value.clone());
        }
    }
}

fn claim(object: &mut Value) {
    sources::complete(object);
    fill(object, "/spec", &json!({"volumeMode": "Filesystem"}));
    fill(object, "/status", &json!({"phase": "Pending"}));
    if let Some(Value::Array(conditions)) = object.pointer_mut("/status/conditions") {
        for condition in conditions {
            fill(
                condition,
                "",
                &json!({"lastProbeTime": null, "lastTransitionTime": null}),
            );
        }
    }
    for map in [
        "/spec/resources/requests",
        "/spec/resources/limits",
        "/status/capacity",
        "/status/allocatedResources",
    ] {
        canonicalise(object.pointer_mut(map));
    }
}

fn volume(object: &mut Value) {
    fill(
        object,
        "/spec",
        &json!({"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"}),
    );
    fill(object, "/status", &json!({"phase": "Pending"}));
    canonicalise(object.pointer_mut("/spec/capacity"));
}

/// `stringData` is a way to write `data`, which alone is stored.
fn secret(object: &mut Value) {
    fill(object, "", &json!({"type": "Opaque"}));
    let Value::Object(members) = object else {
        return;
    };
    let Some(Value::Object(plain)) = members.remove("stringData") else {
        return;
    };
    let encode = |value: &Value| {
        let bytes = value.as_str().unwrap_or_default();
        Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
    };
    let encoded: Map<String, Value> = plain
        .iter()
        .map(|(key, value)| (key.clone(), encode(value)))
        .collect();
    match members.get_mut("data") {
        Some(Value::Object(data)) => data.extend(encoded),
        _ => {
            members.insert("data".to_owned(), Value::Object(encoded));
        }
    }
}

fn namespace(object: &mut Value) {
    let name = text(&object["metadata"], "name").to_owned();
    fill(
        object,
        "/metadata/labels",
        &json!({"kubernetes.io/metadata.name": name}),
    );
    fill(object, "/status", &json!({"phase": "Active"}));
}

fn quota(object: &mut Value) {
    fill(object, "/spec", &json!({}));
    fill(object, "/status", &json!({}));
    for map in ["/spec/hard", "/status/hard", "/status/used"] {
        canonicalise(object.pointer_mut(map));
    }
}

/// What pods are made from.
fn template(template: Option<&mut Value>) {
    let Some(template) = template else { return };
    fill(template, "", &json!({"metadata": {}}));
    pod_spec(template.get_mut("spec"));
}

fn pod_spec(spec: Option<&mut Value>) {
    let Some(spec) = spec else { return };
    fill(
        spec,
        "",
        &json!({
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "terminationGracePeriodSeconds": 30,
            "securityContext": {},
        }),
    );
    for list in ["containers", "initContainers"] {
        if let Some(Value::Array(containers)) = spec.get_mut(list) {
            containers.iter_mut().for_each(container);
        }
    }
}

fn container(container: &mut Value) {
    if let Some(Value::Array(ports)) = container.get_mut("ports") {
        for port in ports {
            fill(port, "", &json!({"protocol": "TCP"}));
        }
    }
    let image = text(container, "image");
    let tag = image
        .rsplit('/')
        .next()
        .and_then(|name| name.split_once(':'))
        .map(|(_, tag)| tag);
    let pull = if matches!(tag, None | Some("latest")) && !image.contains('@') {
        "Always"
    } else {
        "IfNotPresent"
    };
    fill(
        container,
        "",
        &json!({
            "imagePullPolicy": pull,
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }),
    );
}

fn deployment(object: &mut Value) {
    fill(
        object,
        "/spec",
        &json!({
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        }),
    );
    template(object.pointer_mut("/spec/template"));
}

fn cron_job(object: &mut Value) {
    fill(
        object,
        "/spec",
        &json!({
            "concurrencyPolicy": "Allow", "suspend": false, "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
        }),
    );
    let jobs = object.pointer_mut("/spec/jobTemplate");
    if let Some(jobs) = jobs {
        fill(jobs, "", &json!({"metadata": {}}));
        template(jobs.pointer_mut("/spec/template"));
    }
}
