//! `bench start --snapshots`: sets of programs one after another on one kube-apiserver that has many settled snapshots:
//! what each needs until it has looked at all of them, and what it holds then.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use base::{Random, Scope};
use serde::Serialize;
use tokio::time::Instant;

use super::audit::Audit;
use super::ec2::Ec2Process;
use super::plane::Plane;
use super::program::Program;
use super::programs::{DRIVER, SNAPSHOTS_AND_SIZES, Set, Surroundings};
use super::{PERSON, is_measured};
use crate::load::{Binder, Load, tell};
use crate::reading::{Memory, RequestKind};
use crate::report;

/// Claims that the snapshots are of.
const CLAIMS: usize = 10;
/// Workers of each controller, and upstream's limit of requests a second: as for `cluster`.
const WORKERS: usize = 50;
const QPS: u32 = 2_000;
const CONCURRENCY: usize = 32;
/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// So long with hardly any work, and a set has looked at everything.
const REST: Duration = Duration::from_secs(10);
/// Seconds of processor time a second that are hardly any work: leases, and timers.
const HARDLY: f64 = 0.05;
/// When a set is given up.
const PATIENCE: Duration = Duration::from_secs(600);

/// What one process of a set needed.
#[derive(Debug, Serialize)]
struct Figures {
    set: String,
    program: String,
    /// From the start of the set to the last moment with more than hardly any work of this process.
    settled_seconds: f64,
    cpu_seconds: f64,
    memory: Memory,
    /// Requests by verb; those for leases apart, and those of a set that shares a user counted together.
    requests: BTreeMap<String, u64>,
}

/// Measures and prints.
///
/// # Errors
/// When a program cannot be started, or does not come to rest.
pub async fn run(sets: &[Set], count: usize, json: bool) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let scope = Scope::new();
    let plane = Plane::start(folder.path(), &Random::from_entropy(), Binder::User).await?;
    let mut ec2 = Ec2Process::start().await?;
    let volumes = ec2.volumes(CLAIMS).await?;
    let load = Load::new(plane.client(PERSON).await?, &scope, CONCURRENCY, false);
    load.classes().await?;
    load.claims(&volumes, Binder::User).await?;
    load.settled(count, &volumes).await?;
    let mut audit = Audit::new(plane.audit_log());
    let mut all = Vec::new();
    for (number, set) in sets.iter().enumerate() {
        tell(&format!("set {} of {}: {}", number + 1, sets.len(), set.name))?;
        let around = Surroundings {
            kubeconfig: &|user| plane.kubeconfig(user),
            ec2: &ec2.url,
            folder: folder.path(),
            controllers: &SNAPSHOTS_AND_SIZES,
            workers: WORKERS,
            qps: QPS,
            has_limits: false,
        };
        let before = audit.read()?;
        let measured = measure(set, &around).await;
        let mut measured = measured.with_context(|| format!("set {:?}", set.name))?;
        // Watches are counted when they end.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let requests = by_user(&before, &audit.read()?);
        for figures in &mut measured {
            figures.requests = requests.get(&figures.program).cloned().unwrap_or_default();
        }
        all.extend(measured);
    }
    report::print(json, &all, || table(&all))
}

/// Starts a set, waits until it rests, and ends it.
async fn measure(set: &Set, around: &Surroundings<'_>) -> anyhow::Result<Vec<Figures>> {
    let begun = Instant::now();
    let mut programs = set.start(around)?;
    // Of each program: processor time at the last look and in the end of its work, and when that was.
    let mut last: Vec<(f64, Duration)> = vec![(0.0, Duration::ZERO); programs.len()];
    let mut told = begun;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = begun.elapsed();
        for (program, (spent, at)) in programs.iter().zip(&mut last) {
            let used = program.usage()?.cpu_seconds;
            if used - *spent > HARDLY * (now - *at).as_secs_f64().max(1.0) {
                (*spent, *at) = (used, now);
            }
        }
        let worked = last.iter().map(|(_, at)| *at).max().unwrap_or_default();
        if now > worked + REST {
            break;
        }
        anyhow::ensure!(
            now < PATIENCE,
            "it does not come to rest in {} s",
            PATIENCE.as_secs()
        );
        if told.elapsed() > Duration::from_secs(5) {
            tell(&format!("{} s, at work {} s", now.as_secs(), worked.as_secs()))?;
            told = Instant::now();
        }
    }
    let figures = programs
        .iter()
        .zip(&last)
        .filter(|(program, _)| program.name != DRIVER);
    let figures = figures.map(|(program, (_, at))| figures_of(set, program, *at));
    let figures = figures.collect::<anyhow::Result<Vec<_>>>()?;
    for program in &mut programs {
        program.stop().await?;
    }
    Ok(figures)
}

fn figures_of(set: &Set, program: &Program, settled: Duration) -> anyhow::Result<Figures> {
    let used = program.usage()?;
    Ok(Figures {
        set: set.name.clone(),
        program: program.name.clone(),
        settled_seconds: settled.as_secs_f64(),
        cpu_seconds: used.cpu_seconds,
        memory: used.memory,
        requests: BTreeMap::new(),
    })
}

fn by_user(
    before: &BTreeMap<RequestKind, u64>,
    after: &BTreeMap<RequestKind, u64>,
) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut found: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (kind, count) in after {
        let new = count - before.get(kind).copied().unwrap_or_default();
        if new > 0 && is_measured(&kind.user) {
            let verbs = found.entry(kind.user.clone()).or_default();
            *verbs.entry(kind.verb.clone()).or_default() += new;
        }
    }
    found
}

fn table(all: &[Figures]) -> String {
    let mut table = report::table([
        "Set",
        "Program",
        "Settled after s",
        "CPU s",
        "Anonymous MB",
        "Resident MB",
        "Lists",
        "Watches",
        "Other requests",
    ]);
    for figures in all {
        let of = |verb: &str| figures.requests.get(verb).copied().unwrap_or_default();
        let sum: u64 = figures.requests.values().sum();
        table.add_row([
            figures.set.clone(),
            figures.program.clone(),
            format!("{:.1}", figures.settled_seconds),
            format!("{:.2}", figures.cpu_seconds),
            report::megabytes(figures.memory.anonymous_bytes),
            report::megabytes(figures.memory.resident_bytes),
            of("list").to_string(),
            of("watch").to_string(),
            (sum - of("list") - of("watch")).to_string(),
        ]);
    }
    table.to_string()
}
