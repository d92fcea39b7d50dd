//! The functions of one process over given transports. The same code runs in the modes, in the quick start
//! and in simulation.

use std::collections::BTreeMap;
use std::pin::Pin;

use base::http::Elections;
use base::{Clock, Random, Scope};
use controller::{Ready, Start};
use csi::Channel;
use ebs_driver::{Driver, Ec2Transport};
use futures::future::{BoxFuture, try_join_all};
use prometheus::Registry;
use runtime::args::CommonConfig;
use runtime::client::Clients;
use runtime::{Context, Watches};
use tonic::service::Routes;

use super::registry::Function;
use super::settings::{Settings, WhenLost};

/// How the process reaches what is outside of it.
pub struct Outside {
    /// The Kubernetes API, as each function reaches it. The driver asks nothing of it.
    pub kubernetes: BTreeMap<Function, Clients>,
    /// The same, for the watch caches that all functions share.
    pub watches: Option<kube::Client>,
    /// Metrics of each function.
    pub registries: BTreeMap<Function, Registry>,
    /// EC2.
    pub ec2: Ec2Transport,
    /// Makes the channel to a driver that runs in this process.
    pub channel: Box<dyn FnOnce(Routes) -> Channel + Send>,
    /// Whether the driver's socket is served too.
    pub serves_socket: bool,
    /// Wall time.
    pub clock: Clock,
    /// Jitter.
    pub random: Random,
    /// Holder of leases.
    pub identity: String,
    /// Namespace of the leases whose flags name none.
    pub namespace: String,
}

/// Why a process ends before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two functions register the same metric.
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The driver.
    #[error("driver: {0}")]
    Driver(#[from] csi::server::ServeError),
    /// A function that runs against the Kubernetes API.
    #[error("{function}: {source}")]
    Function {
        /// Which.
        function: Function,
        /// Why it ends.
        source: controller::Error,
    },
    /// A function that needs the Kubernetes API was given no client.
    #[error("{0} has no client for the Kubernetes API")]
    NoClient(Function),
}

impl Error {
    fn of(function: Function) -> impl FnOnce(controller::Error) -> Self {
        move |source| Self::Function { function, source }
    }

    /// The lease whose loss this is.
    fn lost_lease(&self) -> Option<&str> {
        match self {
            Self::Function {
                source: controller::Error::LeaseLost { lease },
                ..
            } => Some(lease),
            _ => None,
        }
    }
}

type Running = BoxFuture<'static, Result<(), Error>>;

/// Functions that are ready to run.
pub struct Assembly {
    running: Vec<Running>,
    /// Metrics of each function.
    pub registries: BTreeMap<Function, Registry>,
    /// Elections of each function, for its health.
    pub elections: BTreeMap<Function, Elections>,
    /// Whether the watch caches can be followed, for readiness; none without caches.
    pub freshness: Option<Freshness>,
}

/// See [`Watches::freshness`].
pub type Freshness = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

impl Assembly {
    /// Puts the functions together. Nothing is sent, and no socket opened but the driver's, before
    /// [`Assembly::run`]. Tasks and caches belong to `scope`; `shared` takes the metrics of the caches.
    ///
    /// # Errors
    /// When metrics collide, or the driver's socket cannot be had.
    pub async fn new(
        settings: Settings,
        outside: Outside,
        scope: &Scope,
        shared: &Registry,
    ) -> Result<Self, Error> {
        Self::put_together(settings, outside, None, scope, shared).await
    }

    /// The same, but the driver runs in another process, behind this channel instead of the address in the flags.
    ///
    /// # Errors
    /// As [`Assembly::new`].
    pub async fn beside(
        driver: Channel,
        settings: Settings,
        outside: Outside,
        scope: &Scope,
        shared: &Registry,
    ) -> Result<Self, Error> {
        Self::put_together(settings, outside, Some(driver), scope, shared).await
    }

    async fn put_together(
        settings: Settings,
        outside: Outside,
        channel: Option<Channel>,
        scope: &Scope,
        shared: &Registry,
    ) -> Result<Self, Error> {
        let watches = outside.watches.clone().map(|client| {
            Watches::new(
                client,
                outside.clock.clone(),
                outside.random.fork(),
                scope,
                shared,
            )
        });
        let mut builder = Builder {
            watches,
            elections: BTreeMap::new(),
            running: Vec::new(),
            channel,
            when_lost: settings.when_lost,
            scope: scope.clone(),
            outside,
        };
        if let Some(config) = settings.driver {
            builder.driver(config).await?;
        }
        for (function, start) in settings.functions {
            builder.function(function, start)?;
        }
        let Builder {
            running,
            outside,
            elections,
            watches,
            ..
        } = builder;
        let freshness = watches.map(|watches| -> Freshness { Box::new(watches.freshness()) });
        Ok(Self {
            running,
            registries: outside.registries,
            elections,
            freshness,
        })
    }

    /// Runs until the scope is stopping and all functions have drained.
    ///
    /// # Errors
    /// The first function that cannot go on.
    pub fn run(self) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> {
        Box::pin(async move { try_join_all(self.running).await.map(drop) })
    }
}

/// What is put together so far.
struct Builder {
    outside: Outside,
    watches: Option<Watches>,
    scope: Scope,
    when_lost: WhenLost,
    elections: BTreeMap<Function, Elections>,
    running: Vec<Running>,
    channel: Option<Channel>,
}

impl Builder {
    fn registry(&self, function: Function) -> Registry {
        self.outside
            .registries
            .get(&function)
            .cloned()
            .unwrap_or_default()
    }

    /// The context of a function. Its scope is a child: what one function stops does not stop the others. Its
    /// lease is where its own flags say.
    fn context(&self, function: Function, common: &CommonConfig) -> Result<Context, Error> {
        let clients = self
            .outside
            .kubernetes
            .get(&function)
            .ok_or(Error::NoClient(function))?;
        let watches = self.watches.clone().ok_or(Error::NoClient(function))?;
        let namespace = common
            .election
            .as_ref()
            .map(|election| election.leader_election_namespace.clone())
            .filter(|namespace| !namespace.is_empty());
        Ok(Context {
            client: clients.work.clone(),
            lease_client: clients.leases.clone(),
            clock: self.outside.clock.clone(),
            random: self.outside.random.fork(),
            registry: self.registry(function),
            scope: self.scope.child(),
            watches,
            identity: self.outside.identity.clone(),
            namespace: namespace.unwrap_or_else(|| self.outside.namespace.clone()),
        })
    }

    async fn driver(&mut self, config: ebs_driver::Config) -> Result<(), Error> {
        let endpoint = config.endpoint.clone();
        let scope = self.scope.child();
        let (clock, random) = (self.outside.clock.clone(), self.outside.random.fork());
        let ec2 = std::mem::replace(&mut self.outside.ec2, Ec2Transport::Network);
        let registry = self.registry(Function::DRIVER);
        let driver = Driver::new(config, ec2, clock, random, &scope, &registry)?;
        let in_process: Box<dyn FnOnce(Routes) -> Channel + Send> = Box::new(Channel::in_process);
        let channel = std::mem::replace(&mut self.outside.channel, in_process);
        self.channel = Some(channel(driver.routes()).with_inventory(driver.inventory()));
        if self.outside.serves_socket {
            let listener = csi::server::Listener::bind(&endpoint).await?;
            let routes = driver.routes();
            self.running.push(Box::pin(async move {
                let stopping = scope.stopping_token();
                Ok(listener.serve(routes, stopping).await?)
            }));
        } else {
            self.running.push(Box::pin(async move {
                scope.stopping().await;
                Ok(())
            }));
        }
        Ok(())
    }

    fn function(&mut self, function: Function, start: Box<dyn Start>) -> Result<(), Error> {
        let context = self.context(function, start.common())?;
        let elections = Elections::default();
        if start.common().election.is_some() {
            self.elections.insert(function, elections.clone());
        }
        let driver = start.driver().map(|address| self.channel_to(address, &context));
        self.lead(function, elections, controller::prepare(start, context, driver));
        Ok(())
    }

    /// The driver of this process or the one that was given, or else the one behind the address.
    fn channel_to(&self, address: &csi::Address, context: &Context) -> Channel {
        if let Some(channel) = &self.channel {
            return channel.clone();
        }
        let options = csi::ConnectOptions {
            // The connection lives in the scope: it must be one that somebody keeps.
            scope: context.scope.clone(),
            random: context.random.fork(),
        };
        Channel::connect(address, options)
    }

    /// Runs a function once it is prepared, for as many terms of leadership as it gets.
    fn lead(
        &mut self,
        function: Function,
        elections: Elections,
        prepared: impl Future<Output = Result<Option<Box<dyn Ready>>, controller::Error>> + Send + 'static,
    ) {
        let when_lost = self.when_lost;
        self.running.push(Box::pin(async move {
            let Some(prepared) = prepared.await.map_err(Error::of(function))? else {
                return Ok(());
            };
            if let Some(health) = prepared.leader_health() {
                elections.join(health);
            }
            loop {
                let ended = prepared.run().await.map_err(Error::of(function));
                match ended.as_ref().err().and_then(Error::lost_lease) {
                    Some(lease) if when_lost == WhenLost::CompeteAgain => {
                        tracing::warn!(
                            lease,
                            "the lease is lost; the function has stopped and competes again"
                        );
                    }
                    _ => return ended,
                }
            }
        }));
    }
}
