//! The programs themselves: what they need at their start, their leases, their end.

use std::cell::Cell;
use std::time::Duration;

use base::Scope;
use conformance::{ControlPlane, Hand, Patch, Process, free_port, until};
use serde_json::json;

use super::{LIVENESS, MANY, SECOND, Watched, start};
use crate::journey::{LEASES, OURS, Stage, lease_path};
use crate::processes::terminate;
use crate::shared::{PATIENCE, repository};

/// Those of the definitions.
const KINDS: &str = "volumesnapshots,volumesnapshotcontents,volumesnapshotclasses,volumegroupsnapshots,\
                     volumegroupsnapshotcontents,volumegroupsnapshotclasses";

const AT_THE_START: [&str; 2] = ["DriverProbeFailing", "DefinitionsMissing"];
/// A namespace in which no snapshot-controller should look for its lease.
const ELSEWHERE: &str = "default";
const THIEF: &str = "thief";
/// How long a thief keeps the lease, and how long it is left alone.
const THEFT: Duration = Duration::from_millis(1500);

/// Deletes the definitions of the snapshot kinds.
pub async fn take_definitions_away(plane: &ControlPlane) {
    // kube-apiserver does not delete what it does not serve yet: it says "storage is (re)initializing", and tries again minutes later.
    until("all kinds are served", PATIENCE, async || {
        let all = ["get", KINDS, "--all-namespaces"];
        plane.kubectl().ok(&all).ok()
    })
    .await
    .unwrap();
    definitions(plane, &["delete", "--wait"]);
}

fn definitions(plane: &ControlPlane, verb: &[&str]) {
    let manifests = repository().join("crds/manifests").display().to_string();
    plane.kubectl().ok(&[verb, &["-f", &manifests]].concat()).unwrap();
}

/// A driver as in a pod of containers, with the livenessprobe beside it, whom somebody asks each second in kubelet's place.
pub struct Pod {
    _driver: Process,
    _liveness: Process,
    _kubelet: Scope,
}

impl Pod {
    /// The livenessprobe serves its metrics at this port.
    fn start(stage: &Stage, metrics: u16) -> Self {
        let (suite, health) = (&stage.suite, free_port().unwrap());
        let socket = suite.folder().join("pod.sock");
        let endpoint = format!("--endpoint=unix://{}", socket.display());
        let driver = ["aws-ebs-csi-driver", "controller", &endpoint];
        let driver = suite.launch("driver-of-pod", &stage.program, &driver);
        let liveness = suite.launch(LIVENESS, &stage.program, &[LIVENESS]).args([
            format!("--csi-address={}", socket.display()),
            format!("--health-port={health}"),
            format!("--metrics-address=127.0.0.1:{metrics}"),
        ]);
        let scope = Scope::new();
        scope.spawn_named("kubelet", async move {
            let kubelet = Hand::plain(&format!("http://127.0.0.1:{health}")).unwrap();
            loop {
                // What it answers is in its metrics.
                drop(kubelet.get("/healthz").await);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Self {
            _driver: suite.start(&driver).unwrap(),
            _liveness: suite.start(&liveness).unwrap(),
            _kubelet: scope,
        }
    }
}

impl Watched {
    /// Nobody has installed the definitions, and a driver begins with credentials that EC2 does not know.
    pub(super) async fn nothing_is_as_it_must_be(&mut self, plane: &ControlPlane) {
        let lease = lease_path(OURS, LEASES[2]);
        until("the first driver is well", PATIENCE, async || {
            self.stage.hand.find(&lease).await.ok()?
        })
        .await
        .unwrap();
        self.stage
            .ec2
            .fault("DescribeAvailabilityZones", "AuthFailure", MANY)
            .unwrap();
        let metrics = self.prometheus.port(&format!("slackwater-{LIVENESS}"));
        self.pod = Some(Pod::start(&self.stage, metrics));
        self.prometheus.fires(&AT_THE_START).await;
        // Who waits for the definitions does not lead, which is as it should be.
        self.prometheus.is_silent(&["NoLeader"]).await;
        self.beginnings_are_told().await;
        self.look().await;
        self.stage.ec2.clear_faults().unwrap();
        definitions(plane, &["apply", "--server-side"]);
        self.prometheus.is_silent(&AT_THE_START).await;
    }

    /// What a provisioner serves besides that publishes capacity. It is one of its own, beside the driver over files: EC2 does not
    /// tell its room. What it serves like any other provisioner is left out, since it is a process by itself.
    pub(super) async fn capacity_is_counted(&mut self, plane: &ControlPlane) {
        let (suite, program) = (&self.stage.suite, &self.stage.program);
        let (folder, port) = (suite.folder(), free_port().unwrap());
        let address = format!("unix://{}", folder.join("files.sock").display());
        let driver = suite.launch("file-driver", program, &["file-csi-driver"]).args([
            format!("--endpoint={address}"),
            format!("--data-dir={}", folder.join("files").display()),
            "--node-id=files".to_owned(),
        ]);
        let provisioner = suite
            .mode("csi-provisioner", program, &plane.admin().kubeconfig, &[])
            .args([
                format!("--csi-address={address}"),
                format!("--http-endpoint=127.0.0.1:{port}"),
                "--enable-capacity".to_owned(),
                "--capacity-ownerref-level=-1".to_owned(),
            ])
            .env("NAMESPACE", "kube-system");
        let processes = [suite.start(&driver).unwrap(), suite.start(&provisioner).unwrap()];
        let served = until("capacity is counted", PATIENCE, async || {
            let text = self.prometheus.scrape(port).await;
            let lines = text.lines().filter(|line| line.contains("csistoragecapacities_"));
            let of_capacity: String = lines.flat_map(|line| [line, "\n"]).collect();
            (!of_capacity.is_empty()).then_some(of_capacity)
        });
        self.served
            .push(("csi-provisioner".to_owned(), served.await.unwrap()));
        terminate(processes).await;
    }

    /// Somebody who does no work holds the lease; then it goes to and fro.
    pub(super) async fn a_lease_is_stolen(&self) {
        self.steal().await;
        self.prometheus.fires(&["NoLeader"]).await;
        self.a_follower_says_so().await;
        self.give_back().await;
        self.prometheus.is_silent(&["NoLeader"]).await;
        let has_fired = Cell::new(false);
        // A theft is always followed by its return: one that is dropped half way may reach the API server after that.
        let to_and_fro = async {
            while !has_fired.get() {
                self.steal().await;
                tokio::time::sleep(THEFT).await;
                self.give_back().await;
                tokio::time::sleep(THEFT).await;
            }
        };
        let is_told = async {
            self.prometheus.fires(&["LeaderFlapping"]).await;
            has_fired.set(true);
        };
        tokio::join!(is_told, to_and_fro);
        self.prometheus.is_silent(&["LeaderFlapping"]).await;
    }

    async fn steal(&self) {
        let path = lease_path(OURS, LEASES[0]);
        let now = jiff::Timestamp::now();
        let theft = json!({
            "spec": {
                "holderIdentity": THIEF,
                "leaseDurationSeconds": 3600,
                "renewTime": format!("{now:.6}"),
            },
        });
        let hand = &self.stage.hand;
        // A lease that is given back is there again when somebody has taken it.
        drop(hand.patch(&path, Patch::Merge, &theft).await.unwrap());
    }

    /// Whoever works takes it then.
    async fn give_back(&self) {
        let path = lease_path(OURS, LEASES[0]);
        until("the thief is gone", PATIENCE, async || {
            drop(self.stage.hand.delete(&path).await.ok()?);
            (self.stage.holder(LEASES[0]).await? != THIEF).then_some(())
        })
        .await
        .unwrap();
    }

    /// A second snapshot-controller is told another namespace for its lease, as by a second installation.
    pub(super) async fn a_replica_looks_at_another_lease(&self, plane: &ControlPlane) {
        let user = &self.stage.users["snapshot-controller"];
        let role = [
            "create",
            "role",
            "leases",
            "-n",
            ELSEWHERE,
            "--verb=get,watch,create,update",
            "--resource=leases.coordination.k8s.io",
        ];
        let account = format!("--serviceaccount={}:snapshot-controller", OURS.namespace);
        let binding = [
            "create",
            "rolebinding",
            "leases",
            "-n",
            ELSEWHERE,
            "--role=leases",
            &account,
        ];
        let kubectl = plane.kubectl();
        kubectl.ok(&role).unwrap();
        kubectl.ok(&binding).unwrap();
        let launch = self
            .stage
            .suite
            .mode(
                "snapshot-controller",
                &self.stage.program,
                &user.kubeconfig,
                &["--leader-election=true"],
            )
            .args([
                format!("--leader-election-namespace={ELSEWHERE}"),
                format!("--http-endpoint=127.0.0.1:{}", self.prometheus.port(SECOND)),
            ]);
        let second = self.stage.suite.start(&launch).unwrap();
        self.prometheus.fires(&["TwoLeaders"]).await;
        terminate([second]).await;
        self.prometheus.is_silent(&["TwoLeaders"]).await;
        kubectl
            .ok(&["delete", "role,rolebinding", "leases", "-n", ELSEWHERE])
            .unwrap();
    }

    /// The process is killed, and started again.
    pub(super) async fn the_process_dies(&mut self) {
        self.process.kill();
        self.prometheus.fires(&["ComponentDown", "ControllerGone"]).await;
        self.nobody_says_who_leads().await;
        self.process = start(&self.stage, &self.served_at);
        self.prometheus
            .is_silent(&["ComponentDown", "ControllerGone"])
            .await;
    }
}
