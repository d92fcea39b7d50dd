//! Mixed with upstream: our programs beside theirs (`conformance/peers`), and take-over in the middle, both ways. The
//! driver is ours.

mod flags;
mod groups;
mod migrated;
mod volumes;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use conformance::{Launch, Peers, Process};

use crate::expansion::Growable;
use crate::journey::{FUNCTIONS, LEASES, Stage, UPSTREAM};
use crate::processes::terminate;
use crate::requests::Cost;
use crate::shared::{self, Guard, say};

const LAYER: &str = "mixed";
const COUNT: usize = 8;
const GIB: u32 = 12;

/// Whose controllers of snapshots and sizes play, the first three of [`FUNCTIONS`].
type Cast = [Side; 3];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Ours,
    Upstream,
}

use Side::{Ours, Upstream};

struct Mixed {
    // Dropped in this order: the stage tells what was denied, from the log of the control plane.
    stage: Stage,
    peers: Peers,
    plane: Guard,
}

impl Mixed {
    /// None, with a line that says so, when something was not built.
    async fn new(name: &str) -> Option<Self> {
        let peers = match Peers::find() {
            Ok(peers) => peers,
            Err(error) => {
                shared::not_run(LAYER, &error);
                return None;
            }
        };
        let plane = shared::control_plane(LAYER).await?;
        let stage = Stage::new(&plane, LAYER, &name.replace(' ', "-"), UPSTREAM).await?;
        // Upstream's snapshot programs watch the group kinds too, and ask again and again where they are not there.
        let definitions = peers.definitions().display().to_string();
        // The layer of definitions may have written to ours, where both run in one process.
        let args = ["apply", "--server-side", "--force-conflicts", "-f", &definitions];
        plane.kubectl().ok(&args).unwrap();
        stage.class().await;
        Some(Self { stage, peers, plane })
    }

    /// The controllers of a cast; they work once the driver is there too.
    async fn start(&self, cast: Cast) -> Vec<Process> {
        self.start_with(cast, |_, _| None).await
    }

    /// The same with one more flag for some.
    async fn start_with(&self, cast: Cast, more: impl Fn(&str, Side) -> Option<String>) -> Vec<Process> {
        let started = FUNCTIONS.iter().zip(cast).map(|(name, side)| {
            let flags = self.flags(name).into_iter().chain(more(name, side));
            let launch = self.launch(name, side).args(flags);
            self.stage.suite.start(&launch).unwrap()
        });
        let processes = started.collect();
        for lease in &LEASES[..cast.len()] {
            self.stage.has_leader(lease).await;
        }
        processes
    }

    fn launch(&self, name: &str, side: Side) -> Launch {
        let suite = &self.stage.suite;
        let log = format!("{name}-{side:?}");
        match side {
            Ours => suite.launch(&log, &self.stage.program, &[name]),
            Upstream => suite.launch(&log, &self.peers.path(name), &[]),
        }
    }

    /// The same for both sides.
    fn flags(&self, name: &str) -> Vec<String> {
        let mut flags = vec![
            format!("--kubeconfig={}", self.stage.users[name].kubeconfig.display()),
            "--kube-api-qps=100".to_owned(),
            "--kube-api-burst=200".to_owned(),
            "--retry-interval-max=5s".to_owned(),
        ];
        flags.extend(self.stage.election());
        if name != "snapshot-controller" {
            flags.push(format!("--csi-address={}", self.socket().display()));
            flags.push("--timeout=60s".to_owned());
        }
        flags
    }

    fn socket(&self) -> PathBuf {
        self.stage.suite.socket()
    }

    /// One cast from the beginning to the end.
    async fn play(self, title: &str, cast: Cast) {
        let (stage, plane) = (&self.stage, &*self.plane);
        let growable = stage.growable(COUNT).await;
        let driver = stage.driver();
        let processes = self.start(cast).await;
        let begin = stage.begin();
        stage.snapshots(0..COUNT).await;
        stage.all_ready(COUNT).await;
        stage.nothing_lost_or_doubled().await;
        let snapshots = stage.cost(&begin).await;
        let begin = stage.begin();
        stage.grow(&growable, GIB).await;
        stage.all_grown(&growable, GIB).await;
        let expansions = stage.cost(&begin).await;
        stage.no_call_twice(COUNT, COUNT);
        stage.fast_class(plane);
        let begin = stage.begin();
        stage.change(&growable, "fast").await;
        for claim in &growable {
            stage.has_class(claim, "fast", 500 * GIB).await;
        }
        let changes = stage.cost(&begin).await;
        stage.no_call_twice(COUNT, 2 * COUNT);
        let begin = stage.begin();
        stage.clear(plane).await;
        let deletions = stage.cost(&begin).await;
        self.end(cast, processes, driver).await;
        for (what, cost) in [
            ("a snapshot", &snapshots),
            ("an expansion", &expansions),
            ("a change by class", &changes),
            ("a deletion", &deletions),
        ] {
            tell(title, what, cost);
        }
        let told = [&snapshots, &expansions, &changes].map(|cost| cost.events.len());
        match cast {
            [Ours, Ours, Ours] => assert_eq!(told, [3 * COUNT, 2 * COUNT, 2 * COUNT]),
            // Upstream's programs tell some of it late, so that it counts for what comes then, and second tries too.
            _ => assert!((7 * COUNT..9 * COUNT).contains(&told.iter().sum()), "{told:?}"),
        }
    }

    /// The programs of one side are ended at work, and the other side's go on.
    async fn take_over(self, title: &str, from: Side, to: Side) {
        let (stage, plane) = (&self.stage, &*self.plane);
        let growable: Vec<Growable> = stage.growable(COUNT).await;
        let driver = stage.driver();
        let first = self.start([from; 3]).await;
        stage.snapshots(0..COUNT).await;
        stage.grow(&growable, GIB).await;
        stage.ec2_at_work().await;
        for mut process in first {
            process.terminate(Duration::from_secs(90)).await.unwrap();
        }
        let begun = Instant::now();
        let second = self.start([to; 3]).await;
        stage.all_ready(COUNT).await;
        stage.all_grown(&growable, GIB).await;
        let seconds = begun.elapsed().as_secs_f64();
        stage.nothing_lost_or_doubled().await;
        stage.no_call_twice(COUNT, COUNT);
        stage.clear(plane).await;
        self.end([to; 3], second, driver).await;
        say(&format!(
            "{LAYER}: {title}: {COUNT} snapshots and {COUNT} expansions done {seconds:.1} s after the take-over"
        ));
    }

    /// All processes are there to the end, and ours end as they should; nobody was denied anything.
    async fn end(&self, cast: Cast, processes: Vec<Process>, driver: Process) {
        end(&cast, processes).await;
        terminate([driver]).await;
        self.stage.nothing_denied();
    }
}

/// They are there to the end, and ours end as they should.
async fn end(sides: &[Side], processes: Vec<Process>) {
    for (mut process, side) in processes.into_iter().zip(sides) {
        process.check().unwrap();
        match side {
            Ours => terminate([process]).await,
            Upstream => drop(process.terminate(Duration::from_secs(90)).await.unwrap()),
        }
    }
}

/// What one of [`COUNT`] cost.
fn tell(title: &str, what: &str, cost: &Cost) {
    #[allow(clippy::cast_precision_loss)]
    let each = |count: usize| count as f64 / COUNT as f64;
    say(&format!(
        "{LAYER}: {title}: {what}: {:.1} requests, {:.1} events; EC2 {:?}",
        each(cost.total()),
        each(cost.events.len()),
        cost.ec2,
    ));
}

async fn play(title: &str, cast: Cast) {
    if let Some(mixed) = Mixed::new(title).await {
        mixed.play(title, cast).await;
    }
}

async fn take_over(title: &str, from: Side, to: Side) {
    if let Some(mixed) = Mixed::new(title).await {
        mixed.take_over(title, from, to).await;
    }
}

#[tokio::test]
async fn our_snapshot_controller_with_upstreams_sidecars() {
    play("our snapshot-controller", [Ours, Upstream, Upstream]).await;
}

#[tokio::test]
async fn our_csi_snapshotter_with_upstreams_snapshot_controller() {
    play("our csi-snapshotter", [Upstream, Ours, Upstream]).await;
}

#[tokio::test]
async fn our_csi_resizer_with_upstreams_others() {
    play("our csi-resizer", [Upstream, Upstream, Ours]).await;
}

#[tokio::test]
async fn our_driver_with_upstreams_controllers() {
    play("our driver", [Upstream; 3]).await;
}

#[tokio::test]
async fn all_of_ours() {
    play("all of ours", [Ours; 3]).await;
}

#[tokio::test]
async fn ours_take_over_in_the_middle() {
    take_over("ours take over", Upstream, Ours).await;
}

#[tokio::test]
async fn upstreams_take_over_in_the_middle() {
    take_over("upstream's take over", Ours, Upstream).await;
}
