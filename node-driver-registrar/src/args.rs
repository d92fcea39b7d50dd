//! Flags, with upstream's names and defaults. Source: sidecars.md 4.

use std::path::PathBuf;
use std::time::Duration;

use base::args::{GoDuration, LogArgs, ProcessArgs, parse_bool};
use clap::ArgAction::Set;
use csi::Address;
use csi::address::InvalidAddress;
use thiserror::Error;

/// The mode that does nothing, for manifests of the time when it probed.
const PROBE_MODE: &str = "kubelet-registration-probe";

/// The command line of `node-driver-registrar`. Read it with [`base::args::parse`].
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "node-driver-registrar",
    disable_version_flag = true,
    about = "Registers a CSI driver with the kubelet of its node"
)]
pub struct Args {
    /// Address of the CSI driver's socket
    #[arg(long, default_value = "/run/csi/socket")]
    pub csi_address: String,

    /// Path of the CSI driver's socket on the host; required
    #[arg(long, value_name = "PATH", default_value = "")]
    pub kubelet_registration_path: String,

    /// Folder of the registration socket
    #[arg(long, value_name = "FOLDER", default_value = "/registration")]
    pub plugin_registration_path: PathBuf,

    /// How long the driver may take to say its name
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub timeout: GoDuration,

    /// Address of the health checks, as host:port or :port; empty serves none
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    pub http_endpoint: String,

    /// Deprecated: port of the health checks; 0 serves none; not with --http-endpoint
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub health_port: u16,

    /// Accepted and without effect: there are no profiles of Go here
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = Set)]
    pub enable_pprof: bool,

    /// Deprecated: kubelet-registration-probe ends at once and well; anything else registers
    #[arg(long, default_value = "")]
    pub mode: String,

    /// Deprecated, without effect
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub connection_timeout: GoDuration,

    /// The process itself.
    #[command(flatten)]
    pub process: ProcessArgs,

    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What the process works by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The driver.
    pub driver: Address,
    /// The driver's socket as the kubelet sees it, word for word.
    pub kubelet_path: String,
    /// The folder of the registration socket.
    pub folder: PathBuf,
    /// How long GetPluginInfo, and a look at the own socket, may take.
    pub timeout: Duration,
    /// Where `/healthz` is served.
    pub health: Option<String>,
}

/// What the flags ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Task {
    /// To end at once.
    Nothing,
    /// To register the driver.
    Register(Config),
}

/// Flags that cannot be worked with; the process ends with exit 1, as upstream's.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ArgsError {
    /// `--csi-address`.
    #[error("--csi-address: {0}")]
    Address(#[from] InvalidAddress),
    /// `--kubelet-registration-path`.
    #[error("--kubelet-registration-path is required: the path of the CSI driver's socket on the host")]
    NoPath,
    /// Two flags name the address of health.
    #[error("only one of --health-port and --http-endpoint may be set; use --http-endpoint")]
    TwoOfHealth,
}

impl Args {
    /// Checks the flags.
    ///
    /// # Errors
    /// The first that cannot be worked with.
    pub fn task(&self) -> Result<Task, ArgsError> {
        if self.kubelet_registration_path.is_empty() {
            return Err(ArgsError::NoPath);
        }
        if self.mode == PROBE_MODE {
            return Ok(Task::Nothing);
        }
        let health = match (self.health_port, self.http_endpoint.as_str()) {
            (0, "") => None,
            (0, endpoint) => Some(endpoint.to_owned()),
            (port, "") => Some(format!(":{port}")),
            _ => return Err(ArgsError::TwoOfHealth),
        };
        Ok(Task::Register(Config {
            driver: self.csi_address.parse()?,
            kubelet_path: self.kubelet_registration_path.clone(),
            folder: self.plugin_registration_path.clone(),
            timeout: self.timeout.0,
            health,
        }))
    }

    /// Names the flags that are given and have no effect.
    #[must_use]
    pub fn without_effect(&self) -> Vec<&'static str> {
        let given = [
            ("--connection-timeout", !self.connection_timeout.0.is_zero()),
            ("--enable-pprof", self.enable_pprof),
        ];
        let given = given.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(flags: &[&str]) -> Args {
        let words = std::iter::once("node-driver-registrar").chain(flags.iter().copied());
        base::args::parse(words.map(Into::into)).unwrap()
    }

    const PATH: &str = "--kubelet-registration-path=/var/lib/kubelet/plugins/d/csi.sock";

    #[test]
    fn the_defaults_are_upstreams() {
        let Task::Register(config) = args(&[PATH]).task().unwrap() else {
            panic!("it registers");
        };
        assert_eq!(config.driver.to_string(), "unix:///run/csi/socket");
        assert_eq!(config.folder, PathBuf::from("/registration"));
        assert_eq!((config.timeout, config.health), (Duration::from_secs(1), None));
    }

    #[test]
    fn sidecars_case_131_the_probe_mode_does_nothing_but_wants_its_path() {
        let mode = "--mode=kubelet-registration-probe";
        assert_eq!(args(&[mode]).task(), Err(ArgsError::NoPath));
        assert_eq!(args(&[mode, PATH]).task(), Ok(Task::Nothing));
        assert!(matches!(args(&["--mode=x", PATH]).task(), Ok(Task::Register(_))));
    }

    #[test]
    fn health_has_one_address() {
        let both = args(&[PATH, "--health-port=1", "--http-endpoint=:2"]).task();
        assert_eq!(both, Err(ArgsError::TwoOfHealth));
        let Ok(Task::Register(config)) = args(&[PATH, "-health-port", "9809"]).task() else {
            panic!("it registers");
        };
        assert_eq!(config.health.as_deref(), Some(":9809"));
    }

    #[test]
    fn retired_flags_are_accepted() {
        let args = args(&[
            PATH,
            "--connection-timeout=5s",
            "-enable-pprof",
            "-logtostderr",
            "-v=5",
        ]);
        assert_eq!(args.without_effect(), ["--connection-timeout", "--enable-pprof"]);
    }
}
