//! A driver behind a real socket that goes away. Sockets need real time; the waits are short.

use std::time::Duration;

use controller::testing::{Socket, until};

use crate::build::dynamic;
use crate::world::World;

#[tokio::test]
async fn snapshot_case_18_the_process_survives_the_loss_of_its_driver() {
    let (world, socket) = (World::new(), Socket::default());
    world.create(&dynamic());
    // Not even there at the start.
    let process = world.start_behind(&socket);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let server = socket.serve(&world.driver).await;
    until("ready", async || world.is_ready()).await;

    server.stop();
    server.finished().await;
    world.delete();
    until("told", async || world.reasons() == ["SnapshotDeleteError"]).await;
    let _server = socket.serve(&world.driver).await;
    until("deleted", async || world.content().is_none()).await;
    assert!(process.failure().is_none());
}

#[tokio::test]
async fn snapshot_case_18_exit_on_connection_loss_is_kept_for_those_who_want_it() {
    let (mut world, socket) = (World::new(), Socket::default());
    world.flags = "--exit-on-connection-loss".into();
    world.create(&dynamic());
    let server = socket.serve(&world.driver).await;
    let process = world.start_behind(&socket);
    until("ready", async || world.is_ready()).await;
    server.stop();
    until("ended", async || process.failure().is_some()).await;
    assert_eq!(
        process.failure().unwrap(),
        "Lost connection to CSI driver, exiting"
    );
}

#[tokio::test]
async fn another_driver_behind_the_socket_ends_the_process() {
    let (world, socket) = (World::new(), Socket::default());
    world.create(&dynamic());
    let server = socket.serve(&world.driver).await;
    let process = world.start_behind(&socket);
    until("ready", async || world.is_ready()).await;
    server.stop();
    server.finished().await;
    world.driver.state().name = "other".into();
    let _server = socket.serve(&world.driver).await;
    until("ended", async || process.failure().is_some()).await;
    let failure = process.failure().unwrap();
    assert!(
        failure.contains("d.example.com") && failure.contains("other"),
        "{failure}"
    );
}
