//! The function in a cluster with one claim and its volume.

use std::ops::{Deref, DerefMut};

use controller::testing::resources::{ATTRIBUTES_CLASSES, CLAIMS, SECRETS, STORAGE_CLASSES, VOLUMES};
use controller::testing::{self, Driver};
use csi::v1::controller_service_capability::rpc;
use serde_json::{Value, json};

pub const DRIVER: &str = "d.csi";
pub const MIGRATED_DRIVER: &str = "ebs.csi.aws.com";
pub const USER: &str = "csi-resizer";

pub const MARK: &str = "patch persistentvolumeclaims/status 200";
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

/// Volume `v` of 10Gi, bound to claim `default/c`.
pub fn volume() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": DRIVER, "volumeHandle": "vol", "fsType": "ext4"},
        },
    })
}

impl World {
    /// With class `s`.
    pub fn new() -> Self {
        Self::of(&[rpc::Type::ExpandVolume])
    }

    /// With claim `default/c`, whose volume can be changed, and the attributes classes `gold` and `silver`.
    pub fn changing() -> Self {
        let world = Self::of(&[rpc::Type::ExpandVolume, rpc::Type::ModifyVolume]);
        world.bind("c", volume());
        world.class("gold");
        world.class("silver");
        world
    }

    /// With a driver that can do this.
    pub fn of(capabilities: &[rpc::Type]) -> Self {
        Self::of_driver(DRIVER, capabilities)
    }

    /// With the driver that took over the in-tree plugin of EBS, and claim `default/c` whose volume is one of that plugin.
    pub fn migrated() -> Self {
        let world = Self::of_driver(
            MIGRATED_DRIVER,
            &[rpc::Type::ExpandVolume, rpc::Type::ModifyVolume],
        );
        let mut volume = volume();
        let spec = volume["spec"].as_object_mut().unwrap();
        spec.remove("csi");
        let source = json!({"volumeID": "aws://us-east-1a/vol-1", "fsType": "ext4"});
        spec.insert("awsElasticBlockStore".into(), source);
        world.bind("c", volume);
        world.class_of("gold", MIGRATED_DRIVER);
        world
    }

    fn of_driver(name: &str, capabilities: &[rpc::Type]) -> Self {
        let driver = Driver::new(name, capabilities);
        let world = testing::World::new(resizer::ENTRY, driver);
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "s"},
            "provisioner": name, "allowVolumeExpansion": true,
        });
        world.create(STORAGE_CLASSES, class);
        Self(world)
    }

    /// What the expand controller does for a claim of an in-tree volume.
    pub fn hand_over(&self, driver: &str) {
        self.change(CLAIMS, "default", "c", |claim| {
            claim["metadata"]["annotations"]["volume.kubernetes.io/storage-resizer"] = json!(driver);
        });
    }

    /// With claim `default/c` of 10Gi, bound to volume `v`.
    pub fn bound() -> Self {
        let world = Self::new();
        world.bind("c", volume());
        world
    }

    /// Creates the claim and its volume, each naming the other.
    pub fn bind(&self, name: &str, mut volume: Value) {
        let uid = self.claim_of(name, volume["metadata"]["name"].as_str().unwrap());
        volume["spec"]["claimRef"] =
            json!({"kind": "PersistentVolumeClaim", "namespace": "default", "name": name, "uid": uid});
        self.create(VOLUMES, volume);
    }

    /// Creates the claim, bound to the volume, and returns its UID.
    pub fn claim_of(&self, name: &str, volume: &str) -> String {
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "s", "volumeName": volume,
                "resources": {"requests": {"storage": "10Gi"}},
            },
        });
        let made = self.create(CLAIMS, claim);
        let status = json!({"phase": "Bound", "capacity": {"storage": "10Gi"}});
        self.change_status(CLAIMS, "default", name, &status);
        made["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    /// Creates an attributes class whose parameter `is` is its name.
    pub fn class(&self, name: &str) {
        self.class_of(name, DRIVER);
    }

    pub fn class_of(&self, name: &str, driver: &str) {
        self.class_in("v1", name, driver);
    }

    pub fn class_in(&self, version: &str, name: &str, driver: &str) {
        let class = json!({
            "apiVersion": format!("storage.k8s.io/{version}"), "kind": "VolumeAttributesClass", "metadata": {"name": name},
            "driverName": driver, "parameters": {"is": name, "csi.storage.k8s.io/pv/name": "zzz"},
        });
        self.create(ATTRIBUTES_CLASSES, class);
    }

    /// Edits the attributes class of `c`.
    pub fn want(&self, class: &str) {
        self.change(CLAIMS, "default", "c", |claim| {
            claim["spec"]["volumeAttributesClassName"] = match class {
                "" => Value::Null,
                class => json!(class),
            };
        });
    }

    /// The class of `v`, that of `c`, how far a change is, its target, and the conditions of `c`, in words.
    pub fn classes(&self) -> String {
        let (claim, volume) = (self.claim(), self.get(VOLUMES, "", "v").unwrap());
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let (status, modify) = (&claim["status"], &claim["status"]["modifyVolumeStatus"]);
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let conditions: Vec<String> = conditions.map(|condition| text(&condition["type"])).collect();
        format!(
            "{} {} {} {} [{}]",
            text(&volume["spec"]["volumeAttributesClassName"]),
            text(&status["currentVolumeAttributesClassName"]),
            text(&modify["status"]),
            text(&modify["targetVolumeAttributesClassName"]),
            conditions.join(" ")
        )
    }

    /// The condition of this type: reason and message.
    pub fn condition(&self, kind: &str) -> Option<(String, String)> {
        let claim = self.claim();
        let conditions = claim["status"]["conditions"].as_array()?;
        let found = conditions.iter().find(|condition| condition["type"] == kind)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some((text(&found["reason"]), text(&found["message"])))
    }

    /// The classes that the driver was asked for.
    pub fn asked_for(&self) -> Vec<String> {
        self.driver.changed("is")
    }

    pub fn create_secret(&self, value: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sec", "namespace": "default"},
            "stringData": {"password": value},
        });
        self.create(SECRETS, secret);
    }

    /// Edits the size of `c`.
    pub fn ask(&self, size: &str) {
        self.ask_of("c", size);
    }

    pub fn ask_of(&self, name: &str, size: &str) {
        self.change(CLAIMS, "default", name, |claim| {
            claim["spec"]["resources"]["requests"]["storage"] = json!(size);
        });
    }

    /// Writes a part of the status of `c`.
    pub fn status(&self, status: &Value) {
        self.change_status(CLAIMS, "default", "c", status);
    }

    /// What kubelet writes when the file system has grown.
    pub fn node_finishes(&self) {
        let allocated = &self.claim()["status"]["allocatedResources"]["storage"];
        self.status(&json!({
            "capacity": {"storage": allocated}, "allocatedResourceStatuses": null, "conditions": [],
        }));
    }

    pub fn claim(&self) -> Value {
        self.get(CLAIMS, "default", "c").unwrap()
    }

    /// Capacity, allocated, stage, and conditions of `c`, in words.
    pub fn shown(&self) -> String {
        let status = &self.claim()["status"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let conditions: Vec<String> = conditions.map(|condition| text(&condition["type"])).collect();
        format!(
            "{} {} {} [{}]",
            text(&status["capacity"]["storage"]),
            text(&status["allocatedResources"]["storage"]),
            text(&status["allocatedResourceStatuses"]["storage"]),
            conditions.join(" ")
        )
    }

    /// Capacity and annotation of `v`.
    pub fn grown(&self) -> String {
        let volume = self.get(VOLUMES, "", "v").unwrap();
        let before = &volume["metadata"]["annotations"]["volume.alpha.kubernetes.io/pre-resize-capacity"];
        let size = volume["spec"]["capacity"]["storage"].as_str().unwrap().to_owned();
        format!("{size} {}", before.as_str().unwrap_or("-"))
    }
}
