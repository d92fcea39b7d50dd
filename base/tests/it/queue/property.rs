//! Random schedules: never two runs of a key at once, nothing lost, no lane starves, never too many runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base::{Backoff, Clock, Outcome, Queue, QueueOptions, Random, Reconcile, Scope};
use prometheus::Registry;
use proptest::prelude::*;
use tokio::time::Instant;

use super::Key;

#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Wait(u16),
    /// The term of leadership ends at once, and another begins.
    Cut,
}

#[derive(Clone, Debug)]
struct Plan {
    workers: usize,
    steps: Vec<Step>,
    /// Milliseconds and outcome of the runs, in turn.
    runs: Vec<(u16, u8)>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let step = prop_oneof![
        6 => (0..12_u8).prop_map(Step::Add),
        4 => (0..500_u16).prop_map(Step::Wait),
        1 => Just(Step::Cut),
    ];
    let steps = prop::collection::vec(step, 1..60);
    let runs = prop::collection::vec((0..400_u16, 0..12_u8), 1..20);
    (1..5_usize, steps, runs).prop_map(|(workers, steps, runs)| Plan { workers, steps, runs })
}

/// Two keys a lane.
fn key(number: u8) -> Key {
    Key(format!("{}/{number}", number / 2))
}

#[derive(Default)]
struct Seen {
    running: BTreeMap<Key, Instant>,
    most: usize,
    /// Last start of a run of each key.
    begun: BTreeMap<Key, Instant>,
    number: usize,
    /// Milliseconds since the start, and the key that began.
    order: Vec<(u128, Key)>,
}

struct Worker {
    plan: Plan,
    started: Instant,
    seen: Arc<Mutex<Seen>>,
}

/// Marks a run as over, also when it is cut.
struct Running<'a>(&'a Worker, Key);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.seen.lock().unwrap().running.remove(&self.1);
    }
}

#[async_trait]
impl Reconcile<Key> for Worker {
    async fn reconcile(&self, key: &Key) -> Outcome {
        let (lasting, outcome) = {
            let mut seen = self.seen.lock().unwrap();
            assert!(
                seen.running.insert(key.clone(), Instant::now()).is_none(),
                "{key} runs twice"
            );
            seen.most = seen.most.max(seen.running.len());
            seen.begun.insert(key.clone(), Instant::now());
            seen.order.push((self.started.elapsed().as_millis(), key.clone()));
            seen.number += 1;
            // Ends at last, so that the queue becomes idle.
            let turn = seen.number;
            if turn > 400 {
                (0, 0)
            } else {
                self.plan.runs[turn % self.plan.runs.len()]
            }
        };
        let _running = Running(self, key.clone());
        tokio::time::sleep(Duration::from_millis(lasting.into())).await;
        match outcome {
            0..=5 => Outcome::Done,
            6 => Outcome::Again,
            7 => Outcome::After(Duration::from_millis(700)),
            8 => Outcome::Conflict,
            // Unwinds without the message of a panic.
            9 => std::panic::resume_unwind(Box::new("on purpose")),
            _ => Outcome::retry("no luck"),
        }
    }
}

/// `wanted`: since when a key is to run.
async fn take(step: &Step, queue: &Queue<Key>, wanted: &mut BTreeMap<Key, Instant>) {
    let now = Instant::now();
    match step {
        Step::Add(number) => {
            queue.add(key(*number));
            wanted.insert(key(*number), now);
        }
        Step::Wait(time) => tokio::time::sleep(Duration::from_millis((*time).into())).await,
        Step::Cut => {}
    }
}

/// Runs the plan; returns the transcript.
async fn run(plan: &Plan) -> Vec<(u128, Key)> {
    let options = QueueOptions {
        name: "q".to_owned(),
        workers: plan.workers,
        backoff: Backoff {
            start: Duration::from_millis(100),
            max: Duration::from_secs(2),
            jitter: 0.5,
        },
    };
    let queue = Queue::new(options, Clock::system(), Random::seeded(5), &Registry::new()).unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let worker = Arc::new(Worker {
        plan: plan.clone(),
        started: Instant::now(),
        seen: seen.clone(),
    });
    let begin = || {
        let (scope, queue, worker) = (Scope::new(), queue.clone(), worker.clone());
        let within = scope.child();
        scope.spawn(async move { queue.run(&within, worker).await });
        scope
    };
    let mut scope = begin();
    let mut wanted: BTreeMap<Key, Instant> = BTreeMap::new();
    for step in &plan.steps {
        if matches!(step, Step::Cut) {
            scope.abort();
            scope.finished().await;
            scope = begin();
        } else {
            take(step, &queue, &mut wanted).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(3600)).await;
    scope.stop();
    scope.finished().await;
    assert!(queue.next_due().is_none(), "everything has run");
    let seen = seen.lock().unwrap();
    assert!(seen.running.is_empty() && seen.most <= plan.workers);
    for (key, at) in wanted {
        assert!(
            seen.begun.get(&key).is_some_and(|begun| *begun >= at),
            "{key} was lost"
        );
    }
    seen.order.clone()
}

fn on_paused_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_schedules_lose_nothing_and_replay(plan in plans()) {
        let first = on_paused_time(run(&plan));
        let second = on_paused_time(run(&plan));
        prop_assert_eq!(first, second);
    }

    #[test]
    fn no_lane_waits_for_more_than_one_key_of_each_other_lane(lanes in prop::collection::vec(0..5_u8, 1..80)) {
        on_paused_time(async {
            let bench = super::Bench::new(1, Duration::ZERO);
            for (number, lane) in lanes.iter().enumerate() {
                bench.queue.add(Key(format!("{lane}/{number}")));
            }
            bench.start();
            bench.wait(1).await;
            let served: Vec<_> = bench.names().iter().map(|name| name.as_bytes()[0]).collect();
            assert_eq!(served.len(), lanes.len());
            for (lane, _) in served.iter().map(|lane| (*lane, ())).collect::<BTreeMap<_, _>>() {
                let places: Vec<_> = (0..served.len()).filter(|place| served[*place] == lane).collect();
                for pair in places.windows(2) {
                    let between = &served[pair[0] + 1..pair[1]];
                    let distinct: std::collections::BTreeSet<_> = between.iter().collect();
                    assert_eq!(distinct.len(), between.len(), "a lane came twice before {lane}: {served:?}");
                }
            }
        });
    }
}
