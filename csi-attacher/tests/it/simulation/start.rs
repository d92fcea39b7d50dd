//! Start-up and leadership.

use std::time::Duration;

use controller::testing::seconds;
use csi::v1::controller_service_capability::rpc;
use sandbox::kube::GroupResource;
use tonic::Status;

use crate::world::{MIGRATED_DRIVER, World};

const LEASES: GroupResource<'_> = GroupResource::new("coordination.k8s.io", "leases");

#[tokio::test(start_paused = true)]
async fn sidecars_cases_2_and_3_a_driver_that_is_not_ready_is_waited_for_and_a_broken_one_not() {
    let world = World::new();
    let late = || Err(Status::deadline_exceeded("late"));
    world.driver.state().probe = [Ok(false), Ok(false), Ok(false), late(), late()].into();
    let process = world.start();
    world.attach();
    seconds(4).await;
    assert!(!world.is_attached());
    seconds(2).await;
    assert!(world.is_attached() && process.failure().is_none());

    let world = World::new();
    world.driver.state().probe = [Err(Status::internal("no"))].into();
    let process = world.start();
    seconds(1).await;
    let failure = process.failure().unwrap();
    assert!(failure.contains("Probe"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_4_a_driver_without_a_name_ends_the_process() {
    let world = World::of("", &[rpc::Type::PublishUnpublishVolume]);
    let process = world.start();
    seconds(1).await;
    assert!(process.failure().is_some());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_8_the_lease_has_upstreams_name() {
    let mut world = World::of(MIGRATED_DRIVER, &[rpc::Type::PublishUnpublishVolume]);
    world.flags = "--leader-election".into();
    let _process = world.start();
    seconds(5).await;
    let lease = world.get(LEASES, "kube-system", "external-attacher-leader-ebs-csi-aws-com");
    assert_eq!(lease.unwrap()["spec"]["holderIdentity"], "pod-0");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_12_a_running_call_ends_before_the_lease_is_given_back() {
    let mut world = World::new();
    world.flags = "--leader-election".into();
    world.driver.state().attaching.takes = Duration::from_secs(3);
    let process = world.start();
    seconds(5).await;
    world.attach();
    seconds(1).await;
    let second = world.start();
    process.stop().await.unwrap().unwrap();
    assert!(world.is_attached(), "the call ended and is written");
    assert_eq!(world.driver.count("ControllerPublishVolume"), 1);
    let lease = || world.get(LEASES, "kube-system", "external-attacher-leader-d-csi");
    assert_ne!(lease().unwrap()["spec"]["holderIdentity"], "pod-0");
    seconds(12).await;
    assert_eq!(lease().unwrap()["spec"]["holderIdentity"], "pod-1");
    world.detach();
    seconds(5).await;
    assert!(world.attachment().is_none() && second.failure().is_none());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_15_no_secret_leaves_the_process() {
    let mut volume = crate::world::volume();
    let reference = serde_json::json!({"name": "s", "namespace": "default"});
    volume["spec"]["csi"]["controllerPublishSecretRef"] = reference;
    let world = World::with(volume);
    world.secret();
    let refusals = [Status::internal("password hunter2 is wrong")];
    world.driver.state().attaching.publish = refusals.map(Some).into();
    let _process = world.start();
    world.attach();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        world.error("attachError"),
        "rpc error: code = Internal desc = password ***stripped*** is wrong"
    );
    assert!(
        !world
            .api
            .dump()
            .to_string()
            .replace("aHVudGVyMg==", "")
            .contains("hunter2")
    );
    assert_eq!(
        world.driver.state().attaching.published[0].secrets["password"],
        "hunter2"
    );
}
