//! What the layers with a running suite share: programs, examples, waiting, and what must hold at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use conformance::{ControlPlane, Ec2Process, Hand, Mark, Process, Record, Suite, User, until};
use serde_json::{Value, json};

use crate::shared::{self, PATIENCE};

pub const SNAPSHOTS: &str = "/apis/snapshot.storage.k8s.io/v1/namespaces/default/volumesnapshots";
pub const CONTENTS: &str = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents";
/// The volume that the examples name.
const EXAMPLE_VOLUME: &str = "vol-0123456789abcdef0";
/// The snapshot that the examples name.
const EXAMPLE_SNAPSHOT: &str = "snap-0123456789abcdef0";

/// Roles: the file, and the namespace of their service accounts.
#[derive(Clone, Copy)]
pub struct Roles {
    pub file: &'static str,
    pub namespace: &'static str,
}

pub const UPSTREAM: Roles = Roles {
    file: "conformance/roles/upstream.yaml",
    namespace: "kube-system",
};
pub const OURS: Roles = Roles {
    file: "deploy/rbac.yaml",
    namespace: "slackwater",
};

/// A cluster in which our processes run under given roles, an EC2, and its volume.
pub struct Stage {
    pub ec2: Ec2Process,
    pub suite: Suite,
    pub program: PathBuf,
    pub users: BTreeMap<&'static str, User>,
    pub roles: Roles,
    pub hand: Hand,
    pub volume: String,
    pub begun: Mark,
}

impl Stage {
    /// None, with a line that says so, when the binary was not built.
    pub async fn new(plane: &ControlPlane, layer: &str, name: &str, roles: Roles) -> Option<Self> {
        let program = match conformance::slackwater() {
            Ok(program) => program,
            Err(error) => {
                shared::not_run(layer, &error);
                return None;
            }
        };
        let ec2 = Ec2Process::start(plane.keeper(), plane.folder(), false).unwrap();
        let suite = Suite::new(plane.keeper(), plane.folder(), name, &ec2).unwrap();
        let mut users = BTreeMap::new();
        for function in ["snapshot-controller", "csi-snapshotter", "csi-resizer"] {
            let user = plane.service_account(roles.namespace, function).await.unwrap();
            users.insert(function, user);
        }
        let file = shared::repository().join(roles.file);
        plane
            .kubectl()
            .ok(&["apply", "-f", file.to_str().unwrap()])
            .unwrap();
        let volume = ec2.volume("us-east-1a", 10).unwrap();
        Some(Self {
            volume,
            program,
            users,
            roles,
            hand: plane.hand().await.unwrap(),
            begun: plane.audit().mark(),
            ec2,
            suite,
        })
    }

    /// The driver.
    pub fn driver(&self) -> Process {
        self.suite.start(&self.suite.driver(&self.program)).unwrap()
    }

    /// The snapshot-controller, with upstream's flags.
    pub fn snapshot_controller(&self, more: &[&str]) -> Process {
        let user = &self.users["snapshot-controller"];
        let launch = self
            .suite
            .mode("snapshot-controller", &self.program, &user.kubeconfig, &["--v=5"])
            .args(self.election())
            .args(more);
        self.suite.start(&launch).unwrap()
    }

    /// The csi-snapshotter, with the flags of the EBS chart.
    pub fn csi_snapshotter(&self, more: &[&str]) -> Process {
        let user = &self.users["csi-snapshotter"];
        let launch = self
            .suite
            .sidecar(
                "csi-snapshotter",
                &self.program,
                &user.kubeconfig,
                &["--extra-create-metadata", "--worker-threads=100", "--v=5"],
            )
            .args(self.election())
            .args(more);
        self.suite.start(&launch).unwrap()
    }

    pub fn election(&self) -> [String; 2] {
        [
            "--leader-election=true".to_owned(),
            format!("--leader-election-namespace={}", self.roles.namespace),
        ]
    }

    /// The examples, with the IDs of this account.
    pub fn example(&self, plane: &ControlPlane, name: &str, snapshot: &str) -> String {
        let from = shared::repository().join("examples").join(name);
        let to = self.suite.folder().join("examples").join(name);
        std::fs::create_dir_all(&to).unwrap();
        for file in std::fs::read_dir(&from).unwrap() {
            let file = file.unwrap().path();
            let text = std::fs::read_to_string(&file).unwrap();
            let text = match file.file_name().unwrap().to_str() {
                Some("ids.yaml") => text
                    .replace(EXAMPLE_VOLUME, &self.volume)
                    .replace(EXAMPLE_SNAPSHOT, snapshot),
                _ => text,
            };
            std::fs::write(to.join(file.file_name().unwrap()), text).unwrap();
        }
        let to = path(&to);
        plane.kubectl().ok(&["apply", "-k", &to]).unwrap();
        to
    }

    /// The claim of the first example, bound by kube-controller-manager.
    pub async fn claim(&self, plane: &ControlPlane) {
        self.example(plane, "01-static", "");
        let bound = "--for=jsonpath={.status.phase}=Bound";
        let args = ["wait", bound, "pvc/ebs-claim", "--timeout=120s"];
        plane.kubectl().ok(&args).unwrap();
    }

    /// The class of the example and snapshots `s-0` and on of its claim.
    pub async fn snapshots(&self, count: usize) {
        let class = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshotClass",
            "metadata": { "name": "csi-aws-vsc" },
            "driver": "ebs.csi.aws.com",
            "deletionPolicy": "Delete",
        });
        let classes = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses";
        self.hand.create(classes, &class).await.unwrap();
        for number in 0..count {
            self.snapshot(&format!("s-{number}")).await;
        }
    }

    pub async fn snapshot(&self, name: &str) {
        let snapshot = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": { "name": name },
            "spec": {
                "source": { "persistentVolumeClaimName": "ebs-claim" },
                "volumeSnapshotClassName": "csi-aws-vsc",
            },
        });
        let answer = self.hand.create(SNAPSHOTS, &snapshot).await.unwrap();
        answer.ok(SNAPSHOTS).unwrap();
    }

    /// All objects of a collection; none while the API server is away.
    pub async fn list(&self, path: &str) -> Option<Vec<Value>> {
        let list = self.hand.get(path).await.ok()?.ok(path).ok()?;
        list["items"].as_array().cloned()
    }

    /// Waits until there are this many snapshots and all are ready, without an error.
    pub async fn all_ready(&self, count: usize) {
        until(&format!("{count} snapshots are ready"), PATIENCE, async || {
            let snapshots = self.list(SNAPSHOTS).await?;
            let ready = |one: &Value| one["status"]["readyToUse"] == true && one["status"]["error"].is_null();
            (snapshots.len() == count && snapshots.iter().all(ready)).then_some(())
        })
        .await
        .unwrap();
    }

    /// Every VolumeSnapshot has one EC2 snapshot of its own, and there are no others.
    pub async fn nothing_lost_or_doubled(&self) {
        let contents = self.list(CONTENTS).await.unwrap();
        let mut handles: Vec<String> = contents
            .iter()
            .map(|content| content["status"]["snapshotHandle"].as_str().unwrap().to_owned())
            .collect();
        handles.sort();
        let snapshots = self.list(SNAPSHOTS).await.unwrap();
        assert_eq!(handles.len(), snapshots.len(), "one content a snapshot");
        let state = self.ec2.state().unwrap();
        let mut there: Vec<String> = state.snapshots.into_iter().map(|one| one.id).collect();
        there.sort();
        assert_eq!(there, handles, "one EC2 snapshot a content");
    }

    /// Deletes all, and waits until nothing is left, in EC2 neither.
    pub async fn clear(&self, plane: &ControlPlane) {
        let kubectl = plane.kubectl();
        for kind in [
            "volumesnapshots",
            "volumesnapshotcontents",
            "volumesnapshotclasses",
        ] {
            kubectl.ok(&["delete", kind, "--all", "--timeout=120s"]).unwrap();
        }
        until("no EC2 snapshot is left", PATIENCE, async || {
            self.ec2.state().unwrap().snapshots.is_empty().then_some(())
        })
        .await
        .unwrap();
        self.clear_claims(plane);
    }

    pub fn clear_claims(&self, plane: &ControlPlane) {
        let kubectl = plane.kubectl();
        for kind in ["pvc", "pv"] {
            kubectl.ok(&["delete", kind, "--all", "--timeout=120s"]).unwrap();
        }
    }

    /// Our requests since the beginning.
    pub fn requests(&self, plane: &ControlPlane) -> Vec<Record> {
        let ours = |record: &Record| self.users.values().any(|user| user.name == record.user);
        let records = plane.audit().since(self.begun).unwrap();
        records.into_iter().filter(ours).collect()
    }

    /// Fails when one of our requests was denied.
    pub fn nothing_denied(&self, plane: &ControlPlane) {
        let requests = self.requests(plane);
        assert!(!requests.is_empty(), "the audit log knows our users");
        let denied: Vec<String> = requests
            .iter()
            .filter(|record| record.is_denied())
            .map(|record| format!("{}: {}", record.user, record.action()))
            .collect();
        assert!(denied.is_empty(), "denied: {denied:#?}");
    }

    pub async fn holder(&self, lease: &str) -> Option<String> {
        let namespace = self.roles.namespace;
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{lease}");
        let lease = self.hand.find(&path).await.ok()??;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }
}

/// Ends processes as the kubelet does, and looks how they ended.
pub async fn terminate(processes: impl IntoIterator<Item = Process>) {
    for mut process in processes {
        let status = process.terminate(Duration::from_secs(60)).await.unwrap();
        assert_eq!(
            status.code(),
            Some(0),
            "{}: {}",
            process.name(),
            process.log_tail()
        );
    }
}

pub fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
