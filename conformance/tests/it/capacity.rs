//! Layer 8: capacity that is published on a real API server, under our role, beside upstream's csi-provisioner; and a provisioner
//! that serves one node alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use conformance::{Launch, Patch, Peers, Process, User, until};
use csi::Address;
use csi::server::Listener;
use file_driver::driver::Machine as DriverMachine;
use file_driver::{Capabilities, Config, Driver, NAME};
use node::testing::Machine;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::processes::terminate;
use crate::shared::{self, Guard, PATIENCE};

const LAYER: &str = "8 capacity";
const NODE: &str = "files-1";
const NAMESPACE: &str = "slackwater";
const OBJECTS: &str = "/apis/storage.k8s.io/v1/namespaces/slackwater/csistoragecapacities";

/// The driver over files on a node, and who drives it.
struct Stage<'a> {
    plane: &'a Guard,
    hand: conformance::Hand,
    slackwater: PathBuf,
    peers: Peers,
    user: User,
    folder: tempfile::TempDir,
    _serving: DropGuard,
}

impl<'a> Stage<'a> {
    async fn new(plane: &'a Guard) -> Option<Self> {
        let found = conformance::slackwater().and_then(|slackwater| Ok((slackwater, Peers::find()?)));
        let (slackwater, peers) = match found {
            Ok(found) => found,
            Err(error) => {
                shared::not_run(LAYER, &error);
                return None;
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let stopping = CancellationToken::new();
        serve(folder.path(), &stopping).await;
        let user = plane.service_account(NAMESPACE, "csi-provisioner").await.unwrap();
        for file in ["rbac.yaml", "rbac-capacity.yaml"] {
            let file = shared::repository().join("deploy").join(file);
            plane
                .kubectl()
                .ok(&["apply", "-f", file.to_str().unwrap()])
                .unwrap();
        }
        let stage = Self {
            hand: plane.hand().await.unwrap(),
            plane,
            slackwater,
            peers,
            user,
            folder,
            _serving: stopping.drop_guard(),
        };
        stage.furnish().await;
        Some(stage)
    }

    /// A node with the driver, classes, and the pod that the processes are taken for.
    async fn furnish(&self) {
        let key = format!("{NAME}/node");
        let class = |name: &str, mode: &str| {
            json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
                "provisioner": NAME, "volumeBindingMode": mode,
            })
        };
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "provisioner-0"},
            "spec": {"containers": [{"name": "a", "image": "i"}]},
        });
        for (path, object) in [
            (
                format!("/api/v1/nodes/{NODE}"),
                json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {&key: NODE}}}),
            ),
            (
                format!("/apis/storage.k8s.io/v1/csinodes/{NODE}"),
                json!({
                    "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": NODE},
                    "spec": {"drivers": [{"name": NAME, "nodeID": NODE, "topologyKeys": [key]}]},
                }),
            ),
            (
                "/apis/storage.k8s.io/v1/storageclasses/files-late".to_owned(),
                class("files-late", "WaitForFirstConsumer"),
            ),
            (
                "/apis/storage.k8s.io/v1/storageclasses/files-now".to_owned(),
                class("files-now", "Immediate"),
            ),
            (format!("/api/v1/namespaces/{NAMESPACE}/pods/provisioner-0"), pod),
        ] {
            let path = format!("{path}?fieldManager=test&force=true");
            self.hand
                .patch(&path, Patch::Apply, &object)
                .await
                .unwrap()
                .ok(&path)
                .unwrap();
        }
    }

    fn start(&self, launch: Launch, user: &User, flags: &[&str]) -> Process {
        let launch = launch
            .args([
                format!("--csi-address={}", self.folder.path().join("csi.sock").display()),
                format!("--kubeconfig={}", user.kubeconfig.display()),
            ])
            .args(flags.iter().copied())
            .env("NAMESPACE", NAMESPACE)
            .env("POD_NAME", "provisioner-0")
            .env("NODE_NAME", NODE);
        Process::start(self.plane.keeper(), self.folder.path(), &launch).unwrap()
    }

    fn ours(&self, flags: &[&str]) -> Process {
        let launch = Launch::new("ours", &self.slackwater).args(["csi-provisioner"]);
        self.start(launch, &self.user, flags)
    }

    /// Under all rights: the role of ours lacks what upstream's writes by.
    fn theirs(&self, flags: &[&str]) -> Process {
        let launch = Launch::new("theirs", &self.peers.path("csi-provisioner"));
        self.start(launch, self.plane.admin(), flags)
    }

    async fn objects(&self) -> Vec<Value> {
        let found = self.hand.find(OBJECTS).await.unwrap().unwrap();
        found["items"].as_array().unwrap().clone()
    }

    /// The one object, once there is one that is as wanted.
    async fn object(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        until(what, PATIENCE, async || {
            let mut objects = self.objects().await;
            objects.pop().filter(|object| objects.is_empty() && so(object))
        })
        .await
        .unwrap()
    }

    async fn claim(&self, name: &str, class: &str) {
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "resources": {"requests": {"storage": "1Gi"}},
            },
        });
        let path = "/api/v1/namespaces/default/persistentvolumeclaims";
        self.hand.create(path, &claim).await.unwrap().ok(path).unwrap();
    }

    async fn select(&self, claim: &str) {
        let path = format!("/api/v1/namespaces/default/persistentvolumeclaims/{claim}");
        let patch = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": NODE}}});
        self.hand
            .patch(&path, Patch::Merge, &patch)
            .await
            .unwrap()
            .ok(&path)
            .unwrap();
    }

    fn wait(&self, claim: &str) {
        let claim = format!("pvc/{claim}");
        let bound = [
            "wait",
            &claim,
            "--for=jsonpath={.status.phase}=Bound",
            "--timeout=60s",
        ];
        self.plane.kubectl().ok(&bound).unwrap();
    }

    /// What people look at, without what differs each time.
    fn told(object: &Value) -> Value {
        let metadata = &object["metadata"];
        json!({
            "class": object["storageClassName"], "where": object["nodeTopology"], "capacity": object["capacity"],
            "most": object["maximumVolumeSize"], "labels": metadata["labels"], "owners": metadata["ownerReferences"],
            "begins": metadata["generateName"],
        })
    }

    /// No request of ours that the role does not grant.
    fn nothing_denied(&self, mark: conformance::Mark) {
        let records = self.plane.audit().since(mark).unwrap();
        let denied: Vec<String> = records
            .iter()
            .filter(|record| record.user == self.user.name && record.is_denied())
            .map(conformance::Record::what)
            .collect();
        assert!(denied.is_empty(), "{denied:#?}");
    }
}

async fn serve(folder: &Path, stopping: &CancellationToken) {
    let config = Config {
        name: NAME.to_owned(),
        node_id: NODE.to_owned(),
        capacity_bytes: 64 << 30,
        max_volumes: 0,
        capabilities: Capabilities::all(),
        ready_after: Duration::ZERO,
    };
    let machine = Arc::new(Machine::default());
    let machine = DriverMachine {
        host: machine.clone(),
        loops: machine,
    };
    let data = folder.join("data");
    let driver = Driver::new(config, &data, machine, Clock::system(), &Registry::new()).unwrap();
    let address = Address::Unix(folder.join("csi.sock"));
    let listener = Listener::bind(&address).await.unwrap();
    tokio::spawn(listener.serve(driver.routes(), stopping.clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn capacity_is_published_as_upstream_does_and_taken_over_both_ways() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(stage) = Stage::new(&plane).await else {
        return;
    };
    let mark = plane.audit().mark();
    let flags = [
        "--enable-capacity",
        "--capacity-ownerref-level=0",
        "--capacity-poll-interval=2s",
        "--v=2",
    ];
    let ours = stage.ours(&flags);
    let made = stage.object("the object", |_| true).await;
    stage.claim("late", "files-late").await;
    stage.select("late").await;
    stage.wait("late");
    let smaller = |object: &Value| object["capacity"] != made["capacity"];
    let changed = stage.object("the capacity follows the volume", smaller).await;
    assert_eq!(changed["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!(changed["capacity"], "63Gi");
    terminate([ours]).await;

    // Upstream's takes it for its own: it writes nothing.
    let mut theirs = stage.theirs(&flags);
    tokio::time::sleep(Duration::from_secs(10)).await;
    theirs.check().unwrap();
    assert_eq!(stage.objects().await, vec![changed.clone()]);
    // And makes the same one.
    let path = format!("{OBJECTS}/{}", changed["metadata"]["name"].as_str().unwrap());
    stage.hand.delete(&path).await.unwrap().ok(&path).unwrap();
    let others = |object: &Value| object["metadata"]["uid"] != changed["metadata"]["uid"];
    let remade = stage.object("upstream's object", others).await;
    assert_eq!(Stage::told(&remade), Stage::told(&changed));
    theirs.kill();

    let ours = stage.ours(&flags);
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(stage.objects().await, vec![remade]);
    plane
        .kubectl()
        .ok(&["delete", "storageclass", "files-late"])
        .unwrap();
    until("the object goes with its class", PATIENCE, async || {
        stage.objects().await.is_empty().then_some(())
    })
    .await
    .unwrap();
    plane.kubectl().ok(&["delete", "pvc", "late"]).unwrap();
    let gone = ["wait", "pv", "--for=delete", "--all", "--timeout=60s"];
    plane.kubectl().ok(&gone).unwrap();
    stage.nothing_denied(mark);
    terminate([ours]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_is_served_alone() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(stage) = Stage::new(&plane).await else {
        return;
    };
    let mark = plane.audit().mark();
    let flags = [
        "--node-deployment",
        "--node-deployment-base-delay=2s",
        "--enable-capacity",
        "--capacity-ownerref-level=0",
        "--v=2",
    ];
    let ours = stage.ours(&flags);
    let object = stage.object("the node's capacity", |_| true).await;
    let manager = &object["metadata"]["labels"]["csi.storage.k8s.io/managed-by"];
    assert_eq!(manager, &format!("external-provisioner-{NODE}"));
    stage.claim("now", "files-now").await;
    stage.wait("now");
    let path = "/api/v1/namespaces/default/persistentvolumeclaims/now";
    let claim = stage.hand.find(path).await.unwrap().unwrap();
    assert_eq!(
        claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"],
        NODE
    );
    let seen = plane.audit().since(mark).unwrap();
    let asked = |record: &&conformance::Record| record.user == stage.user.name;
    let nodes = seen
        .iter()
        .filter(asked)
        .filter(|record| record.resource.ends_with("nodes"))
        .count();
    assert_eq!(nodes, 0, "it knows where it is from its driver");
    plane.kubectl().ok(&["delete", "pvc", "now"]).unwrap();
    let gone = ["wait", "pv", "--for=delete", "--all", "--timeout=60s"];
    plane.kubectl().ok(&gone).unwrap();
    stage.nothing_denied(mark);
    terminate([ours]).await;
    plane
        .kubectl()
        .ok(&["delete", "storageclass", "files-late", "files-now"])
        .unwrap();
    plane
        .kubectl()
        .ok(&["delete", "csistoragecapacities", "-n", NAMESPACE, "--all"])
        .unwrap();
}
