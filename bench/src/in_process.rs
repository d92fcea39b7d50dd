//! `bench sandbox`: every function in this process, with the sandbox in it too, on real time. It shows what
//! our own code costs, without an API server's, a network's or EC2's share. The functions have one thread, as in
//! `slackwater`, and with them EC2; what stands for the cluster and its user has the other one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use anyhow::bail;
use base::Scope;
use base::args::Environment;
use csi::Channel;
use ebs_driver::Ec2Transport;
use prometheus::Registry;
use runtime::client::Connection;
use slackwater::controller::{Assembly, ControllerCommand, Function, Outside, WhenLost};
use tokio::sync::watch;
use tower::util::{BoxCloneSyncService, MapResponse};

use crate::apart::{Apart, Thread, read_here};
use crate::load::{Binder, Load, Timing};
use crate::phase::Phase;
use crate::reading::{Meter, Reading};
use crate::world::World;
use crate::{report, usage};

/// User name of the one whose wishes these are.
const PERSON: &str = "person";
/// Late events belong to their phase.
const SETTLE: Duration = Duration::from_secs(1);

/// The command line of `bench sandbox`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Snapshots, expansions and deletions.
    #[arg(long, default_value_t = 1_000)]
    pub count: usize,
    /// Objects that each controller works on at the same time.
    #[arg(long, default_value_t = 50)]
    pub workers: usize,
    /// Requests of the user at the same time.
    #[arg(long, default_value_t = 100)]
    pub concurrency: usize,
    /// Raw devices instead of file systems.
    #[arg(long)]
    pub block: bool,
    /// Show each kind of request.
    #[arg(long)]
    pub requests: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Measures and prints.
///
/// # Errors
/// When something does not come about.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let world = World::new()?;
    let thread = Thread::start("functions")?;
    let outside = outside(&world)?;
    let (workers, scope) = (args.workers, world.scope.clone());
    let mut failure = thread.run(start(outside, workers, scope)).await??;
    let phases = tokio::select! {
        biased;
        phases = measure(args, world) => phases?,
        Ok(reason) = failure.wait_for(Option::is_some) => {
            bail!("the functions ended: {}", reason.clone().unwrap_or_default())
        }
    };
    report::print(args.json, &phases, || {
        let mut text = report::phases(&phases, |_| true);
        if args.requests {
            text = format!("{text}\n\n{}", report::requests(&phases));
        }
        text
    })
}

async fn measure(args: &Args, world: World) -> anyhow::Result<Vec<Phase>> {
    let client = kube::Client::new(world.api.service(PERSON), "default");
    let load = Load::new(client, &world.scope, args.concurrency, args.block);
    let volumes = world.volumes(args.count)?;
    let mut meter = Here(world);
    let mut phases = Vec::new();
    load.classes().await?;
    load.claims(&volumes, Binder::Cluster).await?;
    tokio::time::sleep(SETTLE).await;
    phases.push(phase("snapshots", &mut meter, load.snapshots(args.count)).await?);
    if runs_resizer() {
        phases.push(phase("expansions", &mut meter, load.expansions(args.count)).await?);
    }
    phases.push(phase("deletions", &mut meter, load.deletions(args.count)).await?);
    Ok(phases)
}

/// Reads before and after `work`.
///
/// # Errors
/// Those of `work`.
pub async fn phase(
    name: &str,
    meter: &mut impl Meter,
    work: impl Future<Output = anyhow::Result<Timing>>,
) -> anyhow::Result<Phase> {
    let before = meter.read().await?;
    let timing = work.await?;
    tokio::time::sleep(SETTLE).await;
    let spent = meter.read().await?.since(&before);
    Ok(Phase::new(name, &timing, &spent, |user| {
        user != PERSON && !user.starts_with("system:")
    }))
}

/// Whether the binary has a resizer.
#[must_use]
pub fn runs_resizer() -> bool {
    Function::named("csi-resizer").is_some()
}

/// Everything is in this process.
struct Here(World);

impl Meter for Here {
    async fn read(&mut self) -> anyhow::Result<Reading> {
        let mut reading = self.0.reading();
        let usage = usage::of_this_process()?;
        reading.processes.insert("all in one".to_owned(), usage);
        Ok(reading)
    }
}

/// The EC2 of these measurements has no request limits, unless they are what is measured.
pub const NO_LIMITS: &str = "--ec2-published-limits=false";

/// `--functions` and the workers of each, and no request limits of EC2.
#[must_use]
pub fn flags(functions: &[Function], workers: usize) -> Vec<String> {
    let mut flags = paced_flags(functions, workers);
    if functions.contains(&Function::DRIVER) {
        flags.push(NO_LIMITS.replacen("--", "--driver.", 1));
    }
    flags
}

/// `--functions` and the workers of each.
#[must_use]
pub fn paced_flags(functions: &[Function], workers: usize) -> Vec<String> {
    let names: Vec<&str> = functions.iter().map(|function| function.name()).collect();
    let mut flags = vec![format!("--functions={}", names.join(","))];
    for function in &names {
        match *function {
            "driver" => {}
            "csi-resizer" => flags.push(format!("--csi-resizer.workers={workers}")),
            name => flags.push(format!("--{name}.worker-threads={workers}")),
        }
    }
    flags
}

/// The way to the cluster and to EC2, for each function under its own user name.
fn outside(world: &World) -> anyhow::Result<Outside> {
    let client = |user: &str| {
        let service = MapResponse::new(world.api.service(user), read_here);
        kube::Client::new(Apart::here(service), "default")
    };
    let registries: BTreeMap<_, _> = Function::ALL.map(|function| (function, Registry::new())).into();
    let mut kubernetes = BTreeMap::new();
    for function in Function::ALL {
        let connection = Connection::over(client(function.name()), None);
        kubernetes.insert(
            function,
            connection.clients(function.name(), &registries[&function])?,
        );
    }
    Ok(Outside {
        kubernetes,
        watches: Some(client("watches")),
        registries,
        ec2: Ec2Transport::InProcess(BoxCloneSyncService::new(world.ec2.clone())),
        channel: Box::new(Channel::in_process),
        serves_socket: false,
        clock: world.clock.clone(),
        random: world.random.fork(),
        identity: "bench".to_owned(),
        namespace: "kube-system".to_owned(),
    })
}

/// Starts all functions on the thread that this runs on.
async fn start(
    outside: Outside,
    workers: usize,
    scope: Scope,
) -> anyhow::Result<watch::Receiver<Option<String>>> {
    let line = std::iter::once("controller".to_owned()).chain(flags(&Function::ALL, workers));
    let command = ControllerCommand::parse(line.map(OsString::from).collect())?;
    let settings = command
        .commands
        .settings(&Environment::default(), WhenLost::CompeteAgain)?;
    let shared = outside.registries[&Function::DRIVER].clone();
    let working = scope.child();
    let assembly = Assembly::new(settings, outside, &working, &shared).await?;
    let (failed, failure) = watch::channel(None);
    scope.spawn(async move {
        let _working = working;
        if let Err(error) = assembly.run().await {
            let _ = failed.send(Some(error.to_string()));
        }
        std::future::pending::<()>().await;
    });
    Ok(failure)
}
