//! What the layers with a running suite share: programs, examples, waiting, and what must hold at the end.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use conformance::{Audit, ControlPlane, Ec2Process, Hand, Mark, Patch, Suite, User, until};
use serde_json::{Value, json};

use crate::shared::{self, PATIENCE};

pub const SNAPSHOTS: &str = "/apis/snapshot.storage.k8s.io/v1/namespaces/default/volumesnapshots";
pub const CONTENTS: &str = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents";
/// Functions that speak to the API server, each with its service account.
pub const FUNCTIONS: [&str; 5] = [
    "snapshot-controller",
    "csi-snapshotter",
    "csi-resizer",
    "csi-provisioner",
    "csi-attacher",
];
/// The service account of all of them in one process.
pub const ONE_PROCESS: &str = "controller";
/// The leases of the functions.
pub const LEASES: [&str; 5] = [
    "snapshot-controller-leader",
    "external-snapshotter-leader-ebs-csi-aws-com",
    "external-resizer-ebs-csi-aws-com",
    "ebs-csi-aws-com",
    "external-attacher-leader-ebs-csi-aws-com",
];
/// The volume that the examples name.
const EXAMPLE_VOLUME: &str = "vol-0123456789abcdef0";
/// The snapshot that the examples name.
const EXAMPLE_SNAPSHOT: &str = "snap-0123456789abcdef0";

/// Roles: the files, and the namespace of their service accounts.
#[derive(Clone, Copy)]
pub struct Roles {
    pub files: &'static [&'static str],
    pub namespace: &'static str,
}

pub const UPSTREAM: Roles = Roles {
    files: &[
        "conformance/roles/upstream.yaml",
        "conformance/roles/upstream-volumes.yaml",
    ],
    namespace: "kube-system",
};
pub const OURS: Roles = Roles {
    files: &[
        "deploy/snapshot-controller/rbac.yaml",
        "deploy/resizer/rbac.yaml",
        "deploy/rbac.yaml",
        "deploy/rbac-controller.yaml",
    ],
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
    pub audit: Audit,
}

impl Drop for Stage {
    /// What was denied is the likeliest reason why something that was waited for does not come.
    fn drop(&mut self) {
        if std::thread::panicking() {
            shared::say(&format!("denied until then: {:?}", self.denied()));
        }
    }
}

impl Stage {
    /// None, with a line that says so, when the binary was not built.
    pub async fn new(plane: &ControlPlane, layer: &str, name: &str, roles: Roles) -> Option<Self> {
        Self::with_ec2(plane, layer, name, roles, false).await
    }

    /// The same; all of EC2 is done at once where `instant`.
    pub async fn with_ec2(
        plane: &ControlPlane,
        layer: &str,
        name: &str,
        roles: Roles,
        instant: bool,
    ) -> Option<Self> {
        let program = match conformance::slackwater() {
            Ok(program) => program,
            Err(error) => {
                shared::not_run(layer, &error);
                return None;
            }
        };
        let ec2 = Ec2Process::start(plane.keeper(), plane.folder(), instant).unwrap();
        let suite = Suite::new(plane.keeper(), plane.folder(), name, &ec2).unwrap();
        let mut users = BTreeMap::new();
        for function in FUNCTIONS.iter().chain(&[ONE_PROCESS]) {
            let user = plane.service_account(roles.namespace, function).await.unwrap();
            users.insert(*function, user);
        }
        for file in roles.files {
            let file = path(&shared::repository().join(file));
            plane.kubectl().ok(&["apply", "-f", &file]).unwrap();
        }
        let hand = plane.hand().await.unwrap();
        for lease in LEASES {
            // An earlier test may have left it.
            hand.delete(&lease_path(roles, lease)).await.unwrap();
        }
        let volume = ec2.volume("us-east-1a", 10).unwrap();
        Some(Self {
            volume,
            program,
            users,
            roles,
            hand,
            begun: plane.audit().mark(),
            audit: plane.audit().clone(),
            ec2,
            suite,
        })
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

    /// The class of the example.
    pub async fn class(&self) {
        let class = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshotClass",
            "metadata": { "name": "csi-aws-vsc" },
            "driver": "ebs.csi.aws.com",
            "deletionPolicy": "Delete",
        });
        let classes = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses";
        let made = self.hand.create(classes, &class).await.unwrap();
        made.ok(classes).unwrap();
    }

    /// Snapshots `s-0` and so on of the claims `grow-0` and so on: EC2 limits how many there are of a volume.
    pub async fn snapshots(&self, numbers: Range<usize>) {
        for number in numbers {
            self.snapshot(&format!("s-{number}"), &format!("grow-{number}"))
                .await;
        }
    }

    async fn snapshot(&self, name: &str, claim: &str) {
        let snapshot = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": { "name": name },
            "spec": {
                "source": { "persistentVolumeClaimName": claim },
                "volumeSnapshotClassName": "csi-aws-vsc",
            },
        });
        let answer = self.hand.create(SNAPSHOTS, &snapshot).await.unwrap();
        answer.ok(SNAPSHOTS).unwrap();
    }

    /// Creates an object of a collection.
    pub async fn make(&self, path: &str, object: &Value) {
        let made = self.hand.create(path, object).await.unwrap();
        made.ok(path).unwrap();
    }

    /// Changes the object at a path.
    pub async fn merge(&self, path: &str, change: &Value) {
        let answer = self.hand.patch(path, Patch::Merge, change).await.unwrap();
        answer.ok(path).unwrap();
    }

    /// Deletes the object at a path.
    pub async fn remove(&self, path: &str) {
        let removed = self.hand.delete(path).await.unwrap();
        removed.ok(path).unwrap();
    }

    /// The object at a path; none while it, or the API server, is away.
    pub async fn find(&self, path: &str) -> Option<Value> {
        self.hand.find(path).await.ok()?
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
        let mut there = self.snapshots_in_ec2();
        there.sort();
        assert_eq!(there, handles, "one EC2 snapshot a content");
    }

    /// EC2 was asked for each snapshot and each new size once.
    pub fn no_call_twice(&self, snapshots: usize, expansions: usize) {
        let counts = self.ec2.counts().unwrap();
        let count = |action| counts.get(action).copied().unwrap_or_default();
        assert_eq!(
            (count("CreateSnapshot"), count("ModifyVolume")),
            (snapshots as u64, expansions as u64),
            "calls of CreateSnapshot and ModifyVolume: {counts:?}"
        );
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
        for kind in ["pvc", "pv", "storageclass"] {
            kubectl.ok(&["delete", kind, "--all", "--timeout=120s"]).unwrap();
        }
    }

    /// Waits until somebody leads.
    pub async fn has_leader(&self, lease: &str) {
        until(&format!("somebody holds {lease}"), PATIENCE, async || {
            self.holder(lease).await.filter(|holder| !holder.is_empty())
        })
        .await
        .unwrap();
    }

    /// The IDs of all EC2 snapshots.
    pub fn snapshots_in_ec2(&self) -> Vec<String> {
        let state = self.ec2.state().unwrap();
        state.snapshots.into_iter().map(|one| one.id).collect()
    }

    pub async fn holder(&self, lease: &str) -> Option<String> {
        let path = lease_path(self.roles, lease);
        let lease = self.hand.find(&path).await.ok()??;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }
}

pub fn lease_path(roles: Roles, lease: &str) -> String {
    let namespace = roles.namespace;
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{lease}")
}

pub fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
