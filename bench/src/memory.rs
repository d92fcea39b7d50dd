//! `bench memory`: `slackwater controller` as a process of its own, the sandbox in this one. It shows the
//! memory and the processor time of the controller, caches counted, without an API server's.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::in_process::{phase, runs_resizer};
use crate::load::{Binder, Load};
use crate::phase::Phase;
use crate::process::Controller;
use crate::reading::{Memory, Meter, Reading};
use crate::report;
use crate::world::World;

/// Name of the measured process in the figures.
const CONTROLLER: &str = "controller";

/// The command line of `bench memory`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The binary; by default the one beside this program.
    #[arg(long)]
    pub slackwater: Option<PathBuf>,
    /// Snapshots, expansions and deletions.
    #[arg(long, default_value_t = 1_000)]
    pub count: usize,
    /// Objects that each controller works on at the same time.
    #[arg(long, default_value_t = 50)]
    pub workers: usize,
    /// Pods, and claims of another driver, that are there too.
    #[arg(long, default_value_t = 0)]
    pub strangers: usize,
    /// How long the process is left alone before its memory is read, in seconds.
    #[arg(long, default_value_t = 10)]
    pub quiet: u64,
    /// Raw devices instead of file systems.
    #[arg(long)]
    pub block: bool,
    /// Print JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Figures {
    /// What the cluster held, and the memory of the controller then.
    memory: Vec<(String, Memory)>,
    phases: Vec<Phase>,
}

/// Measures and prints.
///
/// # Errors
/// When something does not come about.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let world = World::new()?;
    let doors = world.open().await?;
    let person = kube::Client::new(world.api.service("person"), "default");
    let load = Load::new(person, &world.scope, 100, args.block);
    let volumes = world.volumes(args.count)?;
    let binary = crate::binary(args.slackwater.as_deref())?;
    let controller = Controller::start(&binary, &doors, args.workers).await?;
    let mut meter = Beside { world, controller };
    let mut memory = Vec::new();
    let quiet = Duration::from_secs(args.quiet);
    memory.push(meter.memory("nothing", quiet).await?);
    if args.strangers > 0 {
        load.strangers(args.strangers).await?;
        let what = format!("{} unrelated pods and claims", args.strangers);
        memory.push(meter.memory(&what, quiet).await?);
    }
    load.classes().await?;
    load.claims(&volumes, Binder::Cluster).await?;
    let what = format!("{} claims", args.count);
    memory.push(meter.memory(&what, quiet).await?);
    let mut phases = vec![phase("snapshots", &mut meter, load.snapshots(args.count)).await?];
    if runs_resizer() {
        phases.push(phase("expansions", &mut meter, load.expansions(args.count)).await?);
    }
    let what = format!("the same, {} snapshots, all expanded", args.count);
    memory.push(meter.memory(&what, quiet).await?);
    phases.push(phase("deletions", &mut meter, load.deletions(args.count)).await?);
    memory.push(meter.memory("after the deletions", quiet).await?);
    meter.controller.stop().await?;
    let figures = Figures { memory, phases };
    report::print(args.json, &figures, || text(&figures))
}

fn text(figures: &Figures) -> String {
    let mut table = report::table(["The cluster holds", "Anonymous MB", "Resident MB"]);
    for (what, memory) in &figures.memory {
        table.add_row([
            what.clone(),
            report::megabytes(memory.anonymous_bytes),
            report::megabytes(memory.resident_bytes),
        ]);
    }
    let phases = report::phases(&figures.phases, |name| name == CONTROLLER);
    format!("{phases}\n\n{table}")
}

/// The controller beside this process.
struct Beside {
    world: World,
    controller: Controller,
}

impl Beside {
    async fn memory(&self, what: &str, quiet: Duration) -> anyhow::Result<(String, Memory)> {
        tokio::time::sleep(quiet).await;
        Ok((what.to_owned(), self.controller.usage()?.memory))
    }
}

impl Meter for Beside {
    async fn read(&mut self) -> anyhow::Result<Reading> {
        let mut reading = self.world.reading();
        let usage = self.controller.usage()?;
        reading.processes.insert(CONTROLLER.to_owned(), usage);
        Ok(reading)
    }
}
