//! The function in a cluster with one content.

use std::ops::{Deref, DerefMut};

use controller::testing::resources::{CLASSES, CONTENTS, SECRETS};
use controller::testing::{self, Driver};
use crds::v1::{VolumeSnapshotClass, VolumeSnapshotContent, VolumeSnapshotContentStatus};
use csi::v1::controller_service_capability::rpc;
use sandbox::kube::GroupResource;
use serde::Serialize;
use serde_json::{Value, json};

use crate::build::{BEING_CREATED, BEING_DELETED, Content, DRIVER};

pub const CONTENT: &str = "snapcontent-u";

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

impl World {
    /// With the definitions, and class `k`.
    pub fn new() -> Self {
        let world = Self::without_definitions();
        world.define();
        world.create_class(&crate::build::class(&[("type", "fast")]));
        world
    }

    pub fn without_definitions() -> Self {
        let capabilities = [rpc::Type::CreateDeleteSnapshot, rpc::Type::ListSnapshots];
        let driver = Driver::new(DRIVER, &capabilities);
        Self(testing::World::new(csi_snapshotter::ENTRY, driver))
    }

    /// Any object; answers it as it was stored.
    pub fn create_any(&self, resource: GroupResource<'_>, object: impl Serialize) -> Value {
        self.0.create(resource, object)
    }

    /// The content, where another kind's is created by `create`.
    pub fn create_content(&self, content: &Content) {
        self.create(content);
    }

    pub fn create_class(&self, class: &VolumeSnapshotClass) {
        self.0.create(CLASSES, class);
    }

    pub fn delete_class(&self) {
        self.0.delete(CLASSES, "", "k");
    }

    pub fn create_secret(&self, data: &Value) {
        let metadata = json!({"name": "sec", "namespace": "default"});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
        self.0.create(SECRETS, secret);
    }

    /// Creates it with its annotations and finalizers, then writes its status.
    pub fn create(&self, content: &Content) {
        let mut object = content.0.clone();
        object.metadata.uid = None;
        object.metadata.resource_version = None;
        let status = object.status.take();
        self.0.create(CONTENTS, object);
        if let Some(status) = status {
            self.change_status(CONTENTS, "", CONTENT, &json!(status));
        }
    }

    pub fn content(&self) -> Option<VolumeSnapshotContent> {
        let content = self.get(CONTENTS, "", CONTENT)?;
        Some(serde_json::from_value(content).unwrap())
    }

    pub fn status(&self) -> VolumeSnapshotContentStatus {
        self.content().unwrap().status.unwrap_or_default()
    }

    pub fn is_ready(&self) -> bool {
        self.content().and_then(|content| content.status?.ready_to_use) == Some(true)
    }

    pub fn error(&self) -> Option<String> {
        self.status().error.and_then(|error| error.message)
    }

    pub fn is_marked(&self) -> bool {
        let content = self.get(CONTENTS, "", CONTENT).unwrap();
        content["metadata"]["annotations"][BEING_CREATED].is_string()
    }

    pub fn patch(&self, patch: &Value) {
        self.change(CONTENTS, "", CONTENT, |content| json_patch::merge(content, patch));
    }

    /// The content alone.
    pub fn delete_by_user(&self) {
        self.0.delete(CONTENTS, "", CONTENT);
    }

    /// What the controller does when the VolumeSnapshot is deleted.
    pub fn delete(&self) {
        self.patch(&json!({"metadata": {"annotations": {(BEING_DELETED): "yes"}}}));
        // It may be gone with the mark.
        let _ = self.person.delete(CONTENTS, "", CONTENT, None);
    }
}
