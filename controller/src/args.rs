//! Flags of every sidecar, with upstream's names and defaults (sidecars.md 1.1), and what is checked of every function's.

use std::path::PathBuf;
use std::time::Duration;

use base::args::{GoDuration, parse_bool};
use csi::Address;
use csi::address::InvalidAddress;
use runtime::args::CommonArgsError;

/// How to reach the driver.
#[derive(Clone, Debug, clap::Args)]
pub struct DriverArgs {
    /// Address of the CSI driver: an absolute path, unix://path or tcp://host:port.
    #[arg(long, value_name = "ADDRESS", default_value = "/run/csi/socket")]
    pub csi_address: String,

    /// End with exit 1 when the connection to the driver is lost, as upstream does.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub exit_on_connection_loss: bool,
}

/// How to reach the driver: flags that were checked.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// Where it listens, if it is not in this process.
    pub address: Address,
    /// Longest time of one CSI call.
    pub timeout: Duration,
    /// End when the connection to the driver is lost.
    pub exit_on_connection_loss: bool,
    /// Where the reason of an exit goes with `exit_on_connection_loss`.
    pub termination_log: PathBuf,
}

impl DriverArgs {
    /// Checks the flags. `timeout` is the flag of that name, whose default is each sidecar's own.
    ///
    /// # Errors
    /// There is no such address, or no time for a call.
    pub fn config(&self, timeout: GoDuration) -> Result<DriverConfig, ArgsError> {
        if timeout.0.is_zero() {
            return Err(ArgsError::Zero("timeout"));
        }
        Ok(DriverConfig {
            address: self.csi_address.parse()?,
            timeout: timeout.0,
            exit_on_connection_loss: self.exit_on_connection_loss,
            termination_log: base::process::TERMINATION_LOG.into(),
        })
    }
}

/// Flags that contradict each other or cannot work. The process ends with exit 1 before any call.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// Nothing would ever be done.
    #[error("--{0} must be greater than 0")]
    Zero(&'static str),
    /// `--csi-address`.
    #[error("--csi-address: {0}")]
    Address(#[from] InvalidAddress),
    /// Flags that every controller has.
    #[error(transparent)]
    Common(#[from] CommonArgsError),
}

/// The number of objects that are worked on at the same time, from this flag.
///
/// # Errors
/// It is zero.
pub fn workers(flag: &'static str, number: usize) -> Result<usize, ArgsError> {
    if number == 0 {
        return Err(ArgsError::Zero(flag));
    }
    Ok(number)
}
