//! Leader election on Leases, wire-compatible with upstream's so that their replicas and ours exclude
//! each other. Sources: sidecars 1.4, snapshot 5.2, journeys 5.3, decisions 2, 3 and 37.
//!
//! ```text
//! candidate: GET each retry period x 1..2.2, woken by a watch when the lease is given back
//!     free -> POST or PUT -> leader: one PUT each retry period, no GET while it succeeds
//!         stop, or step down -> drain while renewing -> PUT without holder
//!         not renewed within the deadline, or another holder -> work aborted at once
//! ```
//! A leader's work ends `renew_deadline` after it *sent* its last successful renewal; a candidate waits
//! `lease_duration` after it *saw* the last change. So the work of two never overlaps while the first is
//! the shorter one and clocks run at about the same speed; wall clocks play no part.

mod lock;
mod name;
mod record;
mod term;

use std::collections::BTreeMap;
use std::time::Duration;

use base::http::LeaderHealth;
use base::metrics::register;
use base::{Clock, Random, Scope};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ObjectReference;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use name::clean_name;

use self::lock::{Lock, LockError, half_of};
use self::record::Observed;
use crate::args::LeaderElectionArgs;
use crate::{EventType, Recorder};

/// What is competed for, and how.
#[derive(Clone, Debug)]
pub struct ElectionOptions {
    /// Name of the lease; cleaned by [`clean_name`].
    pub lease: String,
    /// Its namespace.
    pub namespace: String,
    /// Holder identity; cleaned by [`clean_name`].
    pub identity: String,
    /// Label `component` of `slackwater_leader`.
    pub component: String,
    /// How long candidates wait after the last change that they saw.
    pub lease_duration: Duration,
    /// How long a leader works on after its last renewal.
    pub renew_deadline: Duration,
    /// Time between tries.
    pub retry_period: Duration,
    /// Labels of the lease while this replica holds it.
    pub labels: BTreeMap<String, String>,
    /// How long running work may take to end after a stop before it is aborted.
    pub drain: Duration,
}

impl ElectionOptions {
    /// From the flags.
    #[must_use]
    pub fn from_args(
        args: &LeaderElectionArgs,
        component: &str,
        lease: &str,
        namespace: &str,
        identity: &str,
    ) -> Self {
        Self {
            lease: clean_name(lease),
            namespace: namespace.to_owned(),
            identity: clean_name(identity),
            component: component.to_owned(),
            lease_duration: args.leader_election_lease_duration.0,
            renew_deadline: args.leader_election_renew_deadline.0,
            retry_period: args.leader_election_retry_period.0,
            labels: args.labels(),
            drain: Duration::from_secs(25),
        }
    }
}

/// How a term of leadership, or the competition for it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended<T = ()> {
    /// The scope was stopped; the work has drained and the lease is given back.
    Stopped,
    /// The lease could not be renewed in time or has another holder; the work was aborted. A process with
    /// one function ends with exit 1, `slackwater controller` competes again.
    Lost,
    /// The leader stepped down by itself (decision 3); the work has drained and the lease is given back.
    SteppedDown,
    /// The work ended by itself, or just as the scope was being stopped; the lease is given back.
    Finished(T),
}

/// Competes for one lease.
pub struct LeaderElector {
    lock: Lock,
    writer: record::Writer,
    options: ElectionOptions,
    clock: Clock,
    random: Random,
    health: LeaderHealth,
    metrics: Metrics,
    recorder: Option<Recorder>,
}

struct Metrics {
    status: IntGauge,
    leader: IntGauge,
    slow_path: prometheus::IntCounter,
}

impl Metrics {
    fn new(registry: &Registry, options: &ElectionOptions) -> Result<Self, prometheus::Error> {
        let status = IntGaugeVec::new(
            Opts::new(
                "leader_election_master_status",
                "Whether this process leads, 0 or 1. The name is empty as upstream; slackwater_leader has it.",
            ),
            &["name"],
        )?;
        let slow_path = IntCounterVec::new(
            Opts::new(
                "leader_election_slowpath_total",
                "Renewals that needed a GET before their PUT.",
            ),
            &["name"],
        )?;
        let leader = IntGaugeVec::new(
            Opts::new("slackwater_leader", "Whether this process leads, 0 or 1."),
            &["component", "lease"],
        )?;
        let labels = [options.component.as_str(), options.lease.as_str()];
        Ok(Self {
            status: register(registry, status)?.with_label_values(&[""]),
            slow_path: register(registry, slow_path)?.with_label_values(&[""]),
            leader: register(registry, leader)?.with_label_values(&labels),
        })
    }

    fn leads(&self, leads: bool) {
        self.status.set(leads.into());
        self.leader.set(leads.into());
    }
}

/// A lease just taken, and when its PUT or POST was sent.
struct Held {
    lease: Lease,
    sent: Instant,
}

impl LeaderElector {
    /// An elector that does nothing yet. Give it a client without rate limit, so that load cannot starve
    /// the renewals.
    ///
    /// # Errors
    /// When the registry belongs to another elector already.
    pub fn new(
        client: &kube::Client,
        clock: &Clock,
        random: &Random,
        registry: &Registry,
        options: ElectionOptions,
        recorder: Option<&Recorder>,
    ) -> Result<Self, prometheus::Error> {
        let options = ElectionOptions {
            lease: clean_name(&options.lease),
            identity: clean_name(&options.identity),
            ..options
        };
        let source = format!("{}/{}", options.lease, options.identity);
        Ok(Self {
            lock: Lock::new(client, &options.namespace, &options.lease),
            writer: record::Writer {
                lease: options.lease.clone(),
                namespace: options.namespace.clone(),
                identity: options.identity.clone(),
                duration: options.lease_duration,
                labels: options.labels.clone(),
            },
            clock: clock.clone(),
            random: random.clone(),
            health: LeaderHealth::new(&options.lease, options.lease_duration),
            metrics: Metrics::new(registry, &options)?,
            recorder: recorder.map(|recorder| recorder.with_component(&source)),
            options,
        })
    }

    /// The health check for [`base::http::Endpoints::add`].
    #[must_use]
    pub fn health(&self) -> LeaderHealth {
        self.health.clone()
    }

    /// Takes the lease, runs `lead` in a child of `scope`, and gives the lease back when it has ended.
    ///
    /// `lead` should return when its scope is stopping and its work has drained; it is dropped, and its
    /// scope aborted, when the lease is lost or draining takes longer than [`ElectionOptions::drain`].
    /// When `scope` stops before the lease is asked for, `lead` is never called. The leader steps down when `step_down`
    /// resolves, for example when its driver has been away for 30 s (decision 3); it is polled only while leading.
    pub async fn run_leading<F: Future>(
        &self,
        scope: &Scope,
        lead: impl FnOnce(Scope) -> F,
        step_down: impl Future<Output = ()>,
    ) -> Ended<F::Output> {
        let Some(held) = self.acquire(&scope.stopping_token()).await else {
            return Ended::Stopped;
        };
        let _leading = self.leading(held.sent);
        self.tell(&held.lease, "became leader");
        let child = scope.child();
        let work = lead(child.clone());
        self.term(held, &child, work, step_down).await
    }

    /// Metrics and health say that this process leads until what is answered is dropped: also by who drops the term.
    fn leading(&self, since: Instant) -> Leading<'_> {
        self.metrics.leads(true);
        self.health.renewed(Some(since));
        Leading(self)
    }

    /// None when it is told to stop before. A request that takes the lease is not cut off: it may be done all the same, and
    /// what is taken must be given back.
    async fn acquire(&self, stopping: &CancellationToken) -> Option<Held> {
        let mut observed: Option<Observed> = None;
        let mut alarm = lock::Alarm::default();
        let mut failing = false;
        loop {
            let until = Instant::now() + half_of(self.options.renew_deadline);
            let seen = tokio::select! {
                biased;
                () = stopping.cancelled() => return None,
                seen = self.lock.get(until) => seen,
            };
            match self.attempt(seen, &mut observed).await {
                Ok(Attempt::Taken(held)) => return Some(*held),
                Ok(Attempt::Held(version)) => {
                    failing = false;
                    alarm.set(&self.lock, version);
                }
                Err(LockError::Conflict) => {}
                Err(error) => {
                    // Once, until it works again: a candidate may wait for days.
                    if !failing {
                        let (lease, namespace) = (&self.options.lease, &self.options.namespace);
                        tracing::warn!(%lease, %namespace, %error, "cannot read or take the lease, trying on");
                    }
                    failing = true;
                }
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => return None,
                () = alarm.rings() => {}
                () = tokio::time::sleep(self.random.jittered(self.options.retry_period, 1.2)) => {}
            }
        }
    }

    /// One try to take the lease when it is free, as it was seen.
    async fn attempt(
        &self,
        seen: Result<Lease, LockError>,
        observed: &mut Option<Observed>,
    ) -> Result<Attempt, LockError> {
        let seen = match seen {
            Ok(seen) => seen,
            Err(LockError::NotFound) => {
                let sent = Instant::now();
                let lease = self.writer.first(self.clock.now());
                let lease = self
                    .lock
                    .create(&lease, sent + half_of(self.options.renew_deadline))
                    .await?;
                return Ok(Attempt::Taken(Box::new(Held { lease, sent })));
            }
            Err(error) => return Err(error),
        };
        let seen_at = Instant::now();
        let now = Observed::update(observed.take(), &seen, seen_at);
        let free = now.free_at(&self.options.identity) <= seen_at;
        *observed = Some(now);
        if !free {
            return Ok(Attempt::Held(seen.metadata.resource_version.unwrap_or_default()));
        }
        let sent = Instant::now();
        let lease = self.writer.taken(&seen, self.clock.now());
        let lease = self
            .lock
            .replace(&lease, sent + half_of(self.options.renew_deadline))
            .await?;
        Ok(Attempt::Taken(Box::new(Held { lease, sent })))
    }

    fn tell(&self, lease: &Lease, what: &str) {
        let message = format!("{} {what}", self.options.identity);
        tracing::info!(lease = %self.options.lease, namespace = %self.options.namespace, "{message}");
        if let Some(recorder) = &self.recorder {
            let about = ObjectReference {
                api_version: Some("coordination.k8s.io/v1".to_owned()),
                kind: Some("Lease".to_owned()),
                namespace: lease.metadata.namespace.clone(),
                name: lease.metadata.name.clone(),
                uid: lease.metadata.uid.clone(),
                resource_version: lease.metadata.resource_version.clone(),
                field_path: None,
            };
            recorder.event(&about, EventType::Normal, "LeaderElection", message);
        }
    }
}

struct Leading<'a>(&'a LeaderElector);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.metrics.leads(false);
        self.0.health.renewed(None);
    }
}

enum Attempt {
    Taken(Box<Held>),
    /// By another; the version for a watch.
    Held(String),
}
