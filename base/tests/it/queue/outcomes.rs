//! What comes after a run.

use std::time::Duration;

use base::Outcome;

use super::{Bench, Next, failure, key};

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_a_success_ends_that() {
    let bench = Bench::new(1, Duration::ZERO);
    for _ in 0..5 {
        bench.outcome("a/1", failure());
    }
    bench.start();
    bench.queue.add(key("a/1"));
    bench.wait(600_000).await;
    assert_eq!(bench.times(), [0, 1000, 3000, 7000, 15_000, 31_000]);
    bench.assert_metric("workqueue_retries_total{name=\"things\"} 5");
    bench.outcome("a/1", failure());
    bench.queue.add(key("a/1"));
    bench.wait(10_000).await;
    assert_eq!(bench.times(), [600_000, 601_000]);
}

#[tokio::test(start_paused = true)]
async fn back_off_ends_at_the_maximum() {
    let bench = Bench::new(1, Duration::ZERO);
    for _ in 0..12 {
        bench.outcome("a/1", failure());
    }
    bench.start();
    bench.queue.add(key("a/1"));
    bench.wait(3_000_000).await;
    let times = bench.times();
    assert_eq!(
        times.windows(2).map(|pair| pair[1] - pair[0]).max(),
        Some(300_000)
    );
}

#[tokio::test(start_paused = true)]
async fn an_add_goes_past_the_back_off_without_ending_it() {
    let bench = Bench::new(1, Duration::ZERO);
    for _ in 0..4 {
        bench.outcome("a/1", failure());
    }
    bench.start();
    bench.queue.add(key("a/1"));
    bench.wait(3500).await;
    assert_eq!(bench.times(), [0, 1000, 3000]);
    // The third failure's timer is due at 7 s; an event comes before, whose failure is the fourth.
    bench.queue.add(key("a/1"));
    bench.wait(60_000).await;
    assert_eq!(bench.times(), [3500, 11_500]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_its_own_ends_the_back_off_and_is_void_after_a_run() {
    let bench = Bench::new(1, Duration::ZERO);
    for outcome in [
        failure(),
        failure(),
        Outcome::After(Duration::from_secs(60)),
        failure(),
    ] {
        bench.outcome("a/1", outcome);
    }
    bench.start();
    bench.queue.add(key("a/1"));
    bench.wait(10_000).await;
    assert_eq!(bench.times(), [0, 1000, 3000]);
    bench.queue.add(key("a/1"));
    bench.wait(200_000).await;
    assert_eq!(bench.times(), [10_000, 11_000], "no run at 63 s");
}

#[tokio::test(start_paused = true)]
async fn again_runs_after_the_others_and_counts_nothing() {
    let bench = Bench::new(1, Duration::ZERO);
    bench.outcome("a/1", Outcome::Again);
    bench.queue.add(key("a/1"));
    bench.queue.add(key("a/2"));
    bench.start();
    bench.wait(1).await;
    assert_eq!(bench.names(), ["a/1", "a/2", "a/1"]);
    bench.assert_metric("workqueue_retries_total{name=\"things\"} 0");
}

#[tokio::test(start_paused = true)]
async fn snapshot_decision_17_the_third_conflict_in_a_row_backs_off() {
    let bench = Bench::new(1, Duration::ZERO);
    for _ in 0..4 {
        bench.outcome("a/1", Outcome::Conflict);
    }
    bench.start();
    bench.queue.add(key("a/1"));
    bench.wait(60_000).await;
    assert_eq!(bench.times(), [0, 0, 0, 1000, 3000]);
    // A success between starts anew.
    bench.outcome("a/1", Outcome::Conflict);
    bench.outcome("a/1", Outcome::Conflict);
    bench.queue.add(key("a/1"));
    bench.wait(60_000).await;
    assert_eq!(bench.times(), [60_000, 60_000, 60_000]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_for_its_key_counted_and_backed_off() {
    let bench = Bench::new(1, Duration::ZERO);
    bench.next("a/1", Next::Panic);
    bench.queue.add(key("a/1"));
    bench.queue.add(key("a/2"));
    bench.start();
    bench.wait(10_000).await;
    let runs: Vec<_> = bench.runs();
    assert_eq!(
        runs,
        [
            (0, "a/1".to_owned()),
            (0, "a/2".to_owned()),
            (1000, "a/1".to_owned())
        ]
    );
    bench.assert_metric("slackwater_panics_total{queue=\"things\"} 1");
}
