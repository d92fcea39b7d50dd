//! The objects that the user creates.

use crds::names;
use serde_json::{Value, json};

const NAMESPACE: &str = "default";
/// Name of the storage class and of the snapshot class.
const CLASS: &str = "bench";
/// Of all volumes but the strangers'.
pub const DRIVER: &str = "ebs.csi.aws.com";

/// Where the volumes are.
pub const VOLUMES: &str = "/api/v1/persistentvolumes";
/// Where the claims are.
pub const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
/// Where the snapshots are.
pub const SNAPSHOTS: &str = "/apis/snapshot.storage.k8s.io/v1/namespaces/default/volumesnapshots";
/// Where the attachments are.
pub const ATTACHMENTS: &str = "/apis/storage.k8s.io/v1/volumeattachments";
/// Where the nodes are.
pub const NODES: &str = "/api/v1/nodes";
const CSI_NODES: &str = "/apis/storage.k8s.io/v1/csinodes";
const ZONE: &str = "topology.ebs.csi.aws.com/zone";
const PODS: &str = "/api/v1/namespaces/default/pods";
const STORAGE_CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const SNAPSHOT_CLASSES: &str = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses";

pub fn claim_name(index: usize) -> String {
    format!("claim-{index:05}")
}

pub fn snapshot_name(index: usize) -> String {
    format!("snapshot-{index:05}")
}

/// The storage class, which allows expansion, and the snapshot class.
pub fn classes() -> [(&'static str, Value); 2] {
    let storage = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": { "name": CLASS },
        "provisioner": DRIVER,
        "allowVolumeExpansion": true,
    });
    let snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotClass",
        "metadata": { "name": CLASS },
        "driver": DRIVER,
        "deletionPolicy": "Delete",
    });
    [(STORAGE_CLASSES, storage), (SNAPSHOT_CLASSES, snapshot)]
}

/// A volume of 1 GiB with this handle, and a claim that names it.
pub fn pair(index: usize, handle: &str, block: bool) -> (Value, Value) {
    let names = (format!("volume-{index:05}"), claim_name(index));
    bound_pair(&names, CLASS, DRIVER, handle, block)
}

/// A claim of 1 GiB for which a volume is to be made; `handed` to the driver already, as the volume controller does it.
pub fn dynamic_claim(index: usize, block: bool, handed: bool) -> Value {
    let mut claim = pair(index, "", block).1;
    if let Some(spec) = claim["spec"].as_object_mut() {
        spec.remove("volumeName");
    }
    if handed {
        claim["metadata"]["annotations"] = json!({ "volume.kubernetes.io/storage-provisioner": DRIVER });
    }
    claim
}

pub fn node_name(index: usize) -> String {
    format!("node-{index:03}")
}

/// A node with the driver, as the kubelet and the registrar describe it.
pub fn node(index: usize, instance: &str) -> [(&'static str, Value); 2] {
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": node_name(index), "labels": { ZONE: "us-east-1a" } },
    });
    let csi_node = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": { "name": node_name(index) },
        "spec": { "drivers": [{ "name": DRIVER, "nodeID": instance, "topologyKeys": [ZONE] }] },
    });
    [(NODES, node), (CSI_NODES, csi_node)]
}

pub fn attachment_name(index: usize) -> String {
    format!("attachment-{index:05}")
}

/// The attachment of a volume to a node.
pub fn attachment(index: usize, volume: &str, node: usize) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": { "name": attachment_name(index) },
        "spec": {
            "attacher": DRIVER,
            "nodeName": node_name(node),
            "source": { "persistentVolumeName": volume },
        },
    })
}

fn bound_pair(
    (volume, claim): &(String, String),
    class: &str,
    driver: &str,
    handle: &str,
    block: bool,
) -> (Value, Value) {
    let mode = if block { "Block" } else { "Filesystem" };
    let volume_object = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": volume },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": { "storage": "1Gi" },
            "claimRef": { "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": NAMESPACE, "name": claim },
            "csi": { "driver": driver, "volumeHandle": handle },
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": class,
            "volumeMode": mode,
        },
    });
    let claim_object = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": claim, "namespace": NAMESPACE },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } },
            "storageClassName": class,
            "volumeMode": mode,
            "volumeName": volume,
        },
    });
    (volume_object, claim_object)
}

/// The snapshot of a claim.
pub fn snapshot(index: usize) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": { "name": snapshot_name(index), "namespace": NAMESPACE },
        "spec": {
            "source": { "persistentVolumeClaimName": claim_name(index) },
            "volumeSnapshotClassName": CLASS,
        },
    })
}

/// The snapshot of a claim as the controllers leave it, without its status.
pub fn settled_snapshot(index: usize, claim: usize) -> Value {
    let mut snapshot = snapshot(index);
    snapshot["metadata"]["finalizers"] =
        json!([names::SNAPSHOT_SOURCE_FINALIZER, names::SNAPSHOT_BOUND_FINALIZER]);
    snapshot["spec"]["source"]["persistentVolumeClaimName"] = claim_name(claim).into();
    snapshot
}

/// Its content, without the status, from the metadata of the snapshot and the handle of the volume.
pub fn settled_content(snapshot: &Value, volume: &str) -> Value {
    let text = |field: &str| snapshot[field].as_str().unwrap_or_default();
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotContent",
        "metadata": {
            "name": names::dynamic_content_name(text("uid")),
            "finalizers": [names::CONTENT_FINALIZER],
        },
        "spec": {
            "deletionPolicy": "Delete",
            "driver": DRIVER,
            "source": { "volumeHandle": volume },
            "sourceVolumeMode": "Filesystem",
            "volumeSnapshotClassName": CLASS,
            "volumeSnapshotRef": {
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshot",
                "namespace": NAMESPACE,
                "name": text("name"),
                "uid": text("uid"),
                "resourceVersion": text("resourceVersion"),
            },
        },
    })
}

/// A pod, and a claim and a volume of another driver.
pub fn strangers(index: usize) -> [(&'static str, Value); 3] {
    let names = (format!("foreign-{index:05}"), format!("foreign-{index:05}"));
    let handle = format!("fs-{index:05}");
    let (volume, claim) = bound_pair(&names, "other", "other.csi.example.com", &handle, false);
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": format!("pod-{index:05}"), "namespace": NAMESPACE, "labels": { "app": "other" } },
        "spec": {
            "schedulerName": "nobody",
            "containers": [{ "name": "app", "image": "example.com/app:1" }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": names.1 } }],
        },
    });
    [(PODS, pod), (VOLUMES, volume), (CLAIMS, claim)]
}
