//! Start, leases, and a driver that goes away (sidecars.md 1).

use std::collections::BTreeMap;
use std::time::Duration;

use controller::testing::resources::VOLUMES;
use controller::testing::{Socket, seconds, until};
use csi::v1::controller_service_capability::rpc;
use serde_json::json;
use tonic::Status;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn sidecars_case_2_3_4_drivers_are_waited_for_or_told() {
    for (probe, says) in [
        (vec![Ok(false), Ok(false), Ok(false)], None),
        (
            vec![
                Err(Status::deadline_exceeded("")),
                Err(Status::deadline_exceeded("")),
            ],
            None,
        ),
        (vec![Err(Status::internal("broken"))], Some("broken")),
    ] {
        let world = World::new();
        world.driver.state().probe = probe.into();
        let process = world.start();
        world.claim(|_| {});
        seconds(10).await;
        let failure = process.failure();
        assert_eq!(failure.is_some(), says.is_some(), "{failure:?}");
        match says {
            Some(says) => assert!(failure.unwrap().contains(says)),
            None => assert_eq!(world.phase("c"), "Bound"),
        }
    }
    let world = World::new();
    world.driver.state().name = String::new();
    let process = world.start();
    seconds(5).await;
    assert!(process.failure().unwrap().contains("empty name"));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_8_12_a_leader_that_stops_ends_its_call_and_gives_its_lease_back() {
    let mut world = World::new();
    world.flags = "--leader-election".to_owned();
    world.driver.state().volumes.takes = Duration::from_secs(3);
    let first = world.start();
    seconds(2).await;
    let second = world.start();
    world.claim(|_| {});
    seconds(1).await;
    assert_eq!(world.calls(), [1, 0]);
    first.stop().await.unwrap().unwrap();
    assert_eq!((world.calls(), world.list(VOLUMES).len()), ([1, 0], 1));
    let lease = world.get(
        sandbox::kube::GroupResource::new("coordination.k8s.io", "leases"),
        "kube-system",
        "d-csi",
    );
    assert!(lease.is_some());
    world.claim_named("next", |_| {});
    seconds(12).await;
    assert_eq!((world.phase("next"), world.calls()), ("Bound".to_owned(), [2, 0]));
    assert!(second.failure().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_makes_no_volumes_is_told_on_the_claim() {
    let world = World::new();
    world.driver.state().capabilities.clear();
    let process = world.start();
    world.claim(|claim| claim["metadata"]["labels"] = json!({}));
    seconds(3).await;
    assert!(
        world.events()[0].message.contains("CREATE_DELETE_VOLUME"),
        "{:?}",
        world.events()
    );
    assert!(process.failure().is_none());
}

/// Sockets need real time; the waits are short.
#[tokio::test]
async fn sidecars_case_1_13_135_the_process_survives_the_loss_of_its_driver() {
    let (world, socket) = (World::new(), Socket::default());
    let process = world.start_behind(&socket);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let server = socket.serve(&world.driver).await;
    world.claim_named("first", |_| {});
    until("bound", async || world.phase("first") == "Bound").await;
    server.stop();
    server.finished().await;
    world.claim(|_| {});
    until("told", async || {
        world.reasons().contains(&"ProvisioningFailed".to_owned())
    })
    .await;
    let _server = socket.serve(&world.driver).await;
    until("bound again", async || world.phase("c") == "Bound").await;
    assert_eq!((world.list(VOLUMES).len(), world.made()), (2, 2));
    assert!(process.failure().is_none());
}

#[tokio::test(start_paused = true)]
async fn each_kind_is_followed_by_one_request_from_the_start() {
    let world = World::of(&[rpc::Type::PublishUnpublishVolume, rpc::Type::ModifyVolume]);
    world.claim(|_| {});
    let _process = world.start();
    seconds(5).await;
    assert_eq!(world.phase("c"), "Bound");
    let mut followed = BTreeMap::new();
    for record in world.api.audit() {
        if ["list", "watch"].contains(&record.verb) && record.user == "csi-provisioner" {
            *followed.entry(record.resource).or_insert(0) += 1;
        }
    }
    assert_eq!(followed.len(), 5, "{followed:?}");
    assert!(followed.values().all(|requests| *requests == 1), "{followed:?}");
}
