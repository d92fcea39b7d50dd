//! A driver behind a real socket that goes away. Sockets need real time; the waits are short.

use std::time::Duration;

use controller::testing::{Socket, until};
use sandbox::kube::GroupResource;

use crate::world::World;

const LEASES: GroupResource<'_> = GroupResource::new("coordination.k8s.io", "leases");
const LEASE: &str = "external-resizer-d-csi";

#[tokio::test]
async fn resize_case_104_the_process_survives_the_loss_of_its_driver() {
    let (world, socket) = (World::bound(), Socket::default());
    let process = world.start_behind(&socket);
    let server = socket.serve(&world.driver).await;
    world.ask("20Gi");
    until("called", async || world.driver.asked() == [20]).await;
    until("written", async || world.shown().contains("NodeResizePending")).await;
    server.stop();
    server.finished().await;
    world.node_finishes();
    world.ask("30Gi");
    until("told", async || {
        world.reasons().contains(&"VolumeResizeFailed".to_owned())
    })
    .await;
    let _server = socket.serve(&world.driver).await;
    until("called again", async || world.driver.asked() == [20, 30]).await;
    assert!(process.failure().is_none());
}

#[tokio::test]
async fn resize_case_104_a_leader_whose_driver_stays_away_gives_its_lease_back() {
    let (mut world, socket) = (World::bound(), Socket::default());
    world.flags = "--leader-election".into();
    let server = socket.serve(&world.driver).await;
    let process = world.start_behind(&socket);
    let holder = || {
        let lease = world.get(LEASES, "kube-system", LEASE)?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    };
    until("it leads", async || {
        holder().is_some_and(|holder| !holder.is_empty())
    })
    .await;
    server.stop();
    server.finished().await;
    // From here on nothing but time is waited for.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_ne!(holder().as_deref(), Some(""));
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(holder().as_deref(), Some(""));
    assert!(process.failure().is_none());
}

#[tokio::test]
async fn resize_case_104_exit_on_connection_loss_is_kept_for_those_who_want_it() {
    let (mut world, socket) = (World::bound(), Socket::default());
    world.flags = "--exit-on-connection-loss".into();
    let server = socket.serve(&world.driver).await;
    let process = world.start_behind(&socket);
    world.ask("20Gi");
    until("called", async || world.driver.asked() == [20]).await;
    server.stop();
    until("ended", async || process.failure().is_some()).await;
    assert_eq!(
        process.failure().unwrap(),
        "Lost connection to CSI driver, exiting"
    );
}
