//! The sandbox's EC2 as a process of its own, and this side of it. Commands and answers are lines.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use base::{Clock, Random, Scope};
use sandbox::ec2::{Ec2, Ec2Options};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::reading::Usage;
use crate::usage;

/// `bench ec2`: serves until standard input ends.
///
/// # Errors
/// When a command is none, or no port can be had.
pub async fn serve() -> anyhow::Result<()> {
    let scope = Scope::new();
    let ec2 = Ec2::new(Clock::system(), Random::from_entropy(), Ec2Options::instant());
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
            None if command == "counts" => serde_json::json!(ec2.counts()),
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
    /// Starts it.
    ///
    /// # Errors
    /// When this program cannot be started once more.
    pub async fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("ec2")
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

    /// Calls so far by action.
    ///
    /// # Errors
    /// When the process has ended.
    pub async fn counts(&mut self) -> anyhow::Result<BTreeMap<String, u64>> {
        self.ask("counts\n").await
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
