//! What people do and see, by the cases of the journeys specification: the whole suite, a node with its kubelet, and EC2, on
//! simulated time.

mod growth;
mod placing;
mod provisioning;
mod restores;
mod selftest;
mod snapshots;
mod stuck;
mod watched;

use std::time::Duration;

use controller::testing::resources::{PODS, STORAGE_CLASSES};
use sandbox::ec2::Ec2Options;
use sandbox::faults::Faults;
use serde_json::{Value, json};

use crate::fleet::Process;
use crate::world::{CLAIMS, CONTENTS, World};

/// A cluster with a node, and the suite at work; class `late` waits for a pod, class `now` does not.
async fn cluster() -> (World, Process) {
    cluster_in(Ec2Options::default()).await
}

/// The same with this EC2.
async fn cluster_in(options: Ec2Options) -> (World, Process) {
    let world = World::with_machine(17, options).await;
    for (name, mode) in [("late", "WaitForFirstConsumer"), ("now", "Immediate")] {
        class(&world, name, &json!({ "volumeBindingMode": mode }));
    }
    let process = world.start(Faults::none()).await;
    (world, process)
}

fn class(world: &World, name: &str, members: &Value) {
    let mut class = json!({
        "metadata": { "name": name }, "provisioner": "ebs.csi.aws.com", "allowVolumeExpansion": true,
        "volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Delete",
    });
    for (member, value) in members.as_object().unwrap() {
        class[member] = value.clone();
    }
    world.store().create(STORAGE_CLASSES, class).unwrap();
}

/// A claim of this class and size; `more` is merged into its spec.
fn claim(world: &World, name: &str, class: &str, size: &str, more: &Value) {
    let mut claim = json!({
        "metadata": { "name": name, "namespace": "ns" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "resources": { "requests": { "storage": size } },
        },
    });
    for (member, value) in more.as_object().into_iter().flatten() {
        claim["spec"][member] = value.clone();
    }
    world.store().create(CLAIMS, claim).unwrap();
}

fn from_snapshot(name: &str) -> Value {
    json!({ "dataSource": { "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name } })
}

/// A pod with the claim of its name, mounted or as a device.
fn pod(world: &World, name: &str, is_block: bool) {
    let volume = json!({ "name": "data", "persistentVolumeClaim": { "claimName": name } });
    let mut container = json!({ "name": "app", "image": "app" });
    let (member, place) = match is_block {
        true => (
            "volumeDevices",
            json!([{ "name": "data", "devicePath": "/dev/data" }]),
        ),
        false => ("volumeMounts", json!([{ "name": "data", "mountPath": "/data" }])),
    };
    container[member] = place;
    let pod = json!({
        "metadata": { "name": name, "namespace": "ns" },
        "spec": { "containers": [container], "volumes": [volume] },
    });
    world.store().create(PODS, pod).unwrap();
}

fn is_running(world: &World, name: &str) -> bool {
    let pod = world.store().get(PODS, "ns", name);
    pod.is_some_and(|pod| pod.value()["status"]["phase"] == "Running")
}

/// A claim and its pod, running.
async fn at_work(world: &World, name: &str, size: &str, more: &Value) {
    claim(world, name, "late", size, more);
    pod(world, name, more["volumeMode"] == "Block");
    world.until("the pod runs", |world| is_running(world, name)).await;
}

fn phase(world: &World, claim: &str) -> String {
    let claim = world.claim(claim).unwrap();
    claim["status"]["phase"].as_str().unwrap_or("Pending").to_owned()
}

/// The EBS volume of a bound claim.
fn handle(world: &World, claim: &str) -> String {
    let name = world.claim(claim).unwrap()["spec"]["volumeName"].clone();
    let volume = world.volume(name.as_str().unwrap()).unwrap();
    volume["spec"]["csi"]["volumeHandle"].as_str().unwrap().to_owned()
}

fn size_in_ec2(world: &World, claim: &str) -> u32 {
    world.ec2.state().volumes[&handle(world, claim)].size_gib
}

fn has_condition(claim: &Value, name: &str) -> bool {
    let conditions = claim["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == *name))
}

/// An event about this object for this reason, that says this.
fn told(world: &World, about: &str, reason: &str, says: &[&str]) -> bool {
    let events = world.events(about);
    let is_it =
        |(is, message): &(String, String)| is == reason && says.iter().all(|part| message.contains(part));
    events.iter().any(is_it)
}

/// The content of a VolumeSnapshot.
fn content_of(world: &World, snapshot: &str) -> Option<Value> {
    let name = world.snapshot(snapshot)?["status"]["boundVolumeSnapshotContentName"].clone();
    let content = world.store().get(CONTENTS, "", name.as_str()?)?;
    Some(content.value().clone())
}

/// The number of the last request, to count from.
fn now(world: &World) -> u64 {
    world.api.audit().last().map_or(0, |request| request.number)
}

async fn seconds(number: u64) {
    tokio::time::sleep(Duration::from_secs(number)).await;
}
