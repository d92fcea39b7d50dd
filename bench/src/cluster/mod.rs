//! `bench cluster`: sets of programs side by side on a real kube-apiserver and etcd, with the sandbox's EC2 in
//! a process of its own. Every set meets a new, empty control plane.

mod audit;
pub mod ec2;
pub mod pace;
mod plane;
pub mod program;
pub mod programs;
pub mod settled;
mod table;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use base::{Random, Scope};
use serde::Serialize;
use tokio::time::Instant;

use self::audit::Audit;
use self::ec2::Ec2Process;
use self::plane::Plane;
use self::program::Program;
use self::programs::{Set, Surroundings};
use self::work::Work;
use crate::load::{Binder, Load, Timing, tell};
use crate::phase::Phase;
use crate::reading::{Memory, Meter, Reading};
use crate::{report, usage};

/// User name of the one whose wishes these are.
const PERSON: &str = "person";
/// A phase is over when nobody has asked for anything for so long; events may come late.
const QUIET: Duration = Duration::from_secs(3);
/// Upstream's default limit makes events come very late: no longer than this.
const QUIET_AT_MOST: Duration = Duration::from_secs(90);

/// The comparison with upstream: once as it is shipped, and once with the driver apart on both sides.
const DEFAULT_SETS: [&str; 4] = [
    "one=ours",
    "one=ours,aws-ebs-csi-driver=ours",
    "apart=ours",
    "apart=upstream",
];

/// The command line of `bench cluster`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A set of programs: `one=PATH` is `slackwater controller`, `apart=PATH` a process a program, `default=PATH` the
    /// same with default flags. PATH is `ours`, `upstream` (conformance/peers), a binary of ours or a folder with
    /// programs like upstream's; single programs may come from elsewhere: `apart=upstream,csi-snapshotter=ours`. Where
    /// there is no driver, ours takes part. `one=ours,aws-ebs-csi-driver=ours` has it in a process of its own
    #[arg(value_parser = parse_set, default_values = DEFAULT_SETS)]
    sets: Vec<Set>,
    /// Claims, and of each one item a phase
    #[arg(long, default_value_t = 1_000)]
    count: usize,
    /// What is measured: all phases unless some are named, in the order of this list. Only the controllers that they need
    /// take part. Without the phase of claims, volumes and claims are made by hand before the measurement
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Work::ALL)]
    phases: Vec<Work>,
    /// The same for sets with default flags
    #[arg(long, default_value_t = 50)]
    default_count: usize,
    /// Who binds the volumes of the phase of claims, and releases them in the end
    #[arg(long, value_enum, default_value_t = Binder::Cluster)]
    binder: Binder,
    /// Objects that each controller works on at the same time
    #[arg(long, default_value_t = 50)]
    workers: usize,
    /// Requests a second that upstream's programs may make
    #[arg(long, default_value_t = 2_000)]
    qps: u32,
    /// Requests of the user at the same time
    #[arg(long, default_value_t = 32)]
    concurrency: usize,
    /// Pods, and claims of another driver, that are there too
    #[arg(long, default_value_t = 0)]
    strangers: usize,
    /// How long the programs are left alone before their memory is read, in seconds
    #[arg(long, default_value_t = 10)]
    quiet: u64,
    /// Raw devices instead of file systems
    #[arg(long)]
    block: bool,
    /// Show each kind of request
    #[arg(long)]
    requests: bool,
    /// Keep data and logs in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Also write the figures to this file, as JSON
    #[arg(long)]
    output: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// A set as the command line has it.
///
/// # Errors
/// What is wrong with it.
pub fn parse_set(text: &str) -> Result<Set, String> {
    text.parse().map_err(|error: anyhow::Error| error.to_string())
}

/// The figures of one set.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Its name.
    pub set: String,
    /// The processes that belong to it.
    pub programs: Vec<String>,
    /// Their memory before the first phase, with nothing to do.
    pub idle: BTreeMap<String, Memory>,
    /// What it did.
    pub phases: Vec<Phase>,
    /// Requests that were answered with an error.
    pub refused: BTreeMap<String, u64>,
}

/// Measures and prints.
///
/// # Errors
/// When a program cannot be started, or something does not come about.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let works = work::ordered(&args.phases)?;
    let mut all = Vec::new();
    for (number, set) in args.sets.iter().enumerate() {
        tell(&format!(
            "set {} of {}: {}",
            number + 1,
            args.sets.len(),
            set.name
        ))?;
        let measured = measure(args, set, number, &works).await;
        all.push(measured.with_context(|| format!("set {:?}", set.name))?);
        if let Some(path) = &args.output {
            std::fs::write(path, serde_json::to_string_pretty(&all)?)?;
        }
    }
    report::print(args.json, &all, || table::text(&all, args.requests))
}

async fn measure(args: &Args, set: &Set, number: usize, works: &[Work]) -> anyhow::Result<Figures> {
    let temporary = tempfile::tempdir()?;
    let folder = match &args.keep {
        Some(folder) => folder.join(number.to_string()),
        None => temporary.path().to_owned(),
    };
    std::fs::create_dir_all(&folder)?;
    let scope = Scope::new();
    // Claims that are there before were bound by hand.
    let binder = match works.contains(&Work::Claims) {
        true => args.binder,
        false => Binder::User,
    };
    let count = if set.has_defaults() {
        args.default_count
    } else {
        args.count
    };
    let plane = Plane::start(&folder, &Random::from_entropy(), binder).await?;
    let load = Load::new(plane.client(PERSON).await?, &scope, args.concurrency, args.block);
    let mut bench = Bench::start(args, set, works, plane, &folder).await?;
    load.strangers(args.strangers).await?;
    bench.furnish(&load, works, count).await?;
    bench.until_quiet().await?;
    tokio::time::sleep(Duration::from_secs(args.quiet)).await;
    let idle = bench.read().await?;
    let mut phases = Vec::new();
    for work in works {
        phases.push(bench.phase(work.name(), work.done(&load, count, binder)).await?);
        if *work == Work::Claims && binder == Binder::User {
            load.bind_all().await?;
            bench.until_quiet().await?;
        }
    }
    let idle = idle
        .processes
        .iter()
        .map(|(name, usage)| (name.clone(), usage.memory));
    let programs = bench.programs.iter().map(|program| program.name.clone());
    let figures = Figures {
        set: set.name.clone(),
        idle: idle.collect(),
        programs: programs.collect(),
        phases,
        refused: bench.audit.refused(is_measured),
    };
    bench.stop().await?;
    Ok(figures)
}

/// Whether a user is one of the measured programs.
fn is_measured(user: &str) -> bool {
    user != PERSON && !user.starts_with("system:")
}

/// Everything that is measured.
struct Bench {
    plane: Plane,
    ec2: Ec2Process,
    programs: Vec<Program>,
    audit: Audit,
}

impl Bench {
    /// Starts the programs of a set, and EC2.
    async fn start(
        args: &Args,
        set: &Set,
        works: &[Work],
        plane: Plane,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let ec2 = Ec2Process::start().await?;
        let around = Surroundings {
            kubeconfig: &|user| plane.kubeconfig(user),
            ec2: &ec2.url,
            folder,
            controllers: &work::controllers(works),
            workers: args.workers,
            qps: args.qps,
            has_limits: false,
        };
        let programs = set.start(&around)?;
        Ok(Self {
            audit: Audit::new(plane.audit_log()),
            plane,
            ec2,
            programs,
        })
    }

    /// What is there before the first phase: the classes, nodes where they are needed, and claims where no phase makes them.
    async fn furnish(&mut self, load: &Load, works: &[Work], count: usize) -> anyhow::Result<()> {
        load.classes().await?;
        if works.contains(&Work::Claims) || works.contains(&Work::Attachments) {
            let instances = self.ec2.instances(count.div_ceil(ec2::ATTACHMENTS)).await?;
            load.nodes(&instances).await?;
        }
        if !works.contains(&Work::Claims) {
            let volumes = self.ec2.volumes(count).await?;
            load.claims(&volumes, Binder::User).await?;
        }
        Ok(())
    }

    async fn phase(
        &mut self,
        name: &str,
        work: impl Future<Output = anyhow::Result<Timing>>,
    ) -> anyhow::Result<Phase> {
        let before = self.read().await?;
        let timing = match work.await {
            Ok(timing) => timing,
            Err(error) => {
                // A program that has ended explains more.
                self.read().await?;
                return Err(error);
            }
        };
        self.until_quiet().await?;
        let spent = self.read().await?.since(&before);
        Ok(Phase::new(name, &timing, &spent, is_measured))
    }

    /// Waits until nobody asks for anything.
    async fn until_quiet(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut seen = (self.audit.read()?, Instant::now());
        while begun.elapsed() < QUIET_AT_MOST && seen.1.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let now = self.audit.read()?;
            if now != seen.0 {
                seen = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// Ends all of it.
    async fn stop(mut self) -> anyhow::Result<()> {
        for program in &mut self.programs {
            program.stop().await?;
        }
        self.plane.stop().await
    }
}

impl Meter for Bench {
    async fn read(&mut self) -> anyhow::Result<Reading> {
        let mut processes = BTreeMap::new();
        for program in self.programs.iter().chain(self.plane.programs()) {
            processes.insert(program.name.clone(), program.usage()?);
        }
        processes.insert("EC2".to_owned(), self.ec2.usage()?);
        processes.insert("bench".to_owned(), usage::of_this_process()?);
        Ok(Reading {
            requests: self.audit.read()?,
            ec2: self.ec2.counts().await?,
            processes,
        })
    }
}
