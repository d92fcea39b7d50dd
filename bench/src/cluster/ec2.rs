//! The sandbox's EC2 as a process of its own, and this side of it. Commands and answers are lines.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::{Clock, Random, Scope};
use sandbox::ec2::{Ec2, Ec2Options};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::reading::Usage;
use crate::usage;

/// The type of all instances.
const INSTANCE_TYPE: &str = "m5.large";
/// How many volumes one of them takes besides its own.
pub const ATTACHMENTS: usize = 25;

/// The command line of `bench ec2`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How fast it works and what it lets through
    #[arg(long, default_value = "instant", value_parser = Ec2Options::PRESETS)]
    preset: String,
    /// Seconds that a snapshot takes, instead of those of the preset
    #[arg(long)]
    snapshot_seconds: Option<u64>,
}

impl Args {
    fn options(&self) -> anyhow::Result<Ec2Options> {
        let mut options = Ec2Options::preset(&self.preset).context("no such preset")?;
        if let Some(seconds) = self.snapshot_seconds {
            options.timing.snapshot = Duration::from_secs(seconds);
            options.timing.snapshot_per_gib = Duration::ZERO;
        }
        Ok(options)
    }
}

/// `bench ec2`: serves until standard input ends.
///
/// # Errors
/// When a command is none, or no port can be had.
pub async fn serve(args: &Args) -> anyhow::Result<()> {
    let scope = Scope::new();
    let ec2 = Ec2::new(Clock::system(), Random::from_entropy(), args.options()?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = ec2.serve(listener, &scope)?;
    let mut out = tokio::io::stdout();
    out.write_all(format!("{}\n", serde_json::json!(url)).as_bytes())
        .await?;
    out.flush().await?;
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    while let Some(command) = commands.next_line().await? {
        let answer = match command.split_once(' ') {
            Some(("volumes", count)) => {
                let volumes = (0..count.parse::<usize>()?)
                    .map(|_| ec2.create_volume_fixture("us-east-1a", 1, &[]))
                    .collect::<Result<Vec<String>, _>>()?;
                serde_json::json!(volumes)
            }
            Some(("instances", count)) => {
                let count: usize = count.parse()?;
                let instances = (0..count)
                    .map(|_| ec2.create_instance_fixture("us-east-1a", INSTANCE_TYPE, &[]))
                    .collect::<Result<Vec<String>, _>>()?;
                serde_json::json!(instances)
            }
            None if command == "counts" => serde_json::json!(ec2.counts()),
            None if command == "refusals" => serde_json::json!(ec2.refusals()),
            _ => bail!("{command:?} is no command"),
        };
        out.write_all(format!("{answer}\n").as_bytes()).await?;
        out.flush().await?;
    }
    Ok(())
}

/// EC2 in another process, which ends with this value.
pub struct Ec2Process {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Where it is.
    pub url: String,
}

impl Ec2Process {
    /// Starts one in which everything is done at once.
    ///
    /// # Errors
    /// When this program cannot be started once more.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts one with these flags.
    ///
    /// # Errors
    /// When this program cannot be started once more.
    pub async fn start_with(flags: &[String]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("ec2")
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        let mut this = Self {
            child,
            input,
            output: BufReader::new(output).lines(),
            url: String::new(),
        };
        this.url = this.answer().await?;
        Ok(this)
    }

    /// Creates volumes of 1 GiB.
    ///
    /// # Errors
    /// When the process has ended.
    pub async fn volumes(&mut self, count: usize) -> anyhow::Result<Vec<String>> {
        self.ask(&format!("volumes {count}\n")).await
    }

    /// Creates instances, each of which takes at least [`ATTACHMENTS`] volumes.
    ///
    /// # Errors
    /// When the process has ended.
    pub async fn instances(&mut self, count: usize) -> anyhow::Result<Vec<String>> {
        self.ask(&format!("instances {count}\n")).await
    }

    /// Calls so far by action.
    ///
    /// # Errors
    /// When the process has ended.
    pub async fn counts(&mut self) -> anyhow::Result<BTreeMap<String, u64>> {
        self.ask("counts\n").await
    }

    /// Calls that were refused so far, by code.
    ///
    /// # Errors
    /// When the process has ended.
    pub async fn refusals(&mut self) -> anyhow::Result<BTreeMap<String, u64>> {
        self.ask("refusals\n").await
    }

    /// What the process has used.
    ///
    /// # Errors
    /// When it has ended.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        usage::of(self.child.id().context("the EC2 process has ended")?)
    }

    async fn ask<T: DeserializeOwned>(&mut self, command: &str) -> anyhow::Result<T> {
        self.input.write_all(command.as_bytes()).await?;
        self.input.flush().await?;
        self.answer().await
    }

    async fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let line = self.output.next_line().await?;
        Ok(serde_json::from_str(&line.context("the EC2 process has ended")?)?)
    }
}
