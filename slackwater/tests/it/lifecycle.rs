//! The life of volumes from their claims on, with every function of the suite, a node with its kubelet, and EC2: made, attached,
//! snapshotted, restored, cloned and deleted. Nothing is leaked, doubled or stuck, also where processes die.

use std::time::Duration;

use controller::testing::resources::{PODS, STORAGE_CLASSES};
use sandbox::ec2::Ec2Options;
use sandbox::faults::{At, Fault, Faults, Storm};
use serde_json::{Value, json};

use crate::fleet::{Fleet, Form};
use crate::world::{ATTACHMENTS, CLAIMS, CONTENTS, SNAPSHOTS, VOLUMES, World};

/// The claims: of nothing, of a snapshot, of another claim.
const NAMES: [&str; 3] = ["fresh", "restored", "cloned"];

/// A claim of 4 GiB whose class waits for a pod, and its pod.
fn create(world: &World, name: &str, source: &Value) {
    create_claim(world, name, "late", source);
    create_pod(world, name);
}

/// A claim of 4 GiB, of a data source or of null.
pub fn create_claim(world: &World, name: &str, class: &str, source: &Value) {
    let mut claim = json!({
        "metadata": { "name": name, "namespace": "ns" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "resources": { "requests": { "storage": "4Gi" } },
        },
    });
    if !source.is_null() {
        claim["spec"]["dataSource"] = source.clone();
    }
    world.store().create(CLAIMS, claim).unwrap();
}

/// A pod that uses the claim of its name.
pub fn create_pod(world: &World, name: &str) {
    let volume = json!({ "name": "data", "persistentVolumeClaim": { "claimName": name } });
    let pod = json!({
        "metadata": { "name": name, "namespace": "ns" },
        "spec": { "containers": [{ "name": "app", "image": "app" }], "volumes": [volume] },
    });
    world.store().create(PODS, pod).unwrap();
}

pub fn is_running(world: &World, name: &str) -> bool {
    let pod = world.store().get(PODS, "ns", name);
    pod.is_some_and(|pod| pod.value()["status"]["phase"] == "Running")
}

/// The volumes that were made for claims, in order.
pub fn made(world: &World) -> Vec<String> {
    let volumes = world.ec2.state().volumes;
    let of_claims = volumes
        .iter()
        .filter(|(_, volume)| volume.tags.contains_key("CSIVolumeName"));
    of_claims.map(|(id, _)| id.clone()).collect()
}

/// The cluster holds nothing of the users any more, and EC2 no snapshot.
pub fn cluster_is_empty(world: &World) -> bool {
    let count = |resource| world.store().list(resource, None).len();
    world.ec2_snapshots().is_empty()
        && count(ATTACHMENTS) + count(SNAPSHOTS) + count(CONTENTS) == 0
        && count(CLAIMS) + count(VOLUMES) == 0
}

/// Plays it all; answers how many calls the process of that number made.
async fn play(form: Form, number: usize, faults: Faults, seed: u64) -> usize {
    let world = World::with_machine(seed, Ec2Options::default()).await;
    let class = json!({
        "metadata": { "name": "late" }, "provisioner": "ebs.csi.aws.com",
        "volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Delete",
    });
    world.store().create(STORAGE_CLASSES, class).unwrap();
    let of = |process| {
        if process == number {
            faults.clone()
        } else {
            Faults::none()
        }
    };
    let mut fleet = Fleet::start(&world, form, of).await;
    create(&world, "fresh", &Value::Null);
    fleet
        .until("a pod has its volume", |world| is_running(world, "fresh"))
        .await;
    world.create_snapshot("s", "fresh", "delete");
    fleet.until("a snapshot", |world| world.is_ready("s")).await;
    let group = "snapshot.storage.k8s.io";
    create(
        &world,
        "restored",
        &json!({ "apiGroup": group, "kind": "VolumeSnapshot", "name": "s" }),
    );
    create(
        &world,
        "cloned",
        &json!({ "kind": "PersistentVolumeClaim", "name": "fresh" }),
    );
    let all = |world: &World| NAMES.iter().all(|name| is_running(world, name));
    fleet.until("restored and cloned", all).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let volumes = made(&world);
    assert_eq!(volumes.len(), 3, "{volumes:?}");
    assert_eq!(world.ec2_snapshots().len(), 1);
    for volume in &volumes {
        assert_eq!(world.instances_of(volume).len(), 1, "{volume}");
    }
    world.delete_snapshot("s");
    for name in NAMES {
        world.store().delete(PODS, "ns", name, None).unwrap();
        world.store().delete(CLAIMS, "ns", name, None).unwrap();
    }
    let is_over = |world: &World| cluster_is_empty(world) && made(world).is_empty();
    fleet.until("all is gone", is_over).await;
    faults.calls().len()
}

#[tokio::test(start_paused = true)]
async fn a_claim_becomes_a_volume_with_a_life_and_nothing_is_left() {
    for form in [Form::One, Form::Each] {
        play(form, usize::MAX, Faults::none(), 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_life_of_volumes_survives_crashes() {
    let calls = play(Form::One, 0, Faults::none(), 3).await as u64;
    assert!(calls > 60, "{calls}");
    for number in (1..=calls).step_by(3) {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            play(Form::One, 0, Faults::new(At { number, fault }), 3).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_life_of_volumes_survives_bad_weather() {
    for seed in 0..12 {
        let storm = Faults::new(Storm {
            random: base::Random::seeded(seed),
            share: 0.05,
            crashes: false,
        });
        let form = if seed % 2 == 0 { Form::One } else { Form::Each };
        let number = seed as usize % form.processes().len();
        play(form, number, storm, seed).await;
    }
}
