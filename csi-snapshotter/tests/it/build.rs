//! Objects of tests. Everything is spelled out: nothing comes from the code under test.

use std::collections::BTreeMap;

use crds::v1::{
    DeletionPolicy, VolumeSnapshotClass, VolumeSnapshotContent, VolumeSnapshotContentSource,
    VolumeSnapshotContentSpec, VolumeSnapshotContentStatus, VolumeSnapshotError,
};
use csi_snapshotter::content::Content as AnyContent;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

pub const DRIVER: &str = "d.example.com";
pub const FINALIZER: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";
pub const BEING_CREATED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-created";
pub const BEING_DELETED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";
pub const FRESH: &str = "slackwater.io/fresh";
pub const GROUP: &str = "groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle";
pub const SECRET_NAME: &str = "snapshot.storage.kubernetes.io/deletion-secret-name";
pub const SECRET_NAMESPACE: &str = "snapshot.storage.kubernetes.io/deletion-secret-namespace";

/// A content, changed step by step.
#[derive(Clone, Debug)]
pub struct Content(pub VolumeSnapshotContent);

/// A content of either kind, for plans.
pub trait AsContent {
    fn as_content(&self) -> &dyn AnyContent;
}

impl AsContent for Content {
    fn as_content(&self) -> &dyn AnyContent {
        &self.0
    }
}

/// `snapcontent-u` of VolumeSnapshot `ns/s` (uid `u`), volume `vol`, class `k`, policy Delete, our finalizer, as our
/// snapshot-controller makes it.
pub fn dynamic() -> Content {
    by_hand().annotated(FRESH, "yes")
}

/// The same, made by somebody else.
pub fn by_hand() -> Content {
    Content(VolumeSnapshotContent {
        metadata: ObjectMeta {
            name: Some("snapcontent-u".into()),
            uid: Some("c-uid".into()),
            resource_version: Some("7".into()),
            finalizers: Some(vec![FINALIZER.into()]),
            ..ObjectMeta::default()
        },
        spec: VolumeSnapshotContentSpec {
            deletion_policy: DeletionPolicy::Delete,
            driver: DRIVER.into(),
            source: VolumeSnapshotContentSource {
                volume_handle: Some("vol".into()),
                snapshot_handle: None,
            },
            source_volume_mode: None,
            volume_snapshot_class_name: Some("k".into()),
            volume_snapshot_ref: ObjectReference {
                api_version: Some("snapshot.storage.k8s.io/v1".into()),
                kind: Some("VolumeSnapshot".into()),
                name: Some("s".into()),
                namespace: Some("ns".into()),
                uid: Some("u".into()),
                ..ObjectReference::default()
            },
        },
        status: None,
    })
}

/// The same for the existing snapshot `snap-x`: unbound, without class and finalizer.
pub fn static_() -> Content {
    let mut content = by_hand().0;
    content.metadata.finalizers = None;
    content.spec.source = VolumeSnapshotContentSource {
        volume_handle: None,
        snapshot_handle: Some("snap-x".into()),
    };
    content.spec.volume_snapshot_class_name = None;
    content.spec.volume_snapshot_ref.uid = None;
    Content(content)
}

impl Content {
    fn change(mut self, change: impl FnOnce(&mut VolumeSnapshotContent)) -> Self {
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

    /// With deletionTimestamp only.
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

    pub fn finalizers(self, finalizers: &[&str]) -> Self {
        let finalizers = finalizers.iter().map(ToString::to_string).collect();
        self.change(|content| content.metadata.finalizers = Some(finalizers))
    }

    pub fn bound(self) -> Self {
        self.change(|content| content.spec.volume_snapshot_ref.uid = Some("u".into()))
            .finalizers(&[FINALIZER])
    }

    pub fn class(self, name: &str) -> Self {
        self.change(|content| content.spec.volume_snapshot_class_name = Some(name.into()))
    }

    fn status(self, change: impl FnOnce(&mut VolumeSnapshotContentStatus)) -> Self {
        self.change(|content| change(content.status.get_or_insert_default()))
    }

    /// Cut at second 100, not ready.
    pub fn cut(self, handle: &str) -> Self {
        self.status(|status| {
            status.snapshot_handle = Some(handle.into());
            status.creation_time = Some(100_000_000_000);
            status.ready_to_use = Some(false);
        })
    }

    pub fn ready(self, handle: &str) -> Self {
        self.cut(handle).status(|status| {
            status.ready_to_use = Some(true);
            status.restore_size = Some(5 << 30);
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

    pub fn group_handle(self, handle: &str) -> Self {
        self.status(|status| status.volume_group_snapshot_handle = Some(handle.into()))
    }
}

/// Class `k` of the driver.
pub fn class(parameters: &[(&str, &str)]) -> VolumeSnapshotClass {
    let mut class = VolumeSnapshotClass::new("k", DRIVER, DeletionPolicy::Delete);
    let parameters = parameters
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    class.parameters = parameters.collect::<BTreeMap<_, _>>();
    class
}
