//! What the binary knows of a function before it runs: one [`Entry`] a crate.

use std::error::Error as StdError;
use std::ffi::OsString;
use std::fmt::Debug;

use async_trait::async_trait;
use base::args::Environment;
use base::http::ReadyHandle;
use clap::Parser;
use csi::{Address, Channel};
use runtime::Context;
use runtime::args::{CommonArgs, CommonConfig, KubeArgs};
use runtime::crds::Patience;

use crate::error::Error;
use crate::function::Ready;

/// A function as the binary offers it. A new function is one crate and one line in the binary's registry.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name: as a mode, in `--functions`, in the prefix of its flags, and in metrics.
    pub name: &'static str,
    /// What it does, in a line of the usage.
    pub summary: &'static str,
    /// Where it serves metrics in `slackwater controller` without a flag: upstream's port (journeys 5.1).
    pub address: &'static str,
    /// Upstream's flag for the number of objects that are worked on at the same time.
    pub workers_flag: &'static str,
    /// Whether `slackwater controller` runs it without being told to (decision 1).
    pub by_default: bool,
    /// Reads its command line; the first item is the name of the program.
    pub parse: fn(Vec<OsString>) -> Parsed,
}

impl Entry {
    /// Reads a command line of these flags; for [`Entry::parse`].
    ///
    /// # Errors
    /// A flag is wrong, or help was asked for.
    pub fn parsed<A: Parser + Command + 'static>(line: Vec<OsString>) -> Parsed {
        Ok(Box::new(base::args::parse::<A>(line)?))
    }
}

/// A command line that was read, or what is wrong with it.
pub type Parsed = Result<Box<dyn Command>, clap::Error>;

/// Flags that contradict each other or cannot work.
pub type ConfigError = Box<dyn StdError + Send + Sync>;

/// The command line of a function.
pub trait Command: Debug + Send + Sync {
    /// What every controller has.
    fn common(&self) -> &CommonArgs;

    /// How it reaches the API server.
    fn kube(&self, _environment: &Environment) -> KubeArgs {
        self.common().kube.clone()
    }

    /// Checks the flags.
    ///
    /// # Errors
    /// The first contradiction, before anything is called.
    fn check(&self, environment: &Environment) -> Result<Box<dyn Start>, ConfigError>;
}

/// A function whose flags were checked.
#[async_trait]
pub trait Start: Debug + Send + Sync {
    /// What every controller has.
    fn common(&self) -> &CommonConfig;

    /// How it waits for the definitions of custom kinds, if it needs any.
    fn definitions(&mut self) -> Option<&mut Definitions> {
        None
    }

    /// Where its driver listens, if it drives one.
    fn driver(&self) -> Option<&Address> {
        None
    }

    /// Starts up. `driver` is there for a function that drives one.
    ///
    /// # Errors
    /// What keeps it from working for good.
    async fn start(
        self: Box<Self>,
        context: Context,
        driver: Option<Channel>,
    ) -> Result<Box<dyn Ready>, Error>;
}

/// Starts a function up; none when the scope of the context began to stop before it was ready.
///
/// # Errors
/// As [`Start::start`].
pub async fn prepare(
    start: Box<dyn Start>,
    context: Context,
    driver: Option<Channel>,
) -> Result<Option<Box<dyn Ready>>, Error> {
    let stopping = context.scope.stopping_token();
    tokio::select! {
        biased;
        () = stopping.cancelled() => Ok(None),
        ready = start.start(context, driver) => ready.map(Some),
    }
}

/// How a function waits for the definitions of custom kinds (decision 4).
#[derive(Clone, Debug)]
pub struct Definitions {
    /// How long.
    pub patience: Patience,
    /// Entry of `/readyz?verbose` that tells of missing ones.
    pub remark: Option<ReadyHandle>,
}

impl Definitions {
    /// Waits so long, and tells nobody.
    #[must_use]
    pub fn with(patience: Patience) -> Self {
        Self {
            patience,
            remark: None,
        }
    }
}
