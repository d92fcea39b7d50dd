//! Adding keys and running them.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::SignedDuration;
use prometheus::Registry;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::metrics::{Metrics, QueueCollector};
use super::options::QueueOptions;
use super::outcome::{Outcome, QueueKey, Reconcile};
use super::state::State;
use crate::error::chain;
use crate::panics::text_of;
use crate::{Clock, Random, Scope};

/// Conflicts in a row that run again at once (decision 17).
const PATIENT_CONFLICTS: u32 = 2;

/// A keyed work queue. Clones share it.
pub struct Queue<T: QueueKey> {
    inner: Arc<Inner<T>>,
}

struct Inner<T: QueueKey> {
    options: QueueOptions,
    clock: Clock,
    random: Random,
    registry: Registry,
    shared: Arc<Shared<T>>,
    /// Something was added.
    added: Notify,
    /// Held by the one `run` at a time.
    turn: tokio::sync::Mutex<()>,
}

/// What the collector of the metrics shares with the queue.
pub(super) struct Shared<T> {
    state: Mutex<State<T>>,
    pub(super) metrics: Metrics,
}

impl<T> Shared<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: QueueKey> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<T: QueueKey> Queue<T> {
    /// An empty queue whose metrics are served by `registry` as long as it lives.
    ///
    /// # Errors
    /// The registry has a queue of that name already.
    pub fn new(
        options: QueueOptions,
        clock: Clock,
        random: Random,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new()),
            metrics: Metrics::new(&options.name)?,
        });
        registry.register(Box::new(QueueCollector {
            shared: shared.clone(),
        }))?;
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                clock,
                random,
                registry: registry.clone(),
                shared,
                added: Notify::new(),
                turn: tokio::sync::Mutex::new(()),
            }),
        })
    }

    /// Runs the key as soon as a worker is free; once, if it waits already; again, if it runs. Goes past a
    /// back-off without ending it.
    pub fn add(&self, key: T) {
        self.inner.add(key);
        self.inner.added.notify_one();
    }

    /// Until the term ends keys are served round robin by this, and not by [`QueueKey::fairness_key`]: for objects whose
    /// own key does not say for whom they are, such as those of no namespace. It must be quick, and must not use the queue.
    pub fn serve_by(&self, fairness_key: impl Fn(&T) -> String + Send + Sync + 'static) {
        self.inner.shared.lock().serve_by(Box::new(fairness_key));
    }

    /// Forgets every key that waits, all timers and all failures. A key that runs ends its run.
    pub fn clear(&self) {
        self.inner.shared.lock().clear();
    }

    /// Whether the key runs at the moment.
    #[must_use]
    pub fn runs(&self, key: &T) -> bool {
        self.inner.shared.lock().runs(key)
    }

    /// For the work of one term of leadership: dropping it, however the term ends, is [`Queue::clear`]. What a term
    /// leaves behind is neither counted as waiting nor run by the next one, which is told of every object anew. Drop
    /// it after the run.
    #[must_use = "dropping it ends the term"]
    pub fn term(&self) -> QueueTerm<T> {
        QueueTerm { queue: self.clone() }
    }

    /// When the next timer is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.inner.shared.lock().next_due()
    }

    /// Runs keys until `scope` is stopping and the running ones have ended. Keys that wait then stay in the
    /// queue, as do the running ones if this is dropped, until [`Queue::term`] ends. A second call waits for the
    /// first to end.
    pub async fn run(&self, scope: &Scope, reconciler: Arc<dyn Reconcile<T>>) {
        let _turn = self.inner.turn.lock().await;
        let stopping = scope.stopping_token();
        let mut running = FuturesUnordered::new();
        loop {
            let stopped = stopping.is_cancelled();
            if stopped && running.is_empty() {
                return;
            }
            if !stopped {
                self.inner.fire_timers();
                while running.len() < self.inner.options.workers
                    && let Some(run) = self.inner.take()
                {
                    running.push(run.work(reconciler.clone()));
                }
            }
            let due = self.next_due().filter(|_| !stopped);
            tokio::select! {
                biased;
                () = stopping.cancelled(), if !stopped => {}
                Some(()) = running.next(), if !running.is_empty() => {}
                () = sleep_until(due), if due.is_some() => {}
                () = self.inner.added.notified(), if !stopped => {}
            }
        }
    }
}

/// One term of work on a queue; see [`Queue::term`].
pub struct QueueTerm<T: QueueKey> {
    queue: Queue<T>,
}

impl<T: QueueKey> Drop for QueueTerm<T> {
    fn drop(&mut self) {
        self.queue.clear();
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

impl<T: QueueKey> Inner<T> {
    fn add(&self, key: T) {
        if self.shared.lock().add(key, Instant::now()) {
            self.shared.metrics.adds.inc();
        }
    }

    fn set_timer(&self, key: T, delay: Duration) {
        // A time beyond the clock's range is never.
        if let Some(at) = Instant::now().checked_add(delay) {
            self.shared.lock().set_timer(key, at);
        }
    }

    fn fire_timers(&self) {
        let due = self.shared.lock().take_due(Instant::now());
        for key in due {
            self.add(key);
        }
    }

    fn take(self: &Arc<Self>) -> Option<Run<T>> {
        let (key, waited) = self.shared.lock().take(Instant::now())?;
        self.shared.metrics.queue_seconds.observe(waited.as_secs_f64());
        Some(Run {
            inner: self.clone(),
            key,
            ended: false,
        })
    }

    fn conclude(&self, key: &T, outcome: Outcome) {
        let wait = match outcome {
            Outcome::Done => {
                self.shared.lock().succeeded(key);
                return;
            }
            Outcome::Again => {
                self.add(key.clone());
                return;
            }
            Outcome::After(delay) => {
                self.shared.lock().succeeded(key);
                delay
            }
            Outcome::Retry(error) => {
                self.shared.lock().end_conflicts(key);
                let (failures, wait) = self.back_off(key);
                let next = self.time_after(wait);
                let queue = self.options.name.as_str();
                tracing::warn!(queue, %key, failures, next, "failed: {}", chain(error.as_ref()));
                wait
            }
            Outcome::Conflict => {
                let conflicts = self.shared.lock().conflicted(key);
                tracing::debug!(queue = self.options.name, %key, conflicts, "another writer was faster");
                if conflicts <= PATIENT_CONFLICTS {
                    self.add(key.clone());
                    return;
                }
                self.back_off(key).1
            }
        };
        self.shared.metrics.retries.inc();
        if wait.is_zero() {
            self.add(key.clone());
        } else {
            self.set_timer(key.clone(), wait);
        }
    }

    fn back_off(&self, key: &T) -> (u32, Duration) {
        let failures = self.shared.lock().failed(key);
        (failures, self.options.backoff.after(failures, &self.random))
    }

    fn time_after(&self, wait: Duration) -> String {
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        let next = self.clock.now().checked_add(wait);
        next.map(|next| format!("{next:.0}")).unwrap_or_default()
    }
}

impl<T: QueueKey> Drop for Inner<T> {
    fn drop(&mut self) {
        let collector = QueueCollector {
            shared: self.shared.clone(),
        };
        // It was registered by `new`.
        let _ = self.registry.unregister(Box::new(collector));
    }
}

/// A key that runs. Dropped before its end (the term of leadership is over), the key waits again.
struct Run<T: QueueKey> {
    inner: Arc<Inner<T>>,
    key: T,
    ended: bool,
}

impl<T: QueueKey> Run<T> {
    async fn work(mut self, reconciler: Arc<dyn Reconcile<T>>) {
        let work = AssertUnwindSafe(async { reconciler.reconcile(&self.key).await });
        let outcome = work.catch_unwind().await.unwrap_or_else(|panic| {
            self.inner.shared.metrics.panics.inc();
            Outcome::Retry(format!("panicked: {}", text_of(panic.as_ref())).into())
        });
        self.ended = true;
        // First, so that what the outcome adds counts as new.
        let took = self
            .inner
            .shared
            .lock()
            .finish(&self.key, Instant::now())
            .as_secs_f64();
        self.inner.shared.metrics.upstream_work_seconds.observe(took);
        self.inner.shared.metrics.work_seconds.observe(took);
        self.inner.conclude(&self.key, outcome);
    }
}

impl<T: QueueKey> Drop for Run<T> {
    fn drop(&mut self) {
        if !self.ended {
            let mut state = self.inner.shared.lock();
            state.add(self.key.clone(), Instant::now());
            state.finish(&self.key, Instant::now());
        }
    }
}
