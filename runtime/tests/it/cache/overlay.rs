//! Own writes over the watch.

use std::time::Duration;

use runtime::{Listing, Selection};
use serde_json::json;

use super::{Bench, key, typed};
use crate::script::{claim, settle, status};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_own_write_is_seen_at_once_and_no_late_event_undoes_it() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    bench.cache.record(typed(&claim("a", "ua", "15")));
    assert_eq!(bench.shown(), ["a@15"]);
    watch.event("MODIFIED", &claim("a", "ua", "12"));
    settle().await;
    assert_eq!(bench.shown(), ["a@15"]);
    watch.event("MODIFIED", &claim("a", "ua", "15"));
    watch.event("MODIFIED", &claim("a", "ua", "16"));
    settle().await;
    assert_eq!(bench.shown(), ["a@16"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_watch_does_not_go_back() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    watch.event("MODIFIED", &claim("a", "ua", "15"));
    settle().await;
    let newest = bench.cache.record(typed(&claim("a", "ua", "12")));
    assert_eq!(newest.metadata.resource_version.as_deref(), Some("15"));
    assert_eq!(bench.shown(), ["a@15"]);
    // Created by us and deleted by another before our answer came.
    watch.event("ADDED", &claim("b", "ub", "20"));
    watch.event("DELETED", &claim("b", "ub", "21"));
    settle().await;
    bench.cache.record(typed(&claim("b", "ub", "20")));
    assert_eq!(bench.shown(), ["a@15"]);
}

#[tokio::test(start_paused = true)]
async fn a_created_object_outlives_a_relist_that_does_not_know_it() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    bench.cache.record(typed(&claim("b", "ub", "15")));
    watch.event("ERROR", &status(410, "Expired"));
    let watch = bench.list_and_watch("12", &[claim("a", "ua", "1")]).await;
    bench.wait(2).await;
    assert_eq!(bench.shown(), ["a@1", "b@15"]);
    watch.event("ADDED", &claim("b", "ub", "15"));
    watch.event("DELETED", &claim("b", "ub", "16"));
    settle().await;
    assert_eq!(bench.shown(), ["a@1"]);
    // A relist that is at least as new as the write does take it away.
    bench.cache.record(typed(&claim("c", "uc", "20")));
    watch.event("ERROR", &status(410, "Expired"));
    let _watch = bench.list_and_watch("20", &[claim("a", "ua", "1")]).await;
    bench.wait(5).await;
    assert_eq!(bench.shown(), ["a@1"]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_does_not_come_back() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    bench.cache.record_deleted(&key("a"), "ua");
    watch.event("MODIFIED", &claim("a", "ua", "14"));
    settle().await;
    assert!(bench.cache.is_empty());
    watch.event("ERROR", &status(410, "Expired"));
    let watch = bench.list_and_watch("14", &[claim("a", "ua", "14")]).await;
    bench.wait(2).await;
    assert!(bench.cache.is_empty());
    watch.event("DELETED", &claim("a", "ua", "15"));
    watch.event("ADDED", &claim("a", "new", "16"));
    settle().await;
    assert_eq!(bench.shown(), ["a@16"]);
    // A deletion of the former one, told late.
    bench.cache.record_deleted(&key("a"), "ua");
    assert_eq!(bench.shown(), ["a@16"]);
}

#[tokio::test(start_paused = true)]
async fn a_successor_recorded_by_us_survives_the_events_of_its_predecessor() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    bench.cache.record_deleted(&key("a"), "ua");
    bench.cache.record(typed(&claim("a", "new", "20")));
    for (kind, version) in [("MODIFIED", "12"), ("DELETED", "14")] {
        watch.event(kind, &claim("a", "ua", version));
        settle().await;
        assert_eq!(bench.shown(), ["a@20"], "{kind}");
    }
    watch.event("ADDED", &claim("a", "new", "20"));
    watch.event("DELETED", &claim("a", "new", "22"));
    settle().await;
    assert!(bench.cache.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_takes_the_last_finalizer_away_is_a_deletion() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    let mut marked = claim("a", "ua", "15");
    marked["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    marked["metadata"]["finalizers"] = json!(["x/y"]);
    bench.cache.record(typed(&marked));
    assert_eq!(bench.shown(), ["a@15"]);
    marked["metadata"]["finalizers"] = json!([]);
    marked["metadata"]["resourceVersion"] = json!("16");
    let last = bench.cache.record(typed(&marked));
    assert_eq!(last.metadata.resource_version.as_deref(), Some("16"));
    assert!(bench.cache.is_empty());
    watch.event("MODIFIED", &claim("a", "ua", "14"));
    settle().await;
    assert!(bench.cache.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_older_than_the_watch_is_not_believed_until_it_stays_so() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    watch.event("ADDED", &claim("b", "ub", "20"));
    watch.event("ERROR", &status(410, "Expired"));
    bench.script.list("15", &[claim("a", "ua", "1")]);
    let watch = bench.list_and_watch("21", &[claim("b", "ub", "20")]).await;
    bench.wait(10).await;
    assert_eq!(
        bench.shown(),
        ["b@20"],
        "the first list would have shown `a` alone"
    );
    // The server went back to a backup.
    bench.cache.record(typed(&claim("own", "uo", "23")));
    watch.event("ERROR", &status(410, "Expired"));
    for _ in 0..2 {
        bench.script.list("5", &[claim("a", "ua", "1")]);
    }
    let _watch = bench.list_and_watch("5", &[claim("a", "ua", "1")]).await;
    bench.wait(30).await;
    assert_eq!(bench.shown(), ["a@1"]);
}

#[tokio::test(start_paused = true)]
async fn an_own_write_that_is_not_selected_goes_when_the_watch_has_passed_it() {
    let bench = Bench::selecting(Listing::Paged, Selection::labels("a=b"));
    let watch = bench.list_and_watch("10", &[]).await;
    bench.cache.record(typed(&claim("a", "ua", "15")));
    watch.bookmark("14");
    settle().await;
    assert_eq!(bench.shown(), ["a@15"]);
    watch.bookmark("15");
    settle().await;
    assert!(bench.cache.is_empty());
}

#[tokio::test(start_paused = true)]
async fn passes_waits_for_the_watch_for_own_writes_and_for_deletion() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    assert!(bench.cache.passes(&key("gone"), "1", SECOND).await);
    assert!(bench.cache.passes(&key("a"), "0", SECOND).await);
    let started = tokio::time::Instant::now();
    assert!(!bench.cache.passes(&key("a"), "1", SECOND).await);
    assert_eq!(started.elapsed(), SECOND);
    for change in ["event", "other", "record", "delete"] {
        let cache = bench.cache.clone();
        let current = cache
            .get(&key("a"))
            .unwrap()
            .metadata
            .resource_version
            .clone()
            .unwrap();
        let waiting = tokio::spawn(async move { cache.passes(&key("a"), &current, SECOND).await });
        settle().await;
        match change {
            "event" => watch.event("MODIFIED", &claim("a", "ua", "11")),
            "other" => watch.event("MODIFIED", &claim("other", "uo", "12")),
            "record" => drop(bench.cache.record(typed(&claim("a", "ua", "13")))),
            _ => bench.cache.record_deleted(&key("a"), "ua"),
        }
        assert_eq!(waiting.await.unwrap(), change != "other", "{change}");
    }
}

#[tokio::test(start_paused = true)]
async fn passes_compares_versions_that_are_not_numbers_by_equality() {
    let (bench, watch) = Bench::following("x", &[claim("a", "ua", "one")]).await;
    assert!(!bench.cache.passes(&key("a"), "one", SECOND).await);
    watch.event("MODIFIED", &claim("a", "ua", "two"));
    assert!(bench.cache.passes(&key("a"), "one", SECOND).await);
}
