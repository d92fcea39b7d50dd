//! A `VolumeSnapshotContent` as few bytes: usually some hundred and fifty.

use crds::v1::{
    DeletionPolicy, VolumeSnapshotContent, VolumeSnapshotContentSource, VolumeSnapshotContentSpec,
    VolumeSnapshotContentStatus,
};
use k8s_openapi::api::core::v1::ObjectReference;

use super::ObjectKey;
use super::pack::{Pen, Reader};
use super::packed_snapshot::{error, read_error};

/// All but the name.
pub(crate) fn packed_content(content: &VolumeSnapshotContent) -> Box<[u8]> {
    let mut pen = Pen::default();
    pen.metadata(&content.metadata);
    let VolumeSnapshotContentSpec {
        deletion_policy,
        driver,
        source,
        source_volume_mode,
        volume_snapshot_class_name,
        volume_snapshot_ref,
    } = &content.spec;
    pen.byte(u8::from(*deletion_policy == DeletionPolicy::Retain));
    pen.text(Some(driver));
    pen.text(source.snapshot_handle.as_deref());
    pen.text(source.volume_handle.as_deref());
    pen.text(source_volume_mode.as_deref());
    pen.text(volume_snapshot_class_name.as_deref());
    reference(&mut pen, volume_snapshot_ref);
    pen.byte(u8::from(content.status.is_some()));
    if let Some(status) = &content.status {
        pen.count(status.creation_time);
        error(&mut pen, status.error.as_ref());
        pen.flag(status.ready_to_use);
        pen.count(status.restore_size);
        pen.text(status.snapshot_handle.as_deref());
        pen.text(status.volume_group_snapshot_handle.as_deref());
    }
    pen.end()
}

/// What [`packed_content`] made of the content with this key.
pub(crate) fn unpacked_content(key: &ObjectKey, bytes: &[u8]) -> Option<VolumeSnapshotContent> {
    let mut reader = Reader(bytes);
    let metadata = reader.metadata(key)?;
    let deletion_policy = match reader.byte()? {
        0 => DeletionPolicy::Delete,
        _ => DeletionPolicy::Retain,
    };
    let spec = VolumeSnapshotContentSpec {
        deletion_policy,
        driver: reader.text()??,
        source: VolumeSnapshotContentSource {
            snapshot_handle: reader.text()?,
            volume_handle: reader.text()?,
        },
        source_volume_mode: reader.text()?,
        volume_snapshot_class_name: reader.text()?,
        volume_snapshot_ref: read_reference(&mut reader)?,
    };
    let status = match reader.byte()? {
        0 => None,
        _ => Some(VolumeSnapshotContentStatus {
            creation_time: reader.count()?,
            error: read_error(&mut reader)?,
            ready_to_use: reader.flag()?,
            restore_size: reader.count()?,
            snapshot_handle: reader.text()?,
            volume_group_snapshot_handle: reader.text()?,
        }),
    };
    Some(VolumeSnapshotContent {
        metadata,
        spec,
        status,
    })
}

fn reference(pen: &mut Pen, to: &ObjectReference) {
    pen.text(to.api_version.as_deref());
    pen.text(to.field_path.as_deref());
    pen.text(to.kind.as_deref());
    pen.text(to.name.as_deref());
    pen.text(to.namespace.as_deref());
    pen.text(to.resource_version.as_deref());
    pen.uid(to.uid.as_deref());
}

fn read_reference(reader: &mut Reader<'_>) -> Option<ObjectReference> {
    Some(ObjectReference {
        api_version: reader.text()?,
        field_path: reader.text()?,
        kind: reader.text()?,
        name: reader.text()?,
        namespace: reader.text()?,
        resource_version: reader.text()?,
        uid: reader.uid()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::pack::metadata_of_every_form;
    use super::*;

    const UID: &str = "8f14e45f-ceea-467f-a8b1-9d3c5b6e7f80";

    fn comes_back(key: &ObjectKey, content: &VolumeSnapshotContent) {
        let bytes = packed_content(content);
        assert_eq!(unpacked_content(key, &bytes).as_ref(), Some(content));
    }

    fn content(policy: &str, source: &Value, to: &Value, status: &Value) -> VolumeSnapshotContent {
        serde_json::from_value(json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
            "metadata": {
                "name": format!("snapcontent-{UID}"), "uid": UID, "resourceVersion": "12345678",
                "creationTimestamp": "2026-01-02T03:04:05Z", "generation": 1,
                "finalizers": ["snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"],
            },
            "spec": {
                "deletionPolicy": policy, "driver": "ebs.csi.aws.com", "source": source,
                "sourceVolumeMode": "Filesystem", "volumeSnapshotClassName": "csi-aws-vsc",
                "volumeSnapshotRef": to,
            },
            "status": status,
        }))
        .unwrap()
    }

    fn usual_reference() -> Value {
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "namespace": "shop",
            "name": "data", "uid": UID, "resourceVersion": "12345670",
        })
    }

    fn ready() -> Value {
        json!({
            "creationTime": 1_767_323_046_000_000_000_i64, "readyToUse": true, "restoreSize": 10_737_418_240_i64,
            "snapshotHandle": "snap-0123456789abcdef0",
        })
    }

    #[test]
    fn a_content_comes_back_whole() {
        let key = ObjectKey::new("", format!("snapcontent-{UID}"));
        let volume = json!({"volumeHandle": "vol-0123456789abcdef0"});
        for (_, mut metadata) in metadata_of_every_form() {
            metadata.name = Some(key.name.clone());
            metadata.namespace = None;
            let mut content = content("Delete", &volume, &usual_reference(), &json!(null));
            content.metadata = metadata;
            comes_back(&key, &content);
        }
        let states = [
            json!(null),
            json!({}),
            ready(),
            json!({
                "readyToUse": false, "restoreSize": 0, "volumeGroupSnapshotHandle": "group",
                "error": {"message": "é", "time": "2026-01-02T03:04:06Z"},
            }),
        ];
        for source in [volume, json!({"snapshotHandle": "snap-1"})] {
            for to in [usual_reference(), json!({"fieldPath": "f"}), json!({})] {
                for status in &states {
                    comes_back(&key, &content("Retain", &source, &to, status));
                    comes_back(&key, &content("Delete", &source, &to, status));
                }
            }
        }
    }

    #[test]
    fn an_ordinary_content_is_some_hundred_and_fifty_bytes() {
        let volume = json!({"volumeHandle": "vol-0123456789abcdef0"});
        let ordinary = content("Delete", &volume, &usual_reference(), &ready());
        assert_eq!(packed_content(&ordinary).len(), 148);
    }
}
