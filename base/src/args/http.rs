//! Addresses of metrics and health.

/// Flags of the metrics and health server. Source: sidecars 1.1.
#[derive(Clone, Debug, clap::Args)]
pub struct HttpArgs {
    /// Address of metrics and health checks, as host:port or :port; empty serves none.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    pub http_endpoint: String,

    /// Deprecated form of --http-endpoint, without the health check of leader election.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    pub metrics_address: String,

    /// Path of the metrics.
    #[arg(long, value_name = "PATH", default_value = "/metrics")]
    pub metrics_path: String,
}

impl Default for HttpArgs {
    fn default() -> Self {
        Self {
            http_endpoint: String::new(),
            metrics_address: String::new(),
            metrics_path: "/metrics".to_owned(),
        }
    }
}

/// Where to serve, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAddress {
    /// `host:port` or `:port`.
    pub address: String,
    /// Path of the metrics, with its leading slash.
    pub metrics_path: String,
    /// Whether `/healthz/leader-election` belongs here (upstream: only with `--http-endpoint`).
    pub election_health: bool,
}

/// Contradictory flags; the process ends with exit 1 as upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpArgsError {
    /// Both addresses are set.
    #[error("only one of --http-endpoint and --metrics-address may be set; use --http-endpoint")]
    Both,
}

impl HttpArgs {
    /// The address that the flags name, if any.
    ///
    /// # Errors
    /// [`HttpArgsError::Both`].
    pub fn address(&self) -> Result<Option<HttpAddress>, HttpArgsError> {
        let (address, election_health) = match (self.http_endpoint.as_str(), self.metrics_address.as_str()) {
            ("", "") => return Ok(None),
            (endpoint, "") => (endpoint, true),
            ("", metrics) => (metrics, false),
            _ => return Err(HttpArgsError::Both),
        };
        let slash = if self.metrics_path.starts_with('/') {
            ""
        } else {
            "/"
        };
        Ok(Some(HttpAddress {
            address: address.to_owned(),
            metrics_path: format!("{slash}{}", self.metrics_path),
            election_health,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecars_case_5_both_addresses_are_refused() {
        let with = |endpoint: &str, metrics: &str| {
            HttpArgs {
                http_endpoint: endpoint.to_owned(),
                metrics_address: metrics.to_owned(),
                ..HttpArgs::default()
            }
            .address()
        };
        assert_eq!(with(":1", ":2"), Err(HttpArgsError::Both));
        assert_eq!(with("", ""), Ok(None));
        assert!(with(":1", "").unwrap().unwrap().election_health);
        assert!(!with("", ":2").unwrap().unwrap().election_health);
    }
}
