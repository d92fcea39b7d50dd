//! A program that runs beside this one.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};

use crate::reading::Usage;
use crate::usage;

/// It is killed when this is dropped. What it prints goes to a file.
pub struct Program {
    /// Its name in the figures.
    pub name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it with these arguments and these additions to the environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<'a>(
        name: &str,
        path: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let child = Command::new(path)
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", path.display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it has ended; the text holds the end of its log.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let used = self.child.id().context("has no ID").and_then(usage::of);
        used.with_context(|| format!("{} has ended: {}", self.name, self.last_words()))
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// The end of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended with {status}: {}", self.name, self.last_words());
        }
        Ok(())
    }

    /// Ends it and waits for its end.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}
