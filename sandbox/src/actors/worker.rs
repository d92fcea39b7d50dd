//! Actors that wait for answers: several keys at a time, one run a key at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::queue::{Backoff, Outcome, Queue, QueueKey, QueueOptions, Reconcile};
use base::{Clock, Random, Scope};
use prometheus::Registry;

use crate::kube::{Change, GroupResource, Store};

/// Keys that are worked on at the same time.
const WORKERS: usize = 100;

/// An actor that makes calls.
#[async_trait]
pub(crate) trait Worker: Send + Sync + 'static {
    /// What is worked on.
    type Key: QueueKey;

    /// The types whose changes it sees.
    fn interests(&self) -> Vec<GroupResource<'static>>;

    /// Its access to the objects.
    fn store(&self) -> &Store;

    /// The keys that a change concerns.
    fn changed(&self, change: &Change) -> Vec<Self::Key>;

    /// Does what the key needs now; when to look again, if not only after the next change.
    async fn work(&self, key: &Self::Key) -> Option<Duration>;
}

/// Adds keys to a worker's queue from outside of it.
pub(crate) type Adder<K> = Queue<K>;

struct Run<W: Worker>(Arc<W>);

#[async_trait]
impl<W: Worker> Reconcile<W::Key> for Run<W> {
    async fn reconcile(&self, key: &W::Key) -> Outcome {
        match self.0.work(key).await {
            None => Outcome::Done,
            Some(delay) => Outcome::After(delay),
        }
    }
}

/// Starts a worker as tasks of the scope; `None` never happens with a name of its own.
pub(crate) fn start<W: Worker>(
    worker: Arc<W>,
    name: &str,
    scope: &Scope,
    clock: Clock,
    random: Random,
) -> Option<Adder<W::Key>> {
    let options = QueueOptions {
        name: name.to_owned(),
        workers: WORKERS,
        backoff: Backoff::default(),
    };
    let queue = Queue::new(options, clock, random, &Registry::new()).ok()?;
    let (adder, observer) = (queue.clone(), worker.clone());
    super::follow(worker.store(), &worker.interests(), scope, move |change| {
        for key in observer.changed(change) {
            adder.add(key);
        }
    });
    let (runner, own) = (queue.clone(), scope.child());
    scope.spawn(async move { runner.run(&own, Arc::new(Run(worker))).await });
    Some(queue)
}

/// Exponential back-off of one object: every error doubles the wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
    until: Option<tokio::time::Instant>,
}

impl Patience {
    /// How long to wait still.
    pub(crate) fn left(&self) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(tokio::time::Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Notes a failure; how long to wait.
    pub(crate) fn failed(&mut self, backoff: &Backoff, random: &Random) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff.after(self.failures, random);
        self.until = tokio::time::Instant::now().checked_add(wait);
        wait
    }

    /// Forgets the failures.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }
}
