//! Following the watch: events, ends, failures.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Bench, key};
use crate::script::{claim, settle, status};

#[tokio::test(start_paused = true)]
async fn events_change_objects_and_indexes() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    bench
        .cache
        .index("uid", |claim| vec![claim.metadata.uid.clone().unwrap()])
        .unwrap();
    watch.event("ADDED", &claim("b", "ub", "11"));
    watch.event("MODIFIED", &claim("a", "ua", "12"));
    settle().await;
    assert_eq!(bench.shown(), ["a@12", "b@11"]);
    assert_eq!(bench.cache.indexed("uid", "ub").len(), 1);
    assert_eq!(bench.cache.indexed("none", "ub").len(), 0);
    watch.event("DELETED", &claim("b", "ub", "13"));
    settle().await;
    assert_eq!(bench.shown(), ["a@12"]);
    assert_eq!(bench.cache.indexed("uid", "ub").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_may_arrive_in_pieces() {
    let (bench, watch) = Bench::following("10", &[]).await;
    let line = format!(
        "{}\n\n",
        json!({"type": "ADDED", "object": claim("a", "ua", "11")})
    );
    for piece in line.as_bytes().chunks(7) {
        watch.raw(std::str::from_utf8(piece).unwrap());
        settle().await;
    }
    assert_eq!(bench.shown(), ["a@11"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_in_time_is_resumed_at_once_from_where_it_was() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    watch.event("MODIFIED", &claim("a", "ua", "12"));
    bench.wait(120).await;
    watch.bookmark("15");
    bench.wait(120).await;
    bench.script.take_requests();
    let next = bench.script.watch();
    drop(watch);
    settle().await;
    let requests = bench.script.take_requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].ends_with("&resourceVersion=15"), "{requests:?}");
    assert!(next.is_read() && !bench.metrics().contains("relists_total{"));
}

#[tokio::test(start_paused = true)]
async fn a_cut_watch_is_resumed_with_back_off_and_without_a_list() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    watch.event("MODIFIED", &claim("a", "ua", "12"));
    settle().await;
    bench.script.take_requests();
    watch.cut();
    for _ in 0..3 {
        bench.script.no_connection();
    }
    let cut = Instant::now();
    let next = bench.script.watch();
    next.event("MODIFIED", &claim("a", "ua", "20"));
    assert!(bench.cache.passes(&key("a"), "12", Duration::from_secs(60)).await);
    let waited = cut.elapsed().as_secs_f64();
    assert!(
        (7.5..15.0).contains(&waited),
        "0.5, 1, 2 and 4 s, up to doubled by jitter: {waited}"
    );
    let requests = bench.script.take_requests();
    assert_eq!(requests.len(), 4);
    assert!(
        requests
            .iter()
            .all(|request| request.ends_with("&resourceVersion=12")),
        "{requests:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_expired_version_leads_to_a_list() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1"), claim("b", "ub", "2")]).await;
    bench.wait(60).await;
    bench.script.take_requests();
    let at = Instant::now();
    bench
        .script
        .list("30", &[claim("b", "ub", "25"), claim("c", "uc", "26")]);
    let next = bench.script.watch();
    watch.event("ERROR", &status(410, "Expired"));
    settle().await;
    assert!(at.elapsed() < Duration::from_millis(10), "at once");
    assert_eq!(bench.shown(), ["b@25", "c@26"]);
    assert_eq!(bench.script.take_requests().len(), 2);
    let counted = "slackwater_informer_relists_total{kind=\"PersistentVolumeClaim\",reason=\"expired\"} 1";
    assert!(bench.metrics().contains(counted), "{}", bench.metrics());
    drop(next);
}

#[tokio::test(start_paused = true)]
async fn a_refused_watch_leads_to_a_list_where_resuming_cannot_help() {
    for (code, reason) in [(410, "Gone"), (404, "NotFound"), (400, "BadRequest")] {
        let (bench, watch) = Bench::following("10", &[]).await;
        bench.wait(60).await;
        bench.script.status(code, reason);
        bench.script.list("30", &[claim("c", "uc", "26")]);
        let _next = bench.script.watch();
        drop(watch);
        bench.wait(5).await;
        assert_eq!(bench.shown(), ["c@26"], "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_event_leads_to_a_list_after_a_pause() {
    let (bench, watch) = Bench::following("10", &[]).await;
    bench.script.list("30", &[claim("c", "uc", "26")]);
    let _next = bench.script.watch();
    watch.event("ERROR", &status(500, "InternalError"));
    bench.wait(2).await;
    assert_eq!(bench.shown(), ["c@26"]);
    assert!(bench.metrics().contains("reason=\"error\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_broken_line_is_a_broken_connection() {
    let (bench, watch) = Bench::following("10", &[]).await;
    watch.raw("<html>\n");
    let next = bench.script.watch();
    next.event("ADDED", &claim("a", "ua", "11"));
    bench.wait(2).await;
    assert_eq!(bench.shown(), ["a@11"]);
    assert!(!watch.is_read());
}

#[tokio::test(start_paused = true)]
async fn the_watch_ends_with_the_last_owner() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    let Bench {
        cache,
        watches,
        scope,
        registry,
        ..
    } = bench;
    let clone = watches.clone();
    drop(watches);
    scope.stop();
    settle().await;
    assert!(watch.is_read(), "it goes on while work is drained");
    drop(clone);
    settle().await;
    assert!(!watch.is_read());
    assert_eq!(cache.len(), 1, "what is known can still be read");
    assert!(registry.gather().is_empty());
}

#[tokio::test(start_paused = true)]
async fn figures_are_computed_when_scraped() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1"), claim("b", "ub", "2")]).await;
    bench.wait(30).await;
    watch.bookmark("20");
    bench.wait(12).await;
    let metrics = bench.metrics();
    let kind = "{kind=\"PersistentVolumeClaim\"}";
    assert!(
        metrics.contains(&format!("slackwater_informer_objects{kind} 2")),
        "{metrics}"
    );
    assert!(
        metrics.contains(&format!("slackwater_informer_last_event_seconds{kind} 12")),
        "{metrics}"
    );
}
