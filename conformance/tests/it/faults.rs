//! Layer 6: faults on the real thing. Whatever happens, all work resumes, and nothing is lost or doubled.

use std::time::Duration;

use conformance::{Patch, Process, until};
use serde_json::json;

use crate::journey::{CONTENTS, OURS, SNAPSHOTS, Stage};
use crate::shared::{self, Guard, PATIENCE};

const LAYER: &str = "6 faults";
const COUNT: usize = 8;
const LEASE: &str = "snapshot-controller-leader";

/// A stage with its claim and running processes: snapshot-controller, csi-snapshotter, driver.
async fn begun(plane: &Guard, name: &str) -> Option<(Stage, [Process; 3])> {
    let stage = Stage::new(plane, LAYER, name, OURS).await?;
    stage.claim(plane).await;
    let retries = ["--retry-interval-start=200ms", "--retry-interval-max=2s"];
    let processes = [
        stage.snapshot_controller(&retries),
        stage.csi_snapshotter(&retries),
        stage.driver(),
    ];
    Some((stage, processes))
}

async fn some_in_ec2(stage: &Stage) {
    until("EC2 is at work", PATIENCE, async || {
        (!stage.ec2.state().unwrap().snapshots.is_empty()).then_some(())
    })
    .await
    .unwrap();
}

/// All is ready, once, by the processes that were there from the beginning; then all goes away.
async fn ends_well(stage: &Stage, plane: &Guard, processes: &mut [Process], count: usize) {
    stage.all_ready(count).await;
    stage.nothing_lost_or_doubled().await;
    for process in processes {
        process.check().unwrap();
    }
    stage.clear(plane).await;
    stage.nothing_denied(plane);
}

#[tokio::test]
async fn the_api_server_is_killed_and_comes_back() {
    let Some(mut plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some((stage, mut processes)) = begun(&plane, "killed").await else {
        return;
    };
    stage.snapshots(COUNT).await;
    some_in_ec2(&stage).await;
    plane.kill_apiserver();
    plane.start_apiserver().await.unwrap();
    ends_well(&stage, &plane, &mut processes, COUNT).await;
}

#[tokio::test]
async fn etcd_is_compacted_under_the_watches() {
    let Some(mut plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some((stage, mut processes)) = begun(&plane, "compacted").await else {
        return;
    };
    stage.snapshots(COUNT / 2).await;
    stage.all_ready(COUNT / 2).await;
    // What the watches have seen last must be older than what is left.
    for number in 0..20 {
        let path = "/api/v1/namespaces/default/configmaps";
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": format!("old-{number}") } });
        stage.hand.create(path, &map).await.unwrap().ok(path).unwrap();
    }
    plane.compact().await.unwrap();
    plane.kill_apiserver();
    let before = plane.audit().mark();
    plane.start_apiserver().await.unwrap();
    until("a watch of ours is too old", PATIENCE, async || {
        let requests = plane.audit().since(before).unwrap();
        let too_old = requests.iter().any(|record| {
            stage.users.values().any(|user| user.name == record.user)
                && (record.code == 410 || record.verb == "list")
        });
        too_old.then_some(())
    })
    .await
    .unwrap();
    for number in COUNT / 2..COUNT {
        stage.snapshot(&format!("s-{number}")).await;
    }
    ends_well(&stage, &plane, &mut processes, COUNT).await;
    plane.kubectl().ok(&["delete", "configmaps", "--all"]).unwrap();
}

#[tokio::test]
async fn the_lease_is_stolen() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some((stage, mut processes)) = begun(&plane, "stolen").await else {
        return;
    };
    stage.snapshots(COUNT).await;
    some_in_ec2(&stage).await;
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{LEASE}",
        stage.roles.namespace
    );
    // A thief that never renews.
    let now = jiff::Timestamp::now();
    let theft = json!({ "spec": { "holderIdentity": "thief", "leaseDurationSeconds": 5,
        "renewTime": format!("{now:.6}"), "acquireTime": format!("{now:.6}") } });
    stage
        .hand
        .patch(&path, Patch::Merge, &theft)
        .await
        .unwrap()
        .ok(&path)
        .unwrap();
    // Decision 2: who has lost its lease ends, and the kubelet starts it again.
    let status = processes[0].wait(Duration::from_secs(60)).await.unwrap();
    assert_eq!(status.code(), Some(1), "{}", processes[0].log_tail());
    processes[0] = stage.snapshot_controller(&[]);
    ends_well(&stage, &plane, &mut processes, COUNT).await;
}

#[tokio::test]
async fn the_driver_is_away_for_a_while() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some((stage, mut processes)) = begun(&plane, "driver-away").await else {
        return;
    };
    stage.snapshots(COUNT / 2).await;
    some_in_ec2(&stage).await;
    processes[2].kill();
    for number in COUNT / 2..COUNT {
        stage.snapshot(&format!("s-{number}")).await;
    }
    until("all contents wait for the driver", PATIENCE, async || {
        (stage.list(CONTENTS).await?.len() == COUNT).then_some(())
    })
    .await
    .unwrap();
    // Long enough that calls fail, short of the 30 s after which a leader without a driver gives its lease away.
    tokio::time::sleep(Duration::from_secs(8)).await;
    processes[2] = stage.driver();
    ends_well(&stage, &plane, &mut processes, COUNT).await;
}

#[tokio::test]
async fn a_client_and_a_human_edit_the_same_objects() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some((stage, mut processes)) = begun(&plane, "edited").await else {
        return;
    };
    stage.snapshots(COUNT).await;
    let mut edits = 0;
    until("all snapshots are ready while others edit", PATIENCE, async || {
        let claim = "/api/v1/namespaces/default/persistentvolumeclaims/ebs-claim".to_owned();
        let mut paths = vec![claim];
        let snapshots = stage.list(SNAPSHOTS).await.unwrap();
        for (path, objects) in [(SNAPSHOTS, &snapshots), (CONTENTS, &stage.list(CONTENTS).await.unwrap())] {
            let names = objects.iter().filter_map(|object| object["metadata"]["name"].as_str());
            paths.extend(names.map(|name| format!("{path}/{name}")));
        }
        for path in paths {
            edits += 1;
            let edit = json!({ "metadata": { "labels": { "edit": format!("{edits}") }, "annotations": { "by": "hand" } } });
            stage.hand.patch(&path, Patch::Merge, &edit).await.unwrap();
        }
        let ready = snapshots.iter().filter(|one| one["status"]["readyToUse"] == true);
        (ready.count() == COUNT).then_some(())
    })
    .await
    .unwrap();
    for path in [SNAPSHOTS, CONTENTS] {
        for object in stage.list(path).await.unwrap() {
            assert_eq!(object["metadata"]["annotations"]["by"], "hand", "{object}");
        }
    }
    ends_well(&stage, &plane, &mut processes, COUNT).await;
}
