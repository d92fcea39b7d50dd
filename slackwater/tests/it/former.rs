//! Claims whose volume a process before this one may have had made: in one process with the driver the volume is found by its
//! name, wherever it is, and taken; new claims cost nothing for it (sidecars.md Q4).

use std::time::Duration;

use controller::testing::resources::{CSI_NODES, STORAGE_CLASSES};
use sandbox::ec2::{CallRecord, Ec2Options};
use sandbox::faults::{Call, Fault, Faults, Schedule, Transport};
use sandbox::kube::GroupResource;
use serde_json::{Value, json};

use crate::fleet::{Fleet, Form};
use crate::lifecycle::{create_claim, made};
use crate::world::{CLAIMS, VOLUMES, World};

const NODES: GroupResource<'static> = GroupResource::new("", "nodes");
const SELECTED: &str = "volume.kubernetes.io/selected-node";
const ZONE: &str = "topology.ebs.csi.aws.com/zone";
/// Longer than any wait for what was cut off.
const LONG: Duration = Duration::from_secs(60);

/// The process dies once EC2 has made a volume, before it learns of it.
struct DiesWhileMaking;

impl Schedule for DiesWhileMaking {
    fn fault(&self, call: &Call) -> Fault {
        match call.transport == Transport::Ec2 && call.name == "CreateVolume" {
            true => Fault::CrashAfter,
            false => Fault::None,
        }
    }
}

/// Nodes `a` and `b` in zones of these letters, and a class that waits for a pod.
pub async fn world(options: Ec2Options) -> World {
    let world = World::new(5, options).await;
    for letter in ["a", "b"] {
        let zone = format!("us-east-1{letter}");
        let node = json!({ "metadata": { "name": letter, "labels": { ZONE: zone } } });
        world.store().create(NODES, node).unwrap();
        let driver = json!({ "name": "ebs.csi.aws.com", "nodeID": letter, "topologyKeys": [ZONE] });
        let node = json!({ "metadata": { "name": letter }, "spec": { "drivers": [driver] } });
        world.store().create(CSI_NODES, node).unwrap();
    }
    class(&world, "late", "WaitForFirstConsumer", &json!({}));
    world
}

fn class(world: &World, name: &str, mode: &str, parameters: &Value) {
    let class = json!({
        "metadata": { "name": name }, "provisioner": "ebs.csi.aws.com", "parameters": parameters,
        "volumeBindingMode": mode, "reclaimPolicy": "Delete",
    });
    world.store().create(STORAGE_CLASSES, class).unwrap();
}

fn select(world: &World, claim: &str, node: &str) {
    let choose = |claim: &mut Value| claim["metadata"]["annotations"][SELECTED] = json!(node);
    world.store().update(CLAIMS, "ns", claim, choose).unwrap();
}

fn selected(world: &World, claim: &str) -> Value {
    world.claim(claim).unwrap()["metadata"]["annotations"][SELECTED].clone()
}

fn is_bound(world: &World, claim: &str) -> bool {
    world
        .claim(claim)
        .is_some_and(|claim| claim["status"]["phase"] == "Bound")
}

/// The name that the volume of a claim is asked for under.
fn name_of(world: &World, claim: &str) -> String {
    let claim = world.claim(claim).unwrap();
    format!("pvc-{}", claim["metadata"]["uid"].as_str().unwrap())
}

/// The volume of a claim, and the zone in which pods may use it.
fn volume_of(world: &World, claim: &str) -> (String, String) {
    let volume = world.volume(&name_of(world, claim)).unwrap();
    let terms = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let zone = text(&terms[0]["matchExpressions"][0]["values"][0]);
    (text(&volume["spec"]["csi"]["volumeHandle"]), zone)
}

/// The requests that look for volumes by their names.
fn looks(world: &World) -> Vec<CallRecord> {
    let filter = |call: &CallRecord| call.parameters.get("Filter.1.Name").cloned();
    let mut calls = world.ec2.calls();
    calls.retain(|call| filter(call).as_deref() == Some("tag:CSIVolumeName"));
    calls
}

/// A claim on node `a`, in whose CreateVolume a process with these flags has died.
pub async fn half_made(world: &World, flags: &[&str]) {
    let dying = Faults::new(DiesWhileMaking);
    let process = world.start_with(dying.clone(), "replica", flags).await;
    // To that process the claim is new.
    tokio::time::sleep(Duration::from_secs(2)).await;
    create_claim(world, "c", "late", &Value::Null);
    select(world, "c", "a");
    dying.crashed().await;
    drop(process);
    assert_eq!((made(world).len(), looks(world).len()), (1, 0));
    assert!(world.volume(&name_of(world, "c")).is_none());
}

fn remove_node(world: &World, name: &str) {
    for resource in [NODES, CSI_NODES] {
        world.store().delete(resource, "", name, None).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_54_the_volume_for_a_node_that_is_gone_is_adopted_in_one_process() {
    let world = world(Ec2Options::default()).await;
    half_made(&world, &[]).await;
    remove_node(&world, "a");
    let _process = world.start(Faults::none()).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(selected(&world, "c"), "a");
    assert!(!is_bound(&world, "c"));
    tokio::time::sleep(LONG).await;
    assert!(is_bound(&world, "c"), "{:?}", world.events("c"));
    let volume = made(&world).remove(0);
    assert_eq!(volume_of(&world, "c"), (volume, "us-east-1a".to_owned()));
    assert_eq!((made(&world).len(), world.done("CreateVolume")), (1, 1));
    assert_eq!((selected(&world, "c"), looks(&world).len()), (json!("a"), 1));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_54_without_a_volume_another_node_is_asked_for_and_makes_it_there() {
    let world = world(Ec2Options::default()).await;
    create_claim(&world, "c", "late", &Value::Null);
    select(&world, "c", "a");
    remove_node(&world, "a");
    let _process = world.start(Faults::none()).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(selected(&world, "c"), Value::Null);
    select(&world, "c", "b");
    tokio::time::sleep(LONG).await;
    assert_eq!(volume_of(&world, "c").1, "us-east-1b");
    assert_eq!((made(&world).len(), looks(&world).len()), (1, 1));
}

/// What is another one when the next process begins.
fn changed(world: &World, what: &str) {
    if what == "class" {
        world.store().delete(STORAGE_CLASSES, "", "late", None).unwrap();
        class(
            world,
            "late",
            "WaitForFirstConsumer",
            &json!({ "type": "io2", "iops": "300" }),
        );
    } else {
        select(world, "c", "b");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_160_a_volume_that_was_asked_for_otherwise_is_adopted_where_it_is() {
    for what in ["node", "class"] {
        for lag in [0, 3] {
            let mut options = Ec2Options::default();
            options.lag.volume = Duration::from_secs(lag);
            options.lag.tag = Duration::from_secs(lag);
            let world = world(options).await;
            half_made(&world, &[]).await;
            changed(&world, what);
            let _process = world.start(Faults::none()).await;
            tokio::time::sleep(LONG).await;
            let what = format!("{what}, {lag} s: {:?}", world.events("c"));
            assert!(is_bound(&world, "c"), "{what}");
            let volume = made(&world).remove(0);
            assert_eq!(
                volume_of(&world, "c"),
                (volume, "us-east-1a".to_owned()),
                "{what}"
            );
            assert_eq!((made(&world).len(), world.done("CreateVolume")), (1, 1), "{what}");
            let warned = world
                .events("c")
                .iter()
                .any(|(reason, _)| reason == "ProvisioningFailed");
            assert_eq!(warned, lag > 0, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_160_a_volume_whose_token_is_forgotten_is_not_made_twice() {
    let world = world(Ec2Options::default()).await;
    create_claim(&world, "c", "late", &Value::Null);
    let name = name_of(&world, "c");
    // EC2 forgets tokens after a day, and with them which request a volume is of.
    let tags = [("CSIVolumeName", name.as_str())];
    let volume = world.ec2.create_volume_fixture("us-east-1b", 4, &tags).unwrap();
    select(&world, "c", "a");
    let _process = world.start(Faults::none()).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(volume_of(&world, "c"), (volume, "us-east-1b".to_owned()));
    assert_eq!(world.done("CreateVolume"), 0);
    world.store().delete(CLAIMS, "ns", "c", None).unwrap();
    tokio::time::sleep(LONG).await;
    assert!(made(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_161_a_volume_that_cannot_serve_is_left_as_it_is() {
    for (size, parameters) in [(3, json!({})), (4, json!({ "encrypted": "true" }))] {
        let world = world(Ec2Options::default()).await;
        class(&world, "other", "Immediate", &parameters);
        create_claim(&world, "c", "other", &Value::Null);
        let name = name_of(&world, "c");
        let tags = [("CSIVolumeName", name.as_str())];
        let other = world
            .ec2
            .create_volume_fixture("us-east-1a", size, &tags)
            .unwrap();
        let _process = world.start(Faults::none()).await;
        tokio::time::sleep(LONG).await;
        assert!(is_bound(&world, "c"), "{:?}", world.events("c"));
        let (volume, _) = volume_of(&world, "c");
        assert_ne!(volume, other);
        assert!(made(&world).contains(&other), "{parameters}");
        assert_eq!((world.done("CreateVolume"), world.done("DeleteVolume")), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_161_a_name_that_is_taken_by_what_cannot_serve_is_told() {
    let world = world(Ec2Options::default()).await;
    half_made(&world, &[]).await;
    world.store().delete(STORAGE_CLASSES, "", "late", None).unwrap();
    class(
        &world,
        "late",
        "WaitForFirstConsumer",
        &json!({ "encrypted": "true" }),
    );
    let _process = world.start(Faults::none()).await;
    tokio::time::sleep(LONG).await;
    let volume = made(&world).remove(0);
    let told = world.events("c");
    let is_named =
        |(reason, text): &(String, String)| reason == "ProvisioningFailed" && text.contains(&volume);
    assert!(told.iter().any(is_named), "{told:?}");
    assert_eq!((made(&world).len(), world.done("DeleteVolume")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_162_what_is_looked_for_costs_new_claims_nothing_and_old_ones_one_request() {
    /// As many as are worked on at a time, so that they ask at once.
    const MANY: usize = 100;
    let world = world(Ec2Options::default()).await;
    class(&world, "at-once", "Immediate", &json!({}));
    let claims = |world: &World, prefix: &str| {
        for number in 0..MANY {
            create_claim(world, &format!("{prefix}-{number}"), "at-once", &Value::Null);
        }
    };
    let are_there =
        |number: usize| move |world: &World| world.store().list(VOLUMES, None).len() == number + 1;
    claims(&world, "old");
    let batching = ["--driver.batching=true"];
    let process = world.start_with(Faults::none(), "replica", &batching).await;
    world.until("the old ones have volumes", are_there(MANY)).await;
    assert_eq!((looks(&world).len(), world.done("CreateVolume")), (1, MANY));
    claims(&world, "new");
    world
        .until("the new ones have volumes", are_there(2 * MANY))
        .await;
    assert_eq!((looks(&world).len(), world.done("CreateVolume")), (1, 2 * MANY));
    // Who leads next asks about what still waits, which is nothing.
    drop(process);
    let _process = world.start_with(Faults::none(), "replica", &batching).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(looks(&world).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_162_a_driver_of_another_process_is_asked_nothing() {
    let world = world(Ec2Options::default()).await;
    create_claim(&world, "c", "late", &Value::Null);
    select(&world, "c", "a");
    let mut fleet = Fleet::start(&world, Form::Each, |_| Faults::none()).await;
    fleet
        .until("the claim is bound", |world| is_bound(world, "c"))
        .await;
    assert!(looks(&world).is_empty());
}

/// Makes a claim with a volume and takes it away, dying at the call of this number; then the nodes are other ones. Answers how
/// many calls were made.
async fn walk(number: u64, fault: Fault) -> usize {
    let world = world(Ec2Options::default()).await;
    let faults = Faults::new(sandbox::faults::At { number, fault });
    let mut fleet = Fleet::start(&world, Form::One, |_| faults.clone()).await;
    create_claim(&world, "c", "late", &Value::Null);
    select(&world, "c", "a");
    for _ in 0..100 {
        if faults.has_crashed() || is_bound(&world, "c") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if !is_bound(&world, "c") {
        remove_node(&world, "a");
        if world.claim("c").unwrap()["metadata"]["annotations"]
            .get(SELECTED)
            .is_some()
        {
            select(&world, "c", "b");
        }
    }
    let calls = faults.calls().len();
    fleet
        .until("the claim is bound", |world| is_bound(world, "c"))
        .await;
    tokio::time::sleep(LONG).await;
    assert_eq!(made(&world).len(), 1, "{number}: one volume");
    world.store().delete(CLAIMS, "ns", "c", None).unwrap();
    fleet
        .until("nothing is left", |world| made(world).is_empty())
        .await;
    calls
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_160_a_crash_at_any_call_before_another_zone_is_chosen_makes_one_volume() {
    let calls = walk(u64::MAX, Fault::None).await as u64;
    assert!(calls > 30, "{calls}");
    for number in 1..=calls {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            walk(number, fault).await;
        }
    }
}
