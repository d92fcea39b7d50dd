//! What the whole controller sends for each operation, counted in the sandbox.

use std::time::Duration;

use sandbox::kube::Denial;
use serde_json::{Value, json};

use crate::scene::CLAIM_SOURCE;
use crate::world::{CLAIMS, CLASSES, CONTENTS, SNAPSHOTS, Sidecar, USER, World, class, seconds, snapshot};

const READY: &str = "patch volumesnapshots/status 200";

#[tokio::test(start_paused = true)]
async fn snapshot_case_19_20_a_snapshot_ready_at_once_is_six_requests_and_three_events() {
    let world = World::new().await;
    let _process = world.start();
    seconds(1).await;
    let before = world.mark();
    world.create_snapshot("s");
    seconds(2).await;
    assert_eq!(
        world.requests_since(before),
        [
            "patch volumesnapshots 200",
            "patch persistentvolumeclaims 200",
            "create volumesnapshotcontents 201",
            READY,
            READY,
            "patch persistentvolumeclaims 200",
        ]
    );
    assert_eq!(
        world.reasons(),
        ["CreatingSnapshot x1", "SnapshotCreated x1", "SnapshotReady x1"]
    );
    let status = &world.snapshot("s")["status"];
    assert_eq!(status["readyToUse"], true);
    assert_eq!(status["restoreSize"], "1Gi");
    assert_eq!(status["creationTime"], "2026-01-01T00:00:00Z");
    assert_eq!(world.claim_finalizers(), json!(["kubernetes.io/pvc-protection"]));
    let content = &world.contents()[0];
    assert_eq!(content["spec"]["source"]["volumeHandle"], "vol-pv");
    assert_eq!(content["spec"]["sourceVolumeMode"], "Filesystem");
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_20_under_upstreams_role_it_is_seven_with_one_get_and_none_denied() {
    let world = World::new().await;
    world.api.deny(USER, Denial::of("patch", CLAIMS));
    let _process = world.start();
    seconds(1).await;
    let before = world.mark();
    world.create_snapshot("s");
    seconds(2).await;
    assert_eq!(
        world.requests_since(before),
        [
            "patch volumesnapshots 200",
            "get persistentvolumeclaims 200",
            "update persistentvolumeclaims 200",
            "create volumesnapshotcontents 201",
            READY,
            READY,
            "update persistentvolumeclaims 200",
        ]
    );
    let claim = world.get(CLAIMS, "default", "p").unwrap();
    assert_eq!(
        claim["metadata"]["finalizers"],
        json!(["kubernetes.io/pvc-protection"])
    );
    assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteOnce"]));
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_26_ready_later_costs_one_status_write_more() {
    let world = World::with_sidecar(Sidecar {
        ready_after: Some(Duration::from_secs(60)),
        ..Sidecar::default()
    })
    .await;
    let _process = world.start();
    seconds(1).await;
    let before = world.mark();
    world.create_snapshot("s");
    seconds(5).await;
    assert_eq!(world.requests_since(before).len(), 5);
    assert!(
        world
            .claim_finalizers()
            .as_array()
            .unwrap()
            .contains(&json!(CLAIM_SOURCE))
    );
    seconds(70).await;
    assert_eq!(world.requests_since(before).len(), 7);
    assert_eq!(world.snapshot("s")["status"]["readyToUse"], true);
    assert_eq!(world.claim_finalizers(), json!(["kubernetes.io/pvc-protection"]));
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_58_59_deletion_is_three_requests_under_delete_and_two_under_retain() {
    for (policy, expected, deleted) in [
        (
            "Delete",
            &[
                "patch volumesnapshotcontents 200",
                "delete volumesnapshotcontents 200",
                "patch volumesnapshots 200",
            ][..],
            1,
        ),
        (
            "Retain",
            &["patch volumesnapshotcontents 200", "patch volumesnapshots 200"],
            0,
        ),
    ] {
        let world = World::new().await;
        world.create(CLASSES, class("mine", policy));
        let _process = world.start();
        world.create(SNAPSHOTS, snapshot("s", "p", Some("mine")));
        seconds(3).await;
        let before = world.mark();
        world.delete(SNAPSHOTS, "default", "s");
        seconds(3).await;
        assert_eq!(world.requests_since(before), expected, "{policy}");
        assert!(world.snapshot("s").is_null());
        assert_eq!(world.sidecar.deleted.lock().unwrap().len(), deleted);
        assert_eq!(world.contents().len(), 1 - deleted);
    }
}

fn import() -> [Value; 2] {
    [
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent", "metadata": {"name": "c"},
            "spec": {"deletionPolicy": "Delete", "driver": "d", "source": {"snapshotHandle": "snap"},
                "volumeSnapshotRef": {"name": "s", "namespace": "default"}},
        }),
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": "s", "namespace": "default"},
            "spec": {"source": {"volumeSnapshotContentName": "c"}, "volumeSnapshotClassName": "k"},
        }),
    ]
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_76_79_an_import_takes_at_most_four_requests_in_either_order() {
    for content_first in [true, false] {
        let world = World::new().await;
        let _process = world.start();
        seconds(1).await;
        let before = world.mark();
        let [content, snapshot] = import();
        if content_first {
            world.create(CONTENTS, content);
            world.create(SNAPSHOTS, snapshot);
        } else {
            world.create(SNAPSHOTS, snapshot);
            seconds(2).await;
            world.create(CONTENTS, content);
        }
        seconds(2).await;
        let requests = world.requests_since(before);
        assert!(requests.len() <= 4, "{requests:#?}");
        let status = &world.snapshot("s")["status"];
        assert_eq!(status["readyToUse"], true, "{status}");
        assert!(status["error"].is_null());
        assert_eq!(world.contents()[0]["spec"]["volumeSnapshotClassName"], "k");
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_89_90_many_snapshots_cost_nothing_at_a_restart_and_little_to_delete() {
    let world = World::new().await;
    let process = world.start();
    for number in 0..100 {
        world.create_snapshot(&format!("s{number}"));
    }
    seconds(30).await;
    process.kill().await;
    let before = world.mark();
    let process = world.start();
    seconds(1000).await;
    // It asks whether it may patch claims.
    assert_eq!(
        world.requests_since(before),
        ["create selfsubjectaccessreviews 201"]
    );
    assert_eq!(
        process.metric(
            "slackwater_volumesnapshots",
            &[("phase", "ready"), ("driver_name", "d")]
        ),
        100.0
    );
    let before = world.mark();
    for number in 0..100 {
        world.delete(SNAPSHOTS, "default", &format!("s{number}"));
    }
    seconds(30).await;
    assert!(world.contents().is_empty());
    assert!(world.person.list(SNAPSHOTS, None).is_empty());
    assert_eq!(world.requests_since(before).len(), 300);
}
