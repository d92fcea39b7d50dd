//! Volumes that go: requests and calls counted (sidecars.md 7.2).

use controller::testing::resources::{ATTACHMENTS, CLAIMS, STORAGE_CLASSES, VOLUMES};
use controller::testing::{Process, seconds};
use csi::v1::controller_service_capability::rpc;
use serde_json::json;
use tonic::Status;

use crate::world::{ATTACHER_FINALIZER, DRIVER, FINALIZER, PATCH, REMOVE, World};

/// Claim `c` with its volume.
async fn bound() -> (World, Process, String) {
    let world = World::of(&[rpc::Type::PublishUnpublishVolume]);
    let process = world.start();
    let name = world.claim(|_| {});
    seconds(5).await;
    assert_eq!(world.phase("c"), "Bound");
    (world, process, name)
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_89_a_released_volume_costs_one_call_and_two_requests() {
    let (world, process, name) = bound().await;
    // Case 226: it was not looked at as long as it needed nothing.
    let looks = || process.metric("workqueue_adds_total", &[("name", "volumes")]);
    assert_eq!(looks(), 0.0);
    let mark = world.mark();
    world.delete(CLAIMS, "default", "c");
    seconds(30).await;
    assert!(looks() > 0.0);
    assert_eq!(world.requests_since(mark), [REMOVE, PATCH]);
    assert_eq!((world.calls(), world.volume(&name)), ([1, 1], None));
    let labels = [("class", "s")];
    assert_eq!(
        process.metric("controller_persistentvolume_delete_total", &labels),
        1.0
    );
    assert_eq!(
        process.metric("controller_persistentvolume_delete_failed_total", &labels),
        0.0
    );
    assert_eq!(world.reasons(), ["ProvisioningSucceeded"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_90_a_volume_that_the_user_deleted_first_costs_one_request() {
    let (world, _process, name) = bound().await;
    world.delete(VOLUMES, "", &name);
    seconds(5).await;
    let mark = world.mark();
    assert!(world.volume(&name).is_some());
    world.delete(CLAIMS, "default", "c");
    seconds(30).await;
    assert_eq!(world.requests_since(mark), [PATCH]);
    assert_eq!((world.calls(), world.volume(&name)), ([1, 1], None));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_91_an_attached_volume_waits_without_a_try() {
    let (world, _process, name) = bound().await;
    world.attach(&name);
    seconds(1).await;
    let mark = world.mark();
    world.delete(CLAIMS, "default", "c");
    seconds(20).await;
    assert_eq!((world.calls(), world.requests_since(mark).len()), ([1, 0], 0));
    world.delete(ATTACHMENTS, "", "va");
    seconds(1).await;
    assert_eq!(world.calls(), [1, 1]);
    assert_eq!(world.requests_since(mark), [REMOVE, PATCH]);
    assert_eq!(world.reasons(), ["ProvisioningSucceeded"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_140_a_long_attachment_is_news_first_and_a_warning_late() {
    let (world, _process, name) = bound().await;
    world.attach(&name);
    seconds(1).await;
    world.delete(CLAIMS, "default", "c");
    seconds(35).await;
    let last = world.events().pop().unwrap();
    assert_eq!(last.reason, "VolumeDelete");
    assert!(last.message.contains("is still attached to node n1"));
    seconds(360).await;
    assert_eq!(
        world.reasons(),
        ["ProvisioningSucceeded", "VolumeDelete", "VolumeFailedDelete"]
    );
    seconds(600).await;
    assert_eq!((world.calls(), world.reasons().len()), ([1, 0], 3));
    world.delete(ATTACHMENTS, "", "va");
    seconds(2).await;
    assert_eq!((world.calls(), world.volume(&name)), ([1, 1], None));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_88_92_the_finalizer_follows_the_policy() {
    let (world, _process, name) = bound().await;
    let policy = |policy: &str| {
        world.change(VOLUMES, "", &name, |volume| {
            volume["spec"]["persistentVolumeReclaimPolicy"] = json!(policy);
        });
    };
    let has_it = || {
        world
            .finalizers(VOLUMES, "", &name)
            .contains(&FINALIZER.to_owned())
    };
    for (to, has) in [("Retain", false), ("Delete", true), ("Retain", false)] {
        let mark = world.mark();
        policy(to);
        seconds(5).await;
        assert_eq!(
            (world.requests_since(mark), has_it()),
            (vec![PATCH.to_owned()], has),
            "{to}"
        );
    }
    let mark = world.mark();
    world.delete(CLAIMS, "default", "c");
    seconds(60).await;
    assert_eq!((world.requests_since(mark).len(), world.calls()), (0, [1, 0]));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_93_a_deletion_that_fails_is_told_and_tried_again() {
    let (world, process, name) = bound().await;
    let refusal = Status::internal("no");
    world
        .driver
        .state()
        .volumes
        .delete
        .extend([Some(refusal.clone()), Some(refusal)]);
    world.delete(CLAIMS, "default", "c");
    seconds(30).await;
    assert_eq!((world.calls(), world.volume(&name)), ([1, 3], None));
    assert_eq!(world.reasons(), ["ProvisioningSucceeded", "VolumeFailedDelete"]);
    let labels = [("class", "s")];
    assert_eq!(
        process.metric("controller_persistentvolume_delete_failed_total", &labels),
        2.0
    );
    assert_eq!(
        process.metric("controller_persistentvolume_delete_total", &labels),
        1.0
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_95_96_volumes_that_people_made_count_by_their_driver() {
    let world = World::new();
    let _process = world.start();
    for (name, by) in [("static", None), ("foreign", Some("other.csi"))] {
        let mut volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete",
                "csi": {"driver": DRIVER, "volumeHandle": format!("vol-{name}")},
                "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "gone", "uid": "u"},
            },
        });
        if let Some(by) = by {
            volume["metadata"]["annotations"] = json!({"pv.kubernetes.io/provisioned-by": by});
        }
        world.create(VOLUMES, volume);
    }
    seconds(10).await;
    let deleted: Vec<String> = world
        .driver
        .state()
        .volumes
        .deleted
        .iter()
        .map(|request| request.volume_id.clone())
        .collect();
    assert_eq!(deleted, ["vol-static"]);
    assert!(world.volume("static").is_none() && world.volume("foreign").is_some());
}

fn has_attachers(world: &World, volume: &str) -> bool {
    let finalizers = world.finalizers(VOLUMES, "", volume);
    finalizers.contains(&ATTACHER_FINALIZER.to_owned())
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_182_a_retained_volume_that_no_attacher_serves_goes() {
    let (world, _process, name) = bound().await;
    world.change(VOLUMES, "", &name, |volume| {
        volume["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain");
    });
    world.attach(&name);
    world.delete(CLAIMS, "default", "c");
    seconds(5).await;
    assert!(has_attachers(&world, &name));
    let mark = world.mark();
    world.delete(VOLUMES, "", &name);
    seconds(60).await;
    assert_eq!(world.requests_since(mark), Vec::<String>::new());
    assert!(has_attachers(&world, &name));
    world.delete(ATTACHMENTS, "", "va");
    seconds(1).await;
    assert_eq!(world.requests_since(mark), [PATCH]);
    assert_eq!((world.calls(), world.volume(&name)), ([1, 0], None));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_182_the_attacher_goes_first_where_there_is_one() {
    let (world, _process, name) = bound().await;
    world.change(VOLUMES, "", &name, |volume| {
        volume["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain");
        volume["metadata"]["finalizers"] = json!([ATTACHER_FINALIZER, "example.com/theirs"]);
    });
    world.delete(CLAIMS, "default", "c");
    seconds(5).await;
    world.delete(VOLUMES, "", &name);
    seconds(10).await;
    assert!(has_attachers(&world, &name));
    seconds(10).await;
    assert!(!has_attachers(&world, &name));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_254_a_secret_that_is_named_on_the_volume_is_taken_at_once() {
    let (world, _process, name) = bound().await;
    let [of_name, of_namespace] =
        ["name", "namespace"].map(|part| format!("volume.kubernetes.io/provisioner-deletion-secret-{part}"));
    world.change(VOLUMES, "", &name, |volume| {
        let annotations = volume["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.retain(|key, _| *key != of_name && *key != of_namespace);
    });
    world.remove_by_force(STORAGE_CLASSES, "", "s");
    let half = json!({ "csi.storage.k8s.io/provisioner-secret-name": "sec" });
    world.class("s", &json!({ "parameters": half }));
    world.delete(CLAIMS, "default", "c");
    seconds(200).await;
    assert_eq!(world.calls(), [1, 0]);
    world.change(VOLUMES, "", &name, |volume| {
        volume["metadata"]["annotations"][&of_name] = json!("");
        volume["metadata"]["annotations"][&of_namespace] = json!("");
    });
    seconds(1).await;
    assert_eq!((world.calls(), world.volume(&name)), ([1, 1], None));
}
