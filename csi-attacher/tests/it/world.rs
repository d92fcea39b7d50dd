//! The function in a cluster with one volume, a node and a driver.

use std::ops::{Deref, DerefMut};

use controller::testing::resources::{ATTACHMENTS, CSI_NODES, SECRETS, VOLUMES};
use controller::testing::{self, Driver};
use csi::v1::controller_service_capability::rpc;
use serde_json::{Value, json};

pub const DRIVER: &str = "d.csi";
pub const MIGRATED_DRIVER: &str = "ebs.csi.aws.com";
pub const FINALIZER: &str = "external-attacher/d-csi";
pub const PROVISIONER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
pub const NODE_ID: &str = "csi.alpha.kubernetes.io/node-id";

/// A write of metadata: the mark, or the finalizer away.
pub const ATTACHMENT: &str = "patch volumeattachments 200";
pub const STATUS: &str = "patch volumeattachments/status 200";
pub const VOLUME: &str = "patch persistentvolumes 200";

pub struct World(testing::World);

impl Deref for World {
    type Target = testing::World;

    fn deref(&self) -> &testing::World {
        &self.0
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut testing::World {
        &mut self.0
    }
}

/// Volume `v`, as our provisioner makes it: with the attacher's finalizer.
pub fn volume() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": "v", "finalizers": [FINALIZER]},
        "spec": {
            "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": DRIVER, "volumeHandle": "vol", "fsType": "ext4", "volumeAttributes": {"a": "b"}},
        },
    })
}

/// Volume `v`, made by somebody else.
pub fn foreign() -> Value {
    let mut volume = volume();
    volume["metadata"] = json!({"name": "v"});
    volume
}

/// Volume `v` of the in-tree plugin of EBS.
pub fn in_tree() -> Value {
    let mut volume = foreign();
    let spec = volume["spec"].as_object_mut().unwrap();
    spec.remove("csi");
    let source = json!({"volumeID": "aws://us-east-1a/vol-1", "fsType": "ext4", "partition": 2});
    spec.insert("awsElasticBlockStore".into(), source);
    volume
}

/// Attachment `a` of volume `v` at node `n`.
pub fn attachment() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "a"},
        "spec": {"attacher": DRIVER, "nodeName": "n", "source": {"persistentVolumeName": "v"}},
    })
}

impl World {
    /// With volume `v` of ours, node `n`, and a driver that attaches.
    pub fn new() -> Self {
        Self::with(volume())
    }

    /// The same with this volume.
    pub fn with(volume: Value) -> Self {
        let world = Self::of(DRIVER, &[rpc::Type::PublishUnpublishVolume]);
        world.volume(volume);
        world.node("i-1");
        world
    }

    /// With a driver of this name that can do this, and nothing else.
    pub fn of(name: &str, capabilities: &[rpc::Type]) -> Self {
        let driver = Driver::new(name, capabilities);
        Self(testing::World::new(csi_attacher::ENTRY, driver))
    }

    /// Creates a volume with these finalizers alone: nobody protects it here.
    pub fn volume(&self, volume: Value) {
        let finalizers = volume["metadata"]["finalizers"].clone();
        self.create(VOLUMES, volume);
        self.change(VOLUMES, "", "v", |volume| {
            let none = json!([]);
            volume["metadata"]["finalizers"] = if finalizers.is_null() { none } else { finalizers };
        });
    }

    /// Node `n`, which the driver calls so.
    pub fn node(&self, node_id: &str) {
        let name = self.driver.state().name.clone();
        let node = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "n"},
            "spec": {"drivers": [{"name": name, "nodeID": node_id, "topologyKeys": null}]},
        });
        self.create(CSI_NODES, node);
    }

    /// Creates attachment `a`.
    pub fn attach(&self) {
        let mut attachment = attachment();
        attachment["spec"]["attacher"] = json!(self.driver.state().name.clone());
        self.create(ATTACHMENTS, attachment);
    }

    /// Deletes attachment `a`.
    pub fn detach(&self) {
        self.delete(ATTACHMENTS, "", "a");
    }

    /// Attachment `a`.
    pub fn attachment(&self) -> Option<Value> {
        self.get(ATTACHMENTS, "", "a")
    }

    /// The status of attachment `a`.
    pub fn status(&self) -> Value {
        self.attachment().unwrap()["status"].clone()
    }

    pub fn is_attached(&self) -> bool {
        self.status()["attached"] == true
    }

    /// The message of an error of attachment `a`.
    pub fn error(&self, name: &str) -> String {
        let status = self.status();
        status[name]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The finalizers of an attachment or a volume.
    pub fn finalizers(object: &Value) -> Vec<String> {
        let names = object["metadata"]["finalizers"].as_array();
        names
            .into_iter()
            .flatten()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    /// Secret `default/s` with a password.
    pub fn secret(&self) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"},
            "data": {"password": "aHVudGVyMg=="},
        });
        self.create(SECRETS, secret);
    }
}
