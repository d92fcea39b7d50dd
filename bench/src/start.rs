//! `bench start`: what `slackwater controller` costs before it has anything to do: the size of the binary, the
//! time to `/readyz`, and resident memory on a quiet cluster. The process is the real one; the Kubernetes
//! API and EC2 that it talks to are the sandbox, on loopback, in this process. With `--snapshots` see [`settled`].

use std::path::PathBuf;
use std::time::Duration;

use comfy_table::Table;
use serde::Serialize;

use crate::cluster::programs::Set;
use crate::cluster::{self, settled};
use crate::load::tell;
use crate::process::Controller;
use crate::report;
use crate::world::World;

/// The most that the project wants: size of the binary and resident memory, in bytes.
const MOST_BYTES: u64 = 25 << 20;
/// The same of the time to `/readyz`.
const MOST_MILLISECONDS: f64 = 200.0;

/// The command line of `bench start`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The binary; by default the one beside this program.
    #[arg(long)]
    pub slackwater: Option<PathBuf>,
    /// How often the process is started. The median is shown.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// How long the process is left alone before its memory is read, in seconds.
    #[arg(long, default_value_t = 10)]
    pub quiet: u64,
    /// Start sets of programs instead, each on the same kube-apiserver with so many settled snapshots
    #[arg(long, value_name = "COUNT")]
    pub snapshots: Option<usize>,
    /// The sets of `--snapshots`, written as for `cluster`
    #[arg(value_parser = cluster::parse_set, default_values = ["apart=ours", "one=ours,aws-ebs-csi-driver=ours", "apart=upstream"])]
    pub sets: Vec<Set>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// One measurement.
#[derive(Clone, Copy, Serialize)]
struct Figures {
    binary_bytes: u64,
    ready_milliseconds: f64,
    anonymous_bytes: u64,
    resident_bytes: u64,
}

/// Measures and prints.
///
/// # Errors
/// When the process does not become ready.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(count) = args.snapshots {
        return settled::run(&args.sets, count, args.json).await;
    }
    let binary = crate::binary(args.slackwater.as_deref())?;
    let binary_bytes = std::fs::metadata(&binary)?.len();
    let mut ready = Vec::new();
    let mut anonymous = Vec::new();
    let mut resident = Vec::new();
    for run in 1..=args.runs {
        tell(&format!(
            "run {run} of {}: start, then {} s of quiet",
            args.runs, args.quiet
        ))?;
        let world = World::new()?;
        let doors = world.open().await?;
        let controller = Controller::start(&binary, &doors, 10).await?;
        ready.push(controller.ready_after().as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_secs(args.quiet)).await;
        let memory = controller.usage()?.memory;
        anonymous.push(memory.anonymous_bytes as f64);
        resident.push(memory.resident_bytes as f64);
        controller.stop().await?;
    }
    let figures = Figures {
        binary_bytes,
        ready_milliseconds: median(&mut ready),
        anonymous_bytes: median(&mut anonymous) as u64,
        resident_bytes: median(&mut resident) as u64,
    };
    report::print(args.json, &figures, || table(&figures).to_string())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn table(figures: &Figures) -> Table {
    let megabytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let milliseconds = |value: f64| format!("{value:.0} ms");
    let mut table = report::table(["Figure", "Measured", "At most"]);
    table.add_row([
        "size of the binary".to_owned(),
        megabytes(figures.binary_bytes),
        megabytes(MOST_BYTES),
    ]);
    table.add_row([
        "start to /readyz".to_owned(),
        milliseconds(figures.ready_milliseconds),
        milliseconds(MOST_MILLISECONDS),
    ]);
    table.add_row([
        "anonymous memory, quiet".to_owned(),
        megabytes(figures.anonymous_bytes),
        String::new(),
    ]);
    table.add_row([
        "resident memory, quiet".to_owned(),
        megabytes(figures.resident_bytes),
        megabytes(MOST_BYTES),
    ]);
    table
}
