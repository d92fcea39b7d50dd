//! The function in a cluster with one content of a group.

use std::ops::{Deref, DerefMut};

use controller::testing::resources::{GROUP_CLASSES, GROUP_CONTENTS};
use crds::group::v1::{
    VolumeGroupSnapshotClass, VolumeGroupSnapshotContent, VolumeGroupSnapshotContentStatus,
};
use sandbox::kube::GroupResource;
use serde::Serialize;
use serde_json::{Value, json};

use crate::groups::{BEING_CREATED, BEING_DELETED, Group};
use crate::world::World;

pub const CONTENT: &str = "groupsnapcontent-u";

/// A cluster whose driver takes groups.
pub struct GroupWorld(World);

impl Deref for GroupWorld {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl DerefMut for GroupWorld {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.0
    }
}

impl GroupWorld {
    /// With the definitions of both groups of kinds, and class `k` in both.
    pub fn new() -> Self {
        let world = Self::without_definitions();
        world.define_groups();
        world.create_group_class(&crate::groups::class(&[("type", "fast")]));
        world
    }

    /// Without the definitions of the group kinds.
    pub fn without_definitions() -> Self {
        let world = Self(World::new());
        world.driver.state().groups.are_served = true;
        world
    }

    pub fn create_group_class(&self, class: &VolumeGroupSnapshotClass) {
        self.store(GROUP_CLASSES, class);
    }

    /// Creates an object in the version that is stored.
    pub fn store(&self, resource: GroupResource<'_>, object: impl Serialize) -> Value {
        let mut object = json!(object);
        object["apiVersion"] = json!("groupsnapshot.storage.k8s.io/v1beta2");
        self.0.create_any(resource, object)
    }

    /// Creates it with its annotations and finalizers, then writes its status.
    pub fn create(&self, content: &Group) {
        let mut object = content.0.clone();
        object.metadata.uid = None;
        object.metadata.resource_version = None;
        let status = object.status.take();
        self.store(GROUP_CONTENTS, object);
        if let Some(status) = status {
            self.change_status(GROUP_CONTENTS, "", CONTENT, &json!(status));
        }
    }

    pub fn content(&self) -> Option<VolumeGroupSnapshotContent> {
        let content = self.get(GROUP_CONTENTS, "", CONTENT)?;
        Some(serde_json::from_value(content).unwrap())
    }

    pub fn status(&self) -> VolumeGroupSnapshotContentStatus {
        self.content().unwrap().status.unwrap_or_default()
    }

    pub fn is_ready(&self) -> bool {
        self.status().ready_to_use == Some(true)
    }

    pub fn error(&self) -> Option<String> {
        self.status().error.and_then(|error| error.message)
    }

    pub fn is_marked(&self) -> bool {
        let content = self.get(GROUP_CONTENTS, "", CONTENT).unwrap();
        content["metadata"]["annotations"][BEING_CREATED].is_string()
    }

    pub fn patch(&self, patch: &Value) {
        self.change(GROUP_CONTENTS, "", CONTENT, |content| {
            json_patch::merge(content, patch)
        });
    }

    /// What the controller does when the VolumeGroupSnapshot is deleted.
    pub fn delete(&self) {
        self.patch(&json!({"metadata": {"annotations": {(BEING_DELETED): "yes"}}}));
        // It may be gone with the mark.
        let _ = self.person.delete(GROUP_CONTENTS, "", CONTENT, None);
    }

    /// Whether the function has asked for any of the group kinds.
    pub fn asked_for_groups(&self) -> bool {
        let kinds = [
            "volumegroupsnapshots",
            "volumegroupsnapshotcontents",
            "volumegroupsnapshotclasses",
        ];
        kinds.into_iter().any(|kind| self.followed(kind))
    }

    /// LISTs and WATCHes of a kind by the function.
    pub fn looks(&self, resource: &str) -> usize {
        let looks = |record: &sandbox::kube::AuditRecord| {
            record.user == "csi-snapshotter"
                && record.resource == resource
                && ["list", "watch"].contains(&record.verb)
        };
        self.api.audit().into_iter().filter(looks).count()
    }
}
