//! Starting, stopping and measuring.

use std::sync::Arc;
use std::time::Duration;

use base::{Backoff, Clock, Queue, QueueOptions, Random, Scope};

use super::{Bench, Key, key};

#[tokio::test(start_paused = true)]
async fn a_graceful_end_lets_running_keys_end_and_takes_no_new_ones() {
    let bench = Bench::new(2, Duration::from_millis(100));
    for name in ["a/1", "a/2", "a/3"] {
        bench.queue.add(key(name));
    }
    bench.start();
    bench.wait(50).await;
    bench.scope.stop();
    bench.queue.add(key("a/4"));
    bench.scope.finished().await;
    assert_eq!(bench.names(), ["a/1", "a/2"]);
    assert_eq!(*bench.notes.ended.lock().unwrap(), 2);
    bench.assert_metric("workqueue_depth{name=\"things\"} 2");
}

#[tokio::test(start_paused = true)]
async fn without_workers_all_keys_wait() {
    let bench = Bench::new(0, Duration::ZERO);
    bench.queue.add(key("a/1"));
    bench.start();
    bench.wait(1000).await;
    bench.queue.add(key("a/2"));
    bench.wait(1000).await;
    assert!(bench.names().is_empty());
    bench.assert_metric("workqueue_depth{name=\"things\"} 2");
    bench.scope.stop();
    bench.scope.finished().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_leaves_its_keys_in_the_queue() {
    let bench = Bench::new(2, Duration::from_millis(100));
    bench.queue.add(key("a/1"));
    bench.queue.add(key("a/2"));
    bench.queue.add(key("a/3"));
    let scope = Scope::new();
    let run = bench.queue.run(&scope, bench.notes.clone());
    let cut = tokio::time::timeout(Duration::from_millis(50), run).await;
    assert!(cut.is_err());
    assert_eq!(bench.names(), ["a/1", "a/2"]);
    bench.start();
    bench.wait(1000).await;
    assert_eq!(bench.names().len(), 3);
    assert_eq!(*bench.notes.ended.lock().unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_term_that_is_lost_leaves_nothing_behind() {
    let bench = Bench::new(2, Duration::from_millis(100));
    let scope = Scope::new();
    let work = async {
        let _term = bench.queue.term();
        for name in ["a/1", "a/2", "a/3"] {
            bench.queue.add(key(name));
        }
        bench.queue.run(&scope, bench.notes.clone()).await;
    };
    let cut = tokio::time::timeout(Duration::from_millis(50), work).await;
    assert!(cut.is_err());
    assert_eq!(bench.names(), ["a/1", "a/2"]);
    for line in [
        "workqueue_depth{name=\"things\"} 0",
        "workqueue_unfinished_work_seconds{name=\"things\"} 0",
        "workqueue_longest_running_processor_seconds{name=\"things\"} 0",
    ] {
        bench.assert_metric(line);
    }
    assert!(bench.queue.next_due().is_none());
    // The next term does what it is told itself.
    let _term = bench.queue.term();
    bench.queue.add(key("a/5"));
    bench.start();
    bench.wait(120_000).await;
    assert_eq!(bench.names(), ["a/5"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_run_waits_for_the_first() {
    let bench = Bench::new(1, Duration::from_millis(100));
    bench.start();
    bench.start();
    for number in 0..3 {
        bench.queue.add(key(&format!("a/{number}")));
    }
    bench.wait(1000).await;
    assert_eq!(bench.times(), [0, 100, 200]);
}

#[tokio::test(start_paused = true)]
async fn figures_are_those_of_upstream() {
    let bench = Bench::new(2, Duration::from_secs(4));
    for name in ["a/1", "a/2", "a/3"] {
        bench.queue.add(key(name));
    }
    bench.start();
    bench.wait(3000).await;
    for line in [
        "workqueue_depth{name=\"things\"} 1",
        "workqueue_adds_total{name=\"things\"} 3",
        "workqueue_retries_total{name=\"things\"} 0",
        "workqueue_unfinished_work_seconds{name=\"things\"} 6",
        "workqueue_longest_running_processor_seconds{name=\"things\"} 3",
        "workqueue_queue_duration_seconds_count{name=\"things\"} 2",
        "workqueue_work_duration_seconds_count{name=\"things\"} 0",
    ] {
        bench.assert_metric(line);
    }
    bench.wait(10_000).await;
    for line in [
        "workqueue_depth{name=\"things\"} 0",
        "workqueue_unfinished_work_seconds{name=\"things\"} 0",
        "workqueue_queue_duration_seconds_sum{name=\"things\"} 4",
        "workqueue_work_duration_seconds_bucket{name=\"things\",le=\"1\"} 0",
        "workqueue_work_duration_seconds_bucket{name=\"things\",le=\"10\"} 3",
        "slackwater_work_seconds_sum{queue=\"things\"} 12",
    ] {
        bench.assert_metric(line);
    }
    let buckets = bench
        .metrics()
        .lines()
        .filter(|line| line.contains("work_duration_seconds_bucket"))
        .count();
    assert_eq!(buckets, 11, "ten and +Inf");
}

#[tokio::test(start_paused = true)]
async fn several_queues_share_a_registry_and_leave_it_with_their_end() {
    let bench = Bench::new(1, Duration::ZERO);
    let again = |name: &str| {
        let options = QueueOptions {
            name: name.to_owned(),
            workers: 1,
            backoff: Backoff::default(),
        };
        Queue::<Key>::new(options, Clock::system(), Random::seeded(1), &bench.registry)
    };
    let other = again("other").unwrap();
    bench.assert_metric("workqueue_depth{name=\"other\"} 0");
    bench.assert_metric("workqueue_depth{name=\"things\"} 0");
    assert!(again("things").is_err(), "the name is taken");
    drop(other);
    assert!(!bench.metrics().contains("other"));
    assert!(again("other").is_ok());
    assert_eq!(Arc::strong_count(&bench.notes), 1);
}
