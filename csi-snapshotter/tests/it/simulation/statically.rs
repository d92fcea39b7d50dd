//! Pre-provisioned contents.

use controller::testing::resources::{CONTENTS, SNAPSHOTS};
use controller::testing::seconds;
use sandbox::kube::Denial;
use serde_json::json;

use super::STATUS;
use crate::build::{FINALIZER, static_};
use crate::world::{CONTENT, World};

#[tokio::test(start_paused = true)]
async fn snapshot_case_76_and_78_pre_provisioned() {
    let world = World::new();
    let _process = world.start();
    world.create(&static_());
    seconds(2).await;
    let error = world.error().unwrap();
    assert!(
        error.ends_with("can not find snapshot for snapshotID snap-x"),
        "{error}"
    );
    world.driver.state().add("snap-x", "vol", 1000);
    seconds(10).await;
    let status = world.status();
    assert_eq!(
        (status.ready_to_use, status.restore_size),
        (Some(true), Some(1000))
    );
    assert_eq!(status.snapshot_handle.as_deref(), Some("snap-x"));
    assert!(status.error.is_none());
    assert_eq!(world.requests(), [STATUS, STATUS]);
    assert_eq!(world.driver.count("CreateSnapshot"), 0);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_77_a_driver_without_lists_is_not_asked() {
    let world = World::new();
    world.driver.state().capabilities.truncate(1);
    let _process = world.start();
    world.create(&static_());
    seconds(5).await;
    assert_eq!(world.requests(), [STATUS]);
    assert_eq!(world.driver.count("ListSnapshots"), 0);
    assert_eq!(world.status().ready_to_use, Some(true));
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_83_deleted_right_after_its_creation() {
    let world = World::new();
    world.driver.state().add("snap-x", "vol", 1000);
    world.create(&static_().finalizers(&[FINALIZER]));
    world.person.delete(CONTENTS, "", CONTENT, None).unwrap();
    let _process = world.start();
    seconds(5).await;
    assert!(world.content().is_none());
    assert!(world.driver.state().snapshots.is_empty());
}

/// The VolumeSnapshot `ns/s`, bound to the content.
fn create_bound_snapshot(world: &World) {
    let namespaces = sandbox::kube::GroupResource::new("", "namespaces");
    world
        .person
        .create(namespaces, json!({"metadata": {"name": "ns"}}))
        .unwrap();
    let snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": "s", "namespace": "ns"},
        "spec": {"source": {"volumeSnapshotContentName": CONTENT}},
    });
    world.person.create(SNAPSHOTS, snapshot).unwrap();
    let bound = json!({"boundVolumeSnapshotContentName": CONTENT, "readyToUse": true});
    let write = |object: &mut serde_json::Value| object["status"] = bound.clone();
    world.person.update_status(SNAPSHOTS, "ns", "s", write).unwrap();
}

/// A tool applies the manifest of a pair again, which takes the UID out of the reference, and the content is deleted.
#[tokio::test(start_paused = true)]
async fn snapshot_case_104_a_content_that_has_lost_its_uid_keeps_its_snapshot_under_a_living_volume_snapshot()
{
    for hidden in [false, true] {
        let world = World::new();
        world.driver.state().add("snap-x", "vol", 1000);
        if hidden {
            world.api.deny("csi-snapshotter", Denial::of("get", SNAPSHOTS));
        }
        create_bound_snapshot(&world);
        let _process = world.start();
        world.create(&static_().bound());
        seconds(5).await;
        world.delete_by_user();
        world.patch(&json!({"spec": {"volumeSnapshotRef": {"uid": null}}}));
        // Our role shows the VolumeSnapshot; else the snapshot-controller is given time to act.
        seconds(if hidden { 55 } else { 600 }).await;
        assert_eq!(world.driver.count("DeleteSnapshot"), 0);
        assert!(world.content().is_some());
        // It gives the UID back, and says when the VolumeSnapshot goes.
        world.patch(&json!({"spec": {"volumeSnapshotRef": {"uid": "u"}}}));
        seconds(600).await;
        assert_eq!(world.driver.count("DeleteSnapshot"), 0);
        world.person.delete(SNAPSHOTS, "ns", "s", None).unwrap();
        world.delete();
        // One that had a look meanwhile looks again after a minute.
        seconds(65).await;
        assert!(world.content().is_none());
        assert!(world.driver.state().snapshots.is_empty());
    }
}

/// Beside upstream's controller nobody says that a backup tool's content may go.
#[tokio::test(start_paused = true)]
async fn snapshot_case_105_an_unbound_content_goes_after_a_minute_where_nobody_can_tell() {
    let world = World::new();
    world.api.deny("csi-snapshotter", Denial::of("get", SNAPSHOTS));
    world.driver.state().add("snap-x", "vol", 1000);
    world.create(&static_().finalizers(&[FINALIZER]));
    world.delete_by_user();
    let _process = world.start();
    seconds(50).await;
    assert_eq!(world.driver.count("DeleteSnapshot"), 0);
    seconds(20).await;
    assert!(world.content().is_none());
    assert!(world.driver.state().snapshots.is_empty());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_107_an_empty_handle_is_never_ready_and_can_be_deleted() {
    let world = World::new();
    world.driver.state().add("snap-other", "vol", 1000);
    let _process = world.start();
    let mut content = static_().bound();
    content.0.spec.source.snapshot_handle = Some(String::new());
    world.create(&content);
    seconds(60).await;
    assert!(
        world
            .error()
            .unwrap()
            .contains("spec.source.snapshotHandle is blank")
    );
    assert!(!world.is_ready());
    assert_eq!(world.requests(), [STATUS]);
    world.delete();
    seconds(5).await;
    assert!(world.content().is_none());
    assert_eq!(
        world.driver.count("ListSnapshots") + world.driver.count("DeleteSnapshot"),
        0
    );
}
