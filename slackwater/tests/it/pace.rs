//! Thousands of snapshots and expansions at once under AWS's pace (decision 64), from the API to EC2 and back: done as fast as
//! buckets and quotas allow, hardly a call that EC2 refuses, no warning, and every namespace is served alike.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::ec2::Ec2Options;
use sandbox::faults::Faults;
use sandbox::kube::GroupResource;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{CLAIMS, CONTENTS, SNAPSHOTS, VOLUMES, World};

/// What EC2 takes for a snapshot.
const EACH: Duration = Duration::from_secs(30);
/// The buckets and the quota of the preset.
const CAPACITY: usize = 100;
const REFILL: usize = 5;
const PENDING: usize = 100;
const NAMESPACES: usize = 20;

/// So many snapshots at once; `PACE_OBJECTS=1000` takes some minutes.
fn many() -> usize {
    let asked = std::env::var("PACE_OBJECTS").ok();
    asked.map_or(400, |number| number.parse().unwrap())
}

fn namespace(number: usize) -> String {
    format!("team-{:02}", number % NAMESPACES)
}

/// A world at AWS's pace with a claim and a volume for each snapshot.
async fn world() -> World {
    let mut options = Ec2Options::aws();
    options.timing.snapshot = EACH;
    options.timing.snapshot_per_gib = Duration::ZERO;
    options.call_log = 100_000;
    let world = World::new(23, options).await;
    let store = world.store();
    for number in 0..NAMESPACES {
        let object = json!({ "metadata": { "name": namespace(number) } });
        store
            .create(GroupResource::new("", "namespaces"), object)
            .unwrap();
    }
    for number in 0..many() {
        let handle = world.ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
        let (claim, volume) = bound(number, &handle);
        store.create(VOLUMES, volume).unwrap();
        store.create(CLAIMS, claim).unwrap();
    }
    let are_bound = |world: &World| {
        let claims = world.store().list(CLAIMS, None);
        claims
            .iter()
            .all(|claim| claim.value()["status"]["phase"] == "Bound")
    };
    until(&world, are_bound).await;
    world
}

fn bound(number: usize, handle: &str) -> (Value, Value) {
    let name = format!("pv-{number}");
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "10Gi" }, "volumeMode": "Filesystem",
            "csi": { "driver": "ebs.csi.aws.com", "volumeHandle": handle },
            "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "grow",
        },
    });
    let claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": format!("c-{number}"), "namespace": namespace(number) },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "10Gi" } },
            "storageClassName": "grow", "volumeMode": "Filesystem", "volumeName": name,
        },
    });
    (claim, volume)
}

/// Looks once in a second of simulated time, for an hour at most.
async fn until(world: &World, so: impl Fn(&World) -> bool) {
    for _ in 0..3600 {
        world.nothing_panicked().await;
        if so(world) {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("not within an hour: {:#}", world.api.dump());
}

fn snapshot(number: usize) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": { "name": format!("s-{number}"), "namespace": namespace(number) },
        "spec": {
            "source": { "persistentVolumeClaimName": format!("c-{number}") },
            "volumeSnapshotClassName": "delete",
        },
    })
}

/// When the snapshots of each namespace became ready, on average, from the first look on.
async fn ready_times(world: &World) -> BTreeMap<String, f64> {
    let begun = Instant::now();
    let mut seen: BTreeMap<String, (String, f64)> = BTreeMap::new();
    loop {
        world.nothing_panicked().await;
        for one in world.store().list(SNAPSHOTS, None) {
            let one = one.value();
            let name = one["metadata"]["name"].as_str().unwrap().to_owned();
            if one["status"]["readyToUse"] == true && !seen.contains_key(&name) {
                let namespace = one["metadata"]["namespace"].as_str().unwrap().to_owned();
                seen.insert(name, (namespace, begun.elapsed().as_secs_f64()));
            }
        }
        if seen.len() == many() {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(3600),
            "{} are ready",
            seen.len()
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (namespace, at) in seen.into_values() {
        times.entry(namespace).or_default().push(at);
    }
    let average = |times: Vec<f64>| times.iter().sum::<f64>() / times.len() as f64;
    times
        .into_iter()
        .map(|(namespace, times)| (namespace, average(times)))
        .collect()
}

fn warnings(world: &World) -> Vec<String> {
    let events = world.store().list(GroupResource::new("", "events"), None);
    let warnings = events.iter().filter(|event| event.value()["type"] == "Warning");
    warnings
        .map(|event| event.value()["message"].to_string())
        .collect()
}

/// How many of the calls after this one EC2 refused with such a code, and how many there were.
fn refused(world: &World, since: u64, code: &str) -> (usize, usize) {
    let calls = world.ec2.calls_since(since);
    let refused = calls.iter().filter(|call| call.code.as_deref() == Some(code));
    (refused.count(), calls.len())
}

fn last_call(world: &World) -> u64 {
    world.ec2.calls().last().map_or(0, |call| call.number)
}

fn at_most_one_percent(world: &World, since: u64) {
    for code in ["RequestLimitExceeded", "PendingSnapshotLimitExceeded"] {
        let (refused, calls) = refused(world, since, code);
        println!("{refused} of {calls} calls: {code}");
        assert!(refused * 100 <= calls, "{refused} of {calls} calls: {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_124_a_thousand_snapshots_at_once_take_what_aws_allows() {
    let world = world().await;
    let _process = world.start(Faults::none()).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (since, begun) = (last_call(&world), Instant::now());
    for number in 0..many() {
        world.store().create(SNAPSHOTS, snapshot(number)).unwrap();
    }
    let times = ready_times(&world).await;
    let took = begun.elapsed();
    let bucket = Duration::from_secs((many().saturating_sub(CAPACITY) / REFILL) as u64) + EACH;
    let quota = EACH * u32::try_from(many().div_ceil(PENDING)).unwrap();
    let floor = bucket.max(quota);
    println!("{} snapshots: {took:?}, at least {floor:?}", many());
    println!(
        "CreateSnapshot {}, DescribeSnapshots {}",
        world.ec2.count("CreateSnapshot"),
        world.ec2.count("DescribeSnapshots")
    );
    println!("by namespace {times:?}");
    assert!(took <= floor.mul_f64(1.1), "took {took:?}, at least {floor:?}");
    at_most_one_percent(&world, since);
    assert_eq!(warnings(&world), Vec::<String>::new());
    let (first, last) = (times[&namespace(0)], times[&namespace(NAMESPACES - 1)]);
    assert!(
        (first - last).abs() <= took.as_secs_f64() / 10.0,
        "first namespace {first} s, last {last} s"
    );
    let told = world.store().list(GroupResource::new("", "events"), None);
    let waits = told
        .iter()
        .filter(|event| event.value()["reason"] == "WaitingForStorage");
    assert!(waits.count() > many() / 4, "those that wait are told so");

    tokio::time::sleep(Duration::from_secs(60)).await;
    let (since, begun) = (last_call(&world), Instant::now());
    for number in 0..many() {
        let name = format!("s-{number}");
        world
            .store()
            .delete(SNAPSHOTS, &namespace(number), &name, None)
            .unwrap();
    }
    let are_gone = |world: &World| {
        world.ec2.state().snapshots.is_empty() && world.store().list(CONTENTS, None).is_empty()
    };
    until(&world, are_gone).await;
    let took = begun.elapsed();
    let floor = Duration::from_secs((many().saturating_sub(CAPACITY) / REFILL) as u64);
    println!("{} deletions: {took:?}, at least {floor:?}", many());
    assert!(took <= floor.mul_f64(1.1), "took {took:?}, at least {floor:?}");
    at_most_one_percent(&world, since);
    assert_eq!(warnings(&world), Vec::<String>::new());
}
