//! When keys run, and in which order.

use std::time::Duration;

use super::{Bench, key};

#[tokio::test(start_paused = true)]
async fn a_key_waits_once() {
    let bench = Bench::new(1, Duration::ZERO);
    for name in ["a/1", "a/2", "a/1", "a/1"] {
        bench.queue.add(key(name));
    }
    bench.start();
    bench.wait(1).await;
    assert_eq!(bench.names(), ["a/1", "a/2"]);
    bench.assert_metric("workqueue_depth{name=\"things\"} 0");
    bench.assert_metric("workqueue_adds_total{name=\"things\"} 2");
}

#[tokio::test(start_paused = true)]
async fn a_key_added_while_it_runs_runs_once_more() {
    let bench = Bench::new(4, Duration::from_millis(100));
    bench.start();
    bench.queue.add(key("a/1"));
    bench.wait(50).await;
    bench.queue.add(key("a/1"));
    bench.queue.add(key("a/1"));
    bench.wait(500).await;
    assert_eq!(bench.times(), [0, 100]);
}

#[tokio::test(start_paused = true)]
async fn snapshot_decision_18_lanes_are_served_in_turn() {
    let bench = Bench::new(1, Duration::ZERO);
    for number in 0..100 {
        bench.queue.add(key(&format!("many/{number:03}")));
    }
    bench.queue.add(key("few/1"));
    bench.queue.add(key("few/2"));
    bench.start();
    bench.wait(1).await;
    let names = bench.names();
    assert_eq!(names.len(), 102);
    assert_eq!(names[..5], ["many/000", "few/1", "many/001", "few/2", "many/002"]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_do_not_say_for_whom_they_are_are_served_in_turn_too() {
    let bench = Bench::new(1, Duration::ZERO);
    let whose = |key: &super::Key| (if key.0.as_str() < "c/100" { "many" } else { "few" }).to_owned();
    let term = bench.queue.term();
    bench.queue.serve_by(whose);
    for number in 0..102 {
        bench.queue.add(key(&format!("c/{number:03}")));
    }
    bench.start();
    bench.wait(1).await;
    assert_eq!(bench.names()[..5], ["c/000", "c/100", "c/001", "c/101", "c/002"]);
    drop(term);
    for number in [1, 100, 2] {
        bench.queue.add(key(&format!("c/{number:03}")));
    }
    bench.wait(1).await;
    assert_eq!(bench.names(), ["c/001", "c/100", "c/002"], "until the term ends");
}

#[tokio::test(start_paused = true)]
async fn not_more_keys_run_than_there_are_workers() {
    let bench = Bench::new(3, Duration::from_millis(100));
    for number in 0..7 {
        bench.queue.add(key(&format!("a/{number}")));
    }
    bench.start();
    bench.wait(1000).await;
    assert_eq!(bench.times(), [0, 0, 0, 100, 100, 100, 200]);
}
