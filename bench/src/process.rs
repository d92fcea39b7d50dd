//! The measured process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use slackwater::controller::Function;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::in_process::flags;
use crate::reading::Usage;
use crate::usage;
use crate::world::Doors;

/// How long the process may take to become ready.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(2);

/// A running `slackwater controller`.
pub struct Controller {
    child: Child,
    ready_after: Duration,
}

impl Controller {
    /// Starts it and waits until `/readyz` is good.
    pub async fn start(binary: &Path, doors: &Doors, workers: usize) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(binary);
        command
            .arg("controller")
            .args(flags(&Function::ALL, workers))
            .arg("--leader-election")
            .arg(format!("--kubeconfig={}", doors.kubeconfig().display()))
            .arg(format!("--driver.endpoint=unix://{}", doors.socket().display()))
            .arg(format!("--driver.http-endpoint={address}"));
        for function in Function::ALL
            .iter()
            .filter(|function| **function != Function::DRIVER)
        {
            command.arg(format!("--{function}.http-endpoint={}", free_address()?));
        }
        command
            .env("AWS_EC2_ENDPOINT", &doors.ec2)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "sandbox")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let begun = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        while !is_ready(address).await {
            if let Some(status) = child.try_wait()? {
                let mut log = String::new();
                if let Some(mut stderr) = child.stderr.take() {
                    stderr.read_to_string(&mut log).await?;
                }
                bail!("{} ended with {status}:\n{log}", binary.display());
            }
            if begun.elapsed() > PATIENCE {
                bail!("{} is not ready after {} s", binary.display(), PATIENCE.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
        let ready_after = begun.elapsed();
        // Nobody reads the log from here on; a full pipe must not stop the process.
        if let Some(mut stderr) = child.stderr.take() {
            tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await });
        }
        Ok(Self { child, ready_after })
    }

    /// Time from the start of the process to the first good `/readyz`.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// What it has used so far.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        usage::of(self.child.id().context("the process has ended")?)
    }

    /// Ends it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }
}

/// An address that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

async fn is_ready(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.starts_with("HTTP/1.1 200"))
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(1), ask).await,
        Ok(Ok(true))
    )
}
