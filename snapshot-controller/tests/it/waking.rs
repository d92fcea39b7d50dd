//! Snapshots that wait are woken by what they wait for, in the sandbox.

use std::time::Duration;

use sandbox::kube::Denial;
use serde_json::json;

use crate::scene::CLAIM_SOURCE;
use crate::world::{CLAIMS, CLASSES, CONTENTS, SNAPSHOTS, Sidecar, USER, World, class, seconds, snapshot};

#[tokio::test(start_paused = true)]
async fn snapshot_case_34_a_class_that_comes_late_is_noticed_at_once() {
    let world = World::new().await;
    let _process = world.start();
    world.create(SNAPSHOTS, snapshot("s", "p", Some("late")));
    seconds(30).await;
    assert_eq!(world.reasons(), ["GetSnapshotClassFailed x1"]);
    assert!(world.contents().is_empty());
    world.create(CLASSES, class("late", "Delete"));
    seconds(2).await;
    assert_eq!(world.snapshot("s")["status"]["readyToUse"], true);
    assert!(world.snapshot("s")["status"]["error"].is_null());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_36_38_the_default_class_is_chosen_when_there_is_only_one() {
    let world = World::new().await;
    let default = |name: &str| {
        let mut class = class(name, "Delete");
        class["metadata"]["annotations"] = json!({"snapshot.storage.kubernetes.io/is-default-class": "true"});
        class
    };
    world.create(CLASSES, default("a"));
    world.create(CLASSES, default("b"));
    let _process = world.start();
    world.create(SNAPSHOTS, snapshot("s", "p", None));
    seconds(5).await;
    assert_eq!(world.reasons(), ["SetDefaultSnapshotClassFailed x1"]);
    world.delete(CLASSES, "", "b");
    seconds(2).await;
    assert_eq!(world.snapshot("s")["spec"]["volumeSnapshotClassName"], "a");
    assert_eq!(world.snapshot("s")["status"]["readyToUse"], true);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_39_40_a_claim_that_comes_or_is_bound_late_is_noticed_at_once() {
    let world = World::new().await;
    let _process = world.start();
    world.create(SNAPSHOTS, snapshot("s", "q", Some("k")));
    seconds(30).await;
    assert_eq!(world.reasons(), ["SnapshotContentCreationFailed x1"]);
    world.create_volume("q", "pv-q");
    seconds(2).await;
    assert_eq!(world.snapshot("s")["status"]["readyToUse"], true);
    assert_eq!(world.contents()[0]["spec"]["source"]["volumeHandle"], "vol-pv-q");
}

/// The error stands on the content before the mark of the call is off.
#[tokio::test(start_paused = true)]
async fn snapshot_case_165_a_claim_that_goes_is_let_go_once_the_driver_has_refused() {
    let mark = "snapshot.storage.kubernetes.io/volumesnapshot-being-created";
    let world = World::without_sidecar(Sidecar::default());
    let _process = world.start();
    seconds(2).await;
    world.create_snapshot("s");
    seconds(2).await;
    let name = world.contents()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    world.change(CONTENTS, "", &name, |content| {
        content["metadata"]["annotations"][mark] = json!("yes");
    });
    world.delete(CLAIMS, "default", "p");
    world.change_status(
        CONTENTS,
        "",
        &name,
        &json!({"readyToUse": false, "error": {"message": "no"}}),
    );
    seconds(5).await;
    assert_eq!(world.snapshot("s")["status"]["error"]["message"], "no");
    assert!(world.get(CLAIMS, "default", "p").is_some(), "a call runs");
    world.change(CONTENTS, "", &name, |content| {
        content["metadata"]["annotations"]
            .as_object_mut()
            .unwrap()
            .remove(mark);
    });
    seconds(2).await;
    assert!(world.get(CLAIMS, "default", "p").is_none());
}

/// The claim is deleted before the POST is refused, and after.
#[tokio::test(start_paused = true)]
async fn snapshot_case_173_a_claim_that_goes_is_let_go_once_the_content_is_refused() {
    for is_going_first in [false, true] {
        let world = World::new().await;
        world.api.deny(USER, Denial::of("create", CONTENTS));
        world.create_snapshot("s");
        if is_going_first {
            // Held by what an earlier process has begun.
            world.change(CLAIMS, "default", "p", |claim| {
                claim["metadata"]["finalizers"] = json!([CLAIM_SOURCE]);
            });
            world.delete(CLAIMS, "default", "p");
        }
        let _process = world.start();
        seconds(5).await;
        if !is_going_first {
            let held = world.claim_finalizers();
            assert!(held.as_array().unwrap().contains(&json!(CLAIM_SOURCE)), "{held}");
            world.delete(CLAIMS, "default", "p");
            seconds(2).await;
        }
        assert!(world.get(CLAIMS, "default", "p").is_none(), "{is_going_first}");
        world.delete(SNAPSHOTS, "default", "s");
        seconds(5).await;
        assert!(world.snapshot("s").is_null());
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_153_a_snapshot_of_a_claim_that_goes_can_be_deleted_and_so_can_the_claim() {
    let world = World::new().await;
    // A pod uses the claim, so that it stays while it is being deleted.
    world.change(CLAIMS, "default", "p", |claim| {
        claim["metadata"]["finalizers"] = json!(["example.com/in-use"]);
    });
    let _process = world.start();
    world.delete(CLAIMS, "default", "p");
    world.create_snapshot("s");
    seconds(30).await;
    let refused = &world.snapshot("s")["status"]["error"]["message"];
    assert!(
        refused
            .as_str()
            .is_some_and(|text| text.contains("being deleted")),
        "{refused}"
    );
    assert!(world.contents().is_empty());
    // While the claim is on its way and once it is gone.
    world.create(SNAPSHOTS, snapshot("t", "p", Some("k")));
    world.delete(SNAPSHOTS, "default", "s");
    seconds(5).await;
    assert!(world.snapshot("s").is_null());
    world.change(CLAIMS, "default", "p", |claim| {
        let ours = claim["metadata"]["finalizers"].as_array_mut().unwrap();
        ours.retain(|one| one != "example.com/in-use");
    });
    seconds(5).await;
    assert!(
        world.get(CLAIMS, "default", "p").is_none(),
        "nothing of ours holds it"
    );
    world.delete(SNAPSHOTS, "default", "t");
    seconds(5).await;
    assert!(world.snapshot("t").is_null());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_47_49_the_claim_goes_when_its_snapshots_are_ready_or_gone() {
    let world = World::with_sidecar(Sidecar {
        ready_after: Some(Duration::from_secs(3600)),
        ..Sidecar::default()
    })
    .await;
    let _process = world.start();
    for number in 0..8 {
        world.create_snapshot(&format!("s{number}"));
    }
    seconds(5).await;
    world.delete(CLAIMS, "default", "p");
    seconds(5).await;
    assert!(world.get(CLAIMS, "default", "p").is_some());
    for number in 0..8 {
        world.delete(SNAPSHOTS, "default", &format!("s{number}"));
    }
    seconds(5).await;
    assert!(world.get(CLAIMS, "default", "p").is_none());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_67_a_deletion_waits_for_the_claim_that_is_being_filled() {
    let world = World::new().await;
    let _process = world.start();
    world.create_snapshot("s");
    seconds(2).await;
    world.create(
        CLAIMS,
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "restored", "namespace": "default"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
                "resources": {"requests": {"storage": "1Gi"}},
                "dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}},
        }),
    );
    seconds(1).await;
    world.delete(SNAPSHOTS, "default", "s");
    seconds(200).await;
    assert_eq!(world.contents().len(), 1);
    assert!(
        world
            .reasons()
            .iter()
            .any(|reason| reason.starts_with("SnapshotDeletePending"))
    );
    world
        .person
        .update_status(CLAIMS, "default", "restored", |claim| {
            claim["status"]["phase"] = json!("Bound")
        })
        .unwrap();
    seconds(2).await;
    assert!(world.snapshot("s").is_null(), "{}", world.snapshot("s"));
}
