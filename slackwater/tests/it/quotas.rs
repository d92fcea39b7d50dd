//! Objects that the suite itself makes in namespaces, where a quota refuses them.

use std::time::Duration;

use controller::testing::resources::QUOTAS;
use sandbox::ec2::Ec2Options;
use sandbox::faults::Faults;
use sandbox::kube::GroupResource;
use serde_json::{Value, json};

use crate::groups;
use crate::world::World;

/// The name by which VolumeSnapshots are counted.
pub const OF_SNAPSHOTS: &str = "count/volumesnapshots.snapshot.storage.k8s.io";
const OF_LEASES: &str = "count/leases.coordination.k8s.io";
const LEASES: GroupResource<'_> = GroupResource::new("coordination.k8s.io", "leases");
const ELECTED: [&str; 1] = ["--leader-election"];

/// Puts the quota `limits` into a namespace, or other limits into it, and waits until they hold.
pub async fn limit(world: &World, namespace: &str, hard: &Value) {
    let store = world.store();
    if store.get(QUOTAS, namespace, "limits").is_some() {
        let change = |quota: &mut Value| quota["spec"]["hard"] = hard.clone();
        store.update(QUOTAS, namespace, "limits", change).unwrap();
    } else {
        let metadata = json!({ "name": "limits", "namespace": namespace });
        let quota = json!({ "metadata": metadata, "spec": { "hard": hard } });
        store.create(QUOTAS, quota).unwrap();
    }
    let holds = |world: &World| {
        let quota = world.store().get(QUOTAS, namespace, "limits").unwrap();
        quota.value()["status"]["hard"] == *hard
    };
    world.until("the limits hold", holds).await;
}

#[tokio::test(start_paused = true)]
async fn leases_beyond_the_quota_are_waited_for() {
    let world = World::new(19, Ec2Options::instant()).await;
    limit(&world, "kube-system", &json!({ OF_LEASES: "0" })).await;
    let process = world.start_with(Faults::none(), "first", &ELECTED).await;
    world.create_snapshot("s", "p", "delete");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(world.store().list(LEASES, Some("kube-system")).is_empty());
    assert!(!process.is_gone() && world.contents().is_empty());
    let refused = world.api.audit().into_iter();
    let refused = refused.filter(|request| request.resource == "leases" && request.code == 403);
    // Each function once in each retry period (5 s), and more.
    let number = refused.count();
    assert!((10..300).contains(&number), "{number} tries in two minutes");
    limit(&world, "kube-system", &json!({ OF_LEASES: "20" })).await;
    world.until("ready", |world| world.is_ready("s")).await;
}

#[tokio::test(start_paused = true)]
async fn members_of_a_group_beyond_the_quota_are_told_and_made_when_there_is_room() {
    let world = groups::database(Ec2Options::instant()).await;
    limit(&world, "ns", &json!({ OF_SNAPSHOTS: "1" })).await;
    let _process = world.start(Faults::none()).await;
    groups::take(&world);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let events = world.events("nightly");
    let is_told = |(_, message): &(String, String)| message.contains("exceeded quota: limits, requested: ");
    assert!(events.iter().any(is_told), "{events:?}");
    assert!(!groups::is_ready(&world));
    limit(&world, "ns", &json!({ OF_SNAPSHOTS: "2" })).await;
    world.until("the group is ready", groups::is_ready).await;
    assert_eq!(world.ec2.count("CreateSnapshots"), 1);
}
