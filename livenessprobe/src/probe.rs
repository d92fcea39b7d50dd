//! One look at the driver: a connection of its own, and Probe.

use std::time::Duration;

use base::http::{Health, Unhealthy};
use base::{Random, Scope};
use csi::v1::ProbeRequest;
use csi::{Address, Channel, ConnectOptions, Metrics};
use tokio::time::{Instant, timeout_at};

/// Looks at a driver. Looks run side by side: each has its connection, so that a driver that no longer accepts any is
/// noticed.
#[derive(Debug)]
pub(crate) struct DriverHealth {
    pub(crate) driver: Address,
    pub(crate) name: String,
    pub(crate) timeout: Duration,
    pub(crate) metrics: Metrics,
    pub(crate) random: Random,
    pub(crate) scope: Scope,
}

#[async_trait::async_trait]
impl Health for DriverHealth {
    async fn check(&self) -> Result<(), Unhealthy> {
        let looked = self.look().await;
        match &looked {
            Ok(()) => tracing::debug!(driver = self.name, "the CSI driver is well"),
            Err(reason) => tracing::error!(driver = self.name, reason, "the CSI driver is not well"),
        }
        looked.map_err(Unhealthy::Failed)
    }
}

impl DriverHealth {
    async fn look(&self) -> Result<(), String> {
        // The connection ends with the look.
        let scope = self.scope.child();
        let options = ConnectOptions {
            scope: scope.clone(),
            random: self.random.fork(),
        };
        let channel = Channel::connect(&self.driver, options);
        let ready = self.probe(&channel, Instant::now() + self.timeout).await;
        scope.abort();
        match ready? {
            true => Ok(()),
            false => Err("driver responded but is not ready".to_owned()),
        }
    }

    /// Whether the driver says that it is ready. The connection and the call have one deadline.
    async fn probe(&self, channel: &Channel, deadline: Instant) -> Result<bool, String> {
        if timeout_at(deadline, channel.connected()).await.is_err() {
            let why = channel.failure().map(|status| status.message().to_owned());
            return Err(why.unwrap_or_else(|| format!("no connection within {:?}", self.timeout)));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let asked = csi::channel::request(ProbeRequest {}, left);
        let measured = channel.clone().with_metrics(self.metrics.clone());
        match measured.identity().probe(asked).await {
            // Absent means ready.
            Ok(answer) => Ok(answer.into_inner().ready.unwrap_or(true)),
            Err(status) => Err(csi::status::error_text(&status)),
        }
    }
}
