//! Flags, with upstream's names and defaults. Source: sidecars.md 5.

use std::time::Duration;

use base::args::{GoDuration, HttpAddress, LogArgs, ProcessArgs};
use csi::Address;
use csi::address::InvalidAddress;
use thiserror::Error;

/// The port of health where no flag names another.
const DEFAULT_PORT: &str = "9808";

/// The command line of `livenessprobe`. Read it with [`base::args::parse`].
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "livenessprobe",
    disable_version_flag = true,
    about = "Answers whether a CSI driver is well"
)]
pub struct Args {
    /// Address of the CSI driver's socket
    #[arg(long, default_value = "/run/csi/socket")]
    pub csi_address: String,

    /// How long a look at the driver may take
    #[arg(long, value_name = "DURATION", default_value = "3s")]
    pub probe_timeout: GoDuration,

    /// Deprecated: port of the health checks on every address; not with --http-endpoint
    #[arg(long, value_name = "PORT", default_value = DEFAULT_PORT)]
    pub health_port: String,

    /// Address of health checks and metrics, as host:port or :port
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    pub http_endpoint: String,

    /// Deprecated: address of the metrics alone; not with --http-endpoint
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    pub metrics_address: String,

    /// Path of the metrics
    #[arg(long, value_name = "PATH", default_value = "/metrics")]
    pub metrics_path: String,

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
    /// How long a look may take, the connection included.
    pub timeout: Duration,
    /// Where `/healthz` is served.
    pub health: String,
    /// Where metrics are served.
    pub metrics: Option<HttpAddress>,
}

/// Flags that cannot be worked with; the process ends with exit 1, as upstream's.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ArgsError {
    /// `--csi-address`.
    #[error("--csi-address: {0}")]
    Address(#[from] InvalidAddress),
    /// Two flags name the address of health.
    #[error("only one of --health-port and --http-endpoint may be set; use --http-endpoint")]
    TwoOfHealth,
    /// Two flags name the address of metrics.
    #[error("only one of --metrics-address and --http-endpoint may be set; use --http-endpoint")]
    TwoOfMetrics,
}

impl Args {
    /// Checks the flags.
    ///
    /// # Errors
    /// The first that cannot be worked with.
    pub fn config(&self) -> Result<Config, ArgsError> {
        let has_endpoint = !self.http_endpoint.is_empty();
        if has_endpoint && self.health_port != DEFAULT_PORT {
            return Err(ArgsError::TwoOfHealth);
        }
        let http = base::args::HttpArgs {
            http_endpoint: self.http_endpoint.clone(),
            metrics_address: self.metrics_address.clone(),
            metrics_path: self.metrics_path.clone(),
        };
        let metrics = http.address().map_err(|_| ArgsError::TwoOfMetrics)?;
        let health = if has_endpoint {
            self.http_endpoint.clone()
        } else {
            format!("0.0.0.0:{}", self.health_port)
        };
        Ok(Config {
            driver: self.csi_address.parse()?,
            timeout: self.probe_timeout.0,
            health,
            metrics,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Result<Config, ArgsError> {
        let words = std::iter::once("livenessprobe").chain(flags.iter().copied());
        base::args::parse::<Args>(words.map(Into::into)).unwrap().config()
    }

    #[test]
    fn the_defaults_are_upstreams() {
        let config = config(&[]).unwrap();
        assert_eq!(config.driver.to_string(), "unix:///run/csi/socket");
        assert_eq!(config.timeout, Duration::from_secs(3));
        assert_eq!((config.health.as_str(), config.metrics), ("0.0.0.0:9808", None));
    }

    #[test]
    fn metrics_are_served_where_an_address_is_named() {
        let one = config(&["-http-endpoint=:1", "--metrics-path=m"]).unwrap();
        assert_eq!(one.health, ":1");
        let metrics = one.metrics.unwrap();
        assert_eq!(
            (metrics.address.as_str(), metrics.metrics_path.as_str()),
            (":1", "/m")
        );
        let two = config(&["--metrics-address=:2", "-health-port", "9"]).unwrap();
        assert_eq!(
            (two.health.as_str(), two.metrics.unwrap().address.as_str()),
            ("0.0.0.0:9", ":2")
        );
    }

    #[test]
    fn sidecars_case_134_contradictory_flags_are_refused() {
        let both = config(&["--health-port=9809", "--http-endpoint=:1"]);
        assert_eq!(both, Err(ArgsError::TwoOfHealth));
        // Upstream cannot tell the default from no flag, and takes it.
        assert!(config(&["--health-port=9808", "--http-endpoint=:1"]).is_ok());
        let both = config(&["--metrics-address=:2", "--http-endpoint=:1"]);
        assert_eq!(both, Err(ArgsError::TwoOfMetrics));
        let nowhere = config(&["--csi-address=nowhere"]).unwrap_err().to_string();
        assert!(nowhere.starts_with("--csi-address"), "{nowhere}");
    }
}
