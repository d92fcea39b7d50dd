//! Layer 9: a real Prometheus scrapes the suite at work. Every panel of the dashboards shows something, the page of the
//! metrics is true, and alerts fire by their real cause and fall silent after it.

mod dashboards;
mod page;
mod prometheus;
mod rules;

use conformance::{ControlPlane, Patch, Process, free_port, until};
use serde_json::json;

use crate::expansion::{CLAIMS, Growable};
use crate::journey::{FUNCTIONS, LEASES, ONE_PROCESS, OURS, SNAPSHOTS, Stage, lease_path};
use crate::processes::terminate;
use crate::shared::{self, PATIENCE};
use crate::volumes::{ATTACHMENTS, claim};
use prometheus::{Prometheus, Target};

const LAYER: &str = "9 watching";
/// More than any retry in this layer.
const MANY: u64 = 1_000_000;
const GIB: u32 = 12;

/// All functions in one process, each with its metrics at its own address.
struct Watched {
    stage: Stage,
    targets: Vec<Target>,
    process: Process,
    prometheus: Prometheus,
    /// What was served so far, by function.
    served: Vec<(String, String)>,
}

impl Watched {
    async fn new(plane: &ControlPlane) -> Option<Self> {
        let program = match conformance::prometheus() {
            Ok(program) => program,
            Err(error) => {
                shared::not_run(LAYER, &error);
                return None;
            }
        };
        let stage = Stage::new(plane, LAYER, "watching", OURS).await?;
        let functions = ["driver"].iter().chain(&FUNCTIONS);
        let target = |function: &str| (function.to_owned(), free_port().unwrap());
        let ports: Vec<Target> = functions.map(|function| target(function)).collect();
        let process = start(&stage, &ports);
        let targets: Vec<Target> = ports
            .iter()
            .map(|(function, port)| (format!("slackwater-{function}"), *port))
            .collect();
        let folder = stage.suite.folder();
        let prometheus = Prometheus::start(&program, plane.keeper(), folder, &targets, &rules::fast()).await;
        Some(Self {
            stage,
            targets: ports,
            process,
            prometheus,
            served: Vec::new(),
        })
    }

    /// Some metrics are there only while something is under way.
    async fn look(&mut self) {
        for (function, port) in &self.targets {
            let text = self.prometheus.scrape(*port).await;
            self.served.push((function.clone(), text));
        }
    }
}

fn start(stage: &Stage, ports: &[Target]) -> Process {
    let user = &stage.users[ONE_PROCESS];
    let functions = format!("--functions=driver,{}", FUNCTIONS.join(","));
    let launch = stage
        .suite
        .mode(
            "controller",
            &stage.program,
            &user.kubeconfig,
            &[&functions, "--v=2"],
        )
        .args([format!(
            "--driver.endpoint=unix://{}",
            stage.suite.socket().display()
        )])
        .args(
            ports
                .iter()
                .map(|(function, port)| format!("--{function}.http-endpoint=127.0.0.1:{port}")),
        )
        .args(stage.election());
    stage.suite.start(&launch).unwrap()
}

#[tokio::test]
async fn panels_show_the_suite_and_alerts_tell_of_its_faults() {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(mut watched) = Watched::new(&plane).await else {
        return;
    };
    let claims = watched.stage.growable(6).await;
    watched.stage.class().await;
    watched.stage.fast_class(&plane);
    for lease in LEASES {
        watched.stage.has_leader(lease).await;
    }
    // Without a fault nothing fires; that there was no snapshot yet is over with the first one.
    watched.stage.snapshots(0..1).await;
    watched.stage.all_ready(1).await;
    until("nothing fires", PATIENCE, async || {
        let firing = watched.prometheus.firing().await;
        firing.is_empty().then_some(())
    })
    .await
    .unwrap();

    watched.a_volume_comes_and_goes().await;
    watched.snapshots_are_denied().await;
    watched.volumes_cannot_grow(&claims).await;
    watched.a_class_cannot_be_had(&claims[2]).await;
    watched.snapshots_cannot_be_deleted().await;
    dashboards::all_show_something(&watched.prometheus).await;
    page::is_current(&watched.served);
    watched.a_lease_is_stolen().await;
    watched.the_process_dies().await;

    terminate([watched.process]).await;
    watched.stage.clear_claims(&plane);
    let kubectl = plane.kubectl();
    kubectl.ok(&["delete", "volumesnapshotclasses", "--all"]).unwrap();
}

impl Watched {
    /// Made for a claim, attached, detached, deleted.
    async fn a_volume_comes_and_goes(&mut self) {
        let stage = &self.stage;
        stage.node().await;
        stage.storage_class(&json!({})).await;
        stage.make(CLAIMS, &claim("dynamic", None)).await;
        let (_, volume) = stage.bound("dynamic").await;
        stage.ask_to_attach("dynamic", &volume).await;
        stage.all_attached(1).await;
        stage.remove(&format!("{ATTACHMENTS}/dynamic")).await;
        stage.all_detached().await;
        stage.remove(&format!("{CLAIMS}/dynamic")).await;
        stage.nothing_made().await;
        stage.clear_node().await;
        self.look().await;
    }

    /// The role of the driver may not take snapshots.
    async fn snapshots_are_denied(&mut self) {
        let ec2 = &self.stage.ec2;
        ec2.fault("CreateSnapshot", "UnauthorizedOperation", MANY)
            .unwrap();
        self.stage.snapshots(1..6).await;
        let alerts = ["EC2Denied", "EC2Errors", "SnapshotError", "SnapshotCreateFailing"];
        self.prometheus.fires(&alerts).await;
        self.look().await;
        self.stage.ec2.clear_faults().unwrap();
        self.stage.all_ready(6).await;
        self.prometheus.is_silent(&alerts).await;
    }

    /// EC2 is down for changes, then has counted as many of a volume as there may be in a day; one claim asks for more
    /// than there is; and nobody does the node's half.
    async fn volumes_cannot_grow(&mut self, claims: &[Growable]) {
        let ec2 = &self.stage.ec2;
        ec2.fault("ModifyVolume", "Unavailable", MANY).unwrap();
        self.stage.grow(&claims[..2], GIB).await;
        self.prometheus.fires(&["ResizeFailing"]).await;
        ec2.clear_faults().unwrap();
        ec2.fault("ModifyVolume", "VolumeModificationRateExceeded", MANY)
            .unwrap();
        self.stage.grow(&claims[3..4], GIB).await;
        self.prometheus.fires(&["ModifyQuotaWait"]).await;
        ec2.clear_faults().unwrap();
        self.stage.grow(&claims[4..5], 70_000).await;
        let alerts = ["ResizeInfeasible", "ResizeWaitsForNode"];
        self.prometheus.fires(&alerts).await;
        self.look().await;
        self.stage.grow(&claims[4..5], GIB).await;
        let growing: Vec<Growable> = claims[..2].iter().chain(&claims[3..5]).cloned().collect();
        self.stage.all_grown(&growing, GIB).await;
        let ended = [
            "ResizeFailing",
            "ModifyQuotaWait",
            "ResizeInfeasible",
            "ResizeWaitsForNode",
        ];
        self.prometheus.is_silent(&ended).await;
    }

    /// A claim names a class that its volume cannot have; then another one.
    async fn a_class_cannot_be_had(&mut self, claim: &Growable) {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttributesClass",
            "metadata": { "name": "nonsense" },
            "driverName": "ebs.csi.aws.com",
            "parameters": { "type": "gp9" },
        });
        let classes = "/apis/storage.k8s.io/v1/volumeattributesclasses";
        self.stage
            .hand
            .create(classes, &class)
            .await
            .unwrap()
            .ok(classes)
            .unwrap();
        self.ask_for_class(claim, "nonsense").await;
        self.prometheus.fires(&["ModifyInfeasible"]).await;
        self.look().await;
        self.ask_for_class(claim, "fast").await;
        // EC2 gives at most 500 for each of its 10 GiB.
        self.stage.has_class(claim, "fast", 5000).await;
        self.prometheus.is_silent(&["ModifyInfeasible"]).await;
    }

    async fn ask_for_class(&self, claim: &Growable, class: &str) {
        let path = format!("{CLAIMS}/{}", claim.name);
        let wish = json!({ "spec": { "volumeAttributesClassName": class } });
        let answer = self.stage.hand.patch(&path, Patch::Merge, &wish).await.unwrap();
        answer.ok(&path).unwrap();
    }

    /// EC2 throttles their deletion, and then has an error.
    async fn snapshots_cannot_be_deleted(&mut self) {
        let ec2 = &self.stage.ec2;
        ec2.fault("DeleteSnapshot", "RequestLimitExceeded", 2).unwrap();
        ec2.fault("DeleteSnapshot", "InternalError", MANY).unwrap();
        for number in 0..6 {
            self.stage
                .hand
                .delete(&format!("{SNAPSHOTS}/s-{number}"))
                .await
                .unwrap();
        }
        self.prometheus.fires(&["SnapshotDeleteStuck"]).await;
        self.look().await;
        self.stage.ec2.clear_faults().unwrap();
        until("the snapshots are gone", PATIENCE, async || {
            let all = self.stage.list(SNAPSHOTS).await?;
            all.is_empty().then_some(())
        })
        .await
        .unwrap();
        self.prometheus.is_silent(&["SnapshotDeleteStuck"]).await;
    }

    /// Somebody who does no work holds the lease.
    async fn a_lease_is_stolen(&self) {
        let path = lease_path(OURS, LEASES[0]);
        let now = jiff::Timestamp::now();
        let theft = json!({
            "spec": {
                "holderIdentity": "thief",
                "leaseDurationSeconds": 3600,
                "renewTime": format!("{now:.6}"),
            },
        });
        self.stage
            .hand
            .patch(&path, Patch::Merge, &theft)
            .await
            .unwrap()
            .ok(&path)
            .unwrap();
        self.prometheus.fires(&["NoLeader"]).await;
        self.stage.hand.delete(&path).await.unwrap();
        self.prometheus.is_silent(&["NoLeader"]).await;
    }

    /// The process is killed, and started again.
    async fn the_process_dies(&mut self) {
        self.process.kill();
        self.prometheus.fires(&["ComponentDown"]).await;
        self.process = start(&self.stage, &self.targets);
        self.prometheus.is_silent(&["ComponentDown"]).await;
    }
}
