//! The process: it meets the driver, then it listens.

use std::sync::Arc;
use std::time::Duration;

use base::http::{BindError, Endpoints, Readiness};
use base::process::{register_build_info, register_process_metrics};
use base::{Random, Scope};
use csi::identity::{IdentityError, plugin_info};
use csi::{Channel, ConnectOptions, Metrics};
use prometheus::Registry;
use thiserror::Error;

use crate::args::Config;
use crate::probe::DriverHealth;

/// How long the driver may take to say its name. Upstream waits without end for one that hangs.
const NAME_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait before a driver that is away is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the process ends.
#[derive(Debug, Error)]
pub enum Error {
    /// The driver cannot say its name.
    #[error(transparent)]
    Driver(#[from] IdentityError),
    /// An address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The metrics cannot be registered.
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Waits for the driver without limit, then answers for it until the scope is stopping. Until then nothing listens.
///
/// # Errors
/// A driver without a name, and addresses that cannot be had.
pub async fn run(config: Config, version: &str, scope: &Scope) -> Result<(), Error> {
    let (registry, random) = (Registry::new(), Random::from_entropy());
    let metrics = Metrics::new(&registry)?;
    register_process_metrics(&registry)?;
    register_build_info(&registry, version, crate::NAME, crate::NAME)?;
    let name = tokio::select! {
        biased;
        () = scope.stopping() => return Ok(()),
        name = name_of(&config, &metrics, &random, scope) => name?,
    };
    tracing::info!(driver = name, "found the CSI driver");
    metrics.set_driver(&name, false);
    let health = DriverHealth {
        driver: config.driver,
        name,
        timeout: config.timeout,
        metrics,
        random,
        scope: scope.child(),
    };
    let mut endpoints = Endpoints::new(Readiness::default());
    endpoints.health(&config.health, Arc::new(health));
    if let Some(address) = &config.metrics {
        endpoints.add(address, &registry, None);
    }
    let bound = endpoints.bind().await?;
    tracing::info!(addresses = ?bound.addresses(), "listening");
    bound.serve(scope);
    scope.stopping().await;
    Ok(())
}

/// Asks for the driver's name over a connection that ends with it. A driver that goes away meanwhile is waited for.
async fn name_of(
    config: &Config,
    metrics: &Metrics,
    random: &Random,
    scope: &Scope,
) -> Result<String, IdentityError> {
    let asking = scope.child();
    let options = ConnectOptions {
        scope: asking.clone(),
        random: random.fork(),
    };
    let channel = Channel::connect(&config.driver, options).with_metrics(metrics.clone());
    let name = loop {
        channel.connected().await;
        match plugin_info(&channel, NAME_TIMEOUT).await {
            Err(error) if error.is_unreachable() => {
                tracing::warn!(%error, "still asking the CSI driver for its name");
                tokio::time::sleep(PAUSE).await;
            }
            answer => break answer.map(|info| info.name),
        }
    };
    asking.abort();
    name
}
