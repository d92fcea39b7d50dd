//! One function of a process: its leadership, its events, its queues.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use base::http::LeaderHealth;
use base::{Backoff, Queue, QueueOptions, Scope};
use kube::core::ApiResource;
use runtime::args::CommonConfig;
use runtime::crds::{WaitingGauge, wait_for_crds};
use runtime::leader::{ElectionOptions, Ended, LeaderElector, clean_name};
use runtime::{Context, ObjectKey, Recorder};

use crate::controller::Controller;
use crate::entry::Definitions;
use crate::error::Error;
use crate::failures::Failures;
use crate::reconciler::Reconciler;
use crate::secret::SecretReader;

/// How long the last events may take at the end.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// What a function is called.
#[derive(Clone, Debug)]
pub struct FunctionOptions {
    /// Its name, which is its field manager too: `csi-resizer`.
    pub name: &'static str,
    /// The lease, before it is made a valid name.
    pub lease: String,
    /// The source component of its events.
    pub component: String,
    /// Longest time that running work has to end before the lease is given back.
    pub drain: Option<Duration>,
}

/// A function after its start-up, whatever it is.
#[async_trait]
pub trait Ready: Send + Sync {
    /// The health check of leader election, where it is on.
    fn leader_health(&self) -> Option<LeaderHealth>;

    /// Leads and works until the scope of its context is stopping and all is drained.
    ///
    /// # Errors
    /// The lease or the driver is lost for good.
    async fn run(&self) -> Result<(), Error>;
}

/// One function of a process. It leads, or waits to lead; while it leads, it works.
pub struct Function {
    name: &'static str,
    lease: String,
    context: Context,
    retry_intervals: (Duration, Duration),
    elector: Option<LeaderElector>,
    recorder: Recorder,
    failures: Failures,
}

impl Function {
    /// Puts a function together. Sends nothing.
    ///
    /// # Errors
    /// Its registry has its metrics already.
    pub fn new(options: FunctionOptions, common: &CommonConfig, context: Context) -> Result<Self, Error> {
        for warning in &common.gates.warnings {
            tracing::warn!("{warning}");
        }
        let recorder = Recorder::new(&context, &options.component);
        let elector = match &common.election {
            None => None,
            Some(args) => {
                let (namespace, identity) = (&context.namespace, &context.identity);
                let mut election =
                    ElectionOptions::from_args(args, options.name, &options.lease, namespace, identity);
                election.drain = options.drain.unwrap_or_default().max(election.drain);
                let (client, registry) = (&context.lease_client, &context.registry);
                let (clock, random) = (&context.clock, &context.random);
                Some(LeaderElector::new(
                    client,
                    clock,
                    random,
                    registry,
                    election,
                    Some(&recorder),
                )?)
            }
        };
        Ok(Self {
            name: options.name,
            lease: clean_name(&options.lease),
            retry_intervals: common.retry_intervals,
            failures: Failures::new(&context.registry, options.name)?,
            context,
            elector,
            recorder,
        })
    }

    /// Its name, which is its field manager too.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Clients, caches, clock and tasks.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The health check of leader election, where it is on.
    #[must_use]
    pub fn leader_health(&self) -> Option<LeaderHealth> {
        self.elector.as_ref().map(LeaderElector::health)
    }

    /// Waits until the API server lists these kinds.
    ///
    /// # Errors
    /// Patience has ended, or the registry has the gauge already.
    pub async fn wait_for_crds(&self, kinds: &[ApiResource], definitions: &Definitions) -> Result<(), Error> {
        let gauge = WaitingGauge::new(&self.context.registry)?;
        let (client, remark) = (&self.context.client, definitions.remark.as_ref());
        Ok(wait_for_crds(client, kinds, definitions.patience, Some(&gauge), remark).await?)
    }

    /// A queue of keys whose metrics are named so.
    ///
    /// # Errors
    /// The registry has a queue of that name already.
    pub fn queue(&self, name: String, workers: usize) -> Result<Queue<ObjectKey>, Error> {
        let options = QueueOptions {
            name,
            workers,
            backoff: self.backoff(),
        };
        let (clock, random) = (self.context.clock.clone(), self.context.random.fork());
        Ok(Queue::new(options, clock, random, &self.context.registry)?)
    }

    /// The loop around a controller, for one term of leadership.
    #[must_use]
    pub fn reconciler<C: Controller>(&self, controller: C) -> Reconciler<C> {
        let context = &self.context;
        Reconciler::new(
            controller,
            self.recorder.clone(),
            SecretReader::new(&context.client, self.name),
            self.failures.clone(),
            context.clock.clone(),
            context.random.fork(),
            self.backoff(),
        )
    }

    fn backoff(&self) -> Backoff {
        let (start, max) = self.retry_intervals;
        Backoff {
            start,
            max,
            ..Backoff::default()
        }
    }

    /// Leads, and works while it leads, until the scope of the context is stopping. Without leader election it works at
    /// once. `work` ends when the scope that it is given is stopping and what runs is done; it begins with
    /// [`runtime::Cache::caught_up`] of the caches that it reads, since others have led meanwhile. Before each term `may_lead`
    /// is awaited; when `step_down` resolves the lease is given back, and the function waits to lead again.
    ///
    /// # Errors
    /// The lease is lost.
    pub async fn lead<W, F, M, S>(
        &self,
        work: W,
        may_lead: impl Fn() -> M,
        step_down: impl Fn() -> S,
    ) -> Result<(), Error>
    where
        W: Fn(Scope) -> F,
        F: Future<Output = Result<(), Error>>,
        M: Future<Output = ()>,
        S: Future<Output = ()>,
    {
        let Some(elector) = &self.elector else {
            return work(self.context.scope.child()).await;
        };
        let stopping = self.context.scope.stopping_token();
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Ok(()),
                () = may_lead() => {}
            }
            let ended = elector.run_leading(&self.context.scope, &work, step_down()).await;
            match ended {
                Ended::Stopped => return Ok(()),
                Ended::Finished(ended) => return ended,
                Ended::SteppedDown => {
                    tracing::warn!(lease = self.lease, "gave up the lease for now");
                }
                Ended::Lost => {
                    return Err(Error::LeaseLost {
                        lease: self.lease.clone(),
                    });
                }
            }
        }
    }

    /// Writes the last events.
    pub async fn finish(&self) {
        self.recorder.flush(LAST_EVENTS).await;
    }
}
