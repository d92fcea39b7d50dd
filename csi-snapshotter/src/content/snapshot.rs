//! VolumeSnapshotContent.

use std::collections::BTreeMap;
use std::slice;

use crds::names;
use crds::v1::{DeletionPolicy, VolumeSnapshotContent};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::{Content, Status, Words};
use crate::plan::Call;

impl Content for VolumeSnapshotContent {
    fn words(&self) -> &'static Words {
        &Words::SNAPSHOT
    }

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn driver(&self) -> &str {
        &self.spec.driver
    }

    fn class_name(&self) -> Option<&str> {
        let name = self.spec.volume_snapshot_class_name.as_deref();
        name.filter(|name| !name.is_empty())
    }

    fn reference(&self) -> &ObjectReference {
        &self.spec.volume_snapshot_ref
    }

    fn deletes(&self) -> bool {
        self.spec.deletion_policy == DeletionPolicy::Delete
    }

    fn volumes(&self) -> Option<&[String]> {
        self.spec.source.volume_handle.as_ref().map(slice::from_ref)
    }

    fn source_handle(&self) -> Option<&str> {
        self.spec.source.snapshot_handle.as_deref()
    }

    fn status(&self) -> Option<Status<'_>> {
        self.status.as_ref().map(|status| Status {
            handle: status.snapshot_handle.as_deref(),
            group_handle: status.volume_group_snapshot_handle.as_deref(),
            has_creation_time: status.creation_time.is_some(),
            has_size: status.restore_size.is_some(),
            ready: status.ready_to_use,
            error: status.error.as_ref(),
            members: &[],
        })
    }

    fn is_group_member(&self) -> bool {
        self.annotation(names::GROUP_HANDLE_ANNOTATION).is_some()
    }

    fn member_handles(&self) -> Vec<String> {
        Vec::new()
    }

    fn name_for(&self, uid: &str) -> String {
        names::dynamic_content_name(uid)
    }

    fn create_call(&self, name: String, parameters: BTreeMap<String, String>) -> Call {
        Call::Create {
            volume_handle: self.spec.source.volume_handle.clone().unwrap_or_default(),
            name,
            parameters,
        }
    }

    fn look_call(&self, handle: &str) -> Call {
        Call::List {
            snapshot_handle: handle.to_owned(),
        }
    }

    fn delete_call(&self, handle: &str, _: Vec<String>) -> Option<Call> {
        Some(Call::Delete {
            snapshot_handle: handle.to_owned(),
        })
    }

    fn creation_time(&self, nanoseconds: i64) -> Value {
        json!(nanoseconds)
    }

    fn stale_members(&self) -> Vec<&'static str> {
        let Some(status) = &self.status else {
            return Vec::new();
        };
        let members = [
            ("snapshotHandle", status.snapshot_handle.is_some()),
            ("readyToUse", status.ready_to_use.is_some()),
            ("creationTime", status.creation_time.is_some()),
            ("restoreSize", status.restore_size.is_some()),
        ];
        members
            .into_iter()
            .filter(|(_, is_there)| *is_there)
            .map(|(name, _)| name)
            .collect()
    }
}
