//! Start-up and work.

use std::future;
use std::sync::Arc;

use async_trait::async_trait;
use base::Scope;
use base::args::Environment;
use base::http::LeaderHealth;
use controller::{
    Command, ConfigError, Definitions, Entry, Error, Function, FunctionOptions, Objects, Ready, Start,
    serve_by_namespace,
};
use crds::v1::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use csi::Channel;
use kube::core::ApiResource;
use runtime::args::{CommonArgs, CommonConfig};
use runtime::{Context, access};
use tokio::sync::OnceCell;

use crate::args::{Args, Config};
use crate::claims::{ClaimVerb, ClaimWriter};
use crate::controllers::{Claims, Contents, Shared, Snapshots};
use crate::events::COMPONENT;
use crate::execute::{Executor, NAME};
use crate::group::{self, Groups};
use crate::metrics::Metrics;
use crate::observe::Caches;
use crate::triggers::{Concerned, Queues, enqueue};

/// The lease that upstream's replicas compete for too.
const LEASE: &str = "snapshot-controller-leader";

/// The function, for the registry of the binary.
pub const ENTRY: Entry = Entry {
    name: NAME,
    summary: "reconcile VolumeSnapshot, VolumeSnapshotContent and VolumeSnapshotClass",
    address: ":8080",
    workers_flag: "worker-threads",
    by_default: false,
    parse: Entry::parsed::<Args>,
};

impl Command for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn check(&self, _environment: &Environment) -> Result<Box<dyn Start>, ConfigError> {
        Ok(Box::new(self.config()?))
    }
}

#[async_trait]
impl Start for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn definitions(&mut self) -> Option<&mut Definitions> {
        Some(&mut self.definitions)
    }

    /// Waits for the definitions. Source: spec snapshot 2.1.
    async fn start(
        self: Box<Self>,
        context: Context,
        _driver: Option<Channel>,
    ) -> Result<Box<dyn Ready>, Error> {
        let metrics = Arc::new(Metrics::new(&context.registry, &context.clock)?);
        let options = FunctionOptions {
            name: NAME,
            lease: LEASE.to_owned(),
            component: COMPONENT.to_owned(),
            drain: None,
        };
        let function = Function::new(options, &self.common, context)?;
        let kinds = [
            ApiResource::erase::<VolumeSnapshot>(&()),
            ApiResource::erase::<VolumeSnapshotClass>(&()),
            ApiResource::erase::<VolumeSnapshotContent>(&()),
        ];
        function.wait_for_crds(&kinds, &self.definitions).await?;
        let queue = |of: &str| function.queue(format!("{NAME}-{of}"), self.workers);
        let queues = Queues {
            snapshots: queue("snapshot")?,
            contents: queue("content")?,
            claims: queue("claim")?,
        };
        let groups = group::Queues::new(queue)?;
        Ok(Box::new(Prepared {
            config: *self,
            function,
            metrics,
            queues,
            groups,
            claim_verb: OnceCell::new(),
        }))
    }
}

/// The function after its start-up: the definitions exist.
struct Prepared {
    config: Config,
    function: Function,
    metrics: Arc<Metrics>,
    queues: Queues,
    groups: group::Queues,
    /// Asked once, by the first term of leadership.
    claim_verb: OnceCell<ClaimVerb>,
}

#[async_trait]
impl Ready for Prepared {
    fn leader_health(&self) -> Option<LeaderHealth> {
        self.function.leader_health()
    }

    async fn run(&self) -> Result<(), Error> {
        let lead = self
            .function
            .lead(|scope| self.work(scope), || future::ready(()), future::pending);
        let ended = lead.await;
        self.function.finish().await;
        ended
    }
}

impl Prepared {
    /// Works until the scope is stopping and running objects are done.
    async fn work(&self, scope: Scope) -> Result<(), Error> {
        let queues = &self.queues;
        let _terms = (
            queues.snapshots.term(),
            queues.contents.term(),
            queues.claims.term(),
        );
        let _counted = self.metrics.term();
        // Watches are started by leaders only.
        let caches = Caches::start(&self.function.context().watches, self.config.options)?;
        let verb = tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            (verb, ()) = async { tokio::join!(self.claim_verb(), caches.caught_up()) } => verb,
        };
        serve_by_namespace(&queues.contents, &caches.contents, |content| {
            content.spec.volume_snapshot_ref.namespace.clone()
        });
        let resync = self.config.resync_period;
        let enqueue = enqueue(&caches, &self.queues, &self.metrics, resync, &scope);
        let groups = self.groups(&caches);
        if !self.config.groups {
            groups.switch_off();
        }
        let concerned = Concerned::new(&caches, queues);
        let shared = self.shared(caches, verb);
        let snapshots = Snapshots {
            shared: shared.clone(),
            concerned,
            metrics: self.metrics.clone(),
            clock: self.function.context().clock.clone(),
        };
        let contents = Contents(shared.clone());
        let function = &self.function;
        let (_, _, _, ended) = tokio::join!(
            queues
                .snapshots
                .run(&scope, Arc::new(function.reconciler(snapshots))),
            queues
                .contents
                .run(&scope, Arc::new(function.reconciler(contents))),
            queues
                .claims
                .run(&scope, Arc::new(function.reconciler(Claims(shared)))),
            async {
                match self.config.groups {
                    true => groups.work(&scope).await,
                    false => Ok(()),
                }
            },
        );
        drop(enqueue);
        ended
    }

    fn groups(&self, caches: &Caches) -> Groups<'_> {
        Groups {
            function: &self.function,
            queues: &self.groups,
            caches: caches.clone(),
            metrics: self.metrics.clone(),
            snapshots: self.queues.snapshots.clone(),
            resync: self.config.resync_period,
        }
    }

    fn shared(&self, caches: Caches, verb: ClaimVerb) -> Shared {
        let client = &self.function.context().client;
        let claims = Objects::new(caches.claims.clone(), client, NAME);
        Shared {
            executor: Arc::new(Executor {
                snapshots: Objects::new(caches.snapshots.clone(), client, NAME),
                contents: Objects::new(caches.contents.clone(), client, NAME),
                claims: ClaimWriter::new(claims, verb),
                unclear: caches.unclear.clone(),
                refused: caches.refused.clone(),
            }),
            caches,
        }
    }

    /// One SelfSubjectAccessReview (decision 7).
    async fn claim_verb(&self) -> ClaimVerb {
        let ask = || async {
            let (client, random) = (&self.function.context().client, &self.function.context().random);
            if access::may(client, random, access::PATCH_CLAIMS).await {
                ClaimVerb::Patch
            } else {
                ClaimVerb::Put
            }
        };
        *self.claim_verb.get_or_init(ask).await
    }
}
