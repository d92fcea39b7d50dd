//! Volumes from snapshots.

use sandbox::ec2::{Fault, When};
use sandbox::faults::{At, Fault as Crash, Faults};
use serde_json::{Value, json};

use super::{at_work, claim, cluster, from_snapshot, handle, is_running, phase, pod, seconds, told};
use crate::world::{CLAIMS, World};

const SOURCE: &str = "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection";
const GIB: u64 = 1 << 30;

/// A claim `first` of 4 GiB with its pod, and its snapshot `s`, ready.
async fn with_snapshot(more: &Value) -> (World, crate::fleet::Process) {
    let (world, process) = cluster().await;
    at_work(&world, "first", "4Gi", more).await;
    world.create_snapshot("s", "first", "delete");
    world
        .until("the snapshot is ready", |world| world.is_ready("s"))
        .await;
    (world, process)
}

fn finalizers(world: &World, snapshot: &str) -> Vec<String> {
    let snapshot = world.snapshot(snapshot).unwrap();
    let names = snapshot["metadata"]["finalizers"].as_array();
    names
        .into_iter()
        .flatten()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn journeys_case_12_a_smaller_claim_is_refused_with_both_sizes() {
    let (world, _process) = with_snapshot(&Value::Null).await;
    let made = world.ec2.count("CreateVolume");
    claim(&world, "small", "late", "2Gi", &from_snapshot("s"));
    pod(&world, "small", false);
    let sizes = [(2 * GIB).to_string(), (4 * GIB).to_string()];
    let says = |world: &World| {
        told(world, "small", "ProvisioningFailed", &[&sizes[0], &sizes[1]])
            || told(world, "small", "ProvisioningFailed", &["2Gi", "4Gi"])
    };
    world.until("both sizes are named", says).await;
    seconds(60).await;
    assert_eq!(phase(&world, "small"), "Pending");
    assert_eq!(world.ec2.count("CreateVolume"), made);
}

#[tokio::test(start_paused = true)]
async fn journeys_case_13_a_larger_claim_has_its_size_at_the_first_mount() {
    let (world, _process) = with_snapshot(&Value::Null).await;
    at_work(&world, "large", "8Gi", &from_snapshot("s")).await;
    let volume = handle(&world, "large");
    assert_eq!(world.ec2.state().volumes[&volume].size_gib, 8);
    assert_eq!(world.ec2.disk(&volume).unwrap().bytes, 8 * GIB);
    assert_eq!(world.ec2.disk(&handle(&world, "first")).unwrap().bytes, 4 * GIB);
}

#[tokio::test(start_paused = true)]
async fn journeys_case_14_devices_become_file_systems_only_where_the_content_allows_it() {
    let (world, _process) = with_snapshot(&json!({ "volumeMode": "Block" })).await;
    claim(&world, "files", "late", "4Gi", &from_snapshot("s"));
    pod(&world, "files", false);
    let annotation = "snapshot.storage.kubernetes.io/allow-volume-mode-change";
    let says = |world: &World| told(world, "files", "ProvisioningFailed", &[annotation]);
    world.until("the annotation is named", says).await;
    assert_eq!(phase(&world, "files"), "Pending");
    let content = super::content_of(&world, "s").unwrap();
    let name = content["metadata"]["name"].as_str().unwrap().to_owned();
    let allow = |content: &mut Value| content["metadata"]["annotations"][annotation] = json!("true");
    world
        .store()
        .update(crate::world::CONTENTS, "", &name, allow)
        .unwrap();
    world
        .until("the pod runs", |world| is_running(world, "files"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn journeys_case_15_a_snapshot_is_held_by_a_restore_that_waits_and_goes_with_it() {
    let (world, _process) = with_snapshot(&Value::Null).await;
    let quota = Fault::error("VolumeLimitExceeded");
    world.ec2.inject("CreateVolume", When::Always, quota);
    claim(&world, "restored", "late", "4Gi", &from_snapshot("s"));
    pod(&world, "restored", false);
    let refused = |world: &World| told(world, "restored", "ProvisioningFailed", &["VolumeLimitExceeded"]);
    world.until("the quota is told", refused).await;
    world.delete_snapshot("s");
    let pending = |world: &World| told(world, "s", "SnapshotDeletePending", &["restored"]);
    world.until("the claim is named", pending).await;
    seconds(120).await;
    assert!(world.snapshot("s").is_some());
    world
        .store()
        .delete(controller::testing::resources::PODS, "ns", "restored", None)
        .unwrap();
    world.store().delete(CLAIMS, "ns", "restored", None).unwrap();
    world
        .until("the claim is gone", |world| world.claim("restored").is_none())
        .await;
    // While EC2 refuses, nobody knows for sure that it has begun nothing; the next answer ends it.
    world.ec2.clear_faults();
    world
        .until("the snapshot is gone", |world| world.snapshot("s").is_none())
        .await;
    seconds(60).await;
    let volumes = world.ec2.state().volumes;
    let made = volumes
        .values()
        .filter(|volume| volume.tags.contains_key("CSIVolumeName"));
    assert_eq!(made.count(), 1, "the first one alone");
    assert!(world.ec2_snapshots().is_empty());
}

#[tokio::test(start_paused = true)]
async fn journeys_case_16_a_provisioner_that_died_after_its_success_lets_the_snapshot_go() {
    let mut held = 0;
    // Each call of a process that begins a restore is its last one.
    for number in 1..75 {
        let (world, process) = with_snapshot(&Value::Null).await;
        drop(process);
        let crash = Crash::CrashAfter;
        let dying = world.start(Faults::new(At { number, fault: crash })).await;
        claim(&world, "restored", "late", "4Gi", &from_snapshot("s"));
        pod(&world, "restored", false);
        seconds(60).await;
        held += usize::from(finalizers(&world, "s").contains(&SOURCE.to_owned()));
        drop(dying);
        let _process = world.start(Faults::none()).await;
        world
            .until("the pod runs", |world| is_running(world, "restored"))
            .await;
        let is_free = |world: &World| !finalizers(world, "s").contains(&SOURCE.to_owned());
        world.until("the snapshot is free", is_free).await;
    }
    assert!(held > 0, "no process died while it held the snapshot");
}
