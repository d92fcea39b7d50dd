//! Volumes that are made for claims and attached to a node: what the user, kube-scheduler and the kubelet do.

use conformance::until;
use serde_json::{Value, json};

use crate::expansion::{CLAIMS, VOLUMES};
use crate::journey::Stage;
use crate::shared::PATIENCE;

pub const ATTACHMENTS: &str = "/apis/storage.k8s.io/v1/volumeattachments";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const NODES: &str = "/api/v1/nodes";
const CSI_NODES: &str = "/apis/storage.k8s.io/v1/csinodes";
const PODS: &str = "/api/v1/namespaces/default/pods";
const NODE: &str = "node-of-stage";
const ZONE: &str = "topology.ebs.csi.aws.com/zone";
/// The class of [`claim`].
const CLASS: &str = "made";

/// A claim of 1 GiB, from a source or empty.
pub fn claim(name: &str, source: Option<Value>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } },
            "storageClassName": CLASS,
            "dataSource": source,
        },
    })
}

/// A VolumeSnapshot as a source.
pub fn of_snapshot(name: &str) -> Option<Value> {
    Some(json!({ "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name }))
}

/// A claim as a source.
pub fn of_claim(name: &str) -> Option<Value> {
    Some(json!({ "kind": "PersistentVolumeClaim", "name": name }))
}

impl Stage {
    /// A node as the kubelet and the registrar describe it: an EC2 instance with our driver.
    pub async fn node(&self) {
        let instance = self.ec2.instance("us-east-1a", "m5.large").unwrap();
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": NODE,
                "labels": { ZONE: "us-east-1a" },
                "annotations": { "volumes.kubernetes.io/controller-managed-attach-detach": "true" },
            },
        });
        let csi_node = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": { "name": NODE },
            "spec": { "drivers": [{
                "name": "ebs.csi.aws.com",
                "nodeID": instance,
                "topologyKeys": [ZONE],
            }] },
        });
        self.make(NODES, &node).await;
        self.make(CSI_NODES, &csi_node).await;
    }

    /// The node goes.
    pub async fn clear_node(&self) {
        for path in [NODES, CSI_NODES] {
            self.remove(&format!("{path}/{NODE}")).await;
        }
    }

    /// The class of [`claim`].
    pub async fn storage_class(&self, parameters: &Value) {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": { "name": CLASS },
            "provisioner": "ebs.csi.aws.com",
            "parameters": parameters,
        });
        self.make(CLASSES, &class).await;
    }

    /// kube-scheduler has chosen the node for the first pod of this claim.
    pub async fn choose_node(&self, claim: &str) {
        let chosen = json!({ "metadata": { "annotations": { "volume.kubernetes.io/selected-node": NODE } } });
        self.merge(&format!("{CLAIMS}/{claim}"), &chosen).await;
    }

    /// kube-scheduler gives the pod to the node.
    pub async fn bind_pod(&self, pod: &str) {
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "name": pod },
            "target": { "apiVersion": "v1", "kind": "Node", "name": NODE },
        });
        self.make(&format!("{PODS}/{pod}/binding"), &binding).await;
    }

    /// Waits until kube-controller-manager has told the kubelet that a volume is attached.
    pub async fn told_attached(&self) {
        until("the node is told of its volume", PATIENCE, async || {
            let node = self.find(&format!("{NODES}/{NODE}")).await?;
            let attached = node["status"]["volumesAttached"].as_array()?;
            (!attached.is_empty()).then_some(())
        })
        .await
        .unwrap();
    }

    /// The kubelet tells that nothing is mounted, and lets the pod go.
    pub async fn end_pod(&self, pod: &str) {
        let unused =
            json!({ "status": { "volumesInUse": [] }, "metadata": { "annotations": { "told": "yes" } } });
        self.merge(&format!("{NODES}/{NODE}/status"), &unused).await;
        self.remove(&format!("{PODS}/{pod}?gracePeriodSeconds=0")).await;
    }

    /// Waits until the claim is bound; the EBS volume behind it and the PersistentVolume.
    pub async fn bound(&self, claim: &str) -> (String, String) {
        let name = until(&format!("{claim} is bound"), PATIENCE, async || {
            let object = self.find(&format!("{CLAIMS}/{claim}")).await?;
            let name = object["spec"]["volumeName"].as_str()?.to_owned();
            (object["status"]["phase"] == "Bound").then_some(name)
        })
        .await
        .unwrap();
        let volume = self.find(&format!("{VOLUMES}/{name}")).await.unwrap();
        let handle = volume["spec"]["csi"]["volumeHandle"].as_str().unwrap();
        (handle.to_owned(), name)
    }

    pub async fn until_ec2(&self, what: &str, volume: &str, status: &str) {
        until(what, PATIENCE, async || {
            let state = self.ec2.state().unwrap();
            let found = state.volumes.iter().find(|one| one.id == volume);
            (found.is_some_and(|one| one.status == status)).then_some(())
        })
        .await
        .unwrap();
    }

    /// The IDs of the volumes that the driver has made, sorted.
    pub fn made(&self) -> Vec<String> {
        let volumes = self.ec2.state().unwrap().volumes.into_iter();
        let made = volumes.filter(|one| one.tags.contains_key("CSIVolumeName"));
        let mut ids: Vec<String> = made.map(|one| one.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Waits until EC2 has nothing any more that the driver has made for claims.
    pub async fn nothing_made(&self) {
        until("no EBS volume of a claim is left", PATIENCE, async || {
            self.made().is_empty().then_some(())
        })
        .await
        .unwrap();
    }

    /// A VolumeAttachment of the volume to the node, in the place of kube-controller-manager.
    pub async fn ask_to_attach(&self, name: &str, persistent_volume: &str) {
        let attachment = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": { "name": name },
            "spec": {
                "attacher": "ebs.csi.aws.com",
                "nodeName": NODE,
                "source": { "persistentVolumeName": persistent_volume },
            },
        });
        self.make(ATTACHMENTS, &attachment).await;
    }

    /// Waits until there are so many VolumeAttachments and all are attached, without an error.
    pub async fn all_attached(&self, count: usize) {
        until(&format!("{count} volumes are attached"), PATIENCE, async || {
            let attachments = self.list(ATTACHMENTS).await?;
            let attached =
                |one: &Value| one["status"]["attached"] == true && one["status"]["attachError"].is_null();
            (attachments.len() == count && attachments.iter().all(attached)).then_some(())
        })
        .await
        .unwrap();
    }

    /// Waits until no VolumeAttachment is left.
    pub async fn all_detached(&self) {
        until("nothing is attached", PATIENCE, async || {
            self.list(ATTACHMENTS).await?.is_empty().then_some(())
        })
        .await
        .unwrap();
    }

    /// How often EC2 was asked so.
    pub fn calls(&self, action: &str) -> u64 {
        let counts = self.ec2.counts().unwrap();
        counts.get(action).copied().unwrap_or_default()
    }

    /// Waits until EC2 was asked so this often.
    pub async fn is_called(&self, action: &str, times: u64) {
        until(&format!("{action} {times} times"), PATIENCE, async || {
            (self.calls(action) >= times).then_some(())
        })
        .await
        .unwrap();
    }
}
