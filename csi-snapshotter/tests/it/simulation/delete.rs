//! Snapshots that go.

use controller::testing::seconds;
use serde_json::json;
use tonic::Status;

use super::MARK;
use crate::build::{BEING_DELETED, FINALIZER, dynamic};
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn snapshot_case_58_deletion_costs_one_request() {
    let world = World::new();
    let _process = world.start();
    world.create(&dynamic());
    seconds(5).await;
    let before = world.requests().len();
    world.delete();
    seconds(5).await;
    assert!(world.content().is_none());
    assert_eq!(world.requests()[before..], [MARK]);
    assert_eq!(world.driver.count("DeleteSnapshot"), 1);
    assert!(world.driver.state().snapshots.is_empty());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_59_and_60_retain_and_flip() {
    for flip in [false, true] {
        let world = World::new();
        let _process = world.start();
        world.create(&dynamic().retain());
        seconds(5).await;
        world.patch(&json!({"metadata": {"annotations": {(BEING_DELETED): "yes"}}}));
        seconds(5).await;
        assert!(world.content().is_some(), "it stays until somebody deletes it");
        if flip {
            world.patch(&json!({"spec": {"deletionPolicy": "Delete"}}));
        }
        world.delete();
        seconds(5).await;
        assert!(world.content().is_none());
        assert_eq!(world.driver.count("DeleteSnapshot"), usize::from(flip));
        assert_eq!(world.driver.state().snapshots.len(), usize::from(!flip));
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_62_a_failing_delete_backs_off() {
    let world = World::new();
    let refused = || Some(Status::internal("no"));
    world.driver.state().delete = [refused(), refused()].into();
    let _process = world.start();
    world.create(&dynamic());
    seconds(5).await;
    world.delete();
    seconds(10).await;
    assert!(world.content().is_none());
    assert_eq!(world.driver.count("DeleteSnapshot"), 3);
    assert_eq!(world.reasons(), ["SnapshotDeleteError"]);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_64_a_foreign_finalizer_survives() {
    let world = World::new();
    let _process = world.start();
    world.create(&dynamic().finalizers(&["velero.io/keep", FINALIZER]));
    seconds(5).await;
    world.delete();
    seconds(5).await;
    let content = world.content().unwrap();
    assert_eq!(content.metadata.finalizers.unwrap(), ["velero.io/keep"]);
    assert_eq!(
        content.status.unwrap_or_default().snapshot_handle,
        None,
        "nobody restores from it"
    );
    seconds(2000).await;
    assert_eq!(world.driver.count("DeleteSnapshot"), 1);
}
