//! Start-up and work.

mod follow;
mod kinds;
mod rules;
mod term;

use std::sync::Arc;

use async_trait::async_trait;
use base::args::Environment;
use base::http::LeaderHealth;
use base::{Queue, Scope};
use controller::{
    Command, ConfigError, Driver as _, Enqueue, Entry, Error, Ready, Sidecar, SidecarOptions, Start,
};
use csi::{Address, Channel};
use runtime::args::{CommonArgs, CommonConfig, KubeArgs};
use runtime::{Context, ObjectKey};

use crate::args::{Args, Config};
use crate::capacity::Publishing;
use crate::driver::Driver;
use crate::events;
use crate::local::LocalNode;
use crate::metrics::Metrics;
use crate::orphans::{Orphans, Owners, Search};
use crate::pending::Pending;

use self::term::Term;

/// The function's name.
const NAME: &str = "csi-provisioner";

/// The function, for the registry of the binary.
pub const ENTRY: Entry = Entry {
    name: NAME,
    summary: "make and delete volumes as PersistentVolumeClaims and PersistentVolumes ask for",
    address: ":3302",
    workers_flag: "worker-threads",
    by_default: true,
    parse: Entry::parsed::<Args>,
};

impl Command for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn kube(&self, environment: &Environment) -> KubeArgs {
        if environment.kubeconfig.is_some() {
            tracing::info!("the environment variable KUBECONFIG is set: the file that it names is used");
        }
        self.connection(environment)
    }

    fn check(&self, environment: &Environment) -> Result<Box<dyn Start>, ConfigError> {
        Ok(Box::new(self.config(environment)?))
    }
}

#[async_trait]
impl Start for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn driver(&self) -> Option<&Address> {
        Some(&self.driver.address)
    }

    /// Meets the driver. Source: sidecars.md 1.3.
    async fn start(
        self: Box<Self>,
        context: Context,
        driver: Option<Channel>,
    ) -> Result<Box<dyn Ready>, Error> {
        let options = SidecarOptions {
            name: NAME,
            lease: |driver| driver.replace('/', "-"),
            component: events::component,
            driver: self.driver.clone(),
            longest_call: None,
            tells_migrated: true,
        };
        let sidecar = Sidecar::<Driver>::prepare(options, &self.common, context, driver).await?;
        let function = sidecar.function();
        let local = self.local(&sidecar).await?;
        let publishing = Publishing::prepare(self.capacity.clone(), &sidecar, local.as_ref()).await?;
        let queues = Queues {
            claims: function.queue("claims".into(), self.workers)?,
            volumes: function.queue("volumes".into(), self.workers)?,
            // Upstream has two queues of the name `claims` (Q3).
            clones: function.queue("claims-clone-protection".into(), self.protection_workers)?,
            snapshots: function.queue("snapshots-source-protection".into(), self.protection_workers)?,
        };
        let context = function.context();
        let metrics = Metrics::new(&context.registry)?;
        let orphans = Orphans::new(&context.registry)?;
        let pending = Pending::new(&context.registry, &context.clock, sidecar.driver().name())?;
        let began = context.clock.now().as_millisecond();
        let mut identity = format!(
            "{began}-{}-{}",
            context.random.below(10_000),
            sidecar.driver().name()
        );
        if let Some(local) = &local {
            identity = format!("{identity}-{}", local.name);
        }
        Ok(Box::new(Prepared {
            config: *self,
            sidecar,
            queues,
            metrics,
            pending,
            orphans,
            identity,
            local,
            publishing,
        }))
    }
}

impl Config {
    /// Asks the driver where it is.
    async fn local(&self, sidecar: &Sidecar<Driver>) -> Result<Option<LocalNode>, Error> {
        let Some(node) = &self.node else {
            return Ok(None);
        };
        let local = LocalNode::ask(sidecar.channel(), self.driver.timeout, node).await;
        let local = local.map_err(|status| {
            let text = csi::status::error_text(&status);
            Error::Surroundings(format!(
                "--node-deployment: the driver does not say where it is: {text}"
            ))
        })?;
        tracing::info!(node = local.name, topology = ?local.labels, "serving this node alone");
        Ok(Some(local))
    }
}

/// The function after its start-up: the driver is known and ready.
struct Prepared {
    config: Config,
    sidecar: Sidecar<Driver>,
    queues: Queues,
    metrics: Metrics,
    pending: Pending,
    orphans: Orphans,
    /// Says in volumes which process made them.
    identity: String,
    /// The one node that is served.
    local: Option<LocalNode>,
    publishing: Option<Publishing>,
}

struct Queues {
    claims: Queue<ObjectKey>,
    volumes: Queue<ObjectKey>,
    clones: Queue<ObjectKey>,
    snapshots: Queue<ObjectKey>,
}

#[async_trait]
impl Ready for Prepared {
    fn leader_health(&self) -> Option<LeaderHealth> {
        self.sidecar.function().leader_health()
    }

    async fn run(&self) -> Result<(), Error> {
        self.sidecar.run(|scope| self.work(scope)).await
    }
}

impl Prepared {
    /// Works until the scope is stopping and what runs is done.
    async fn work(&self, scope: Scope) -> Result<(), Error> {
        let queues = &self.queues;
        let _terms = (
            queues.claims.term(),
            queues.volumes.term(),
            queues.clones.term(),
            queues.snapshots.term(),
            self.publishing.as_ref().map(Publishing::queues),
            self.pending.term(),
            self.orphans.term(),
        );
        let term = tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            term = self.begin() => term?,
        };
        let mut enqueue = Enqueue::new();
        self.follow_claims(&term, &mut enqueue, &scope);
        self.follow_sources(&term, &mut enqueue, &scope);
        self.follow_volumes(&term, &mut enqueue, &scope);
        let function = self.sidecar.function();
        let origins = self.origins(&term);
        let snapshots = self.guards(&term, &origins, &origins.snapshots, &term.snapshot_editor);
        let clones = self.guards(&term, &origins, &origins.claims, &term.claim_editor);
        tokio::join!(
            biased;
            queues.claims.run(&scope, Arc::new(function.reconciler(self.claim_rules(&term, &origins)))),
            queues.volumes.run(&scope, Arc::new(function.reconciler(self.volume_rules(&term)))),
            queues.clones.run(&scope, Arc::new(function.reconciler(clones))),
            queues.snapshots.run(&scope, Arc::new(function.reconciler(snapshots))),
            self.publish(&term, &scope),
            self.look_for_orphans(&term, &scope),
        );
        Ok(())
    }

    async fn publish(&self, term: &Term, scope: &Scope) {
        if let (Some(publishing), Some(term)) = (&self.publishing, &term.capacity) {
            publishing.run(term, &self.sidecar, self.calls(), scope).await;
        }
    }

    async fn look_for_orphans(&self, term: &Term, scope: &Scope) {
        let Some(inventory) = self.sidecar.channel().inventory() else {
            return;
        };
        let search = Search {
            inventory: inventory.clone(),
            owners: Owners {
                volumes: term.volumes.clone(),
                claims: term.claims.clone(),
                busy: term.busy.clone(),
                settings: term.settings.clone(),
            },
            orphans: self.orphans.clone(),
            clock: self.sidecar.function().context().clock.clone(),
            interval: self.config.orphans_interval,
        };
        search.run(scope).await;
    }
}
