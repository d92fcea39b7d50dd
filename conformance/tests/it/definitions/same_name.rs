//! An object is deleted and made again under its name between our read and our write of its status.

use conformance::{Hand, Patch};
use controller::patch::Change;
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use csi_snapshotter::plan::status::Answer;
use csi_snapshotter::plan::{StatusChange, Step};
use runtime::{ApiError, ApiErrorClass, ObjectKey, Writer};
use serde_json::{Value, json};
use snapshot_controller::plan::status::status_patch;

use super::{LAYER, collection, content, snapshot};
use crate::shared;

/// Sends a change of a status as the controllers do.
async fn write<K>(writer: &Writer<K>, key: &ObjectKey, change: Change) -> Result<K, ApiError>
where
    K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned,
{
    match change {
        Change::Json(patch) => writer.patch_json_status(key, patch).await,
        Change::Merge(body) => writer.patch_merge_status(key, &body).await,
    }
}

/// All changes of a status, as csi-snapshotter makes them of the content that it has read.
fn changes_of_content(content: &VolumeSnapshotContent) -> Vec<Change> {
    let answer = Answer {
        handle: Some("snap-1".to_owned()),
        creation_time: Some(1),
        restore_size: Some(1 << 30),
        ready: Some(true),
        group_handle: None,
        members: None,
        clear_error: true,
    };
    let failed = |not_ready| StatusChange::Failed {
        message: "refused".to_owned(),
        time: jiff::Timestamp::UNIX_EPOCH,
        not_ready,
    };
    let all = [
        StatusChange::Answer(answer),
        failed(false),
        failed(true),
        StatusChange::Cleared,
    ];
    let of = |change| {
        csi_snapshotter::patch::of(content, &Step::Status(change))
            .unwrap()
            .1
    };
    all.into_iter().map(of).collect()
}

/// The changes of a status as the snapshot-controller makes them of the snapshot that it has read.
fn changes_of_snapshot(snapshot: &VolumeSnapshot) -> Vec<Change> {
    let ready = vec![
        ("boundVolumeSnapshotContentName", Some(json!("c"))),
        ("readyToUse", Some(json!(true))),
    ];
    let failed = vec![("error", Some(json!({ "message": "refused" })))];
    [ready, failed]
        .into_iter()
        .map(|members| status_patch(snapshot, members).unwrap())
        .collect()
}

/// Reads an object, puts another one of its name in its place, and writes what was made of the first: it is a conflict,
/// and the second has no status. What is made of the second is written (decision 69).
async fn never_of_another<K>(hand: &Hand, kind: &str, object: Value, changes: fn(&K) -> Vec<Change>)
where
    K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned,
{
    let (collection, writer) = (collection(kind), Writer::<K>::new(&hand.client(), "conformance"));
    let name = object["metadata"]["name"].as_str().unwrap();
    let path = format!("{collection}/{name}");
    for has_status in [false, true] {
        let read = make(hand, &collection, &object, has_status).await;
        let read: K = serde_json::from_value(read).unwrap();
        let key = ObjectKey::of(&read);
        hand.delete(&path).await.unwrap().ok(&path).unwrap();
        let other = make(hand, &collection, &object, has_status).await;
        for change in changes(&read) {
            let refused = write(&writer, &key, change.clone()).await.err();
            let class = refused.map(|error| error.class());
            assert_eq!(class, Some(ApiErrorClass::Conflict), "{kind}: {change:?}");
            let now = hand.get(&path).await.unwrap().ok(&path).unwrap();
            assert_eq!(now, other, "{kind}: {change:?}");
        }
        let other: K = serde_json::from_value(other).unwrap();
        let change = changes(&other).swap_remove(0);
        let written = write(&writer, &key, change).await;
        assert!(written.is_ok(), "{kind}: {:?}", written.err());
        hand.delete(&path).await.unwrap().ok(&path).unwrap();
    }
}

/// Makes an object, and gives it a status.
async fn make(hand: &Hand, collection: &str, object: &Value, has_status: bool) -> Value {
    let made = hand
        .create(collection, object)
        .await
        .unwrap()
        .ok(collection)
        .unwrap();
    if !has_status {
        return made;
    }
    let path = format!(
        "{collection}/{}/status",
        object["metadata"]["name"].as_str().unwrap()
    );
    let status = json!({ "status": { "readyToUse": false } });
    hand.patch(&path, Patch::Merge, &status)
        .await
        .unwrap()
        .ok(&path)
        .unwrap()
}

#[tokio::test]
async fn a_status_is_never_written_to_another_object_of_the_name() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let hand = plane.hand().await.unwrap();
    let source = json!({ "volumeHandle": "vol-1" });
    never_of_another(
        &hand,
        "volumesnapshotcontents",
        content("swapped", source),
        changes_of_content,
    )
    .await;
    let spec = json!({ "source": { "persistentVolumeClaimName": "p" } });
    never_of_another(
        &hand,
        "volumesnapshots",
        snapshot("swapped", spec),
        changes_of_snapshot,
    )
    .await;
}
