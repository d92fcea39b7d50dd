//! A `VolumeSnapshot` as few bytes: usually some sixty.

use crds::v1::{
    VolumeSnapshot, VolumeSnapshotError, VolumeSnapshotSource, VolumeSnapshotSpec, VolumeSnapshotStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::ObjectKey;
use super::pack::{Pen, Reader};

/// All but name and namespace.
pub(crate) fn packed_snapshot(snapshot: &VolumeSnapshot) -> Box<[u8]> {
    let mut pen = Pen::default();
    pen.metadata(&snapshot.metadata);
    let VolumeSnapshotSpec {
        source,
        volume_snapshot_class_name,
    } = &snapshot.spec;
    pen.text(source.persistent_volume_claim_name.as_deref());
    pen.text(source.volume_snapshot_content_name.as_deref());
    pen.text(volume_snapshot_class_name.as_deref());
    pen.byte(u8::from(snapshot.status.is_some()));
    if let Some(status) = &snapshot.status {
        let usual = usual_content(snapshot.metadata.uid.as_deref());
        let bound = status.bound_volume_snapshot_content_name.as_deref();
        pen.usually(bound, usual.as_deref());
        pen.time(status.creation_time.as_ref());
        error(&mut pen, status.error.as_ref());
        pen.flag(status.ready_to_use);
        pen.text(status.restore_size.as_ref().map(|size| size.0.as_str()));
        pen.text(status.volume_group_snapshot_name.as_deref());
    }
    pen.end()
}

/// What [`packed_snapshot`] made of the snapshot with this key.
pub(crate) fn unpacked_snapshot(key: &ObjectKey, bytes: &[u8]) -> Option<VolumeSnapshot> {
    let mut reader = Reader(bytes);
    let metadata = reader.metadata(key)?;
    let spec = VolumeSnapshotSpec {
        source: VolumeSnapshotSource {
            persistent_volume_claim_name: reader.text()?,
            volume_snapshot_content_name: reader.text()?,
        },
        volume_snapshot_class_name: reader.text()?,
    };
    let status = match reader.byte()? {
        0 => None,
        _ => Some(VolumeSnapshotStatus {
            bound_volume_snapshot_content_name: reader.usually(usual_content(metadata.uid.as_deref()))?,
            creation_time: reader.time()?,
            error: read_error(&mut reader)?,
            ready_to_use: reader.flag()?,
            restore_size: reader.text()?.map(Quantity),
            volume_group_snapshot_name: reader.text()?,
        }),
    };
    Some(VolumeSnapshot {
        metadata,
        spec,
        status,
    })
}

/// The name of the content that is made for a snapshot.
fn usual_content(uid: Option<&str>) -> Option<String> {
    uid.map(|uid| format!("snapcontent-{uid}"))
}

/// The error in the status of a snapshot or content.
pub(super) fn error(pen: &mut Pen, error: Option<&VolumeSnapshotError>) {
    pen.byte(u8::from(error.is_some()));
    if let Some(error) = error {
        pen.text(error.message.as_deref());
        pen.time(error.time.as_ref());
    }
}

/// What [`error`] wrote.
pub(super) fn read_error(reader: &mut Reader<'_>) -> Option<Option<VolumeSnapshotError>> {
    if reader.byte()? == 0 {
        return Some(None);
    }
    Some(Some(VolumeSnapshotError {
        message: reader.text()?,
        time: reader.time()?,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::pack::metadata_of_every_form;
    use super::*;

    const UID: &str = "8f14e45f-ceea-467f-a8b1-9d3c5b6e7f80";

    fn comes_back(key: &ObjectKey, snapshot: &VolumeSnapshot) {
        let bytes = packed_snapshot(snapshot);
        assert_eq!(unpacked_snapshot(key, &bytes).as_ref(), Some(snapshot));
    }

    fn snapshot(source: &Value, status: &Value) -> VolumeSnapshot {
        serde_json::from_value(json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {
                "namespace": "shop", "name": "data", "uid": UID, "resourceVersion": "12345678", "generation": 2,
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "finalizers": [
                    "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection",
                    "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection",
                ],
            },
            "spec": {"source": source, "volumeSnapshotClassName": "csi-aws-vsc"},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_snapshot_comes_back_whole() {
        let key = ObjectKey::new("shop", "data");
        for (_, metadata) in metadata_of_every_form() {
            let empty = VolumeSnapshot {
                metadata,
                ..VolumeSnapshot::new("", VolumeSnapshotSpec::default())
            };
            comes_back(&key, &empty);
        }
        let sources = [
            json!({"persistentVolumeClaimName": "data"}),
            json!({"volumeSnapshotContentName": "made-by-hand"}),
        ];
        let states = [
            json!(null),
            json!({}),
            json!({"readyToUse": false, "error": {}}),
            json!({
                "readyToUse": true, "boundVolumeSnapshotContentName": format!("snapcontent-{UID}"),
                "creationTime": "2026-01-02T03:04:06Z", "restoreSize": 5,
            }),
            json!({
                "boundVolumeSnapshotContentName": "made-by-hand", "volumeGroupSnapshotName": "group",
                "error": {"message": "é", "time": "2026-01-02T03:04:06Z"}, "restoreSize": "1500Mi",
            }),
        ];
        for source in &sources {
            for status in &states {
                comes_back(&key, &snapshot(source, status));
            }
        }
        let mut labelled = snapshot(&sources[0], &states[0]);
        labelled.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        labelled.metadata.annotations = labelled.metadata.labels.clone();
        labelled.metadata.deletion_timestamp = labelled.metadata.creation_timestamp.clone();
        comes_back(&key, &labelled);
    }

    #[test]
    fn an_ordinary_snapshot_is_some_sixty_bytes() {
        let ready = json!({
            "readyToUse": true, "boundVolumeSnapshotContentName": format!("snapcontent-{UID}"),
            "creationTime": "2026-01-02T03:04:06Z", "restoreSize": "10Gi",
        });
        let ordinary = snapshot(&json!({"persistentVolumeClaimName": "data"}), &ready);
        assert_eq!(packed_snapshot(&ordinary).len(), 60);
    }
}
