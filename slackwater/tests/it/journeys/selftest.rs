//! `slackwater selftest`: its pods' containers are played here, on the data that the volumes of the sandbox hold.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Scope;
use controller::testing::resources::PODS;
use sandbox::ec2::{Fault, When};
use sandbox::faults::Faults;
use sandbox::kube::Store;
use sandbox::node::Machine;
use serde_json::{Value, json};
use slackwater::selftest::{Failure, Options, run};
use tokio::task::JoinHandle;

use super::{cluster, pod, seconds};
use crate::world::{CLAIMS, SNAPSHOTS, VOLUMES, World};

const USER: &str = "selftest";
const IMAGE: &str = "registry/slackwater:v1";

/// What the selftest prints.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A selftest under way.
struct Selftest {
    lines: Lines,
    scope: Scope,
    ended: JoinHandle<Result<String, Failure>>,
}

fn options() -> Options {
    Options {
        driver: "ebs.csi.aws.com".to_owned(),
        storage_class: "late".to_owned(),
        snapshot_class: "delete".to_owned(),
        snapshots: true,
        expands: true,
        gib: 1,
        namespace: "ns".to_owned(),
        image: IMAGE.to_owned(),
        pod: None,
        timeout: Duration::from_secs(300),
        cleanup_timeout: Duration::from_secs(120),
    }
}

impl Selftest {
    /// Starts it, and the containers of its pods; `spoils` has the data of restored volumes changed.
    fn start(world: &World, options: Options, spoils: bool) -> Self {
        let (lines, scope) = (Lines::default(), world.scope.child());
        let containers = Containers {
            store: world.store(),
            machine: world.machines[0].clone(),
            spoils,
            seen: BTreeSet::new(),
        };
        scope.spawn(containers.play());
        let (client, out) = (world.client(USER, &Faults::none()), lines.clone());
        let (clock, random, working) = (world.clock.clone(), world.random.fork(), scope.child());
        let ended =
            tokio::spawn(
                async move { run(&client, &options, (&clock, &random), &working, Box::new(out)).await },
            );
        Self { lines, scope, ended }
    }

    async fn end(self) -> (Result<String, Failure>, String) {
        let ended = self.ended.await.unwrap();
        (ended, self.lines.text())
    }
}

/// What kubelet has containers do.
struct Containers {
    store: Store,
    machine: Machine,
    spoils: bool,
    /// Pods that have run.
    seen: BTreeSet<String>,
}

impl Containers {
    /// What a pod does once its volume is mounted is done before anybody has seen that it runs.
    async fn play(mut self) {
        let mut changes = self.store.subscribe(&[PODS]);
        while let Some(change) = changes.next().await {
            self.look(change.object.value());
        }
    }

    fn look(&mut self, pod: &Value) {
        let text = |pointer: &str| {
            let found = pod.pointer(pointer).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let name = text("/metadata/name");
        let runs = name.starts_with("selftest-") && text("/status/phase") == "Running";
        if !runs || !self.seen.insert(name.clone()) {
            return;
        }
        assert_eq!(text("/spec/containers/0/image"), IMAGE);
        let (file, seed) = (self.file(pod).unwrap(), text("/spec/containers/0/args/2"));
        if !pod["spec"]["initContainers"].is_null() {
            return self.machine.host().append(&file, &seed).unwrap();
        }
        if self.spoils && name.ends_with("-reader") {
            self.machine.host().append(&file, "spoilt").unwrap();
        }
        let found = self.machine.host().read(&file).unwrap_or_default();
        let (phase, code) = match found == format!("{seed}\n") {
            true => ("Succeeded", 0),
            false => ("Failed", 1),
        };
        let ended = |pod: &mut Value| {
            pod["status"]["phase"] = json!(phase);
            let state = json!({ "terminated": { "exitCode": code, "message": "error: byte 9 is not what was written" } });
            pod["status"]["containerStatuses"] = json!([{ "name": "check", "state": state }]);
        };
        self.store.update_status(PODS, "ns", &name, ended).unwrap();
    }

    /// The file in the volume of a pod.
    fn file(&self, pod: &Value) -> Option<PathBuf> {
        let claim = pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"].as_str()?;
        let claim = self.store.get(CLAIMS, "ns", claim)?;
        let volume = claim.value()["spec"]["volumeName"].as_str()?;
        let uid = pod["metadata"]["uid"].as_str()?;
        Some(PathBuf::from(self.machine.node().mount_path(uid, volume)).join("data"))
    }
}

/// Nothing of the test is left, in the cluster or in EC2.
fn nothing_is_left(world: &World) {
    let store = world.store();
    for kind in [PODS, CLAIMS, SNAPSHOTS, VOLUMES] {
        let left: Vec<String> = store
            .list(kind, None)
            .iter()
            .map(|object| object.name().to_owned())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(world.ec2_snapshots().is_empty());
    let root = world.machines[0].instance_id();
    for volume in world.ec2.state().volumes.values() {
        assert!(volume.attachments.contains_key(root), "{volume:?}");
    }
}

/// What the selftest has asked, by verb.
fn verbs(world: &World) -> BTreeMap<&'static str, usize> {
    let mut verbs = BTreeMap::new();
    for request in world
        .api
        .audit()
        .into_iter()
        .filter(|request| request.user == USER)
    {
        *verbs.entry(request.verb).or_default() += 1;
    }
    verbs
}

#[tokio::test(start_paused = true)]
async fn journeys_case_86_all_of_it_works_and_is_removed() {
    let (world, _process) = cluster().await;
    let (ended, said) = Selftest::start(&world, options(), false).end().await;
    assert_eq!(ended.unwrap(), "passed", "{said}");
    for says in [
        "a claim of 1 GiB, class late, and a pod that writes to it",
        "a snapshot of it, class delete",
        "the restored data are those that were written",
        "the claim has 2Gi",
        "the file system has grown, and the data are those that were written",
        "nothing of it is left",
    ] {
        assert!(said.contains(says), "{says}: {said}");
    }
    // EC2 shows what is deleted for a moment.
    seconds(60).await;
    nothing_is_left(&world);
    assert_eq!(world.done("CreateSnapshot"), 1);
    assert_eq!(world.done("ModifyVolume"), 1);
    let verbs = verbs(&world);
    assert!(
        !verbs.contains_key("get"),
        "what is waited for is watched: {verbs:?}"
    );
    // Two claims, three pods, a snapshot.
    assert_eq!((verbs["create"], verbs["patch"]), (6, 1), "{verbs:?}");
    assert!(verbs["delete"] <= 6 && verbs["list"] <= 10, "{verbs:?}");
}

#[tokio::test(start_paused = true)]
async fn journeys_case_86_parts_can_be_left_out() {
    let (world, _process) = cluster().await;
    let mut options = options();
    (options.snapshots, options.expands) = (false, false);
    let (ended, said) = Selftest::start(&world, options, false).end().await;
    assert!(ended.is_ok(), "{said}");
    assert_eq!((world.done("CreateSnapshot"), world.done("ModifyVolume")), (0, 0));
    seconds(60).await;
    nothing_is_left(&world);
}

#[tokio::test(start_paused = true)]
async fn journeys_case_86_what_does_not_come_is_told_with_its_cause_and_removed() {
    for (action, did_not) in [
        ("CreateVolume", "did not run within 5m0s: it is Pending"),
        ("AttachVolume", "did not run within 5m0s: it is Pending"),
        (
            "CreateSnapshot",
            "did not become ready within 5m0s: status.error: ",
        ),
        (
            "ModifyVolume",
            "did not grow within 5m0s: ControllerResizeInProgress",
        ),
    ] {
        let (world, _process) = cluster().await;
        world
            .ec2
            .inject(action, When::Always, Fault::error("UnauthorizedOperation"));
        let (ended, said) = Selftest::start(&world, options(), false).end().await;
        let failure = ended.unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        let text = failure.to_string();
        assert!(text.contains(did_not), "{action}: {text}");
        for says in ["ns/selftest-", "event ", "UnauthorizedOperation", "What to do: "] {
            assert!(text.contains(says), "{action}: {says}: {text}");
        }
        assert!(
            said.contains("FAILED") && said.contains("nothing of it is left"),
            "{said}"
        );
        seconds(60).await;
        nothing_is_left(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn journeys_case_86_other_data_are_a_failure() {
    let (world, _process) = cluster().await;
    let (ended, said) = Selftest::start(&world, options(), true).end().await;
    let text = ended.unwrap_err().to_string();
    let says = "-reader did not find the data of the snapshot: error: byte 9 is not what was written";
    assert!(text.contains(says), "{text}");
    assert!(said.contains("nothing of it is left"), "{said}");
    seconds(60).await;
    nothing_is_left(&world);
}

/// Whenever it is told to stop, it removes what it has made until then.
#[tokio::test(start_paused = true)]
async fn journeys_case_86_a_test_that_is_ended_removes_what_it_made() {
    for at in [
        "a pod that writes",
        "a snapshot of it",
        "a claim that begins with",
        "the first claim grows",
    ] {
        let (world, _process) = cluster().await;
        let selftest = Selftest::start(&world, options(), false);
        let lines = selftest.lines.clone();
        world.until("it is so far", |_| lines.text().contains(at)).await;
        selftest.scope.stop();
        let (ended, said) = selftest.end().await;
        assert!(matches!(ended, Err(Failure::Interrupted)), "{at}: {ended:?}");
        assert!(said.contains("nothing of it is left"), "{at}: {said}");
        seconds(60).await;
        nothing_is_left(&world);
    }
}

/// A missing right, and a class that there is not, are told before anything is made.
#[tokio::test(start_paused = true)]
async fn journeys_case_86_what_cannot_be_tested_is_told_before_anything_is_made() {
    let (world, _process) = cluster().await;
    let mut without_class = options();
    without_class.storage_class = String::new();
    let mut fixed = options();
    fixed.storage_class = "fixed".to_owned();
    let mut without_image = options();
    without_image.image = String::new();
    for (options, says) in [
        (without_class, "is the default: name one in --storage-class"),
        (fixed, "--skip=expansion"),
        (without_image, "--image"),
    ] {
        let (ended, _) = Selftest::start(&world, options, false).end().await;
        let failure = ended.unwrap_err();
        assert!(failure.to_string().contains(says), "{failure}");
        assert_eq!(failure.exit_code(), 1);
    }
    assert!(!verbs(&world).contains_key("create"));
}

/// Killed it leaves its objects, which go with its pod.
#[tokio::test(start_paused = true)]
async fn journeys_case_107_what_a_killed_test_made_goes_with_its_pod() {
    let (world, _process) = cluster().await;
    super::claim(&world, "own", "late", "1Gi", &Value::Null);
    pod(&world, "own", false);
    let image = |pod: &mut Value| pod["spec"]["containers"][0]["image"] = json!(IMAGE);
    world.store().update(PODS, "ns", "own", image).unwrap();
    let mut options = options();
    options.image = String::new();
    options.pod = Some(runtime::ObjectKey::new("ns", "own"));
    let selftest = Selftest::start(&world, options, false);
    let lines = selftest.lines.clone();
    world
        .until("it is so far", |_| {
            lines.text().contains("a claim that begins with")
        })
        .await;
    selftest.ended.abort();
    selftest.scope.abort();
    seconds(600).await;
    assert!(
        world.store().list(CLAIMS, Some("ns")).len() > 1,
        "nobody removes them"
    );
    world.store().delete(PODS, "ns", "own", None).unwrap();
    world.store().delete(CLAIMS, "ns", "own", None).unwrap();
    let is_gone = |world: &World| {
        let store = world.store();
        [PODS, CLAIMS, SNAPSHOTS, VOLUMES]
            .into_iter()
            .all(|kind| store.list(kind, None).is_empty())
    };
    world.until("all of it is gone", is_gone).await;
    seconds(60).await;
    nothing_is_left(&world);
}
