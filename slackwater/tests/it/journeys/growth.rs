//! Volumes that grow or change.

use controller::testing::resources::{ATTRIBUTES_CLASSES, PODS};
use sandbox::ec2::{Ec2Error, Ec2Options, Fault, When};
use sandbox::kube::GroupResource;
use serde_json::{Value, json};

use super::{at_work, cluster, cluster_in, handle, has_condition, pod, seconds, size_in_ec2, told};
use crate::world::World;

fn capacity(world: &World, claim: &str) -> Value {
    world.claim(claim).unwrap()["status"]["capacity"]["storage"].clone()
}

fn stage(world: &World, claim: &str) -> Value {
    world.claim(claim).unwrap()["status"]["allocatedResourceStatuses"]["storage"].clone()
}

/// Nothing of an expansion or a change is left to do.
fn is_done(world: &World, claim: &str, size: &str) -> bool {
    let object = world.claim(claim).unwrap();
    capacity(world, claim) == size
        && stage(world, claim).is_null()
        && object["status"]["modifyVolumeStatus"].is_null()
        && !has_condition(&object, "Resizing")
}

fn attributes(world: &World, name: &str, parameters: &Value) {
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": { "name": name },
        "driverName": "ebs.csi.aws.com", "parameters": parameters,
    });
    world.store().create(ATTRIBUTES_CLASSES, class).unwrap();
}

fn modifications(world: &World, volume: &str) -> usize {
    let calls = world.ec2.calls();
    let is_it = |call: &&sandbox::ec2::CallRecord| {
        call.action == "ModifyVolume" && call.parameters["VolumeId"] == *volume && !call.dry_run
    };
    calls.iter().filter(is_it).count()
}

#[tokio::test(start_paused = true)]
async fn journeys_case_34_a_mounted_claim_grows_under_its_pod() {
    let (world, _process) = cluster().await;
    at_work(&world, "data", "4Gi", &Value::Null).await;
    let uid =
        |world: &World| world.store().get(PODS, "ns", "data").unwrap().value()["metadata"]["uid"].clone();
    let before = uid(&world);
    world.expand("data", "8Gi");
    // The capacity is the last that changes.
    let mut stages: Vec<Value> = Vec::new();
    for _ in 0..1200 {
        let seen = stage(&world, "data");
        if stages.last() != Some(&seen) {
            stages.push(seen);
        }
        if capacity(&world, "data") == "8Gi" {
            break;
        }
        assert_eq!(capacity(&world, "data"), "4Gi");
        tokio::time::sleep(crate::world::LOOK).await;
    }
    assert!(
        stages.contains(&json!("ControllerResizeInProgress")),
        "{stages:?}"
    );
    assert!(is_done(&world, "data", "8Gi"));
    assert_eq!(size_in_ec2(&world, "data"), 8);
    assert_eq!(world.ec2.disk(&handle(&world, "data")).unwrap().bytes, 8 << 30);
    assert_eq!(uid(&world), before, "the pod was not restarted");
    assert!(told(&world, "data", "FileSystemResizeRequired", &[]));
}

#[tokio::test(start_paused = true)]
async fn journeys_case_35_a_claim_without_a_pod_waits_and_grows_at_its_next_mount() {
    let (world, _process) = cluster().await;
    at_work(&world, "data", "4Gi", &Value::Null).await;
    world.store().delete(PODS, "ns", "data", None).unwrap();
    let detached = |world: &World| world.instances_of(&handle(world, "data")).is_empty();
    world.until("the volume is detached", detached).await;
    world.expand("data", "8Gi");
    let waits = |world: &World| has_condition(&world.claim("data").unwrap(), "FileSystemResizePending");
    world.until("it waits for its node", waits).await;
    seconds(3600).await;
    assert_eq!(
        (stage(&world, "data"), capacity(&world, "data")),
        (json!("NodeResizePending"), json!("4Gi"))
    );
    pod(&world, "data", false);
    world
        .until("it has grown", |world| is_done(world, "data", "8Gi"))
        .await;
    assert!(!waits(&world));
    assert_eq!(world.ec2.disk(&handle(&world, "data")).unwrap().bytes, 8 << 30);
}

#[tokio::test(start_paused = true)]
async fn journeys_case_36_a_device_grows_without_a_file_system_to_wait_for() {
    let (world, _process) = cluster().await;
    at_work(&world, "data", "4Gi", &json!({ "volumeMode": "Block" })).await;
    world.expand("data", "8Gi");
    for _ in 0..1200 {
        assert!(!has_condition(
            &world.claim("data").unwrap(),
            "FileSystemResizePending"
        ));
        if capacity(&world, "data") == "8Gi" {
            break;
        }
        tokio::time::sleep(crate::world::LOOK).await;
    }
    assert!(is_done(&world, "data", "8Gi"));
    seconds(5).await;
    assert!(
        told(&world, "data", "VolumeResizeSuccessful", &[]),
        "{:?}",
        world.events("data")
    );
}

#[tokio::test(start_paused = true)]
async fn journeys_case_37_a_size_that_there_is_not_is_infeasible_and_another_one_works() {
    let (world, _process) = cluster().await;
    at_work(&world, "data", "4Gi", &Value::Null).await;
    world.expand("data", "100Ti");
    let infeasible = |world: &World| stage(world, "data") == "ControllerResizeInfeasible";
    world.until("it is infeasible", infeasible).await;
    world.expand("data", "8Gi");
    world
        .until("it has grown", |world| is_done(world, "data", "8Gi"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn journeys_case_38_a_volume_that_was_changed_too_often_is_asked_for_when_ec2_allows_it() {
    let mut options = Ec2Options::default();
    options.rules.modification_rate_names_time = true;
    let (world, _process) = cluster_in(options).await;
    at_work(&world, "data", "4Gi", &Value::Null).await;
    let volume = handle(&world, "data");
    // Four in 24 hours are allowed.
    for size in ["5Gi", "6Gi", "7Gi", "8Gi"] {
        world.expand("data", size);
        world
            .until("it has grown", |world| is_done(world, "data", size))
            .await;
        seconds(600).await;
    }
    world.expand("data", "9Gi");
    // Four in a day, of which the first was a little after midnight.
    let says = |world: &World| told(world, "data", "VolumeResizeWaiting", &["until 2026-01-02T00:00:"]);
    world.until("the next attempt is told", says).await;
    seconds(60).await;
    let before = modifications(&world, &volume);
    seconds(20 * 3600).await;
    assert_eq!(modifications(&world, &volume), before);
    seconds(5 * 3600).await;
    assert!(is_done(&world, "data", "9Gi"));
    assert_eq!(modifications(&world, &volume), before + 1);
}

#[tokio::test(start_paused = true)]
async fn journeys_case_39_a_size_and_a_class_in_one_edit_are_one_modification() {
    let (world, _process) = cluster().await;
    at_work(&world, "data", "10Gi", &Value::Null).await;
    let ask = |claim: &mut Value| {
        claim["spec"]["resources"]["requests"]["storage"] = json!("12Gi");
        claim["spec"]["volumeAttributesClassName"] = json!("fast");
    };
    world
        .store()
        .update(crate::world::CLAIMS, "ns", "data", ask)
        .unwrap();
    let changed =
        |world: &World| world.claim("data").unwrap()["status"]["currentVolumeAttributesClassName"] == "fast";
    world
        .until("both are done", |world| {
            is_done(world, "data", "12Gi") && changed(world)
        })
        .await;
    let volume = handle(&world, "data");
    assert_eq!(modifications(&world, &volume), 1);
    let volume = world.ec2.state().volumes[&volume].clone();
    assert_eq!((volume.size_gib, volume.iops), (12, Some(crate::world::FAST)));
}

#[tokio::test(start_paused = true)]
async fn journeys_case_40_a_class_that_does_not_exist_is_named_and_waited_for() {
    let (world, _process) = cluster().await;
    at_work(&world, "data", "10Gi", &Value::Null).await;
    world.want_class("data", "gold");
    let says = |world: &World| told(world, "data", "VolumeModifyFailed", &["gold"]);
    world.until("the class is named", says).await;
    let status =
        |world: &World| world.claim("data").unwrap()["status"]["modifyVolumeStatus"]["status"].clone();
    assert_eq!(status(&world), "Pending");
    attributes(&world, "gold", &json!({ "type": "gp3", "iops": "4000" }));
    let changed =
        |world: &World| world.claim("data").unwrap()["status"]["currentVolumeAttributesClassName"] == "gold";
    world.until("it is changed", changed).await;
}

#[tokio::test(start_paused = true)]
async fn journeys_case_41_a_class_that_is_changed_back_does_not_oscillate() {
    let (world, _process) = cluster().await;
    attributes(&world, "slow", &json!({ "type": "gp3", "iops": "3000" }));
    at_work(
        &world,
        "data",
        "10Gi",
        &json!({ "volumeAttributesClassName": "slow" }),
    )
    .await;
    let volume = handle(&world, "data");
    world.want_class("data", "fast");
    let running = |world: &World| modifications(world, &handle(world, "data")) == 1;
    world.until("EC2 has begun", running).await;
    world.want_class("data", "slow");
    let back = |world: &World| {
        let claim = world.claim("data").unwrap();
        claim["status"]["currentVolumeAttributesClassName"] == "slow"
            && claim["status"]["modifyVolumeStatus"].is_null()
    };
    let iops = |world: &World| world.ec2.state().volumes[&handle(world, "data")].iops;
    world
        .until("it is back", |world| back(world) && iops(world) == Some(3000))
        .await;
    seconds(3600).await;
    assert!(back(&world));
    assert_eq!((modifications(&world, &volume), iops(&world)), (2, Some(3000)));
}

#[tokio::test(start_paused = true)]
async fn journeys_case_42_a_stage_that_was_left_behind_does_not_hold_the_next_expansion() {
    let (world, _process) = cluster().await;
    at_work(&world, "data", "4Gi", &Value::Null).await;
    world.store().delete(PODS, "ns", "data", None).unwrap();
    // As it is left by a claim of the name that was replaced: nothing waits for a node.
    let leave = |claim: &mut Value| {
        claim["status"]["allocatedResourceStatuses"] = json!({ "storage": "NodeResizePending" });
        claim["status"]["allocatedResources"] = json!({ "storage": "4Gi" });
    };
    world
        .store()
        .update_status(crate::world::CLAIMS, "ns", "data", leave)
        .unwrap();
    seconds(60).await;
    world.expand("data", "8Gi");
    world
        .until("EC2 has grown it", |world| size_in_ec2(world, "data") == 8)
        .await;
    pod(&world, "data", false);
    world
        .until("it has grown", |world| is_done(world, "data", "8Gi"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn journeys_case_38_a_refusal_without_a_time_is_told_too() {
    let (world, _process) = cluster().await;
    at_work(&world, "data", "4Gi", &Value::Null).await;
    let error = Ec2Error::new(
        "VolumeModificationRateExceeded",
        "You've reached the maximum modification rate.",
    );
    world
        .ec2
        .inject("ModifyVolume", When::Times(3), Fault::Error(error));
    world.expand("data", "8Gi");
    let says = |world: &World| {
        let claim = world.claim("data").unwrap();
        let conditions = claim["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut texts = conditions.iter().filter_map(|one| one["message"].as_str());
        texts.any(|text| text.contains("VolumeModificationRateExceeded"))
    };
    world.until("it is told", says).await;
}

const SETS: GroupResource<'_> = GroupResource::new("apps", "statefulsets");

/// As the folder `17-statefulset-expand` has it.
fn set_of_three(size: &str) -> Value {
    json!({
        "metadata": { "name": "db", "namespace": "ns" },
        "spec": {
            "serviceName": "db", "replicas": 3, "selector": { "matchLabels": { "app": "db" } },
            "template": {
                "metadata": { "labels": { "app": "db" } },
                "spec": { "containers": [{
                    "name": "db", "image": "db", "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                }] },
            },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "late",
                "resources": { "requests": { "storage": size } },
            } }],
        },
    })
}

fn uids(world: &World) -> Vec<Value> {
    let pods = world.store().list(PODS, None);
    pods.iter()
        .map(|pod| pod.value()["metadata"]["uid"].clone())
        .collect()
}

fn has_all_ready(world: &World) -> bool {
    let set = world.store().get(SETS, "ns", "db");
    set.is_some_and(|set| set.value()["status"]["readyReplicas"] == 3)
}

#[tokio::test(start_paused = true)]
async fn journeys_case_43_the_volumes_of_a_stateful_set_grow_under_its_pods() {
    let (world, _process) = cluster().await;
    let claims = ["data-db-0", "data-db-1", "data-db-2"];
    world.store().create(SETS, set_of_three("4Gi")).unwrap();
    world.until("all run", has_all_ready).await;
    let before = uids(&world);
    assert_eq!(before.len(), 3);

    for claim in claims {
        world.expand(claim, "8Gi");
    }
    // Deleted without its pods, and applied again with the new size in its template.
    let orphans = |set: &mut Value| set["metadata"]["finalizers"] = json!(["orphan"]);
    world.store().update(SETS, "ns", "db", orphans).unwrap();
    world.store().delete(SETS, "ns", "db", None).unwrap();
    let is_gone = |world: &World| world.store().get(SETS, "ns", "db").is_none();
    world.until("the set is gone", is_gone).await;
    world.store().create(SETS, set_of_three("8Gi")).unwrap();
    let have_grown = |world: &World| claims.iter().all(|claim| is_done(world, claim, "8Gi"));
    world.until("all have grown", have_grown).await;
    world.until("the new set has the pods", has_all_ready).await;

    assert_eq!(uids(&world), before, "no pod was restarted");
    for claim in claims {
        assert_eq!(world.ec2.disk(&handle(&world, claim)).unwrap().bytes, 8 << 30);
        assert_eq!(modifications(&world, &handle(&world, claim)), 1);
    }
    let set = world.store().get(SETS, "ns", "db").unwrap();
    let template = &set.value()["spec"]["volumeClaimTemplates"][0];
    assert_eq!(template["spec"]["resources"]["requests"]["storage"], "8Gi");
}
