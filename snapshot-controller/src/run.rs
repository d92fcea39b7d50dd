//! Start-up, leader election, work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::http::LeaderHealth;
use base::{Backoff, Queue, QueueOptions, Scope};
use crds::v1::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use kube::core::ApiResource;
use runtime::crds::{WaitingGauge, wait_for_crds};
use runtime::leader::{ElectionOptions, Ended, LeaderElector};
use runtime::{Context, ObjectKey, Recorder, Writer, access};
use tokio::sync::OnceCell;

use crate::args::Config;
use crate::claims::{ClaimVerb, ClaimWriter};
use crate::controller::{Claims, Contents, Shared, Snapshots};
use crate::error::Error;
use crate::events::COMPONENT;
use crate::execute::{Executor, NAME};
use crate::metrics::Metrics;
use crate::observe::Caches;
use crate::triggers::{Queues, subscribe};

/// The lease that upstream's replicas compete for too.
const LEASE: &str = "snapshot-controller-leader";
/// How long the last events may take at the end.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// The function after its start-up: the definitions exist.
pub struct Prepared {
    config: Config,
    context: Context,
    elector: Option<LeaderElector>,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    queues: Queues,
    /// Asked once, by the first term of leadership.
    claim_verb: OnceCell<ClaimVerb>,
    /// Not the first term of leadership in this process.
    has_led: AtomicBool,
}

/// Runs the function until `context.scope` is stopping and all is drained.
///
/// Metrics, events, caches and tasks belong to `context`. Serving HTTP is the caller's.
///
/// # Errors
/// See [`Error`]. The failure of one object is no error.
pub async fn run(config: Config, context: Context) -> Result<(), Error> {
    let stopping = context.scope.stopping_token();
    let prepared = tokio::select! {
        biased;
        () = stopping.cancelled() => return Ok(()),
        prepared = prepare(config, context) => prepared?,
    };
    prepared.run().await
}

/// The first half of [`run`]: waits until the definitions exist. Source: spec snapshot 2.1.
///
/// # Errors
/// They did not appear in time.
pub async fn prepare(config: Config, context: Context) -> Result<Prepared, Error> {
    for warning in &config.common.gates.warnings {
        tracing::warn!("{warning}");
    }
    let metrics = Arc::new(Metrics::new(&context.registry, &context.clock)?);
    let gauge = WaitingGauge::new(&context.registry)?;
    let kinds = [
        ApiResource::erase::<VolumeSnapshot>(&()),
        ApiResource::erase::<VolumeSnapshotClass>(&()),
        ApiResource::erase::<VolumeSnapshotContent>(&()),
    ];
    let remark = config.crds_remark.as_ref();
    wait_for_crds(&context.client, &kinds, config.crd_patience, Some(&gauge), remark).await?;
    let recorder = Recorder::new(&context, COMPONENT);
    let elector = elector(&config, &context, &recorder)?;
    let queues = Queues {
        snapshots: queue("snapshot", &config, &context)?,
        contents: queue("content", &config, &context)?,
        claims: queue("claim", &config, &context)?,
    };
    Ok(Prepared {
        config,
        context,
        elector,
        recorder,
        metrics,
        queues,
        claim_verb: OnceCell::new(),
        has_led: AtomicBool::new(false),
    })
}

fn elector(config: &Config, context: &Context, recorder: &Recorder) -> Result<Option<LeaderElector>, Error> {
    let Some(args) = &config.common.election else {
        return Ok(None);
    };
    let options = ElectionOptions::from_args(args, NAME, LEASE, &context.namespace, &context.identity);
    Ok(Some(LeaderElector::new(
        &context.lease_client,
        &context.clock,
        &context.random,
        &context.registry,
        options,
        Some(recorder),
    )?))
}

fn queue(of: &str, config: &Config, context: &Context) -> Result<Queue<ObjectKey>, Error> {
    let (start, max) = config.common.retry_intervals;
    let options = QueueOptions {
        name: format!("{NAME}-{of}"),
        workers: config.workers,
        backoff: Backoff {
            start,
            max,
            ..Backoff::default()
        },
    };
    let (clock, random) = (context.clock.clone(), context.random.fork());
    Ok(Queue::new(options, clock, random, &context.registry)?)
}

impl Prepared {
    /// The health check of leader election, where it is on.
    #[must_use]
    pub fn leader_health(&self) -> Option<LeaderHealth> {
        self.elector.as_ref().map(LeaderElector::health)
    }

    /// The second half of [`run`]: leader election and work.
    ///
    /// # Errors
    /// The lease is lost.
    pub async fn run(&self) -> Result<(), Error> {
        let scope = &self.context.scope;
        let ended = match &self.elector {
            Some(elector) => elector.run_leading(scope, |scope| self.work(scope)).await,
            None => {
                self.work(scope.child()).await;
                Ended::Stopped
            }
        };
        self.recorder.flush(LAST_EVENTS).await;
        match ended {
            Ended::Stopped | Ended::SteppedDown | Ended::Finished(()) => Ok(()),
            Ended::Lost => Err(Error::LeaseLost {
                lease: LEASE.to_owned(),
            }),
        }
    }

    /// Works until the scope is stopping and running objects are done.
    async fn work(&self, scope: Scope) {
        if self.has_led.swap(true, Ordering::Relaxed) {
            self.context.watches.relist();
        }
        // Watches are started by leaders only.
        let caches = Caches::start(&self.context.watches, self.config.options);
        let verb = tokio::select! {
            biased;
            () = scope.stopping() => return,
            (verb, ()) = async { tokio::join!(self.claim_verb(), caches.synced()) } => verb,
        };
        self.metrics.count(Some(caches.clone()));
        let subscriptions = subscribe(
            &caches,
            &self.queues,
            &self.metrics,
            self.config.resync_period,
            &scope,
        );
        let shared = self.shared(caches, verb);
        tokio::join!(
            self.queues
                .snapshots
                .run(&scope, Arc::new(Snapshots(shared.clone()))),
            self.queues
                .contents
                .run(&scope, Arc::new(Contents(shared.clone()))),
            self.queues.claims.run(&scope, Arc::new(Claims(shared))),
        );
        drop(subscriptions);
        self.metrics.count(None);
    }

    fn shared(&self, caches: Caches, verb: ClaimVerb) -> Shared {
        let client = &self.context.client;
        Shared {
            executor: Arc::new(Executor {
                caches,
                snapshots: Writer::new(client, NAME),
                contents: Writer::new(client, NAME),
                claims: ClaimWriter::new(Writer::new(client, NAME), verb),
                recorder: self.recorder.clone(),
            }),
            metrics: self.metrics.clone(),
            clock: self.context.clock.clone(),
        }
    }

    /// One SelfSubjectAccessReview (decision 7).
    async fn claim_verb(&self) -> ClaimVerb {
        let ask = || async {
            let (client, random) = (&self.context.client, &self.context.random);
            if access::may(client, random, access::PATCH_CLAIMS).await {
                ClaimVerb::Patch
            } else {
                ClaimVerb::Put
            }
        };
        *self.claim_verb.get_or_init(ask).await
    }
}
