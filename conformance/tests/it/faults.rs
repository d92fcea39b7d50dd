//! Layer 6: faults on the real thing. Whatever happens, all work resumes, and nothing is lost or doubled.

use std::time::{Duration, Instant};

use conformance::{Patch, Process, Record, until};
use serde_json::json;

use crate::expansion::{self, Growable};
use crate::journey::{self, CONTENTS, FUNCTIONS, LEASES, OURS, SNAPSHOTS, Stage};
use crate::processes::terminate;
use crate::shared::{self, Guard, PATIENCE};

const LAYER: &str = "6 faults";
const COUNT: usize = 8;
const EXPANSIONS: usize = 3;
const GIB: u32 = 12;
/// Places in the list of processes.
const SNAPSHOT_CONTROLLER: usize = 0;
const DRIVER: usize = 3;
/// Short, so that the tests are; but nobody loses a lease while the API server starts on a busy machine.
const FLAGS: [&str; 4] = [
    "--retry-interval-start=200ms",
    "--retry-interval-max=2s",
    "--leader-election-lease-duration=60s",
    "--leader-election-renew-deadline=50s",
];

/// Running processes, with work.
struct Scene {
    stage: Stage,
    processes: Vec<Process>,
    growable: Vec<Growable>,
}

impl Scene {
    async fn new(plane: &Guard, name: &str) -> Option<Self> {
        let stage = Stage::new(plane, LAYER, name, OURS).await?;
        stage.class().await;
        let mut growable = stage.growable(COUNT).await;
        growable.truncate(EXPANSIONS);
        let processes = vec![
            stage.snapshot_controller(&FLAGS),
            stage.csi_snapshotter(&FLAGS),
            stage.csi_resizer(&FLAGS),
            stage.driver(),
        ];
        for lease in LEASES {
            stage.has_leader(lease).await;
        }
        Some(Self {
            stage,
            processes,
            growable,
        })
    }

    /// Snapshots and expansions, of which some have reached EC2.
    async fn at_work(&self) {
        self.stage.snapshots(0..COUNT).await;
        self.stage.grow(&self.growable, GIB).await;
        self.some_in_ec2().await;
    }

    async fn some_in_ec2(&self) {
        until("EC2 is at work", PATIENCE, async || {
            (!self.stage.snapshots_in_ec2().is_empty()).then_some(())
        })
        .await
        .unwrap();
    }

    /// Kills the API server and starts it again. While it starts it knows no roles yet and denies everything.
    async fn restart(&mut self, plane: &mut Guard) {
        self.stage.nothing_denied();
        plane.kill_apiserver();
        plane.start_apiserver().await.unwrap();
        self.stage.begun = plane.audit().mark();
    }

    /// All is done, once, by the processes that were there from the beginning; then all goes away.
    async fn ends_well(mut self, plane: &Guard) {
        let stage = &self.stage;
        stage.all_ready(COUNT).await;
        stage.all_grown(&self.growable, GIB).await;
        stage.nothing_lost_or_doubled().await;
        stage.no_call_twice(COUNT, EXPANSIONS);
        for process in &mut self.processes {
            process.check().unwrap();
        }
        stage.clear(plane).await;
        stage.nothing_denied();
        terminate(self.processes).await;
    }
}

#[tokio::test]
async fn the_api_server_is_killed_and_comes_back() {
    let Some(mut plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(mut scene) = Scene::new(&plane, "killed").await else {
        return;
    };
    scene.at_work().await;
    scene.restart(&mut plane).await;
    scene.ends_well(&plane).await;
}

#[tokio::test]
async fn etcd_is_compacted_under_the_watches() {
    let Some(mut plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(mut scene) = Scene::new(&plane, "compacted").await else {
        return;
    };
    let stage = &scene.stage;
    stage.snapshots(0..COUNT / 2).await;
    stage.all_ready(COUNT / 2).await;
    // What the watches have seen last must be older than what is left.
    for number in 0..20 {
        let path = "/api/v1/namespaces/default/configmaps";
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": format!("old-{number}") } });
        stage.hand.create(path, &map).await.unwrap().ok(path).unwrap();
    }
    plane.compact().await.unwrap();
    let before = plane.audit().mark();
    scene.restart(&mut plane).await;
    let stage = &scene.stage;
    let begins_anew = |record: &Record| record.code == 410 || record.uri.contains("sendInitialEvents=true");
    for user in FUNCTIONS.map(|name| &stage.users[name].name) {
        until(&format!("{user} begins its watches anew"), PATIENCE, async || {
            let requests = plane.audit().since(before).unwrap();
            let mut own = requests.iter().filter(|record| record.user == *user);
            own.any(begins_anew).then_some(())
        })
        .await
        .unwrap();
    }
    stage.snapshots(COUNT / 2..COUNT).await;
    stage.grow(&scene.growable, GIB).await;
    scene.ends_well(&plane).await;
    plane.kubectl().ok(&["delete", "configmaps", "--all"]).unwrap();
}

#[tokio::test]
async fn the_lease_is_stolen() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(mut scene) = Scene::new(&plane, "stolen").await else {
        return;
    };
    scene.at_work().await;
    let path = journey::lease_path(scene.stage.roles, LEASES[0]);
    // A thief that never renews.
    let now = jiff::Timestamp::now();
    let theft = json!({ "spec": { "holderIdentity": "thief", "leaseDurationSeconds": 5,
        "renewTime": format!("{now:.6}"), "acquireTime": format!("{now:.6}") } });
    let answer = scene.stage.hand.patch(&path, Patch::Merge, &theft).await;
    answer.unwrap().ok(&path).unwrap();
    // Decision 2: who has lost its lease ends, and the kubelet starts it again.
    let thrown_out = &mut scene.processes[SNAPSHOT_CONTROLLER];
    let status = thrown_out.wait(Duration::from_secs(60)).await.unwrap();
    assert_eq!(status.code(), Some(1), "{}", thrown_out.log_tail());
    scene.processes[SNAPSHOT_CONTROLLER] = scene.stage.snapshot_controller(&FLAGS);
    scene.ends_well(&plane).await;
}

#[tokio::test]
async fn the_driver_is_away_for_a_minute() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(mut scene) = Scene::new(&plane, "driver-away").await else {
        return;
    };
    let stage = &scene.stage;
    stage.snapshots(0..COUNT / 2).await;
    scene.some_in_ec2().await;
    scene.processes[DRIVER].kill();
    let away = Instant::now();
    stage.snapshots(COUNT / 2..COUNT).await;
    stage.grow(&scene.growable, GIB).await;
    until("all contents wait for the driver", PATIENCE, async || {
        (stage.list(CONTENTS).await?.len() == COUNT).then_some(())
    })
    .await
    .unwrap();
    // Decision 3: after 30 s the sidecars leave their leases to others, who may have a driver; and stay.
    for lease in &LEASES[1..] {
        until(&format!("{lease} is given away"), PATIENCE, async || {
            stage.holder(lease).await?.is_empty().then_some(())
        })
        .await
        .unwrap();
    }
    tokio::time::sleep(Duration::from_secs(60).saturating_sub(away.elapsed())).await;
    scene.processes[DRIVER] = scene.stage.driver();
    scene.ends_well(&plane).await;
}

#[tokio::test]
async fn a_client_and_a_human_edit_the_same_objects() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(scene) = Scene::new(&plane, "edited").await else {
        return;
    };
    let stage = &scene.stage;
    stage.snapshots(0..COUNT).await;
    stage.grow(&scene.growable, GIB).await;
    let edited = until(
        "all snapshots are ready while others edit",
        PATIENCE,
        async || {
            for path in objects(stage).await {
                edit(stage, &path).await;
            }
            let snapshots = stage.list(SNAPSHOTS).await.unwrap();
            let ready = snapshots.iter().filter(|one| one["status"]["readyToUse"] == true);
            (ready.count() == COUNT).then_some(())
        },
    );
    let grown = stage.all_grown(&scene.growable, GIB);
    tokio::join!(async { edited.await.unwrap() }, grown);
    for path in objects(stage).await {
        let object = stage.hand.get(&path).await.unwrap().ok(&path).unwrap();
        assert_eq!(object["metadata"]["annotations"]["by"], "client", "{object}");
        assert!(object["metadata"]["labels"]["human"].is_string(), "{object}");
    }
    scene.ends_well(&plane).await;
}

/// All claims, volumes, snapshots and contents.
async fn objects(stage: &Stage) -> Vec<String> {
    let mut paths = Vec::new();
    for path in [expansion::CLAIMS, expansion::VOLUMES, SNAPSHOTS, CONTENTS] {
        let objects = stage.list(path).await.unwrap();
        let names = objects
            .iter()
            .filter_map(|object| object["metadata"]["name"].as_str());
        paths.extend(names.map(|name| format!("{path}/{name}")));
    }
    paths
}

/// A human labels the object, and a client that knows no patches writes back all that it has read.
async fn edit(stage: &Stage, path: &str) {
    let now = jiff::Timestamp::now().as_millisecond().to_string();
    let label = json!({ "metadata": { "labels": { "human": now } } });
    let answer = stage.hand.patch(path, Patch::Merge, &label).await.unwrap();
    answer.ok(path).unwrap();
    let mut object = stage.hand.get(path).await.unwrap().ok(path).unwrap();
    object["metadata"]["annotations"]["by"] = json!("client");
    object["metadata"]["annotations"]["at"] = json!(now);
    let answer = stage.hand.replace(path, &object).await.unwrap();
    // It loses where somebody else was faster; the next round comes.
    assert!(answer.status == 409 || answer.ok(path).is_ok(), "PUT {path}");
}
