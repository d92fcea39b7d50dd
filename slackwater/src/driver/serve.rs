//! A process with the node service, alone or beside the controller's.

use std::sync::Arc;

use base::http::{Endpoints, Readiness, ReadyHandle};
use base::process::{Signals, register_build_info, register_process_metrics, register_task_panics};
use base::{Clock, Random, Scope};
use csi::server::Listener;
use ebs_driver::node::cluster::taint::TaintRemover;
use ebs_driver::node::limit::{Kind, ask};
use ebs_driver::node::metadata::kubernetes::Right;
use ebs_driver::node::metadata::{Learned, sources};
use ebs_driver::node::nvme::NvmeMetrics;
use ebs_driver::node::{these_disks, this_machine};
use ebs_driver::{Config, Driver, Ec2Transport, NodeOptions, NodeService, Role};
use prometheus::Registry;
use runtime::Watches;
use runtime::client::Clients;
use tonic::service::Routes;

use crate::VERSION;
use crate::controller::{Function, driver_guard, driver_http};
use crate::ending::until_ended;

/// What a process has, however far it has come.
struct Process {
    config: Config,
    options: NodeOptions,
    role: Role,
    registry: Registry,
    clients: Result<Clients, String>,
    random: Random,
    /// Ends what serves and watches.
    working: Scope,
}

pub(super) async fn run(config: Config, options: NodeOptions, role: Role) -> anyhow::Result<()> {
    let (scope, registry, readiness) = (Scope::new(), Registry::new(), Readiness::default());
    let signals = Signals::install()?;
    let learned = readiness.condition("instance", "learning what instance this is");
    register_process_metrics(&registry)?;
    register_task_panics(&registry, &scope)?;
    register_build_info(&registry, VERSION, "aws-ebs-csi-driver", Function::DRIVER.name())?;
    let mut endpoints = Endpoints::new(readiness);
    if let Some(address) = driver_http(&config) {
        endpoints.add(&address, &registry, None);
        endpoints.guard(&address, driver_guard(&config)?);
    }
    // Health is asked for while calls drain: it ends last.
    let serving = scope.child();
    endpoints.bind().await?.serve(&serving);
    let working = scope.child();
    let clients = super::clients(&options, &registry).await;
    let process = Process {
        config,
        options,
        role,
        registry,
        clients: clients.map_err(|error| error.to_string()),
        random: Random::from_entropy(),
        working: working.clone(),
    };
    let ended = until_ended(process.serve(learned), &scope, signals.relay(&working)).await;
    scope.stop();
    ended?;
    tracing::info!("stopped");
    Ok(())
}

impl Process {
    async fn serve(mut self, is_learned: ReadyHandle) -> anyhow::Result<()> {
        let stopping = self.working.stopping_token();
        let instance = tokio::select! {
            biased;
            () = stopping.cancelled() => return Ok(()),
            instance = self.instance() => Arc::new(instance?),
        };
        is_learned.ready();
        if self.config.ec2.region.is_none() {
            self.config.ec2.region = Some(instance.known().region);
        }
        let limit = tokio::select! {
            biased;
            () = stopping.cancelled() => return Ok(()),
            limit = self.limit_of_ec2(&instance) => limit?,
        };
        self.options.config.limits.of_ec2 = limit;
        self.serve_statistics(&instance)?;
        let routes = self.routes(instance)?;
        let listener = Listener::bind(&self.config.endpoint).await?;
        self.remove_taint();
        tracing::info!(version = VERSION, endpoint = %self.config.endpoint, role = ?self.role, "started");
        Ok(listener.serve(routes, stopping).await?)
    }

    async fn instance(&self) -> anyhow::Result<Learned> {
        let client = self.clients.as_ref().map(|clients| clients.work.clone());
        let sources = sources(
            &self.options.sources,
            &client.map_err(Clone::clone),
            self.options.node_name.as_deref(),
            Right::Get,
        )?;
        Ok(Learned::from_first(sources).await?)
    }

    /// The statistics of volumes, where anybody can scrape them.
    fn serve_statistics(&self, instance: &Learned) -> anyhow::Result<()> {
        let folder = self.options.statistics_below.as_ref();
        if let Some(folder) = folder.filter(|_| self.config.http_endpoint.is_some()) {
            let metrics = NvmeMetrics::new(folder, &instance.known().instance_id, these_disks())?;
            self.registry.register(Box::new(metrics))?;
        }
        Ok(())
    }

    /// EC2's own figure of attachments, where it is of use.
    async fn limit_of_ec2(&self, instance: &Learned) -> anyhow::Result<Option<Kind>> {
        if self.options.config.limits.fixed.is_some() {
            return Ok(None);
        }
        let (transport, clock, random) = (Ec2Transport::Network, Clock::system(), self.random.fork());
        let instance_type = instance.known().instance_type;
        Ok(ask(&self.config, transport, clock, random, &instance_type).await?)
    }

    fn routes(&self, instance: Arc<Learned>) -> anyhow::Result<Routes> {
        let (node, host) = (self.options.config.clone(), this_machine());
        if self.role == Role::Node {
            return Ok(NodeService::new(node, host, instance, &self.registry)?.routes());
        }
        let driver = Driver::new(
            self.config.clone(),
            Ec2Transport::Network,
            Clock::system(),
            self.random.fork(),
            &self.working,
            &self.registry,
        )?;
        Ok(driver.routes_with(&NodeService::beside(&driver, node, host, instance)))
    }

    /// Beside the services: no error of it is a reason to end them, nor that the API server is away (which is why its
    /// watch is no condition of readiness).
    fn remove_taint(&self) {
        let Some(node) = self
            .options
            .node_name
            .as_deref()
            .filter(|_| self.options.removes_taint)
        else {
            return;
        };
        let client = match &self.clients {
            Ok(clients) => clients.work.clone(),
            Err(reason) => {
                tracing::warn!(reason, "the start-up taint of the node is left alone");
                return;
            }
        };
        let (clock, random) = (Clock::system(), self.random.fork());
        let watches = Watches::new(
            client.clone(),
            clock,
            self.random.fork(),
            &self.working,
            &self.registry,
        );
        let remover = TaintRemover::new(client, random, node);
        let stopping = self.working.stopping_token();
        self.working
            .spawn_named("removal of the start-up taint", async move {
                tokio::select! {
                    biased;
                    () = stopping.cancelled() => {}
                    () = remover.run(watches) => {}
                }
            });
    }
}
