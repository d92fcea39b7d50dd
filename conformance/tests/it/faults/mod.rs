//! Layer 6: faults on the real thing. Whatever happens, all work resumes, and nothing is lost or doubled.

mod proxy;

use std::time::{Duration, Instant};

use conformance::{Mark, Patch, Process, Record, until};
use serde_json::json;

use self::proxy::Proxy;
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
const DRIVER: usize = 5;
/// Short, so that the tests are; but nobody loses a lease while the API server starts on a busy machine.
const FLAGS: [&str; 5] = [
    "--retry-interval-start=200ms",
    "--retry-interval-max=2s",
    "--leader-election-lease-duration=60s",
    "--leader-election-renew-deadline=50s",
    // A connection that went mute is given up after 45 s, counted from what was heard last; a lease from its last renewal.
    "--leader-election-retry-period=1s",
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
        Some(Self::on(stage).await)
    }

    async fn on(stage: Stage) -> Self {
        stage.class().await;
        let mut growable = stage.growable(COUNT).await;
        growable.truncate(EXPANSIONS);
        let processes = stage.apart(&FLAGS);
        for lease in LEASES {
            stage.has_leader(lease).await;
        }
        Self {
            stage,
            processes,
            growable,
        }
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

    /// The lists of whole kinds by each function since then, each as its user and resource, in order. Others ask for
    /// a version or for one object.
    fn lists_since(&self, mark: Mark) -> Vec<(String, String)> {
        let users = FUNCTIONS.map(|name| self.stage.users[name].name.clone());
        let requests = self.stage.audit.since(mark).unwrap();
        let is_whole = |uri: &str| uri.contains("sendInitialEvents=true") || uri.ends_with("limit=500");
        let lists = requests
            .into_iter()
            .filter(|record| users.contains(&record.user) && record.code == 200 && is_whole(&record.uri));
        let mut lists: Vec<_> = lists.map(|record| (record.user, record.resource)).collect();
        lists.sort();
        lists
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

/// Versions go back, and watches from before begin at one that is ahead: kube-apiserver lets them in and never says a
/// word (decision 70). It takes the three minutes that a watch may say nothing.
#[tokio::test]
async fn etcd_is_restored_from_a_backup() {
    let Some(mut plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let begun = plane.audit().mark();
    let Some(mut scene) = Scene::new(&plane, "restored").await else {
        return;
    };
    scene.stage.snapshots(0..COUNT / 2).await;
    scene.stage.all_ready(COUNT / 2).await;
    let ahead = |list: &(String, String)| LOST.iter().any(|(resource, _)| *resource == list.1);
    let lists = |scene: &Scene, mark| -> Vec<_> {
        let lists = scene.lists_since(mark).into_iter();
        lists.filter(ahead).collect()
    };
    // At its start a function lists again what it began to follow before it was done with its other questions.
    let mut followed = lists(&scene, begun);
    followed.dedup();
    let backup = plane.back_up().await.unwrap();
    lose(&scene.stage).await;
    scene.stage.nothing_denied();
    let before = plane.audit().mark();
    plane.restore(&backup).await.unwrap();
    scene.stage.begun = plane.audit().mark();
    let restored = Instant::now();
    scene.stage.snapshots(COUNT / 2..COUNT).await;
    scene.stage.grow(&scene.growable, GIB).await;
    let again = until(
        "all kinds whose watches are ahead are listed again",
        3 * PATIENCE,
        async || (lists(&scene, before).len() >= followed.len()).then_some(()),
    );
    if let Err(error) = again.await {
        panic!("{error}: {:?} of {followed:?}", lists(&scene, before));
    }
    let waited = restored.elapsed().as_secs();
    shared::say(&format!("the last silent watch was given up after {waited} s"));
    scene.stage.all_ready(COUNT).await;
    assert_eq!(lists(&scene, before), followed, "each of these kinds once");
    // A kind that nobody writes is ahead where a bookmark has told it.
    let all = scene.lists_since(before);
    let mut once = all.clone();
    once.dedup();
    assert_eq!(all, once, "none twice");
    scene.ends_well(&plane).await;
}

/// Kinds whose watches come to a version that is lost, by a change of one of their objects.
const LOST: [(&str, &str); 5] = [
    ("persistentvolumeclaims", expansion::CLAIMS),
    ("persistentvolumes", expansion::VOLUMES),
    (
        "volumesnapshotclasses",
        "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses",
    ),
    ("volumesnapshotcontents", CONTENTS),
    ("volumesnapshots", SNAPSHOTS),
];

/// Writes what is not in the backup: so much that the versions of the backup do not come there again in the time of the
/// test, and then something of each kind.
async fn lose(stage: &Stage) {
    let path = "/api/v1/namespaces/default/configmaps";
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "lost" } });
    until("the API server writes again", PATIENCE, async || {
        stage.hand.create(path, &map).await.ok()?.ok(path).ok()
    })
    .await
    .unwrap();
    for number in 0..2_000 {
        let path = format!("{path}/lost");
        let patch = json!({ "data": { "number": number.to_string() } });
        let answer = stage.hand.patch(&path, Patch::Merge, &patch).await.unwrap();
        answer.ok(&path).unwrap();
    }
    for (resource, path) in LOST {
        let objects = stage.list(path).await.unwrap();
        let name = objects
            .first()
            .and_then(|object| object["metadata"]["name"].as_str());
        let path = format!("{path}/{}", name.unwrap_or_else(|| panic!("no {resource}")));
        let label = json!({ "metadata": { "labels": { "lost": "yes" } } });
        let answer = stage.hand.patch(&path, Patch::Merge, &label).await.unwrap();
        answer.ok(&path).unwrap();
    }
    // The watches bring it.
    tokio::time::sleep(Duration::from_secs(3)).await;
}

/// `kubectl` is waited for on the thread of the test: the proxy has another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_connection_goes_mute() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(mut stage) = Stage::new(&plane, LAYER, "mute", OURS).await else {
        return;
    };
    let proxy = Proxy::new(&plane.url()).await;
    for user in stage.users.values_mut() {
        let text = std::fs::read_to_string(&user.kubeconfig).unwrap();
        user.kubeconfig = stage
            .suite
            .folder()
            .join(format!("{}.proxied", user.name.replace(':', "_")));
        std::fs::write(&user.kubeconfig, text.replace(&plane.url(), &proxy.url)).unwrap();
    }
    let scene = Scene::on(stage).await;
    scene.stage.snapshots(0..COUNT / 2).await;
    scene.stage.all_ready(COUNT / 2).await;
    let before = plane.audit().mark();
    proxy.go_mute();
    let muted = Instant::now();
    scene.stage.snapshots(COUNT / 2..COUNT).await;
    scene.stage.grow(&scene.growable, GIB).await;
    // A ping after 30 s without a word, and 15 s for its answer.
    scene.stage.all_ready(COUNT).await;
    let waited = muted.elapsed();
    shared::say(&format!(
        "all was ready {:.0} s after the last word",
        waited.as_secs_f64()
    ));
    assert!(waited > Duration::from_secs(15), "the proxy is not in the way");
    assert_eq!(
        scene.lists_since(before),
        Vec::new(),
        "watches are resumed where they were"
    );
    scene.ends_well(&plane).await;
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
