//! Columns and cells of the built-in kinds, but for pods and workloads.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Column, Row, boolean, integer, pod, text, wide, workload};

/// How a kind is printed.
#[derive(Clone, Copy)]
pub(super) struct Printer {
    pub columns: &'static [Column],
    pub cells: fn(&Row<'_>) -> Vec<Value>,
}

const NODE: &[Column] = &[
    text("Name"),
    text("Status"),
    text("Roles"),
    text("Age"),
    text("Version"),
    wide("Internal-IP"),
    wide("External-IP"),
    wide("OS-Image"),
    wide("Kernel-Version"),
    wide("Container-Runtime"),
];
const EVENT: &[Column] = &[
    text("Last Seen"),
    text("Type"),
    text("Reason"),
    text("Object"),
    wide("Subobject"),
    wide("Source"),
    text("Message"),
    wide("First Seen"),
    wide("Count"),
    wide("Name"),
];
const VOLUME: &[Column] = &[
    text("Name"),
    text("Capacity"),
    text("Access Modes"),
    text("Reclaim Policy"),
    text("Status"),
    text("Claim"),
    text("StorageClass"),
    text("VolumeAttributesClass"),
    text("Reason"),
    text("Age"),
    wide("VolumeMode"),
];
const CLAIM: &[Column] = &[
    text("Name"),
    text("Status"),
    text("Volume"),
    text("Capacity"),
    text("Access Modes"),
    text("StorageClass"),
    text("VolumeAttributesClass"),
    text("Age"),
    wide("VolumeMode"),
];
const STORAGE_CLASS: &[Column] = &[
    text("Name"),
    text("Provisioner"),
    text("ReclaimPolicy"),
    text("VolumeBindingMode"),
    text("AllowVolumeExpansion"),
    text("Age"),
];
const CSI_DRIVER: &[Column] = &[
    text("Name"),
    boolean("AttachRequired"),
    boolean("PodInfoOnMount"),
    boolean("StorageCapacity"),
    text("TokenRequests"),
    boolean("RequiresRepublish"),
    text("Modes"),
    text("Age"),
];
const CAPACITY: &[Column] = &[text("Name"), text("StorageClassName"), text("Capacity")];
const ATTACHMENT: &[Column] = &[
    text("Name"),
    text("Attacher"),
    text("PV"),
    text("Node"),
    boolean("Attached"),
    text("Age"),
];
const QUOTA: &[Column] = &[text("Name"), text("Request"), text("Limit"), text("Age")];
const BINDING: &[Column] = &[
    text("Name"),
    text("Role"),
    text("Age"),
    wide("Users"),
    wide("Groups"),
    wide("ServiceAccounts"),
];

/// The cells of an object, in the order of its columns.
type Cells = fn(&Row<'_>) -> Vec<Value>;

/// How objects of a kind are printed; by name and creation where upstream has nothing better.
pub(super) fn printer(group: &str, kind: &str) -> Printer {
    let (columns, cells): (&'static [Column], Cells) = match (group, kind) {
        ("", "Pod") => (pod::COLUMNS, pod::cells),
        ("", "Node") => (NODE, node),
        ("", "Event") => (EVENT, event),
        ("", "PersistentVolume") => (VOLUME, volume),
        ("", "PersistentVolumeClaim") => (CLAIM, claim),
        ("", "Namespace") => (const { &[text("Name"), text("Status"), text("Age")] }, |row| {
            vec![row.name(), json!(row.text("/status/phase")), row.age()]
        }),
        ("", "Secret") => (
            const { &[text("Name"), text("Type"), text("Data"), text("Age")] },
            |row| {
                vec![
                    row.name(),
                    json!(row.text("/type")),
                    json!(entries(row, "/data")),
                    row.age(),
                ]
            },
        ),
        ("", "ConfigMap") => (const { &[text("Name"), text("Data"), text("Age")] }, |row| {
            let data = entries(row, "/data") + entries(row, "/binaryData");
            vec![row.name(), json!(data), row.age()]
        }),
        ("", "ResourceQuota") => (QUOTA, quota),
        ("", "ServiceAccount") => (const { &[text("Name"), text("Age")] }, |row| {
            vec![row.name(), row.age()]
        }),
        ("", "Service") => (workload::SERVICE, workload::service),
        ("apps", "Deployment") => (workload::DEPLOYMENT, workload::deployment),
        ("apps", "ReplicaSet") => (workload::REPLICA_SET, workload::replica_set),
        ("apps", "StatefulSet") => (workload::STATEFUL_SET, workload::stateful_set),
        ("apps", "DaemonSet") => (workload::DAEMON_SET, workload::daemon_set),
        ("batch", "CronJob") => (workload::CRON_JOB, workload::cron_job),
        ("coordination.k8s.io", "Lease") => (const { &[text("Name"), text("Holder"), text("Age")] }, |row| {
            vec![row.name(), json!(row.text("/spec/holderIdentity")), row.age()]
        }),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => (BINDING, binding),
        ("storage.k8s.io", "StorageClass") => (STORAGE_CLASS, storage_class),
        ("storage.k8s.io", "VolumeAttributesClass") => (
            const { &[text("Name"), text("DriverName"), text("Age")] },
            |row| vec![row.name(), json!(row.text("/driverName")), row.age()],
        ),
        ("storage.k8s.io", "CSIDriver") => (CSI_DRIVER, csi_driver),
        ("storage.k8s.io", "CSINode") => (
            const { &[text("Name"), integer("Drivers"), text("Age")] },
            |row| vec![row.name(), json!(row.items("/spec/drivers").count()), row.age()],
        ),
        ("storage.k8s.io", "CSIStorageCapacity") => (CAPACITY, capacity),
        ("storage.k8s.io", "VolumeAttachment") => (ATTACHMENT, attachment),
        _ => (const { &[text("Name"), text("Created At")] }, |row| {
            vec![row.name(), json!(row.text("/metadata/creationTimestamp"))]
        }),
    };
    Printer { columns, cells }
}

/// The number of members at a pointer.
fn entries(row: &Row<'_>, pointer: &str) -> usize {
    row.find(pointer)
        .and_then(Value::as_object)
        .map_or(0, serde_json::Map::len)
}

/// Limits of what pods may use have a column of their own.
fn quota(row: &Row<'_>) -> Vec<Value> {
    let hard = row.find("/status/hard").and_then(Value::as_object);
    let used = row.find("/status/used");
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (name, hard) in hard.into_iter().flatten() {
        let used = used.and_then(|used| used[name].as_str()).unwrap_or("0");
        let column = if name.starts_with("limits.") {
            &mut limits
        } else {
            &mut requests
        };
        column.push(format!("{name}: {used}/{}", hard.as_str().unwrap_or_default()));
    }
    vec![
        row.name(),
        json!(requests.join(", ")),
        json!(limits.join(", ")),
        row.age(),
    ]
}

fn node(row: &Row<'_>) -> Vec<Value> {
    let ready = row
        .items("/status/conditions")
        .find(|condition| condition["type"] == "Ready");
    let mut status = match ready {
        None => "Unknown",
        Some(ready) if ready["status"] == "True" => "Ready",
        Some(_) => "NotReady",
    }
    .to_owned();
    if row.find("/spec/unschedulable") == Some(&json!(true)) {
        status.push_str(",SchedulingDisabled");
    }
    let labels = row.find("/metadata/labels").and_then(Value::as_object);
    let mut roles = BTreeSet::new();
    for (key, value) in labels.into_iter().flatten() {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => roles.insert(role),
            None if key == "kubernetes.io/role" => roles.insert(value.as_str().unwrap_or_default()),
            _ => continue,
        };
    }
    let address = |kind: &str| {
        let found = row
            .items("/status/addresses")
            .find(|address| address["type"] == kind);
        found
            .and_then(|address| address["address"].as_str())
            .unwrap_or("<none>")
    };
    let info = |field: &str| row.text_or(field, "<unknown>");
    let mut kernel = info("/status/nodeInfo/kernelVersion").to_owned();
    match row.text("/status/nodeInfo/architecture") {
        "" => {}
        architecture => kernel.push_str(&format!(" ({architecture})")),
    }
    vec![
        row.name(),
        json!(status),
        json!(joined(roles.into_iter(), "<none>")),
        row.age(),
        json!(row.text("/status/nodeInfo/kubeletVersion")),
        json!(address("InternalIP")),
        json!(address("ExternalIP")),
        json!(info("/status/nodeInfo/osImage")),
        json!(kernel),
        json!(info("/status/nodeInfo/containerRuntimeVersion")),
    ]
}

fn event(row: &Row<'_>) -> Vec<Value> {
    let when = |pointer: &str, other: &str| match row.text(pointer) {
        "" => row.since(other),
        _ => row.since(pointer),
    };
    let first = when("/firstTimestamp", "/eventTime");
    let (last, count) = match row.find("/series").filter(|series| series.is_object()) {
        Some(_) => (row.since("/series/lastObservedTime"), row.number("/series/count")),
        None if row.text("/lastTimestamp").is_empty() => (first.clone(), row.number("/count").max(1)),
        None => (row.since("/lastTimestamp"), row.number("/count").max(1)),
    };
    let kind = row.text("/involvedObject/kind").to_lowercase();
    let object = match row.text("/involvedObject/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = row.text_or("/source/component", row.text("/reportingComponent"));
    let source = match row.text_or("/source/host", row.text("/reportingInstance")) {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    };
    vec![
        json!(last),
        json!(row.text("/type")),
        json!(row.text("/reason")),
        json!(object),
        json!(row.text("/involvedObject/fieldPath")),
        json!(source),
        json!(row.text("/message").trim()),
        json!(first),
        json!(count),
        row.name(),
    ]
}

fn volume(row: &Row<'_>) -> Vec<Value> {
    let claim = match row.find("/spec/claimRef").filter(|claim| claim.is_object()) {
        Some(_) => format!(
            "{}/{}",
            row.text("/spec/claimRef/namespace"),
            row.text("/spec/claimRef/name")
        ),
        None => String::new(),
    };
    vec![
        row.name(),
        json!(row.text_or("/spec/capacity/storage", "0")),
        json!(access_modes(row, "/spec/accessModes")),
        json!(row.text("/spec/persistentVolumeReclaimPolicy")),
        json!(phase(row)),
        json!(claim),
        json!(class(row)),
        json!(row.text_or("/spec/volumeAttributesClassName", "<unset>")),
        json!(row.text("/status/reason")),
        row.age(),
        json!(row.text_or("/spec/volumeMode", "<unset>")),
    ]
}

fn claim(row: &Row<'_>) -> Vec<Value> {
    let volume = row.text("/spec/volumeName");
    let (capacity, modes) = if volume.is_empty() {
        ("", String::new())
    } else {
        let capacity = row.text_or("/status/capacity/storage", "0");
        (capacity, access_modes(row, "/status/accessModes"))
    };
    vec![
        row.name(),
        json!(phase(row)),
        json!(volume),
        json!(capacity),
        json!(modes),
        json!(class(row)),
        json!(row.text_or("/spec/volumeAttributesClassName", "<unset>")),
        row.age(),
        json!(row.text_or("/spec/volumeMode", "<unset>")),
    ]
}

fn phase<'a>(row: &Row<'a>) -> &'a str {
    if row.is_deleting() {
        "Terminating"
    } else {
        row.text("/status/phase")
    }
}

/// The class of a claim or volume: the former annotation wins over the field.
fn class<'a>(row: &Row<'a>) -> &'a str {
    let annotation = row.text("/metadata/annotations/volume.beta.kubernetes.io~1storage-class");
    if annotation.is_empty() {
        row.text("/spec/storageClassName")
    } else {
        annotation
    }
}

fn access_modes(row: &Row<'_>, pointer: &str) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| row.items(pointer).any(|item| item == mode);
    let shown = SHORT
        .iter()
        .filter(|(mode, _)| has(mode))
        .map(|(_, short)| *short);
    joined(shown, "")
}

fn storage_class(row: &Row<'_>) -> Vec<Value> {
    let default = ["storageclass.kubernetes.io", "storageclass.beta.kubernetes.io"]
        .iter()
        .any(|domain| row.text(&format!("/metadata/annotations/{domain}~1is-default-class")) == "true");
    let name = row.text("/metadata/name");
    vec![
        json!(if default {
            format!("{name} (default)")
        } else {
            name.to_owned()
        }),
        json!(row.text("/provisioner")),
        json!(row.text_or("/reclaimPolicy", "Delete")),
        json!(row.text_or("/volumeBindingMode", "Immediate")),
        flag(row, "/allowVolumeExpansion", false),
        row.age(),
    ]
}

fn flag(row: &Row<'_>, pointer: &str, missing: bool) -> Value {
    json!(row.find(pointer).and_then(Value::as_bool).unwrap_or(missing))
}

fn capacity(row: &Row<'_>) -> Vec<Value> {
    let capacity = match row.text("/capacity") {
        "" => "<unset>",
        capacity => capacity,
    };
    vec![row.name(), json!(row.text("/storageClassName")), json!(capacity)]
}

fn csi_driver(row: &Row<'_>) -> Vec<Value> {
    let tokens = match row.find("/spec/tokenRequests").filter(|tokens| tokens.is_array()) {
        None => "<unset>".to_owned(),
        Some(_) => joined(
            row.items("/spec/tokenRequests")
                .map(|token| token["audience"].as_str().unwrap_or_default()),
            "",
        ),
    };
    let modes = row.items("/spec/volumeLifecycleModes").filter_map(Value::as_str);
    vec![
        row.name(),
        flag(row, "/spec/attachRequired", true),
        flag(row, "/spec/podInfoOnMount", false),
        flag(row, "/spec/storageCapacity", false),
        json!(tokens),
        flag(row, "/spec/requiresRepublish", false),
        json!(joined(modes, "<none>")),
        row.age(),
    ]
}

fn attachment(row: &Row<'_>) -> Vec<Value> {
    vec![
        row.name(),
        json!(row.text("/spec/attacher")),
        json!(row.text("/spec/source/persistentVolumeName")),
        json!(row.text("/spec/nodeName")),
        flag(row, "/status/attached", false),
        row.age(),
    ]
}

fn binding(row: &Row<'_>) -> Vec<Value> {
    let subjects = |kind: &str| {
        let chosen = row.items("/subjects").filter(|subject| subject["kind"] == kind);
        let names: Vec<String> = chosen
            .map(|subject| {
                let name = subject["name"].as_str().unwrap_or_default();
                match subject["namespace"].as_str() {
                    Some(namespace) if kind == "ServiceAccount" => format!("{namespace}/{name}"),
                    _ => name.to_owned(),
                }
            })
            .collect();
        json!(names.join(", "))
    };
    let role = format!("{}/{}", row.text("/roleRef/kind"), row.text("/roleRef/name"));
    vec![
        row.name(),
        json!(role),
        row.age(),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

/// Texts with commas between them, or a word for none.
pub(super) fn joined<'a>(texts: impl Iterator<Item = &'a str>, nothing: &str) -> String {
    let texts: Vec<&str> = texts.collect();
    if texts.is_empty() {
        nothing.to_owned()
    } else {
        texts.join(",")
    }
}
