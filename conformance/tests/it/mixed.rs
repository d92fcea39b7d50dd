//! Mixed with upstream's programs, outside CI: `conformance/mixed FOLDER`. Prints what was seen.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use conformance::Process;

use crate::expansion::Growable;
use crate::journey::{LEASES, Stage, UPSTREAM};
use crate::requests::Cost;
use crate::shared::{self, Guard, say};

const LAYER: &str = "mixed with upstream";
/// Names the folder of upstream's programs.
const FOLDER: &str = "SLACKWATER_UPSTREAM";
const PROGRAMS: [&str; 4] = [
    "snapshot-controller",
    "csi-snapshotter",
    "csi-resizer",
    "aws-ebs-csi-driver",
];
const COUNT: usize = 8;
const GIB: u32 = 12;

/// Whose programs play, in the order of [`PROGRAMS`].
type Cast = [Side; 4];

#[derive(Clone, Copy, Debug)]
enum Side {
    Ours,
    Upstream,
}

use Side::{Ours, Upstream};

struct Mixed {
    plane: Guard,
    stage: Stage,
    ours: PathBuf,
    upstream: PathBuf,
}

impl Mixed {
    async fn new(name: &str) -> Option<Self> {
        let upstream = PathBuf::from(std::env::var_os(FOLDER)?);
        let plane = shared::control_plane(LAYER).await?;
        let stage = Stage::new(&plane, LAYER, name, UPSTREAM).await?;
        // A link with the name of a program is that program: the command lines are the same.
        let ours = stage.suite.folder().join("ours");
        std::fs::create_dir(&ours).unwrap();
        for name in PROGRAMS {
            std::os::unix::fs::symlink(&stage.program, ours.join(name)).unwrap();
        }
        stage.class().await;
        Some(Self {
            plane,
            stage,
            ours,
            upstream,
        })
    }

    async fn start(&self, cast: Cast) -> Vec<Process> {
        let started = PROGRAMS
            .iter()
            .zip(cast)
            .map(|(name, side)| self.program(name, side));
        let processes = started.collect();
        for lease in LEASES {
            self.stage.has_leader(lease).await;
        }
        processes
    }

    fn program(&self, name: &str, side: Side) -> Process {
        let (stage, folder) = (&self.stage, self.folder(side));
        let socket = stage.suite.socket().display().to_string();
        let args = match name {
            "aws-ebs-csi-driver" => vec!["controller".to_owned(), format!("--endpoint=unix://{socket}")],
            _ => {
                let mut args = vec![
                    format!("--kubeconfig={}", stage.users[name].kubeconfig.display()),
                    "--kube-api-qps=100".to_owned(),
                    "--kube-api-burst=200".to_owned(),
                    "--retry-interval-max=5s".to_owned(),
                ];
                args.extend(stage.election());
                if name != "snapshot-controller" {
                    args.push(format!("--csi-address={socket}"));
                    args.push("--timeout=60s".to_owned());
                }
                args
            }
        };
        let log = format!("{name}-{side:?}");
        let launch = stage.suite.launch(&log, &folder.join(name), &[]).args(args);
        stage.suite.start(&launch).unwrap()
    }

    fn folder(&self, side: Side) -> &Path {
        match side {
            Ours => &self.ours,
            Upstream => &self.upstream,
        }
    }

    /// One cast from the beginning to the end.
    async fn play(self, title: &str, cast: Cast) {
        let (stage, plane) = (&self.stage, &*self.plane);
        let growable = stage.growable(COUNT).await;
        let processes = self.start(cast).await;
        let begin = stage.begin();
        stage.snapshots(0..COUNT).await;
        stage.all_ready(COUNT).await;
        stage.nothing_lost_or_doubled().await;
        tell(title, "a snapshot", &stage.cost(&begin).await);
        let begin = stage.begin();
        stage.grow(&growable, GIB).await;
        stage.all_grown(&growable, GIB).await;
        tell(title, "an expansion", &stage.cost(&begin).await);
        let begin = stage.begin();
        stage.clear(plane).await;
        tell(title, "a deletion", &stage.cost(&begin).await);
        self.end(title, processes).await;
    }

    /// The programs of one side are ended at work, and the other side's go on.
    async fn take_over(self, title: &str, from: Side, to: Side) {
        let (stage, plane) = (&self.stage, &*self.plane);
        let growable: Vec<Growable> = stage.growable(COUNT).await;
        let first = self.start([from; 4]).await;
        stage.snapshots(0..COUNT).await;
        stage.grow(&growable, GIB).await;
        stage.ec2_at_work().await;
        for mut process in first {
            process.terminate(Duration::from_secs(90)).await.unwrap();
        }
        let begun = Instant::now();
        let second = self.start([to; 4]).await;
        stage.all_ready(COUNT).await;
        stage.all_grown(&growable, GIB).await;
        stage.nothing_lost_or_doubled().await;
        let counts = stage.ec2.counts().unwrap();
        say(&format!(
            "{LAYER}: {title}: {COUNT} snapshots and {COUNT} expansions done {:.1} s after the take-over; {} CreateSnapshot, {} ModifyVolume",
            begun.elapsed().as_secs_f64(),
            counts["CreateSnapshot"],
            counts["ModifyVolume"],
        ));
        stage.clear(plane).await;
        self.end(title, second).await;
    }

    async fn end(&self, title: &str, processes: Vec<Process>) {
        for mut process in processes {
            process.check().unwrap();
            process.terminate(Duration::from_secs(90)).await.unwrap();
        }
        let denied = self.stage.denied();
        let denied = if denied.is_empty() {
            "none".to_owned()
        } else {
            format!("{denied:?}")
        };
        say(&format!(
            "{LAYER}: {title}: all in order; denied requests: {denied}"
        ));
    }
}

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
    match Mixed::new(&title.replace(' ', "-")).await {
        Some(mixed) => mixed.play(title, cast).await,
        None => say(&format!("not run: {LAYER}: {title}: {FOLDER} names no folder")),
    }
}

async fn take_over(title: &str, from: Side, to: Side) {
    match Mixed::new(&title.replace(' ', "-")).await {
        Some(mixed) => mixed.take_over(title, from, to).await,
        None => say(&format!("not run: {LAYER}: {title}: {FOLDER} names no folder")),
    }
}

#[tokio::test]
async fn our_snapshot_controller_with_upstreams_csi_snapshotter() {
    play(
        "our snapshot-controller only",
        [Ours, Upstream, Upstream, Upstream],
    )
    .await;
}

#[tokio::test]
async fn upstreams_snapshot_controller_with_our_csi_snapshotter() {
    play("our csi-snapshotter only", [Upstream, Ours, Upstream, Upstream]).await;
}

#[tokio::test]
async fn our_resizer_with_upstreams_driver() {
    play("our csi-resizer only", [Upstream, Upstream, Ours, Upstream]).await;
}

#[tokio::test]
async fn our_driver_with_upstreams_sidecars() {
    play("our driver only", [Upstream, Upstream, Upstream, Ours]).await;
}

#[tokio::test]
async fn all_of_upstream() {
    play("all of upstream", [Upstream; 4]).await;
}

#[tokio::test]
async fn all_of_ours() {
    play("all of ours", [Ours; 4]).await;
}

#[tokio::test]
async fn ours_take_over_in_the_middle() {
    take_over("ours take over", Upstream, Ours).await;
}

#[tokio::test]
async fn upstream_takes_over_in_the_middle() {
    take_over("upstream takes over", Ours, Upstream).await;
}
