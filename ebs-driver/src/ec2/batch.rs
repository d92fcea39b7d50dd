//! Many lookups in one Describe call. Source: spec 3.4, Q4.
//!
//! The first request of an idle batcher goes after a millisecond, with all that asked in it; what comes while a call is
//! outstanding waits for its end and then goes together, or goes beside it after two seconds; no more than four go at once. Equal
//! keys share one slot. The work is driven by whoever waits for it: when all of its waiters are gone it is dropped, and nothing
//! of it outlives its driver.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::errors::{Action, Ec2Error, Lost};
use crate::deadline::Deadline;
use crate::metrics::Metrics;

/// How long an idle batcher waits for those that ask at the same moment.
const GATHER: Duration = Duration::from_millis(1);
/// How long a batch waits for the one before: a call that hangs holds nobody else up, unless all places hang.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many batches of a kind go at once: more would only wait for their turns, where EC2 lets few through.
const BESIDE: usize = 4;
/// How long one batch may take, whatever its callers' deadlines are.
const BATCH: Duration = Duration::from_secs(30);

type Answers<V> = Result<BTreeMap<String, V>, Ec2Error>;
type Work<V> = Shared<BoxFuture<'static, Arc<Answers<V>>>>;
/// Looks up some keys; a key without an entry in the answer was not found.
pub type Lookup<V> = Arc<dyn Fn(Vec<String>, Deadline) -> BoxFuture<'static, Answers<V>> + Send + Sync>;

/// Whether requests wait for each other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Batching {
    /// Each request is a call of its own.
    #[default]
    Off,
    /// Requests that come while a call is outstanding are merged into the next one.
    On,
}

/// Merges lookups of one kind. Clones share the batches.
pub struct Batcher<V> {
    inner: Arc<Inner<V>>,
}

struct Inner<V> {
    name: &'static str,
    action: Action,
    batching: Batching,
    max_keys: usize,
    lookup: Lookup<V>,
    metrics: Metrics,
    state: Mutex<State<V>>,
    places: Arc<Semaphore>,
}

struct State<V> {
    /// The batch that still takes keys.
    open: Option<Open<V>>,
    /// The batch that was begun last.
    last: Option<WeakShared<BoxFuture<'static, Arc<Answers<V>>>>>,
    number: u64,
}

struct Open<V> {
    number: u64,
    keys: BTreeSet<String>,
    since: Instant,
    /// Gone when all that waited for it have gone.
    work: WeakShared<BoxFuture<'static, Arc<Answers<V>>>>,
}

impl<V> Clone for Batcher<V> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<V> std::fmt::Debug for Batcher<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}

impl<V: Clone + Send + Sync + 'static> Batcher<V> {
    /// A batcher that sends at most `max_keys` keys in one call of `lookup`.
    #[must_use]
    pub fn new(
        name: &'static str,
        action: Action,
        batching: Batching,
        max_keys: usize,
        lookup: Lookup<V>,
        metrics: Metrics,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                name,
                action,
                batching,
                max_keys,
                lookup,
                metrics,
                state: Mutex::new(State {
                    open: None,
                    last: None,
                    number: 0,
                }),
                places: Arc::new(Semaphore::new(BESIDE)),
            }),
        }
    }

    /// Looks up one key; `None` when EC2 does not know it.
    ///
    /// # Errors
    /// When the call failed, or did not end before the deadline.
    pub async fn get(&self, key: &str, deadline: Deadline) -> Result<Option<V>, Ec2Error> {
        let answers = self.get_all(BTreeSet::from([key.to_owned()]), deadline).await?;
        Ok(answers.get(key).cloned())
    }

    /// Looks up several keys in one batch; what EC2 does not know has no entry.
    ///
    /// # Errors
    /// As [`Batcher::get`].
    pub async fn get_all(&self, keys: BTreeSet<String>, deadline: Deadline) -> Answers<V> {
        let answers = match self.inner.batching {
            Batching::Off => {
                self.inner
                    .metrics
                    .batch(self.inner.name, keys.len(), Duration::ZERO);
                return self.inner.chunks(keys, deadline).await;
            }
            Batching::On => deadline.limit(self.join(keys)).await,
        };
        match answers {
            Some(answers) => (*answers).clone(),
            None => Err(Ec2Error::lost(self.inner.action, Lost::Timeout, "")),
        }
    }

    /// Adds keys to the open batch, or opens one.
    fn join(&self, keys: BTreeSet<String>) -> Work<V> {
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &mut state.open
            && let Some(work) = open.work.upgrade()
        {
            open.keys.extend(keys);
            return work;
        }
        state.number += 1;
        let number = state.number;
        let before = state.last.take().and_then(|last| last.upgrade());
        let places = self.inner.places.clone();
        let work = Inner::run(Arc::downgrade(&self.inner), number, before, places)
            .boxed()
            .shared();
        state.last = work.downgrade();
        state.open = work.downgrade().map(|work| Open {
            number,
            keys,
            since: Instant::now(),
            work,
        });
        work
    }
}

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    /// One batch: waits for the one before, though not long, closes itself and calls.
    async fn run(
        this: Weak<Self>,
        number: u64,
        before: Option<Work<V>>,
        places: Arc<Semaphore>,
    ) -> Arc<Answers<V>> {
        if let Some(before) = before {
            let _ = tokio::time::timeout(PATIENCE, before).await;
        }
        let _place = places.acquire().await;
        tokio::time::sleep(GATHER).await;
        let Some(this) = this.upgrade() else {
            return Arc::new(Ok(BTreeMap::new()));
        };
        let Some((keys, since)) = this.close(number) else {
            return Arc::new(Ok(BTreeMap::new()));
        };
        this.metrics.batch(this.name, keys.len(), since.elapsed());
        let answers = this.chunks(keys, Deadline::within(BATCH)).await;
        Arc::new(answers)
    }

    fn close(&self, number: u64) -> Option<(BTreeSet<String>, Instant)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let open = state.open.take_if(|open| open.number == number)?;
        Some((open.keys, open.since))
    }

    /// Splits what one call cannot hold; the parts go side by side.
    async fn chunks(&self, keys: BTreeSet<String>, deadline: Deadline) -> Answers<V> {
        let keys: Vec<String> = keys.into_iter().collect();
        let calls = keys
            .chunks(self.max_keys)
            .map(|chunk| (self.lookup)(chunk.to_vec(), deadline));
        let mut answers = BTreeMap::new();
        for chunk in futures::future::join_all(calls).await {
            answers.append(&mut chunk?);
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use prometheus::Registry;

    use super::*;
    use crate::metrics::DeprecatedNames;

    /// Each call waits for its turn longer than the next batch has patience.
    #[tokio::test(start_paused = true)]
    async fn ebs_case_188_no_more_than_four_calls_of_a_kind_wait_for_their_turns() {
        let (going, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let lookup: Lookup<()> = {
            let most = most.clone();
            Arc::new(move |keys, _| {
                let (going, most) = (going.clone(), most.clone());
                async move {
                    most.fetch_max(going.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    going.fetch_sub(1, Ordering::SeqCst);
                    Ok(keys.into_iter().map(|key| (key, ())).collect())
                }
                .boxed()
            })
        };
        let metrics = Metrics::new(&Registry::new(), DeprecatedNames::Off).unwrap();
        let batcher = Batcher::new(
            "volumes",
            Action::DescribeVolumes,
            Batching::On,
            500,
            lookup,
            metrics,
        );
        let gets = (0..30).map(async |number| {
            tokio::time::sleep(Duration::from_secs(number)).await;
            let found = batcher.get(&number.to_string(), Deadline::within(BATCH)).await;
            assert_eq!(found.unwrap(), Some(()));
        });
        join_all(gets).await;
        assert_eq!(most.load(Ordering::SeqCst), 4);
    }
}
