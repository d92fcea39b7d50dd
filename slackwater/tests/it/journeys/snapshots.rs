//! Snapshots as people and backup programs take, watch and delete them.

use std::time::Duration;

use controller::testing::resources::STORAGE_CLASSES;
use sandbox::ec2::{Ec2Options, Fault, When};
use sandbox::faults::Faults;
use serde_json::{Value, json};

use super::{at_work, claim, cluster, content_of, now, pod, seconds, told};
use crate::quotas::{self, OF_SNAPSHOTS};
use crate::world::{CLAIMS, CLASSES, CONTENTS, SNAPSHOTS, World};

/// A VolumeSnapshot of the claim that names no class.
fn without_class(world: &World, name: &str, claim: &str) {
    let snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": { "name": name, "namespace": "ns" },
        "spec": { "source": { "persistentVolumeClaimName": claim } },
    });
    world.store().create(SNAPSHOTS, snapshot).unwrap();
}

fn change(world: &World, class: &str, is_default: &str) {
    let mark = |object: &mut Value| {
        object["metadata"]["annotations"]["snapshot.storage.kubernetes.io/is-default-class"] =
            json!(is_default);
    };
    world.store().update(CLASSES, "", class, mark).unwrap();
}

#[tokio::test(start_paused = true)]
async fn journeys_case_11_a_snapshot_that_takes_long_costs_nothing_while_it_does() {
    let mut options = Ec2Options::default();
    options.timing.snapshot = Duration::from_secs(20 * 60);
    let world = World::new(3, options).await;
    let _process = world.start(Faults::none()).await;
    world.create_snapshot("s", "p", "delete");
    seconds(60).await;
    let begun = now(&world);
    seconds(19 * 60).await;
    let spent: Vec<_> = world
        .api
        .audit_since(begun)
        .into_iter()
        .filter(|request| {
            request.resource.starts_with("volumesnapshot") && !matches!(request.verb, "list" | "watch")
        })
        .map(|request| (request.verb, request.resource))
        .collect();
    assert_eq!(spent, [], "requests while EC2 works");
    assert!(!world.is_ready("s"));
    // 20 minutes and a second have passed since EC2 began at the latest.
    seconds(60).await;
    assert!(world.is_ready("s"), "a minute after its completion");
}

#[tokio::test(start_paused = true)]
async fn journeys_case_17_an_import_of_what_ec2_does_not_have_is_told_on_both() {
    let world = World::new(3, Ec2Options::default()).await;
    let _process = world.start(Faults::none()).await;
    seconds(30).await;
    world.import_snapshot("s", "snap-00000000000000000", "Retain");
    seconds(10).await;
    let error = |object: &Value| object["status"]["error"]["message"].as_str().map(str::to_owned);
    let content = world.contents().remove(0);
    let text = error(&content).unwrap();
    assert!(text.contains("snap-00000000000000000"), "{text}");
    assert_eq!(error(&world.snapshot("s").unwrap()), Some(text));
    for about in ["s", "content-s"] {
        assert!(
            world
                .events(about)
                .iter()
                .any(|(_, message)| message.contains("snap-00000000000000000")),
            "{about}: {:?}",
            world.events(about)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn journeys_case_19_a_content_that_is_meant_for_another_namespace_is_named_with_both() {
    let world = World::new(3, Ec2Options::default()).await;
    let _process = world.start(Faults::none()).await;
    let handle = world.ec2.create_snapshot_fixture(&world.volume, &[]).unwrap();
    world.import_snapshot("s", &handle, "Retain");
    let elsewhere = json!({ "metadata": { "name": "other" } });
    let namespaces = sandbox::kube::GroupResource::new("", "namespaces");
    world.store().create(namespaces, elsewhere).unwrap();
    world
        .until("the import is ready", |world| world.is_ready("s"))
        .await;
    let snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": { "name": "thief", "namespace": "other" },
        "spec": { "source": { "volumeSnapshotContentName": "content-s" } },
    });
    world.store().create(SNAPSHOTS, snapshot).unwrap();
    let says = |world: &World| {
        told(
            world,
            "thief",
            "SnapshotContentMisbound",
            &["ns/s", "other/thief"],
        )
    };
    world.until("both namespaces are named", says).await;
}

#[tokio::test(start_paused = true)]
async fn journeys_case_20_and_21_a_retained_snapshot_stays_until_its_content_says_otherwise() {
    for is_changed in [false, true] {
        let world = World::new(3, Ec2Options::default()).await;
        let _process = world.start(Faults::none()).await;
        world.create_snapshot("s", "p", "retain");
        world.until("ready", |world| world.is_ready("s")).await;
        let content = content_of(&world, "s").unwrap()["metadata"]["name"].clone();
        let content = content.as_str().unwrap();
        world.delete_snapshot("s");
        world
            .until("the snapshot is gone", |world| world.snapshot("s").is_none())
            .await;
        if is_changed {
            let delete = |content: &mut Value| content["spec"]["deletionPolicy"] = json!("Delete");
            world.store().update(CONTENTS, "", content, delete).unwrap();
        }
        seconds(60).await;
        world.store().delete(CONTENTS, "", content, None).unwrap();
        world
            .until("the content is gone", |world| world.contents().is_empty())
            .await;
        assert_eq!(world.ec2_snapshots().is_empty(), is_changed);
        assert_eq!(world.ec2.count("DeleteSnapshot"), u64::from(is_changed));
    }
}

#[tokio::test(start_paused = true)]
async fn journeys_case_22_a_backup_program_sees_the_handle_at_once_and_no_error_of_before() {
    let world = World::new(3, Ec2Options::default()).await;
    // More than the driver itself tries.
    let throttled = Fault::error("RequestLimitExceeded");
    world.ec2.inject("CreateSnapshot", When::Times(20), throttled);
    let _process = world.start(Faults::none()).await;
    world.create_snapshot("s", "p", "delete");
    let has_handle = |world: &World| {
        let content = content_of(world, "s");
        content.is_some_and(|content| content["status"]["snapshotHandle"].is_string())
    };
    world.until("the content has its handle", has_handle).await;
    let content = content_of(&world, "s").unwrap();
    assert_eq!(content["status"]["readyToUse"], false);
    assert!(content["status"]["error"].is_null(), "{content}");
    assert!(!world.is_ready("s"));
    world.until("ready", |world| world.is_ready("s")).await;
}

#[tokio::test(start_paused = true)]
async fn journeys_case_23_a_snapshot_that_is_deleted_while_it_is_begun_leaves_nothing() {
    let world = World::new(3, Ec2Options::default()).await;
    let late = Fault::Delay(Duration::from_secs(5));
    world.ec2.inject("CreateSnapshot", When::Next, late);
    let _process = world.start(Faults::none()).await;
    world.create_snapshot("s", "p", "delete");
    world
        .until("EC2 is asked", |world| world.ec2.count("CreateSnapshot") == 1)
        .await;
    world.delete_snapshot("s");
    let is_gone = |world: &World| world.snapshot("s").is_none() && world.contents().is_empty();
    world.until("the objects are gone", is_gone).await;
    seconds(60).await;
    assert!(world.ec2_snapshots().is_empty());
    assert_eq!(world.ec2.count("DeleteSnapshot"), 1);
}

#[tokio::test(start_paused = true)]
async fn journeys_case_25_and_26_two_default_classes_are_named_and_one_is_enough() {
    let world = World::new(3, Ec2Options::default()).await;
    let _process = world.start(Faults::none()).await;
    for class in ["delete", "retain"] {
        change(&world, class, "true");
    }
    without_class(&world, "s", "p");
    let says = |world: &World| told(world, "s", "SetDefaultSnapshotClassFailed", &["delete", "retain"]);
    world.until("both are named", says).await;
    assert!(world.contents().is_empty());
    change(&world, "retain", "false");
    world.until("ready", |world| world.is_ready("s")).await;
    let class = &world.snapshot("s").unwrap()["spec"]["volumeSnapshotClassName"];
    assert_eq!(class, "delete");
}

#[tokio::test(start_paused = true)]
async fn journeys_case_27_a_claim_that_is_bound_later_is_cut_at_once() {
    let (world, _process) = cluster().await;
    claim(&world, "data", "late", "4Gi", &Value::Null);
    world.create_snapshot("s", "data", "delete");
    seconds(600).await;
    assert!(world.contents().is_empty());
    pod(&world, "data", false);
    world
        .until("the claim is bound", |world| {
            super::phase(world, "data") == "Bound"
        })
        .await;
    seconds(2).await;
    assert_eq!(world.contents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn journeys_case_28_a_claim_that_goes_is_told_once_and_holds_nothing_up() {
    let (world, _process) = cluster().await;
    at_work(&world, "data", "4Gi", &Value::Null).await;
    // Its pod holds the claim.
    world.store().delete(CLAIMS, "ns", "data", None).unwrap();
    seconds(10).await;
    world.create_snapshot("s", "data", "delete");
    seconds(120).await;
    let events = world.events("s");
    let told = events.iter().filter(|(_, message)| message.contains("deleted"));
    assert_eq!(told.count(), 1, "{events:?}");
    let begun = now(&world);
    seconds(120).await;
    let looked = world.api.audit_since(begun).into_iter();
    let looked = looked.filter(|request| request.resource == "volumesnapshots" && request.verb == "patch");
    assert!(looked.count() <= 2);
    world.delete_snapshot("s");
    seconds(1).await;
    assert!(world.snapshot("s").is_none());
}

#[tokio::test(start_paused = true)]
async fn journeys_case_29_a_volume_of_the_in_tree_plugin_is_cut_as_any_other() {
    let world = World::new(11, Ec2Options::default()).await;
    let handle = world.ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    world.add_in_tree_claim("old", &handle);
    let _process = world.start(Faults::none()).await;
    world.create_snapshot("s", "old", "delete");
    world.until("ready", |world| world.is_ready("s")).await;
    let content = content_of(&world, "s").unwrap();
    assert_eq!(content["spec"]["source"], json!({ "volumeHandle": handle }));
    assert_eq!(world.ec2_snapshots()[0].volume_id, handle);
}

#[tokio::test(start_paused = true)]
async fn journeys_case_30_a_broken_snapshot_does_not_keep_the_claim() {
    let (world, _process) = cluster().await;
    at_work(&world, "data", "4Gi", &Value::Null).await;
    world.create_snapshot("broken", "data", "no-such-class");
    world.create_snapshot("good", "data", "delete");
    world.until("one is ready", |world| world.is_ready("good")).await;
    let pods = controller::testing::resources::PODS;
    world.store().delete(pods, "ns", "data", None).unwrap();
    world.store().delete(CLAIMS, "ns", "data", None).unwrap();
    world
        .until("the claim is gone", |world| world.claim("data").is_none())
        .await;
    assert!(world.snapshot("broken").is_some() && world.is_ready("good"));
    assert!(world.store().get(STORAGE_CLASSES, "", "late").is_some());
}

#[tokio::test(start_paused = true)]
async fn journeys_case_32_definitions_of_groups_that_come_later_are_noticed() {
    let world = World::new(7, Ec2Options::default()).await;
    let _process = world.start(Faults::none()).await;
    world.create_snapshot("s", "p", "delete");
    world.until("ready", |world| world.is_ready("s")).await;
    crate::groups::furnish(&world);
    crate::groups::take(&world);
    let ready = |world: &World| {
        let group = world
            .store()
            .get(controller::testing::resources::GROUPS, "ns", "nightly");
        group.is_some_and(|group| group.value()["status"]["readyToUse"] == true)
    };
    world.until("the group is ready", ready).await;
}

#[tokio::test(start_paused = true)]
async fn journeys_case_33_without_groups_the_first_snapshot_waits_for_nothing() {
    let world = World::new(7, Ec2Options::instant()).await;
    world.create_snapshot("s", "p", "delete");
    let _process = world.start(Faults::none()).await;
    seconds(5).await;
    assert!(world.is_ready("s"), "{:?}", world.snapshot("s"));
}

#[tokio::test(start_paused = true)]
async fn journeys_case_44_a_snapshot_beyond_the_quota_is_refused_and_nothing_is_made_of_it() {
    let world = World::new(13, Ec2Options::instant()).await;
    // Events were never counted, by the real API server either: what is told of a snapshot is told.
    let limits = json!({ OF_SNAPSHOTS: "2", "count/events": "0" });
    quotas::limit(&world, "ns", &limits).await;
    let _process = world.start(Faults::none()).await;
    for name in ["one", "two"] {
        world.create_snapshot(name, "p", "delete");
        world.until("ready", |world| world.is_ready(name)).await;
        assert!(!world.events(name).is_empty());
    }
    let third = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": { "name": "three", "namespace": "ns" },
        "spec": { "source": { "persistentVolumeClaimName": "p" }, "volumeSnapshotClassName": "delete" },
    });
    let refused = world.store().create(SNAPSHOTS, third.clone()).unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (403, "Forbidden"));
    let says = format!(
        "volumesnapshots.snapshot.storage.k8s.io \"three\" is forbidden: exceeded quota: limits, requested: \
         {OF_SNAPSHOTS}=1, used: {OF_SNAPSHOTS}=2, limited: {OF_SNAPSHOTS}=2"
    );
    assert_eq!(refused.to_string(), says);
    seconds(60).await;
    assert_eq!((world.contents().len(), world.ec2_snapshots().len()), (2, 2));
    // The place of one that goes is free.
    world.delete_snapshot("one");
    world
        .until("it is gone", |world| world.snapshot("one").is_none())
        .await;
    seconds(1).await;
    world.store().create(SNAPSHOTS, third).unwrap();
    world.until("ready", |world| world.is_ready("three")).await;
    assert_eq!(world.ec2_snapshots().len(), 2);
}
