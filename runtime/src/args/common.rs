//! The groups of flags that every controller has, and what they mean once checked.

use std::time::Duration;

use base::args::{
    FeatureGateArgs, FeatureGates, Gate, GateError, HttpAddress, HttpArgs, HttpArgsError, LogArgs,
    ProcessArgs, RetryArgs, RetryArgsError,
};

use super::{ElectionArgsError, KubeArgs, LeaderElectionArgs};

/// Flags of every controller. Flatten it into the command line of a mode and check it with
/// [`CommonArgs::config`].
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CommonArgs {
    /// Version and the like.
    #[command(flatten)]
    pub process: ProcessArgs,
    /// The API server.
    #[command(flatten)]
    pub kube: KubeArgs,
    /// Leader election.
    #[command(flatten)]
    pub election: LeaderElectionArgs,
    /// Metrics and health.
    #[command(flatten)]
    pub http: HttpArgs,
    /// Back-off.
    #[command(flatten)]
    pub retry: RetryArgs,
    /// Feature gates.
    #[command(flatten)]
    pub gates: FeatureGateArgs,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// [`CommonArgs`] after their check.
#[derive(Clone, Debug)]
pub struct CommonConfig {
    /// First and longest wait after failures.
    pub retry_intervals: (Duration, Duration),
    /// The flags of leader election, where it is on.
    pub election: Option<LeaderElectionArgs>,
    /// Where metrics and health are to be served; that is the caller's work.
    pub http: Option<HttpAddress>,
    /// Feature gates.
    pub gates: FeatureGates,
}

/// Common flags that contradict each other or cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommonArgsError {
    /// Metrics addresses.
    #[error(transparent)]
    Http(#[from] HttpArgsError),
    /// Back-off.
    #[error(transparent)]
    Retry(#[from] RetryArgsError),
    /// Leader election.
    #[error(transparent)]
    Election(#[from] ElectionArgsError),
    /// Feature gates.
    #[error(transparent)]
    Gates(#[from] GateError),
}

impl CommonArgs {
    /// Checks the flags of a mode that knows these gates.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn config(&self, gates: &[Gate]) -> Result<CommonConfig, CommonArgsError> {
        let http = self.http.address()?;
        self.retry.validate()?;
        if self.election.leader_election {
            self.election.validate()?;
        }
        Ok(CommonConfig {
            retry_intervals: self.retry.intervals(),
            election: Some(self.election.clone()).filter(|election| election.leader_election),
            http,
            gates: self.gates.resolve(gates)?,
        })
    }
}
