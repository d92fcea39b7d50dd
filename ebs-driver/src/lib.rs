//! The EBS CSI driver: Identity, Controller and Node services over EC2.
//!
//! Replaces `aws-ebs-csi-driver`, its modes `controller`, `node`, `all` and `pre-stop-hook`. The same services are served on a Unix socket ([`run`]) or called
//! in process ([`Driver::routes`]); EC2 is the real one over its Query protocol, or a service in the same process
//! ([`Ec2Transport`]).
//!
//! ```text
//! CSI request -> rpc/<name>: parse, in-flight key -> decision (volume, snapshot, expand: pure)
//!                                                 -> ec2: retries, limit, batches -> client -> EC2
//! ```
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | flags and their checks |
//! | [`driver`] | what all services share |
//! | `rpc` | one file a CSI call: parse, call, map |
//! | [`node`] | the node service |
//! | [`parameters`], [`tags`] | classes; tags and their templates |
//! | [`volume`], [`snapshot`], [`group`], [`expand`], [`attach`] | decisions without I/O |
//! | [`coalesce`], [`polls`], [`memory`], [`attachments`] | merged changes, merged readiness polls, recent names |
//! | [`hyperpod`], [`iops`], [`size`], [`topology`], [`token`] | rules of single values |
//! | `inventory` | what a process with sidecars asks beside CSI |
//! | `tokenless` | the instance metadata service, with tokens and without |
//! | [`ec2`] | the port, its client, batches, retries; what its error codes mean |
//! | [`in_flight`], [`deadline`], [`metrics`], [`scraped`], [`waiting`], [`names`] | around all of them |
//!
//! Behaviour is specified in `docs/spec/ebs-driver.md`; where it deviates from upstream on purpose,
//! `docs/deviations.md` says so.

pub mod args;
pub mod attach;
pub mod attachments;
pub mod coalesce;
pub mod deadline;
pub mod driver;
pub mod ec2;
pub mod expand;
pub mod group;
pub mod hyperpod;
pub mod in_flight;
mod inventory;
pub mod iops;
pub mod memory;
pub mod metrics;
pub mod names;
pub mod node;
pub mod parameters;
pub mod polls;
pub mod quotas;
mod rpc;
pub mod scraped;
pub mod size;
pub mod snapshot;
pub mod tags;
pub mod token;
mod tokenless;
pub mod topology;
pub mod volume;
pub mod waiting;
pub mod waits;

use std::sync::Arc;

use base::{Clock, Random, Scope};
use prometheus::Registry;
use thiserror::Error;

pub use args::{Args, ArgsError, Config, NodeOptions, Role};
pub use driver::Driver;
pub use ec2::client::Ec2Transport;
pub use node::{NodeConfig, NodeService};

/// Why the driver ended.
#[derive(Debug, Error)]
pub enum Error {
    /// The metrics cannot be registered.
    #[error("cannot register the metrics of the driver: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The socket cannot be served.
    #[error(transparent)]
    Serve(#[from] csi::server::ServeError),
}

/// What EC2 says of instances, for a process without the controller's services.
///
/// # Errors
/// When the registry already has metrics of a driver.
pub fn instances(
    config: &Config,
    transport: Ec2Transport,
    clock: Clock,
    random: Random,
    registry: &Registry,
) -> Result<Arc<dyn ec2::Instances>, prometheus::Error> {
    let metrics = metrics::Metrics::new(registry, config.deprecated_names)?;
    let caller = ec2::retry::Caller::new(ec2::limit::Limits::new(config.limits), random, metrics);
    Ok(Arc::new(ec2::client::QueryEc2::new(
        transport,
        config.ec2.clone(),
        clock,
        caller,
    )))
}

/// Serves the driver on its endpoint until `scope` is stopping, and then until the running calls have ended.
///
/// # Errors
/// When the metrics or the socket are taken, or serving fails.
pub async fn run(
    config: Config,
    ec2: Ec2Transport,
    clock: Clock,
    random: Random,
    scope: &Scope,
    registry: &Registry,
) -> Result<(), Error> {
    let endpoint = config.endpoint.clone();
    let driver = Driver::new(config, ec2, clock, random, scope, registry)?;
    tracing::info!(driver = names::DRIVER, version = names::VERSION, %endpoint, "serving");
    csi::serve(&endpoint, driver.routes(), scope.stopping_token()).await?;
    Ok(())
}
