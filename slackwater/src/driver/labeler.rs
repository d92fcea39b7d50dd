//! `metadataLabeler`: one replica at a time labels the nodes of the cluster.

use std::sync::Arc;
use std::time::Duration;

use base::args::Environment;
use base::http::{Endpoints, Readiness};
use base::process::{Signals, register_build_info, register_process_metrics, register_task_panics};
use base::{Clock, Random, Scope};
use ebs_driver::node::cluster::labels::{LEASE, Labeler};
use ebs_driver::{Config, Ec2Transport, NodeOptions};
use prometheus::Registry;
use runtime::client::Clients;
use runtime::{ElectionOptions, Ended, LeaderElector, Watches};

use crate::VERSION;
use crate::controller::{Function, driver_guard, driver_http};
use crate::ending::until_ended;

pub(super) async fn run(mut config: Config, options: NodeOptions) -> anyhow::Result<()> {
    let (scope, registry, readiness) = (Scope::new(), Registry::new(), Readiness::default());
    let signals = Signals::install()?;
    register_process_metrics(&registry)?;
    register_task_panics(&registry, &scope)?;
    register_build_info(&registry, VERSION, "aws-ebs-csi-driver", Function::DRIVER.name())?;
    let mut endpoints = Endpoints::new(readiness);
    if let Some(address) = driver_http(&config) {
        endpoints.add(&address, &registry, None);
        endpoints.guard(&address, driver_guard(&config)?);
    }
    let serving = scope.child();
    endpoints.bind().await?.serve(&serving);
    let clients = super::clients(&options, &registry).await?;
    let working = scope.child();
    let work = async {
        tokio::select! {
            biased;
            () = working.stopping() => return Ok(()),
            learned = super::learn_region(&mut config, &options) => learned?,
        }
        lead(&config, &clients, &registry, &working).await
    };
    let ended = until_ended(work, &scope, signals.relay(&working)).await;
    scope.stop();
    ended?;
    tracing::info!("stopped");
    Ok(())
}

/// Labels while the lease is held.
async fn lead(config: &Config, clients: &Clients, registry: &Registry, scope: &Scope) -> anyhow::Result<()> {
    let (clock, random) = (Clock::system(), Random::from_entropy());
    let ec2 = ebs_driver::instances(
        config,
        Ec2Transport::Network,
        clock.clone(),
        random.fork(),
        registry,
    )?;
    let (elector, ec2) = (elector(clients, &clock, &random, registry)?, &ec2);
    let ended = elector
        .run_leading(
            scope,
            |scope| {
                let (client, random) = (clients.work.clone(), random.fork());
                async move {
                    let watches = Watches::new(client.clone(), clock, random, &scope, &Registry::new());
                    let labeler = Labeler::new(client, Arc::clone(ec2), watches);
                    let stopping = scope.stopping_token();
                    tokio::select! {
                        biased;
                        () = stopping.cancelled() => {}
                        () = labeler.run() => {}
                    }
                }
            },
            std::future::pending(),
        )
        .await;
    match ended {
        Ended::Lost => Err(anyhow::anyhow!("the lease {LEASE} was lost")),
        Ended::Stopped | Ended::SteppedDown | Ended::Finished(()) => Ok(()),
    }
}

/// With client-go's durations, as upstream.
fn elector(
    clients: &Clients,
    clock: &Clock,
    random: &Random,
    registry: &Registry,
) -> anyhow::Result<LeaderElector> {
    let environment = Environment::of_process();
    let options = ElectionOptions {
        lease: LEASE.to_owned(),
        namespace: environment.namespace(),
        identity: environment.identity(),
        component: "metadata-labeler".to_owned(),
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(5),
        labels: std::collections::BTreeMap::new(),
        drain: Duration::from_secs(1),
    };
    Ok(LeaderElector::new(
        &clients.leases,
        clock,
        random,
        registry,
        options,
        None,
    )?)
}
