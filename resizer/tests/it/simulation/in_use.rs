//! Drivers that refuse volumes in use.

use controller::testing::resources::{ATTACHMENTS, DRIVERS, PODS};
use controller::testing::{Told, seconds};
use sandbox::kube::Denial;
use serde_json::json;
use tonic::Status;

use crate::world::{DRIVER, MARK, USER, World, volume};

async fn attach(world: &World) {
    let attachment = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "a"},
        "spec": {"attacher": "d.csi", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
    });
    world.create(ATTACHMENTS, attachment);
}

async fn run_pod(world: &World, node: Option<&str>) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}],
        },
    });
    world.create(PODS, pod);
}

fn deny_attachments(world: &World) {
    for verb in ["list", "watch"] {
        world.api.deny(USER, Denial::of(verb, ATTACHMENTS));
    }
}

fn refused(world: &World) -> usize {
    let denied = |request: &&String| request.ends_with("403");
    world.requests().iter().filter(denied).count()
}

#[tokio::test(start_paused = true)]
async fn resize_case_66_and_67_no_call_while_attached_and_one_after() {
    let world = World::bound();
    attach(&world).await;
    world.driver.refuse(&Status::failed_precondition("in use"), 1);
    let _process = world.start();
    world.ask("20Gi");
    seconds(250).await;
    assert_eq!(world.driver.asked(), [20]);
    assert!(
        world
            .shown()
            .contains("ControllerResizeInProgress [Resizing ControllerResizeError]")
    );
    let gate = |event: &Told| event.message.contains("only supports offline expansion");
    assert_eq!(world.events().into_iter().filter(gate).count(), 1);
    world.delete(ATTACHMENTS, "", "a");
    seconds(2).await;
    assert_eq!(world.driver.asked(), [20, 20]);
    assert!(!world.followed("pods"));
}

/// The pod went a minute ago, and its volume is still attached.
#[tokio::test(start_paused = true)]
async fn resize_case_127_a_claim_without_pods_waits_for_its_detachment() {
    let world = World::bound();
    attach(&world).await;
    world.status(&json!({"conditions": [
        {"type": "Unused", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
    ]}));
    world.driver.refuse(&Status::failed_precondition("in use"), 1);
    let _process = world.start();
    world.ask("20Gi");
    seconds(250).await;
    assert_eq!(world.driver.asked(), [20]);
    world.delete(ATTACHMENTS, "", "a");
    seconds(2).await;
    assert_eq!(world.driver.asked(), [20, 20]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_68_where_attachments_are_hidden_pods_count() {
    let world = World::bound();
    deny_attachments(&world);
    run_pod(&world, Some("n")).await;
    world.driver.refuse(&Status::failed_precondition("in use"), 1);
    let _process = world.start();
    world.ask("20Gi");
    seconds(250).await;
    assert_eq!(world.driver.asked(), [20]);
    world.delete(PODS, "default", "p");
    seconds(2).await;
    assert_eq!(world.driver.asked(), [20, 20]);
    assert!(!world.followed("volumeattachments"));
    assert_eq!(refused(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn resize_case_69_a_pod_without_a_node_uses_nothing() {
    let world = World::bound();
    deny_attachments(&world);
    run_pod(&world, None).await;
    world.driver.refuse(&Status::failed_precondition("in use"), 1);
    let _process = world.start();
    world.ask("20Gi");
    seconds(5).await;
    assert_eq!(world.driver.asked(), [20, 20]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_70_without_attachments_pods_count_with_their_ephemeral_claims() {
    let world = World::new();
    world.bind("p-data", volume());
    let driver = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER},
        "spec": {"attachRequired": false},
    });
    world.create(DRIVERS, driver);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},
        "spec": {
            "nodeName": "n",
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}},
            }}}}],
        },
    });
    world.create(PODS, pod);
    world.driver.refuse(&Status::failed_precondition("in use"), 1);
    let _process = world.start();
    world.ask_of("p-data", "20Gi");
    seconds(250).await;
    assert_eq!(world.driver.asked(), [20]);
    world.delete(PODS, "default", "p");
    seconds(2).await;
    assert_eq!(world.driver.asked(), [20, 20]);
    assert!(!world.followed("volumeattachments"));
    assert_eq!(refused(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn resize_case_70_a_role_that_hides_the_driver_object_costs_no_denied_request() {
    let world = World::bound();
    world.api.deny(USER, Denial::of("get", DRIVERS));
    attach(&world).await;
    world.driver.refuse(&Status::failed_precondition("in use"), 1);
    let _process = world.start();
    world.ask("20Gi");
    seconds(60).await;
    assert_eq!(world.driver.asked(), [20]);
    assert!(world.followed("volumeattachments"));
    assert_eq!(refused(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn resize_case_72_pods_cost_nothing_while_no_volume_is_refused() {
    let world = World::bound();
    let _process = world.start();
    for number in 0..500 {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("p-{number}"), "namespace": "default"},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
        });
        world.create(PODS, pod);
    }
    world.ask("20Gi");
    seconds(60).await;
    assert_eq!(world.driver.asked(), [20]);
    for kind in ["pods", "volumeattachments", "csidrivers"] {
        let asked = |record: &sandbox::kube::AuditRecord| record.user == USER && record.resource == kind;
        assert!(!world.api.audit().iter().any(asked), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_119_what_is_refused_though_nothing_uses_it_is_backed_off() {
    let world = World::bound();
    world
        .driver
        .refuse(&Status::failed_precondition("for another reason"), 100);
    let _process = world.start();
    world.ask("20Gi");
    seconds(60).await;
    // At about 0, 1, 3, 7, 15 and 31 s.
    let calls = world.driver.count("ControllerExpandVolume");
    assert!(
        (5..=7).contains(&calls),
        "{:?}",
        world.driver.times("ControllerExpandVolume")
    );
}

#[tokio::test(start_paused = true)]
async fn resize_case_71_switched_off_nothing_is_watched() {
    let mut world = World::bound();
    world.flags = "--handle-volume-inuse-error=false".into();
    attach(&world).await;
    world.driver.refuse(&Status::failed_precondition("in use"), 2);
    let _process = world.start();
    world.ask("20Gi");
    seconds(10).await;
    assert_eq!(world.driver.asked(), [20, 20, 20]);
    assert!(!world.followed("pods") && !world.followed("volumeattachments"));
    assert_eq!(
        world.requests().iter().filter(|request| *request == MARK).count(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn resize_case_73_a_stuck_attachment_does_not_hold_for_ever() {
    let world = World::bound();
    attach(&world).await;
    world.driver.refuse(&Status::failed_precondition("in use"), 1);
    let _process = world.start();
    world.ask("20Gi");
    seconds(400).await;
    assert_eq!(world.driver.asked(), [20, 20]);
}
