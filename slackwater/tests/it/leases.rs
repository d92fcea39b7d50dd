//! Leases: two replicas, a leader that dies, a lease that is stolen.

use std::collections::BTreeSet;
use std::time::Duration;

use prometheus::Registry;
use sandbox::ec2::Ec2Options;
use sandbox::faults::{At, Fault, Faults};
use sandbox::kube::{Denial, GroupResource};
use serde_json::json;
use slackwater::controller::Function;

use crate::world::{CONTENTS, World};

const LEASES: GroupResource<'_> = GroupResource::new("coordination.k8s.io", "leases");
const NAMES: [&str; 2] = [
    "snapshot-controller-leader",
    "external-snapshotter-leader-ebs-csi-aws-com",
];
const CONTROLLER: &str = "snapshot-controller";
const ELECTED: [&str; 1] = ["--leader-election"];

/// Streaming lists and plain ones.
fn lists_of_contents(world: &World) -> usize {
    let audit = world.api.audit();
    audit
        .iter()
        .filter(|request| request.resource == "volumesnapshotcontents")
        .filter(|request| matches!(request.verb, "list" | "watch"))
        .count()
}

fn holder(world: &World, lease: &str) -> String {
    let lease = world.store().get(LEASES, "kube-system", lease);
    lease
        .map(|lease| {
            lease.value()["spec"]["holderIdentity"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .unwrap_or_default()
}

/// How many calls a replica makes until it leads in every function.
async fn calls_until_led() -> u64 {
    let world = World::new(5, Ec2Options::default()).await;
    let process = world.start_with(Faults::none(), "first", &ELECTED).await;
    let leads = |world: &World| NAMES.iter().all(|lease| holder(world, lease) == "first");
    world.until("it leads", leads).await;
    process.faults.calls().len() as u64
}

#[tokio::test(start_paused = true)]
async fn the_second_replica_goes_on_where_the_first_one_died() {
    // The first replica dies at different calls while the snapshot is being made.
    let led = calls_until_led().await;
    for number in (led + 1..=led + 27).step_by(4) {
        let world = World::new(5, Ec2Options::default()).await;
        let dying = Faults::new(At {
            number,
            fault: Fault::CrashAfter,
        });
        let mut first = Some(world.start_with(dying, "first", &ELECTED).await);
        world
            .until("the first leads", |world| {
                NAMES.iter().all(|lease| holder(world, lease) == "first")
            })
            .await;
        let _second = world.start_with(Faults::none(), "second", &ELECTED).await;
        world.create_snapshot("s", "p", "delete");
        for _ in 0..2_000 {
            if first.as_ref().is_some_and(|first| first.is_gone()) {
                first = None;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        world.until("ready", |world| world.is_ready("s")).await;
        assert_eq!(world.ec2_snapshots().len(), 1, "the first died at call {number}");
        assert_eq!(
            world.ec2.count("CreateSnapshot"),
            1,
            "the first died at call {number}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_91_a_function_whose_lease_is_stolen_stops_and_competes_again() {
    let world = World::new(5, Ec2Options::instant()).await;
    let process = world.start_with(Faults::none(), "first", &ELECTED).await;
    for lease in NAMES {
        world
            .until("it leads", |world| holder(world, lease) == "first")
            .await;
        let steal = |lease: &mut serde_json::Value| lease["spec"]["holderIdentity"] = json!("thief");
        world.store().update(LEASES, "kube-system", lease, steal).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(12)).await;
    world.create_snapshot("s", "p", "delete");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        world.ec2.count("CreateSnapshot"),
        0,
        "nobody works without a lease"
    );
    assert!(world.snapshot("s").unwrap()["metadata"]["finalizers"].is_null());
    // The thief never renews: the leases run out, and the same process leads again, on new lists.
    let lists = lists_of_contents(&world);
    world.until("ready", |world| world.is_ready("s")).await;
    assert!(NAMES.iter().all(|lease| holder(&world, lease) == "first"));
    assert!(
        lists_of_contents(&world) > lists,
        "what others did meanwhile is listed"
    );
    assert!(
        !process.is_gone(),
        "a lost lease ends no process of several functions"
    );
}

/// How many operations of the snapshot-controller have begun and not ended.
fn in_flight(registry: &Registry) -> f64 {
    let families = registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == "snapshot_controller_operations_in_flight");
    family.unwrap().get_metric()[0].get_gauge().get_value()
}

#[tokio::test(start_paused = true)]
async fn a_lost_term_leaves_no_operation_in_flight() {
    let world = World::new(5, Ec2Options::instant()).await;
    let (scope, faults) = (world.scope.child(), Faults::none());
    let outside = world.outside(&Function::ALL, &faults, "first", &scope);
    let controller = Function::ALL
        .into_iter()
        .find(|function| function.name() == CONTROLLER);
    let metrics = outside.registries[&controller.unwrap()].clone();
    let _process = world
        .start_reaching(outside, &Function::ALL, faults, &ELECTED, scope)
        .await;
    world
        .until("it leads", |world| holder(world, NAMES[0]) == "first")
        .await;
    world.api.deny(CONTROLLER, Denial::of("create", CONTENTS));
    world.create_snapshot("s", "p", "delete");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        in_flight(&metrics),
        2.0,
        "its creation, and its creation until it is ready"
    );
    let steal = |lease: &mut serde_json::Value| lease["spec"]["holderIdentity"] = json!("thief");
    world
        .store()
        .update(LEASES, "kube-system", NAMES[0], steal)
        .unwrap();
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(in_flight(&metrics), 0.0, "another one works on it");
}

/// The caches are shared; who leads anew makes only those fresh that it reads itself.
#[tokio::test(start_paused = true)]
async fn a_new_term_of_one_function_lists_nothing_of_the_others() {
    let world = World::new(5, Ec2Options::instant()).await;
    let _process = world.start_with(Faults::none(), "first", &ELECTED).await;
    for lease in NAMES {
        world
            .until("it leads", |world| holder(world, lease) == "first")
            .await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = world.api.audit().len();
    let steal = |lease: &mut serde_json::Value| lease["spec"]["holderIdentity"] = json!("thief");
    world
        .store()
        .update(LEASES, "kube-system", NAMES[1], steal)
        .unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(holder(&world, NAMES[1]), "thief");
    world
        .until("it leads again", |world| holder(world, NAMES[1]) == "first")
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let audit = world.api.audit().split_off(before);
    let listed: BTreeSet<String> = audit
        .into_iter()
        .filter(|request| matches!(request.verb, "list" | "watch"))
        .filter(|request| request.resource != "leases")
        .map(|request| request.resource)
        .collect();
    // That of the groups asks whether there are any.
    let read = [
        "volumegroupsnapshotcontents",
        "volumesnapshotclasses",
        "volumesnapshotcontents",
    ]
    .map(str::to_owned);
    assert_eq!(listed, BTreeSet::from(read));
}
