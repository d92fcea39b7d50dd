//! `bench pace`: sets of programs one after another, each on a new control plane, with an EC2 that has AWS's request limits and
//! quotas (decision 64), in real time. Upstream's driver is no Go module, so that our driver takes part in every set; with
//! `,limits=learned` behind a set it supposes no limits before EC2 refuses something, as upstream's does.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::{Random, Scope};
use http::Request;
use serde::Serialize;
use serde_json::Value;

use super::PERSON;
use super::ec2::Ec2Process;
use super::plane::Plane;
use super::program::Program;
use super::programs::{SNAPSHOTS_AND_SIZES, Set, Surroundings};
use crate::load::{Binder, Load, Timing, tell};
use crate::report;

/// Ours and upstream's with the flags that nobody set, upstream's with many workers and no limit of requests, and the same
/// with a driver that learns the limits by being refused.
const DEFAULT_SETS: [&str; 4] = [
    "default=ours",
    "default=upstream",
    "apart=upstream",
    "apart=upstream,limits=learned",
];
const WARNINGS: &str = "/api/v1/events?fieldSelector=type%3DWarning";
const LEARNED: &str = ",limits=learned";

/// The command line of `bench pace`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Sets of programs as for `cluster`; behind one `,limits=learned`
    #[arg(value_parser = parse, default_values = DEFAULT_SETS)]
    sets: Vec<Paced>,
    /// Claims, and of each a snapshot, an expansion and the deletion of the snapshot, each asked for all at once
    #[arg(long, default_value_t = 200)]
    count: usize,
    /// Seconds that EC2 takes for a snapshot
    #[arg(long, default_value_t = 30)]
    snapshot_seconds: u64,
    /// Objects that each controller of a tuned set works on at the same time
    #[arg(long, default_value_t = 100)]
    workers: usize,
    /// Requests a second that upstream's programs of a tuned set may make
    #[arg(long, default_value_t = 2_000)]
    qps: u32,
    /// Seconds after which a phase ends, done or not: the table says how many were, and by when. Upstream's polls back off up
    /// to five minutes, so that its last snapshots may be seen ready that much late
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    deadline: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// A set, and what the driver supposes of EC2's limits.
#[derive(Clone, Debug)]
struct Paced {
    name: String,
    set: Set,
    has_limits: bool,
}

fn parse(text: &str) -> Result<Paced, String> {
    let (set, has_limits) = match text.strip_suffix(LEARNED) {
        Some(set) => (set, false),
        None => (text, true),
    };
    Ok(Paced {
        name: text.to_owned(),
        set: super::parse_set(set)?,
        has_limits,
    })
}

/// What a set did in one phase.
#[derive(Debug, Serialize)]
struct Figures {
    set: String,
    phase: String,
    /// Items that were asked for.
    items: usize,
    /// Those that were done before the deadline.
    done: usize,
    /// From the first request of the user to the last item done.
    seconds: f64,
    ec2_calls: u64,
    /// Refused as too many requests.
    throttled: u64,
    /// Refused for another reason, by EC2's code.
    refused: BTreeMap<String, u64>,
    /// Events of type Warning, repeated ones as often as they were.
    warnings: u64,
}

/// Measures and prints.
///
/// # Errors
/// When a program cannot be started.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let (mut all, mut failure) = (Vec::new(), None);
    for (number, paced) in args.sets.iter().enumerate() {
        tell(&format!(
            "set {} of {}: {}",
            number + 1,
            args.sets.len(),
            paced.name
        ))?;
        let measured = measure(args, paced, &mut all).await;
        failure = measured.with_context(|| format!("set {:?}", paced.name)).err();
        if failure.is_some() {
            break;
        }
    }
    // What was measured before a failure is shown too.
    report::print(args.json, &all, || table(&all))?;
    failure.map_or(Ok(()), Err)
}

async fn measure(args: &Args, paced: &Paced, all: &mut Vec<Figures>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let scope = Scope::new();
    let plane = Plane::start(folder.path(), &Random::from_entropy(), Binder::User).await?;
    let seconds = format!("--snapshot-seconds={}", args.snapshot_seconds);
    let mut ec2 = Ec2Process::start_with(&["--preset=aws".to_owned(), seconds]).await?;
    let volumes = ec2.volumes(args.count).await?;
    let around = Surroundings {
        kubeconfig: &|user| plane.kubeconfig(user),
        ec2: &ec2.url,
        folder: folder.path(),
        controllers: &SNAPSHOTS_AND_SIZES,
        workers: args.workers,
        qps: args.qps,
        has_limits: paced.has_limits,
    };
    let programs = paced.set.start(&around)?;
    let load = Load::new(plane.client(PERSON).await?, &scope, 32, true);
    load.classes().await?;
    load.claims(&volumes, Binder::User).await?;
    let load = load.with_deadline(Duration::from_secs(args.deadline));
    let mut bench = Bench {
        set: paced.name.clone(),
        items: args.count,
        client: plane.client(PERSON).await?,
        plane,
        ec2,
        programs,
    };
    let count = args.count;
    all.push(bench.phase("snapshots", load.snapshots(count)).await?);
    all.push(bench.phase("expansions", load.expansions(count)).await?);
    all.push(bench.phase("deletions", load.deletions(count)).await?);
    bench.stop().await
}

struct Bench {
    set: String,
    items: usize,
    plane: Plane,
    ec2: Ec2Process,
    programs: Vec<Program>,
    client: kube::Client,
}

/// What there was so far.
struct Reading {
    calls: u64,
    refusals: BTreeMap<String, u64>,
    warnings: u64,
}

impl Bench {
    async fn phase(
        &mut self,
        name: &str,
        work: impl Future<Output = anyhow::Result<Timing>>,
    ) -> anyhow::Result<Figures> {
        let before = self.read().await?;
        let outcome = work.await;
        // A program that has ended explains more than what it left undone.
        for program in &mut self.programs {
            program.check()?;
        }
        let timing = outcome?;
        // Events come late.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let after = self.read().await?;
        let mut refused = after.refusals;
        for (code, count) in before.refusals {
            if let Some(now) = refused.get_mut(&code) {
                *now -= count;
            }
        }
        refused.retain(|_, count| *count > 0);
        Ok(Figures {
            set: self.set.clone(),
            phase: name.to_owned(),
            items: self.items,
            done: timing.latencies.len(),
            seconds: timing.wall.as_secs_f64(),
            ec2_calls: after.calls - before.calls,
            throttled: refused.remove("RequestLimitExceeded").unwrap_or_default(),
            refused,
            warnings: after.warnings.saturating_sub(before.warnings),
        })
    }

    async fn read(&mut self) -> anyhow::Result<Reading> {
        let request = Request::get(WARNINGS).body(Vec::new())?;
        let events: Value = self.client.request(request).await?;
        let events = events["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let warnings = events
            .iter()
            .map(|event| event["count"].as_u64().unwrap_or(1))
            .sum();
        Ok(Reading {
            calls: self.ec2.counts().await?.values().sum(),
            refusals: self.ec2.refusals().await?,
            warnings,
        })
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        if self.programs.is_empty() {
            bail!("nothing was measured");
        }
        for program in &mut self.programs {
            program.stop().await?;
        }
        self.plane.stop().await
    }
}

impl Figures {
    /// How much was done.
    fn share(&self) -> String {
        match self.done == self.items {
            true => "all".to_owned(),
            false => format!("{} of {}", self.done, self.items),
        }
    }
}

fn table(all: &[Figures]) -> String {
    let mut table = report::table([
        "Programs and phase",
        "Done",
        "Wall s",
        "EC2 calls",
        "Throttled",
        "Refused by a quota",
        "Warning events",
    ]);
    for figures in all {
        let refused = figures
            .refused
            .iter()
            .map(|(code, count)| format!("{code} {count}"));
        table.add_row([
            format!("{}: {}", figures.set, figures.phase),
            figures.share(),
            format!("{:.0}", figures.seconds),
            figures.ec2_calls.to_string(),
            figures.throttled.to_string(),
            refused.collect::<Vec<_>>().join(", "),
            figures.warnings.to_string(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_say_what_the_driver_supposes() {
        let paced = parse("apart=upstream,limits=learned").unwrap();
        assert!(!paced.has_limits && !paced.set.has_defaults());
        assert!(parse("default=ours").unwrap().has_limits);
        assert!(parse("limits=learned").is_err());
    }

    #[test]
    fn the_table_says_what_was_not_done() {
        let figures = |done| Figures {
            set: "default=upstream".to_owned(),
            phase: "snapshots".to_owned(),
            items: 200,
            done,
            seconds: 207.6,
            ec2_calls: 3_000,
            throttled: 12,
            refused: [("PendingSnapshotLimitExceeded".to_owned(), 4)].into(),
            warnings: 5,
        };
        let text = table(&[figures(10), figures(200)]);
        let cells = |line: &str| {
            line.split('|')
                .map(|cell| cell.trim().to_owned())
                .collect::<Vec<_>>()
        };
        let rows: Vec<_> = text.lines().skip(2).map(cells).collect();
        let row = |done: &str| {
            let name = "default=upstream: snapshots";
            let row = [
                "",
                name,
                done,
                "208",
                "3000",
                "12",
                "PendingSnapshotLimitExceeded 4",
                "5",
                "",
            ];
            row.map(str::to_owned).to_vec()
        };
        assert_eq!(rows, [row("10 of 200"), row("all")]);
    }
}
