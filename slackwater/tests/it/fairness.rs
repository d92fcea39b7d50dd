//! A namespace with thousands of snapshots holds up no other one.

use std::time::Duration;

use sandbox::ec2::Ec2Options;
use sandbox::faults::{Call, Fault, Faults, Schedule};
use sandbox::kube::GroupResource;
use serde_json::json;
use tokio::time::Instant;

use crate::world::{CLAIMS, SNAPSHOTS, VOLUMES, World};

/// So many of the other namespace; `FAIRNESS_SNAPSHOTS=5000` takes two minutes.
fn many() -> usize {
    let asked = std::env::var("FAIRNESS_SNAPSHOTS").ok();
    asked.map_or(600, |number| number.parse().unwrap())
}

/// EC2 takes its time for each CreateSnapshot, so that the workers are what thousands wait for.
struct SlowEc2;

impl Schedule for SlowEc2 {
    fn fault(&self, call: &Call) -> Fault {
        match call.name.as_str() {
            "CreateSnapshot" => Fault::Delay(Duration::from_secs(2)),
            _ => Fault::None,
        }
    }
}

/// From the creation of a snapshot in a namespace of its own until it is ready, beside so many in the other one.
async fn time_beside(others: usize) -> Duration {
    let mut options = Ec2Options::default();
    options.rules.pending_snapshots = false;
    options.timing.snapshot = Duration::from_secs(60);
    let world = World::new(11, options).await;
    furnish(&world);
    let _process = world.start(Faults::new(SlowEc2)).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    for number in 0..others {
        world.create_snapshot(&format!("s{number}"), "p", "delete");
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let asked = Instant::now();
    let snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": { "name": "one", "namespace": "small" },
        "spec": { "source": { "persistentVolumeClaimName": "q" }, "volumeSnapshotClassName": "delete" },
    });
    world.store().create(SNAPSHOTS, snapshot).unwrap();
    let is_ready = |world: &World| {
        let one = world.store().get(SNAPSHOTS, "small", "one");
        one.is_some_and(|one| one.value()["status"]["readyToUse"] == true)
    };
    world.until("the one is ready", is_ready).await;
    let took = asked.elapsed();
    let cut = world.ec2_snapshots().len();
    assert!(others == 0 || cut < others, "the others were done before: {cut}");
    took
}

/// The namespace `small` with a claim of its own.
fn furnish(world: &World) {
    let handle = world.ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    let namespace = json!({ "metadata": { "name": "small" } });
    let kind = GroupResource::new("", "namespaces");
    world.store().create(kind, namespace).unwrap();
    let spec = json!({
        "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "10Gi" }, "volumeMode": "Filesystem",
        "csi": { "driver": "ebs.csi.aws.com", "volumeHandle": handle },
        "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "grow",
    });
    let volume = json!({ "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "pv-q" }, "spec": spec });
    let claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "q", "namespace": "small" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "10Gi" } },
            "storageClassName": "grow", "volumeMode": "Filesystem", "volumeName": "pv-q",
        },
    });
    world.store().create(VOLUMES, volume).unwrap();
    world.store().create(CLAIMS, claim).unwrap();
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_117_a_namespace_of_thousands_starves_nobody() {
    let alone = time_beside(0).await;
    let beside = time_beside(many()).await;
    println!("alone {alone:?}, beside {} {beside:?}", many());
    assert!(
        beside <= alone.mul_f64(1.1),
        "alone {alone:?}, beside many {beside:?}"
    );
}
