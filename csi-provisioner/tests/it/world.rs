//! The function in a cluster with a class, whose other controllers are the sandbox's.

use std::ops::{Deref, DerefMut};

use controller::testing::resources::{
    ATTACHMENTS, ATTRIBUTES_CLASSES, CLAIMS, CONTENTS, SECRETS, SNAPSHOTS, STORAGE_CLASSES, VOLUMES,
};
use controller::testing::{self, Driver};
use csi::v1::controller_service_capability::rpc;
use sandbox::kube::GroupResource;
use serde_json::{Value, json};

pub const DRIVER: &str = "d.csi";
pub const ZONE: &str = "topology.d.csi/zone";
pub const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
pub const ATTACHER_FINALIZER: &str = "external-attacher/d-csi";
pub const SNAPSHOT_FINALIZER: &str = "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection";
pub const CLONE_FINALIZER: &str = "provisioner.storage.kubernetes.io/cloning-protection";
pub const NODES: GroupResource<'_> = GroupResource::new("", "nodes");
pub const CAPACITIES: GroupResource<'_> = GroupResource::new("storage.k8s.io", "csistoragecapacities");
pub const CSI_NODES: GroupResource<'_> = GroupResource::new("storage.k8s.io", "csinodes");

pub const SAVE: &str = "create persistentvolumes 201";
pub const PATCH: &str = "patch persistentvolumes 200";
pub const REMOVE: &str = "delete persistentvolumes 200";

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

/// A claim `default/NAME` of 1Gi and class `s` for the driver.
pub fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default", "annotations": {
            "volume.kubernetes.io/storage-provisioner": DRIVER,
        }},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "s", "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    })
}

impl World {
    /// A driver that makes volumes, and class `s` that binds at once and deletes.
    pub fn new() -> Self {
        Self::of(&[])
    }

    /// The same with a driver that can do this too.
    pub fn of(capabilities: &[rpc::Type]) -> Self {
        Self::of_driver(DRIVER, capabilities)
    }

    pub fn of_driver(name: &str, capabilities: &[rpc::Type]) -> Self {
        let all = [&[rpc::Type::CreateDeleteVolume], capabilities].concat();
        let world = Self(testing::World::new(
            csi_provisioner::ENTRY,
            Driver::new(name, &all),
        ));
        world.class("s", &json!({"provisioner": name}));
        let actors = sandbox::actors::Options::default().marked_by_hand();
        sandbox::actors::run_with(&world.api, &world.scope, world.clock.clone(), actors);
        world
    }

    /// With a driver that tells where volumes are, nodes `n1` in zone a and `n2` in zone b, and class `s` that waits for a pod.
    pub fn with_nodes() -> Self {
        let world = Self::new();
        world.driver.state().volumes.have_topology = true;
        for (name, zone) in [("n1", "a"), ("n2", "b")] {
            world.node(name, zone);
            world.register(name);
        }
        world.remove_by_force(STORAGE_CLASSES, "", "s");
        world.class("s", &json!({"volumeBindingMode": "WaitForFirstConsumer"}));
        world
    }

    pub fn node(&self, name: &str, zone: &str) {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {ZONE: zone}},
        });
        self.create(NODES, node);
    }

    pub fn register(&self, node: &str) {
        let node = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": node},
            "spec": {"drivers": [{"name": DRIVER, "nodeID": node, "topologyKeys": [ZONE]}]},
        });
        self.create(CSI_NODES, node);
    }

    /// Creates a class of the driver with these members.
    pub fn class(&self, name: &str, members: &Value) {
        let mut class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": DRIVER, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
        });
        for (member, value) in members.as_object().unwrap() {
            class[member] = value.clone();
        }
        self.create(STORAGE_CLASSES, class);
    }

    pub fn attributes_class(&self, name: &str, driver: &str) {
        self.attributes_class_in("v1", name, driver);
    }

    pub fn attributes_class_in(&self, version: &str, name: &str, driver: &str) {
        let class = json!({
            "apiVersion": format!("storage.k8s.io/{version}"), "kind": "VolumeAttributesClass", "metadata": {"name": name},
            "driverName": driver, "parameters": {"iops": "4000"},
        });
        self.create(ATTRIBUTES_CLASSES, class);
    }

    /// Creates claim `default/c`, changed so; answers the name of the volume to be.
    pub fn claim(&self, change: impl FnOnce(&mut Value)) -> String {
        self.claim_named("c", change)
    }

    pub fn claim_named(&self, name: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut claim = claim(name);
        change(&mut claim);
        let made = self.create(CLAIMS, claim);
        format!("pvc-{}", made["metadata"]["uid"].as_str().unwrap())
    }

    /// Chooses the node of the first consumer of `c`.
    pub fn select(&self, node: &str) {
        self.change(CLAIMS, "default", "c", |claim| {
            claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = json!(node);
        });
    }

    pub fn selected(&self) -> Option<String> {
        let claim = self.get(CLAIMS, "default", "c")?;
        let node = &claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"];
        node.as_str().map(str::to_owned)
    }

    pub fn phase(&self, name: &str) -> String {
        let claim = self.get(CLAIMS, "default", name).unwrap();
        claim["status"]["phase"].as_str().unwrap_or_default().to_owned()
    }

    pub fn volume(&self, name: &str) -> Option<Value> {
        self.get(VOLUMES, "", name)
    }

    pub fn finalizers(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Vec<String> {
        let object = self.get(resource, namespace, name).unwrap();
        let all = object["metadata"]["finalizers"].as_array().into_iter().flatten();
        all.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    pub fn secret(&self, value: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sec", "namespace": "default"},
            "stringData": {"password": value},
        });
        self.create(SECRETS, secret);
    }

    pub fn attach(&self, volume: &str) {
        let attachment = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "va"},
            "spec": {"attacher": DRIVER, "nodeName": "n1", "source": {"persistentVolumeName": volume}},
        });
        self.create(ATTACHMENTS, attachment);
    }

    /// A ready snapshot `default/snap` of 1Gi with its content.
    pub fn snapshot(&self) {
        self.snapshot_of(DRIVER);
    }

    /// The same of a driver.
    pub fn snapshot_of(&self, driver: &str) {
        self.define();
        self.defined_snapshot_of(driver);
    }

    /// The same where the kinds are defined.
    pub fn defined_snapshot_of(&self, driver: &str) {
        let snapshot = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": "snap", "namespace": "default"},
            "spec": {"source": {"volumeSnapshotContentName": "content"}},
        });
        let made = self.create(SNAPSHOTS, snapshot);
        let content = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
            "metadata": {"name": "content"},
            "spec": {
                "deletionPolicy": "Delete", "driver": driver, "source": {"snapshotHandle": "snap-1"},
                "volumeSnapshotRef": {"name": "snap", "namespace": "default", "uid": made["metadata"]["uid"]},
            },
        });
        self.create(CONTENTS, content);
        let status = json!({"snapshotHandle": "snap-1", "readyToUse": true});
        self.change_status(CONTENTS, "", "content", &status);
        let status =
            json!({"boundVolumeSnapshotContentName": "content", "readyToUse": true, "restoreSize": "1Gi"});
        self.change_status(SNAPSHOTS, "default", "snap", &status);
    }

    /// Calls of the driver that make and delete volumes.
    pub fn calls(&self) -> [usize; 2] {
        ["CreateVolume", "DeleteVolume"].map(|rpc| self.driver.count(rpc))
    }

    /// The volumes that the driver holds.
    pub fn made(&self) -> usize {
        self.driver.state().volumes.made.len()
    }
}

/// The source of a claim.
pub fn from_snapshot(claim: &mut Value) {
    claim["spec"]["dataSource"] =
        json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap"});
}

pub fn from_claim(claim: &mut Value) {
    claim["spec"]["dataSource"] = json!({"kind": "PersistentVolumeClaim", "name": "source"});
}
