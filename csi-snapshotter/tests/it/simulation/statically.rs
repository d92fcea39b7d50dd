//! Pre-provisioned contents.

use controller::testing::resources::CONTENTS;
use controller::testing::seconds;

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
