//! VolumeGroupSnapshotContent.

use std::collections::BTreeMap;

use crds::group::v1::VolumeGroupSnapshotContent;
use crds::names;
use crds::v1::DeletionPolicy;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::{Content, Status, Words, is_blank};
use crate::plan::Call;

impl Content for VolumeGroupSnapshotContent {
    fn words(&self) -> &'static Words {
        &Words::GROUP
    }

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn driver(&self) -> &str {
        &self.spec.driver
    }

    fn class_name(&self) -> Option<&str> {
        let name = self.spec.volume_group_snapshot_class_name.as_deref();
        name.filter(|name| !name.is_empty())
    }

    fn reference(&self) -> &ObjectReference {
        &self.spec.volume_group_snapshot_ref
    }

    fn deletes(&self) -> bool {
        self.spec.deletion_policy == DeletionPolicy::Delete
    }

    fn volumes(&self) -> Option<&[String]> {
        self.spec.source.volume_handles.as_deref()
    }

    fn source_handle(&self) -> Option<&str> {
        let handles = self.spec.source.group_snapshot_handles.as_ref()?;
        Some(&handles.volume_group_snapshot_handle)
    }

    fn status(&self) -> Option<Status<'_>> {
        self.status.as_ref().map(|status| Status {
            handle: status.volume_group_snapshot_handle.as_deref(),
            group_handle: None,
            has_creation_time: status.creation_time.is_some(),
            has_size: false,
            ready: status.ready_to_use,
            error: status.error.as_ref(),
            members: status.volume_snapshot_info_list.as_deref().unwrap_or_default(),
        })
    }

    fn is_group_member(&self) -> bool {
        false
    }

    /// Those that the driver answered, else those of the source.
    fn member_handles(&self) -> Vec<String> {
        let answered = self.status().unwrap_or_default().members;
        let answered = answered
            .iter()
            .filter_map(|member| member.snapshot_handle.as_ref());
        let source = self.spec.source.group_snapshot_handles.as_ref();
        let source = source.map(|source| source.volume_snapshot_handles.as_slice());
        let known = |handle: &&String| !is_blank(handle);
        let mut handles: Vec<String> = answered.filter(known).cloned().collect();
        if handles.is_empty() {
            handles = source.unwrap_or_default().iter().filter(known).cloned().collect();
        }
        handles
    }

    fn name_for(&self, uid: &str) -> String {
        names::group::dynamic_content_name(uid)
    }

    fn create_call(&self, name: String, parameters: BTreeMap<String, String>) -> Call {
        Call::CreateGroup {
            volume_handles: self.spec.source.volume_handles.clone().unwrap_or_default(),
            name,
            parameters,
        }
    }

    fn look_call(&self, handle: &str) -> Call {
        Call::GetGroup {
            group_handle: handle.to_owned(),
            snapshot_handles: self.member_handles(),
        }
    }

    fn delete_call(&self, handle: &str, members: Vec<String>) -> Option<Call> {
        (!members.is_empty()).then(|| Call::DeleteGroup {
            group_handle: handle.to_owned(),
            snapshot_handles: members,
        })
    }

    /// Whole seconds, as Kubernetes keeps times.
    fn creation_time(&self, nanoseconds: i64) -> Value {
        let seconds = nanoseconds.div_euclid(1_000_000_000);
        Timestamp::from_second(seconds).map_or(Value::Null, |time| json!(time))
    }

    fn stale_members(&self) -> Vec<&'static str> {
        let Some(status) = &self.status else {
            return Vec::new();
        };
        let members = [
            (
                "volumeGroupSnapshotHandle",
                status.volume_group_snapshot_handle.is_some(),
            ),
            ("readyToUse", status.ready_to_use.is_some()),
            ("creationTime", status.creation_time.is_some()),
            (
                "volumeSnapshotInfoList",
                status.volume_snapshot_info_list.is_some(),
            ),
        ];
        members
            .into_iter()
            .filter(|(_, is_there)| *is_there)
            .map(|(name, _)| name)
            .collect()
    }
}
