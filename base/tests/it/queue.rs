//! The work queue on paused time.

mod order;
mod outcomes;
mod property;
mod runs;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base::{Backoff, Clock, Outcome, Queue, QueueKey, QueueOptions, Random, Reconcile, Scope};
use prometheus::{Registry, TextEncoder};
use tokio::time::Instant;

/// `lane/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key(String);

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl QueueKey for Key {
    fn fairness_key(&self) -> String {
        self.0.split('/').next().unwrap_or_default().to_owned()
    }
}

fn key(name: &str) -> Key {
    Key(name.to_owned())
}

/// Notes its runs and ends each with the next outcome that a test wrote down, else `Done`.
struct Notes {
    started: Instant,
    lasting: Duration,
    outcomes: Mutex<BTreeMap<Key, VecDeque<Next>>>,
    runs: Mutex<Vec<(u64, String)>>,
    ended: Mutex<usize>,
}

enum Next {
    Outcome(Outcome),
    Panic,
}

#[async_trait]
impl Reconcile<Key> for Notes {
    async fn reconcile(&self, key: &Key) -> Outcome {
        let at = u64::try_from(self.started.elapsed().as_millis()).unwrap();
        self.runs.lock().unwrap().push((at, key.to_string()));
        if !self.lasting.is_zero() {
            tokio::time::sleep(self.lasting).await;
        }
        let next = self
            .outcomes
            .lock()
            .unwrap()
            .get_mut(key)
            .and_then(VecDeque::pop_front);
        *self.ended.lock().unwrap() += 1;
        match next {
            Some(Next::Outcome(outcome)) => outcome,
            Some(Next::Panic) => panic!("on purpose"),
            None => Outcome::Done,
        }
    }
}

struct Bench {
    queue: Queue<Key>,
    notes: Arc<Notes>,
    registry: Registry,
    scope: Scope,
}

impl Bench {
    /// Runs take `lasting`; back-off is 1 s to 300 s without jitter.
    fn new(workers: usize, lasting: Duration) -> Self {
        let registry = Registry::new();
        let backoff = Backoff {
            jitter: 0.0,
            ..Backoff::default()
        };
        let options = QueueOptions {
            name: "things".to_owned(),
            workers,
            backoff,
        };
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let queue = Queue::new(options, clock, Random::seeded(1), &registry).unwrap();
        let notes = Arc::new(Notes {
            started: Instant::now(),
            lasting,
            outcomes: Mutex::default(),
            runs: Mutex::default(),
            ended: Mutex::default(),
        });
        Self {
            queue,
            notes,
            registry,
            scope: Scope::new(),
        }
    }

    fn outcome(&self, name: &str, outcome: Outcome) {
        self.next(name, Next::Outcome(outcome));
    }

    fn next(&self, name: &str, next: Next) {
        self.notes
            .outcomes
            .lock()
            .unwrap()
            .entry(key(name))
            .or_default()
            .push_back(next);
    }

    fn start(&self) {
        let (queue, notes) = (self.queue.clone(), self.notes.clone());
        let scope = self.scope.child();
        self.scope.spawn(async move { queue.run(&scope, notes).await });
    }

    async fn wait(&self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    /// The runs since the last call: milliseconds since the start, and the key.
    fn runs(&self) -> Vec<(u64, String)> {
        std::mem::take(&mut *self.notes.runs.lock().unwrap())
    }

    fn names(&self) -> Vec<String> {
        self.runs().into_iter().map(|(_, name)| name).collect()
    }

    fn times(&self) -> Vec<u64> {
        self.runs().into_iter().map(|(at, _)| at).collect()
    }

    fn metrics(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap()
    }

    fn assert_metric(&self, line: &str) {
        let metrics = self.metrics();
        assert!(
            metrics.lines().any(|present| present == line),
            "{line} not in\n{metrics}"
        );
    }
}

fn failure() -> Outcome {
    Outcome::retry("no luck")
}
