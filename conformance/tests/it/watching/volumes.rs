//! Claims, attachments and the node of this layer.

use conformance::{Patch, until};
use serde_json::{Value, json};

use super::Watched;
use crate::expansion::{CLAIMS, VOLUMES};
use crate::shared::PATIENCE;

const NODE: &str = "watched-node";
/// The node whose instance will hang.
pub(super) const HANGING: &str = "hanging-node";
const ZONE: &str = "topology.ebs.csi.aws.com/zone";
const CLASS: &str = "watched";
const ATTACHMENTS: &str = "/apis/storage.k8s.io/v1/volumeattachments";

impl Watched {
    /// Two nodes and a class.
    pub(super) async fn has_nodes(&mut self) {
        self.node(NODE).await;
        self.hanging = self.node(HANGING).await;
        let class = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": { "name": CLASS },
            "provisioner": "ebs.csi.aws.com",
        });
        self.make("/apis/storage.k8s.io/v1/storageclasses", &class).await;
    }

    /// A node as kubelet and the registrar describe it; its instance.
    async fn node(&self, name: &str) -> String {
        let instance = self.stage.ec2.instance("us-east-1a", "m5.large").unwrap();
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": name, "labels": { ZONE: "us-east-1a" } },
        });
        let drivers = json!([{ "name": "ebs.csi.aws.com", "nodeID": instance, "topologyKeys": [ZONE] }]);
        let csi_node = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": { "name": name },
            "spec": { "drivers": drivers },
        });
        self.make("/api/v1/nodes", &node).await;
        self.make("/apis/storage.k8s.io/v1/csinodes", &csi_node).await;
        instance
    }

    pub(super) async fn make(&self, path: &str, object: &Value) {
        let made = self.stage.hand.create(path, object).await.unwrap();
        made.ok(path).unwrap();
    }

    pub(super) async fn remove(&self, path: &str) {
        self.stage.hand.delete(path).await.unwrap().ok(path).unwrap();
    }

    /// A claim for which a volume is made.
    pub(super) async fn claim(&self, name: &str, gib: u32) {
        let claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": name },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": format!("{gib}Gi") } },
                "storageClassName": CLASS,
            },
        });
        self.make(CLAIMS, &claim).await;
    }

    pub(super) async fn is_bound(&self, name: &str) {
        until(&format!("{name} is bound"), PATIENCE, async || {
            let claim = self.stage.hand.find(&format!("{CLAIMS}/{name}")).await.ok()??;
            (claim["status"]["phase"] == "Bound").then_some(())
        })
        .await
        .unwrap();
    }

    /// Deletes claims; their volumes go with them.
    pub(super) async fn unclaim(&self, names: &[&str]) {
        for name in names {
            self.remove(&format!("{CLAIMS}/{name}")).await;
        }
    }

    pub(super) async fn no_volume_is_made(&self) {
        until("the volumes that were made are gone", PATIENCE, async || {
            let volumes = self.stage.list(VOLUMES).await?;
            let made = |volume: &Value| volume["spec"]["storageClassName"] == CLASS;
            (!volumes.iter().any(made)).then_some(())
        })
        .await
        .unwrap();
    }

    /// Asks for the volumes of these claims to be attached to the first node, as the attach-detach controller does for a pod.
    pub(super) async fn attach(&self, claims: &[usize]) {
        for number in claims {
            self.attach_to(NODE, *number).await;
        }
    }

    pub(super) async fn attach_to(&self, node: &str, claim: usize) {
        let attachment = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": { "name": format!("of-{claim}") },
            "spec": {
                "attacher": "ebs.csi.aws.com",
                "nodeName": node,
                "source": { "persistentVolumeName": self.claims[claim].name },
            },
        });
        self.make(ATTACHMENTS, &attachment).await;
    }

    pub(super) async fn are_attached(&self, claims: &[usize]) {
        for number in claims {
            until(&format!("{number} is attached"), PATIENCE, async || {
                let path = format!("{ATTACHMENTS}/of-{number}");
                let attachment = self.stage.hand.find(&path).await.ok()??;
                (attachment["status"]["attached"] == true).then_some(())
            })
            .await
            .unwrap();
        }
    }

    pub(super) async fn detach(&self, claims: &[usize]) {
        for number in claims {
            self.remove(&format!("{ATTACHMENTS}/of-{number}")).await;
        }
    }

    pub(super) async fn all_are_detached(&self) {
        until("all volumes are detached", PATIENCE, async || {
            self.stage.list(ATTACHMENTS).await?.is_empty().then_some(())
        })
        .await
        .unwrap();
    }

    pub(super) async fn ask_for_class(&self, claim: usize, class: &str) {
        let path = format!("{CLAIMS}/{}", self.claims[claim].name);
        let wish = json!({ "spec": { "volumeAttributesClassName": class } });
        let answer = self.stage.hand.patch(&path, Patch::Merge, &wish).await.unwrap();
        answer.ok(&path).unwrap();
    }

    /// Takes away what this layer made but attributes classes, whose protection may last.
    pub(super) async fn leaves_nothing(&self, plane: &conformance::ControlPlane) {
        self.no_volume_is_made().await;
        self.stage.clear_claims(plane);
        let kubectl = plane.kubectl();
        for what in ["volumesnapshotclasses", "nodes", "csinodes"] {
            kubectl.ok(&["delete", what, "--all"]).unwrap();
        }
    }
}
