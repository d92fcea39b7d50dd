//! Start, definitions, leases.

use controller::testing::seconds;
use tonic::Status;

use crate::build::{class, dynamic};
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn snapshot_case_12_it_waits_for_the_definitions() {
    let world = World::without_definitions();
    let process = world.start();
    seconds(300).await;
    assert!(process.ended.lock().unwrap().is_none(), "waits");
    world.define();
    world.create_class(&class(&[]));
    world.create(&dynamic());
    seconds(30).await;
    assert_eq!(world.status().ready_to_use, Some(true));
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_17_drivers_that_cannot_be_worked_with() {
    let world = World::new();
    world.driver.state().capabilities.clear();
    let process = world.start();
    seconds(5).await;
    let failure = process.failure().unwrap();
    assert!(failure.contains("CREATE_DELETE_SNAPSHOT"), "{failure}");

    let world = World::new();
    world.driver.state().probe = [Err(Status::failed_precondition("no credentials"))].into();
    let process = world.start();
    seconds(5).await;
    assert!(process.failure().unwrap().contains("no credentials"));

    let world = World::new();
    world.driver.state().probe = std::iter::repeat_n(Ok(false), 10).collect();
    world.create(&dynamic());
    let process = world.start();
    seconds(9).await;
    assert_eq!(world.driver.count("CreateSnapshot"), 0);
    seconds(9).await;
    assert_eq!(world.status().ready_to_use, Some(true));
    assert!(process.failure().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_leader_gives_its_lease_back_when_it_stops() {
    let mut world = World::new();
    world.flags = "--leader-election".into();
    let first = world.start();
    world.create(&dynamic());
    seconds(10).await;
    assert_eq!(world.status().ready_to_use, Some(true));
    assert!(first.stop().await.unwrap().is_ok());
    let leases = world.api.dump().to_string();
    assert!(
        leases.contains("external-snapshotter-leader-d-example-com"),
        "{leases}"
    );
    let _second = world.start();
    seconds(3).await;
    world.delete();
    seconds(5).await;
    assert!(world.content().is_none());
}
