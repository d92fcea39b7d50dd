//! Contents of groups for tests. Everything is spelled out: nothing comes from the code under test.

use std::collections::BTreeMap;

use crds::group::v1::{
    GroupSnapshotHandles, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent,
    VolumeGroupSnapshotContentSource, VolumeGroupSnapshotContentSpec, VolumeGroupSnapshotContentStatus,
    VolumeSnapshotInfo,
};
use crds::v1::{DeletionPolicy, VolumeSnapshotError};
use csi_snapshotter::content::Content as AnyContent;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::build::{AsContent, DRIVER, FRESH};

pub const FINALIZER: &str = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection";
pub const BEING_CREATED: &str = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-created";
pub const BEING_DELETED: &str = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-deleted";
pub const SECRET_NAME: &str = "groupsnapshot.storage.kubernetes.io/deletion-secret-name";
pub const SECRET_NAMESPACE: &str = "groupsnapshot.storage.kubernetes.io/deletion-secret-namespace";
pub const VOLUMES: [&str; 2] = ["vol-1", "vol-2"];

/// A content of a group, changed step by step.
#[derive(Clone, Debug)]
pub struct Group(pub VolumeGroupSnapshotContent);

impl AsContent for Group {
    fn as_content(&self) -> &dyn AnyContent {
        &self.0
    }
}

pub fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// `groupsnapcontent-u` of VolumeGroupSnapshot `ns/g` (uid `u`), volumes `vol-1` and `vol-2`, class `k`, policy Delete, our
/// finalizer, as our snapshot-controller makes it.
pub fn dynamic() -> Group {
    by_hand().annotated(FRESH, "yes")
}

/// The same, made by somebody else.
pub fn by_hand() -> Group {
    Group(VolumeGroupSnapshotContent {
        metadata: ObjectMeta {
            name: Some("groupsnapcontent-u".into()),
            uid: Some("c-uid".into()),
            resource_version: Some("7".into()),
            finalizers: Some(vec![FINALIZER.into()]),
            ..ObjectMeta::default()
        },
        spec: VolumeGroupSnapshotContentSpec {
            deletion_policy: DeletionPolicy::Delete,
            driver: DRIVER.into(),
            source: VolumeGroupSnapshotContentSource {
                volume_handles: Some(texts(&VOLUMES)),
                group_snapshot_handles: None,
            },
            volume_group_snapshot_class_name: Some("k".into()),
            volume_group_snapshot_ref: ObjectReference {
                api_version: Some("groupsnapshot.storage.k8s.io/v1".into()),
                kind: Some("VolumeGroupSnapshot".into()),
                name: Some("g".into()),
                namespace: Some("ns".into()),
                uid: Some("u".into()),
                ..ObjectReference::default()
            },
        },
        status: None,
    })
}

/// The same for the existing group `group-x`: unbound, without class and finalizer.
pub fn static_() -> Group {
    by_hand().change(|content| {
        content.metadata.finalizers = None;
        content.spec.source = VolumeGroupSnapshotContentSource {
            volume_handles: None,
            group_snapshot_handles: Some(GroupSnapshotHandles {
                volume_group_snapshot_handle: "group-x".into(),
                volume_snapshot_handles: texts(&["snap-x", "snap-y"]),
            }),
        };
        content.spec.volume_group_snapshot_class_name = None;
        content.spec.volume_group_snapshot_ref.uid = None;
    })
}

/// Class `k` of the driver.
pub fn class(parameters: &[(&str, &str)]) -> VolumeGroupSnapshotClass {
    let mut class = VolumeGroupSnapshotClass::new("k", DRIVER, DeletionPolicy::Delete);
    let parameters = parameters
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    class.parameters = parameters.collect::<BTreeMap<_, _>>();
    class
}

/// A member of 5 GiB, taken at second 100.
pub fn info(number: u8, ready: bool) -> VolumeSnapshotInfo {
    VolumeSnapshotInfo {
        creation_time: Some(100_000_000_000),
        ready_to_use: Some(ready),
        restore_size: Some(5 << 30),
        snapshot_handle: Some(format!("snap-{number}")),
        volume_handle: Some(format!("vol-{number}")),
    }
}

impl Group {
    pub fn change(mut self, change: impl FnOnce(&mut VolumeGroupSnapshotContent)) -> Self {
        change(&mut self.0);
        self
    }

    pub fn annotated(self, key: &str, value: &str) -> Self {
        self.change(|content| {
            let annotations = content.metadata.annotations.get_or_insert_default();
            annotations.insert(key.into(), value.into());
        })
    }

    pub fn marked(self) -> Self {
        self.annotated(BEING_CREATED, "yes")
    }

    pub fn terminating(self) -> Self {
        self.change(|content| {
            content.metadata.deletion_timestamp = Some(Time("2026-01-01T00:00:00Z".parse().unwrap()));
        })
    }

    /// As the controller leaves it for deletion.
    pub fn being_deleted(self) -> Self {
        self.annotated(BEING_DELETED, "yes").terminating()
    }

    pub fn retain(self) -> Self {
        self.change(|content| content.spec.deletion_policy = DeletionPolicy::Retain)
    }

    pub fn bound(self) -> Self {
        self.change(|content| {
            content.spec.volume_group_snapshot_ref.uid = Some("u".into());
            content.metadata.finalizers = Some(vec![FINALIZER.into()]);
        })
    }

    pub fn class(self, name: &str) -> Self {
        self.change(|content| content.spec.volume_group_snapshot_class_name = Some(name.into()))
    }

    pub fn status(self, change: impl FnOnce(&mut VolumeGroupSnapshotContentStatus)) -> Self {
        self.change(|content| change(content.status.get_or_insert_default()))
    }

    /// Cut at second 100 as `group-1`, not ready.
    pub fn cut(self) -> Self {
        self.status(|status| {
            status.volume_group_snapshot_handle = Some("group-1".into());
            status.creation_time = Some(Time("1970-01-01T00:01:40Z".parse().unwrap()));
            status.ready_to_use = Some(false);
            status.volume_snapshot_info_list = Some(vec![info(1, false), info(2, false)]);
        })
    }

    pub fn ready(self) -> Self {
        self.cut().status(|status| {
            status.ready_to_use = Some(true);
            status.volume_snapshot_info_list = Some(vec![info(1, true), info(2, true)]);
        })
    }

    pub fn error(self, message: &str) -> Self {
        self.status(|status| {
            status.ready_to_use.get_or_insert(false);
            status.error = Some(VolumeSnapshotError {
                message: Some(message.into()),
                time: Some(Time("2026-01-01T00:00:00Z".parse().unwrap())),
            });
        })
    }
}
