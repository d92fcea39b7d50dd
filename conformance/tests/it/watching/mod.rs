//! Layer 9: a real Prometheus scrapes the suite at work. Every panel of the dashboards shows something, the page of the
//! metrics is true, and alerts fire by their real cause and fall silent after it. Causes that do not disturb each other come
//! together, so that their alerts are waited for at the same time.

mod dashboards;
mod ec2;
mod lint;
mod page;
mod pictures;
mod programs;
mod prometheus;
mod refused;
mod rules;
mod seen;
mod unending;
mod volumes;

use conformance::{ControlPlane, Process, free_port, until};

use crate::expansion::Growable;
use crate::journey::{FUNCTIONS, LEASES, ONE_PROCESS, OURS, Stage};
use crate::processes::terminate;
use crate::shared::{self, PATIENCE};
use prometheus::{Prometheus, Target};

const LAYER: &str = "9 watching";
/// More than any retry in this layer.
const MANY: u64 = 1_000_000;
const GIB: u32 = 12;
/// Function of a process of its own, which looks at the driver.
const LIVENESS: &str = "livenessprobe";
/// A second snapshot-controller, while there is one.
const SECOND: &str = "another-snapshot-controller";
/// Who fails comes again soon. One worker attaches, so that volumes wait for each other. What nobody owns is looked for often.
const FLAGS: [&str; 7] = [
    "--v=2",
    "--retry-interval-start=100ms",
    "--retry-interval-max=500ms",
    "--leader-election-retry-period=500ms",
    "--csi-attacher.worker-threads=1",
    "--driver.k8s-tag-cluster-id=watched",
    "--csi-provisioner.orphan-volumes-interval=1s",
];

/// All functions in one process, each with its metrics at its own address.
struct Watched {
    stage: Stage,
    /// Function and port.
    served_at: Vec<(String, u16)>,
    process: Process,
    /// A driver of its own with its livenessprobe.
    pod: Option<programs::Pod>,
    prometheus: Prometheus,
    /// What was served so far, by function.
    served: Vec<(String, String)>,
    claims: Vec<Growable>,
    /// One whose volume was made by the in-tree plugin.
    in_tree: Growable,
    /// The instance of the second node.
    hanging: String,
}

impl Watched {
    /// In a cluster without the definitions of snapshots.
    async fn new(plane: &ControlPlane) -> Option<Self> {
        let program = match conformance::prometheus() {
            Ok(program) => program,
            Err(error) => {
                shared::not_run(LAYER, &error);
                return None;
            }
        };
        let stage = Stage::new(plane, LAYER, "watching", OURS).await?;
        let claims = stage.growable(12).await;
        let in_tree = stage.in_tree("old").await;
        programs::take_definitions_away(plane).await;
        let functions = ["driver"].iter().chain(&FUNCTIONS);
        let served_at: Vec<(String, u16)> = functions
            .map(|function| ((*function).to_owned(), free_port().unwrap()))
            .collect();
        let process = start(&stage, &served_at);
        let target = |(function, port): &(String, u16)| Target::new(&format!("slackwater-{function}"), *port);
        let mut targets: Vec<Target> = served_at.iter().map(target).collect();
        for job in [format!("slackwater-{LIVENESS}"), SECOND.to_owned()] {
            targets.push(Target::new(&job, free_port().unwrap()));
        }
        let folder = stage.suite.folder();
        let prometheus = Prometheus::start(&program, plane.keeper(), folder, &targets, &rules::fast()).await;
        Some(Self {
            stage,
            served_at,
            process,
            pod: None,
            prometheus,
            served: Vec::new(),
            claims,
            in_tree,
            hanging: String::new(),
        })
    }

    /// Some metrics are there only while something is under way.
    async fn look(&mut self) {
        let functions = self.served_at.iter().map(|(function, _)| function.as_str());
        for function in functions.chain([LIVENESS]) {
            let port = self.prometheus.port(&format!("slackwater-{function}"));
            let text = self.prometheus.scrape(port).await;
            self.served.push((function.to_owned(), text));
        }
    }

    /// All is at work, and nothing fires; that there was no snapshot yet is no cause.
    async fn is_well(&self) {
        for lease in LEASES {
            self.stage.has_leader(lease).await;
        }
        until("nothing fires", PATIENCE, async || {
            self.prometheus.firing().await.is_empty().then_some(())
        })
        .await
        .unwrap();
    }
}

fn start(stage: &Stage, served_at: &[(String, u16)]) -> Process {
    let user = &stage.users[ONE_PROCESS];
    let functions: Vec<&str> = served_at.iter().map(|(function, _)| function.as_str()).collect();
    let functions = format!("--functions={}", functions.join(","));
    let launch = stage
        .suite
        .mode("controller", &stage.program, &user.kubeconfig, &[&functions])
        .args(FLAGS)
        .args([format!(
            "--driver.endpoint=unix://{}",
            stage.suite.socket().display()
        )])
        .args(
            served_at
                .iter()
                .map(|(function, port)| format!("--{function}.http-endpoint=127.0.0.1:{port}")),
        )
        .args(stage.election());
    stage.suite.start(&launch).unwrap()
}

#[tokio::test]
async fn journeys_case_63_and_87_to_90_and_93_to_95_and_99_to_101_and_113_panels_show_the_suite_and_alerts_tell_of_its_faults()
 {
    let Some(plane) = shared::control_plane(LAYER).await else {
        return;
    };
    let Some(mut watched) = Watched::new(&plane).await else {
        return;
    };
    watched.nothing_is_as_it_must_be(&plane).await;
    watched.stage.class().await;
    watched.stage.fast_class(&plane);
    watched.has_nodes().await;
    watched.is_well().await;
    watched.fresh_functions_serve_what_upstreams_do().await;
    watched.capacity_is_counted(&plane).await;

    watched.a_right_is_missing().await;
    watched.all_is_refused().await;
    watched.nothing_ends().await;
    watched.ec2_is_slow_and_goes_away().await;
    dashboards::all_show_something(&watched.prometheus).await;
    page::is_current(&watched.served);
    lint::takes(&watched.served);
    watched.a_lease_is_stolen().await;
    watched.a_replica_looks_at_another_lease(&plane).await;
    watched.the_process_dies().await;
    watched.prometheus.has_proven(&rules::alerts());

    watched.leaves_nothing(&plane).await;
    terminate([watched.process]).await;
}
