//! Attachments: their requests, calls and errors.

use std::time::Duration;

use controller::testing::resources::{ATTACHMENTS, CSI_NODES, VOLUMES};
use controller::testing::seconds;
use csi::v1::controller_service_capability::rpc;
use csi::v1::volume_capability::AccessType;
use csi::v1::volume_capability::access_mode::Mode;
use sandbox::faults::{Call, Fault, Faults};
use serde_json::{Value, json};
use tonic::Status;

use super::Scripted;
use crate::world::{
    ATTACHMENT, DRIVER, FINALIZER, MIGRATED_DRIVER, NODE_ID, STATUS, VOLUME, World, attachment, foreign,
    in_tree, volume,
};

#[tokio::test(start_paused = true)]
async fn sidecars_case_99_attachments_of_others_are_left_alone() {
    let world = World::new();
    let _process = world.start();
    let mut other = attachment();
    other["spec"]["attacher"] = json!("other.csi");
    world.create(ATTACHMENTS, other);
    seconds(30).await;
    assert!(world.requests().is_empty());
    assert_eq!(world.driver.count("ControllerPublishVolume"), 0);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_100_an_attachment_costs_two_requests_and_a_foreign_volumes_first_one_three() {
    for (volume, requests) in [
        (volume(), vec![ATTACHMENT, STATUS]),
        (foreign(), vec![VOLUME, ATTACHMENT, STATUS]),
    ] {
        let world = World::with(volume);
        world.driver.state().attaching.context = [("devicePath".into(), "/dev/xvdaa".into())].into();
        let _process = world.start();
        seconds(5).await;
        world.attach();
        seconds(5).await;
        assert_eq!(world.requests(), requests);
        let attachment = world.attachment().unwrap();
        assert_eq!(
            attachment["status"],
            json!({"attached": true, "attachmentMetadata": {"devicePath": "/dev/xvdaa"}})
        );
        assert_eq!(World::finalizers(&attachment), [FINALIZER]);
        assert_eq!(
            attachment["metadata"]["annotations"],
            json!({NODE_ID: "i-1", "slackwater.io/volume-handle": "vol"})
        );
        let volume = world.get(VOLUMES, "", "v").unwrap();
        assert_eq!(World::finalizers(&volume).last().unwrap(), FINALIZER);
        // The next one of the same volume.
        let mark = world.mark();
        world.detach();
        seconds(5).await;
        assert!(world.attachment().is_none());
        world.attach();
        seconds(5).await;
        assert_eq!(world.requests_since(mark), [ATTACHMENT, ATTACHMENT, STATUS]);
        assert!(world.events().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_call_carries_what_the_volume_says() {
    let mut volume = volume();
    volume["spec"]["mountOptions"] = json!(["noatime"]);
    volume["spec"]["csi"]["controllerPublishSecretRef"] = json!({"name": "s", "namespace": "default"});
    let world = World::with(volume);
    world.secret();
    let _process = world.start();
    world.attach();
    seconds(5).await;
    assert_eq!(world.requests(), ["get secrets 200", ATTACHMENT, STATUS]);
    let call = world.driver.state().attaching.published.remove(0);
    assert_eq!((call.volume_id.as_str(), call.node_id.as_str()), ("vol", "i-1"));
    assert_eq!(call.volume_context, [("a".to_owned(), "b".to_owned())].into());
    assert_eq!(
        call.secrets,
        [("password".to_owned(), "hunter2".to_owned())].into()
    );
    let capability = call.volume_capability.unwrap();
    assert_eq!(
        capability.access_mode.unwrap().mode,
        i32::from(Mode::SingleNodeWriter)
    );
    let Some(AccessType::Mount(mount)) = capability.access_type else {
        panic!("a block volume");
    };
    assert_eq!(
        (mount.fs_type.as_str(), mount.mount_flags),
        ("ext4", vec!["noatime".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_101_a_cache_that_lags_repeats_no_call() {
    let world = World::new();
    let lag = |call: &Call| match call.watch {
        true => Fault::LagWatch(Duration::from_secs(2)),
        false => Fault::None,
    };
    let _process = world.start_with(Faults::new(Scripted(lag)));
    seconds(10).await;
    world.attach();
    seconds(20).await;
    assert!(world.is_attached());
    assert_eq!(world.driver.count("ControllerPublishVolume"), 1);
    world.detach();
    seconds(20).await;
    assert!(world.attachment().is_none());
    assert_eq!(world.driver.count("ControllerUnpublishVolume"), 1);
    assert_eq!(world.requests(), [ATTACHMENT, STATUS, ATTACHMENT]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_102_a_node_that_comes_later_is_not_waited_for() {
    let world = World::of(DRIVER, &[rpc::Type::PublishUnpublishVolume]);
    world.volume(volume());
    let _process = world.start();
    world.attach();
    seconds(8).await;
    let error = &world.status()["attachError"];
    assert_eq!(
        error["message"],
        "CSINode n not found: kubelet of n knows no CSI driver yet"
    );
    assert!(error.get("errorCode").is_none());
    assert_eq!(world.requests(), [STATUS], "told once");
    world.node("i-1");
    seconds(1).await;
    assert_eq!(world.status(), json!({"attached": true}));
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_comes_to_a_node_later_is_not_waited_for() {
    let world = World::of(DRIVER, &[rpc::Type::PublishUnpublishVolume]);
    world.volume(volume());
    let node = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "n"}, "spec": {"drivers": []},
    });
    world.create(CSI_NODES, node);
    let _process = world.start();
    world.attach();
    seconds(8).await;
    assert_eq!(
        world.error("attachError"),
        "CSINode n does not contain driver d.csi: is its node plugin running on n?"
    );
    world.change(CSI_NODES, "", "n", |node| {
        node["spec"]["drivers"] = json!([{"name": DRIVER, "nodeID": "i-1", "topologyKeys": null}]);
    });
    seconds(1).await;
    assert!(world.is_attached());
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_comes_a_moment_later_is_no_error() {
    let world = World::of(DRIVER, &[rpc::Type::PublishUnpublishVolume]);
    world.node("i-1");
    let _process = world.start();
    world.attach();
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.volume(volume());
    seconds(1).await;
    assert!(world.is_attached());
    assert_eq!(world.requests(), [ATTACHMENT, STATUS]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_103_the_code_of_the_driver_is_passed_on_unless_the_gate_is_off() {
    for (flags, code) in [
        ("", json!(8)),
        (
            "--feature-gates=MutableCSINodeAllocatableCount=false",
            Value::Null,
        ),
    ] {
        let mut world = World::new();
        world.flags = flags.into();
        world.driver.state().attaching.publish =
            [Some(Status::resource_exhausted("the node is full"))].into();
        let _process = world.start();
        world.attach();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let error = world.status()["attachError"].clone();
        assert_eq!(error["errorCode"], code, "{flags}");
        assert_eq!(
            error["message"],
            "rpc error: code = ResourceExhausted desc = the node is full"
        );
        seconds(5).await;
        assert_eq!(world.status(), json!({"attached": true}), "retried");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_104_an_error_that_stays_is_written_once_in_five_minutes() {
    let world = World::new();
    let refused = |id: u32| {
        Some(Status::internal(format!(
            "no: RequestID: 8f14e45f-ceea-467f-a8b1-0000000000{id:02}"
        )))
    };
    world.driver.state().attaching.publish = (10..30).map(refused).collect();
    let _process = world.start();
    world.attach();
    // 1, 2, 4, 8, 16, 32, 64, 128 s after one another, and up to a tenth more.
    seconds(285).await;
    assert_eq!(world.driver.count("ControllerPublishVolume"), 9);
    assert_eq!(world.requests(), [ATTACHMENT, STATUS]);
    seconds(300).await;
    assert_eq!(world.driver.count("ControllerPublishVolume"), 10);
    assert_eq!(world.requests(), [ATTACHMENT, STATUS, STATUS], "it lasts");
    let mark = world.mark();
    world.driver.state().attaching.publish = [Some(Status::unavailable("other"))].into();
    seconds(310).await;
    assert_eq!(world.requests_since(mark), [STATUS], "another one");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_199_an_error_longer_than_the_status_holds_is_told_all_the_same() {
    let world = World::new();
    let long = format!("no: {}", "x".repeat(5000));
    world.driver.state().attaching.publish = [Some(Status::resource_exhausted(long.clone()))].into();
    let _process = world.start();
    world.attach();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let error = world.status()["attachError"].clone();
    let message = error["message"].as_str().unwrap();
    assert_eq!(message.len(), 1024);
    assert!(message.starts_with("rpc error: code = ResourceExhausted desc = no: xxx"));
    assert_eq!(error["errorCode"], 8);
    assert_eq!(world.requests(), [ATTACHMENT, STATUS]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_105_success_and_the_end_of_the_error_are_one_write() {
    let world = World::new();
    world.driver.state().attaching.context = [("k".into(), "v".into())].into();
    world.driver.state().attaching.publish = [Some(Status::internal("no"))].into();
    let _process = world.start();
    world.attach();
    seconds(10).await;
    let attached = json!({"attached": true, "attachmentMetadata": {"k": "v"}});
    assert_eq!(world.status(), attached);
    assert_eq!(world.requests(), [ATTACHMENT, STATUS, STATUS]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_106_a_volume_that_is_being_deleted_is_not_attached() {
    let world = World::new();
    world.change(VOLUMES, "", "v", |volume| {
        volume["metadata"]["finalizers"] = json!(["someone.example.com/holds"]);
    });
    world.delete(VOLUMES, "", "v");
    let _process = world.start();
    world.attach();
    seconds(5).await;
    assert_eq!(
        world.error("attachError"),
        "PersistentVolume \"v\" is marked for deletion"
    );
    assert_eq!(world.requests(), [STATUS]);
    assert_eq!(world.driver.count("ControllerPublishVolume"), 0);
    world.detach();
    assert!(world.attachment().is_none(), "nothing holds it");
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_114_only_a_driver_that_knows_of_it_is_told_that_nobody_writes() {
    for (capabilities, expected) in [
        (vec![rpc::Type::PublishUnpublishVolume], false),
        (
            vec![rpc::Type::PublishUnpublishVolume, rpc::Type::PublishReadonly],
            true,
        ),
    ] {
        let world = World::of(DRIVER, &capabilities);
        let mut volume = volume();
        volume["spec"]["csi"]["readOnly"] = json!(true);
        world.volume(volume);
        world.node("i-1");
        let _process = world.start();
        world.attach();
        seconds(5).await;
        assert_eq!(world.driver.state().attaching.published[0].readonly, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_115_a_driver_that_does_not_attach_is_not_waited_for() {
    for serves_controller in [true, false] {
        let world = World::of(DRIVER, &[rpc::Type::CreateDeleteVolume]);
        world.driver.state().serves_controller = serves_controller;
        world.volume(volume());
        let _process = world.start();
        world.attach();
        seconds(5).await;
        assert_eq!(world.status(), json!({"attached": true}));
        assert_eq!(World::finalizers(&world.attachment().unwrap()), [] as [&str; 0]);
        world.detach();
        world.delete(VOLUMES, "", "v");
        seconds(30).await;
        assert_eq!(world.requests(), [STATUS]);
        assert!(!world.followed("csinodes") && !world.followed("persistentvolumes"));
        assert!(world.attachment().is_none());
        assert!(
            world.get(VOLUMES, "", "v").is_some(),
            "whose finalizer it is must see to it"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_122_an_in_tree_volume_is_attached_by_the_driver_that_took_over() {
    let world = World::of(MIGRATED_DRIVER, &[rpc::Type::PublishUnpublishVolume]);
    world.volume(in_tree());
    world.node("i-1");
    let process = world.start();
    world.attach();
    seconds(5).await;
    assert!(world.is_attached());
    let call = world.driver.state().attaching.published.remove(0);
    assert_eq!(call.volume_id, "vol-1");
    assert_eq!(
        call.volume_context,
        [("partition".to_owned(), "2".to_owned())].into()
    );
    world.detach();
    seconds(5).await;
    assert!(world.attachment().is_none());
    assert_eq!(world.driver.state().attaching.unpublished[0].volume_id, "vol-1");
    let calls = |method: &str| {
        let labels = [("method_name", method), ("migrated", "true")];
        process.metric("csi_sidecar_operations_seconds", &labels)
    };
    assert_eq!(calls("/csi.v1.Controller/ControllerPublishVolume"), 1.0);
    assert_eq!(calls("/csi.v1.Controller/ControllerUnpublishVolume"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_125_the_volume_of_a_pod_without_a_claim_is_attached_as_it_stands() {
    let world = World::of(MIGRATED_DRIVER, &[rpc::Type::PublishUnpublishVolume]);
    world.node("i-1");
    let process = world.start();
    let mut inline = attachment();
    inline["spec"]["attacher"] = json!(MIGRATED_DRIVER);
    inline["spec"]["source"] = json!({"inlineVolumeSpec": {
        "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "capacity": {"storage": "1Gi"},
        "csi": {"driver": MIGRATED_DRIVER, "volumeHandle": "vol-1", "volumeAttributes": {"partition": "0"}},
    }});
    world.create(ATTACHMENTS, inline);
    seconds(5).await;
    assert!(world.is_attached());
    assert_eq!(
        world.attachment().unwrap()["metadata"]["annotations"],
        json!({NODE_ID: "i-1"})
    );
    world.detach();
    seconds(5).await;
    assert!(world.attachment().is_none());
    assert_eq!(
        world.requests(),
        [ATTACHMENT, STATUS, ATTACHMENT],
        "none of a volume"
    );
    assert_eq!(world.driver.state().attaching.unpublished[0].volume_id, "vol-1");
    let labels = [
        ("method_name", "/csi.v1.Controller/ControllerPublishVolume"),
        ("migrated", "false"),
    ];
    assert_eq!(process.metric("csi_sidecar_operations_seconds", &labels), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_told_and_found_later() {
    let mut volume = volume();
    volume["spec"]["csi"]["controllerPublishSecretRef"] = json!({"name": "s", "namespace": "default"});
    let world = World::with(volume);
    let _process = world.start();
    world.attach();
    seconds(2).await;
    assert_eq!(
        world.error("attachError"),
        "the Secret default/s of controllerPublishSecretRef does not exist: create it"
    );
    assert_eq!(World::finalizers(&world.attachment().unwrap()), [] as [&str; 0]);
    world.secret();
    seconds(10).await;
    assert_eq!(world.status(), json!({"attached": true}));
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_names_a_time_is_called_then() {
    let world = World::new();
    let later = csi::retry::status_with_delay(tonic::Code::Unavailable, "busy", Duration::from_secs(40));
    world.driver.state().attaching.publish = [Some(later)].into();
    let _process = world.start();
    world.attach();
    seconds(39).await;
    assert!(world.error("attachError").contains("busy"));
    assert_eq!(world.driver.count("ControllerPublishVolume"), 1);
    seconds(2).await;
    assert!(world.is_attached());
}
