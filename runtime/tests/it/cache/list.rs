//! First lists: paged and streaming.

use http::Response;
use runtime::objects::Claim;
use runtime::{Listing, Selection};
use serde_json::json;

use super::{Bench, key};
use crate::script::{claim, settle, status};

const CLAIMS: &str = "/api/v1/persistentvolumeclaims";

#[tokio::test(start_paused = true)]
async fn a_paged_list_costs_one_list_and_one_watch() {
    let (bench, watch) = Bench::following("10", &[claim("b", "ub", "7"), claim("a", "ua", "9")]).await;
    assert_eq!(bench.shown(), ["a@9", "b@7"]);
    let requests = bench.script.take_requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0], format!("GET {CLAIMS}?limit=500"));
    assert!(requests[1].starts_with(&format!("GET {CLAIMS}?watch=true&timeoutSeconds=2")));
    assert!(requests[1].ends_with("&allowWatchBookmarks=true&resourceVersion=10"));
    drop(watch);
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_costs_one_watch() {
    let bench = Bench::new(Listing::Streaming);
    let watch = bench.script.watch();
    watch.event("ADDED", &claim("a", "ua", "9"));
    settle().await;
    assert!(!bench.cache.is_synced(), "the initial events have not ended");
    assert!(bench.cache.is_empty());
    watch.initial_events_end("10");
    bench.cache.synced().await;
    assert_eq!(bench.shown(), ["a@9"]);
    watch.event("MODIFIED", &claim("a", "ua", "11"));
    settle().await;
    assert_eq!(bench.shown(), ["a@11"]);
    let requests = bench.script.take_requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].contains("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"),
        "{requests:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn servers_without_streaming_lists_are_asked_for_pages() {
    for code in [400, 422] {
        let bench = Bench::new(Listing::Streaming);
        bench.script.status(code, "Invalid");
        let _watch = bench.list_and_watch("10", &[claim("a", "ua", "9")]).await;
        assert_eq!(bench.shown(), ["a@9"]);
        assert_eq!(bench.script.take_requests().len(), 3, "code {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ignores_the_wish_for_a_streaming_list_is_asked_for_pages() {
    let bench = Bench::new(Listing::Streaming);
    let ignored = bench.script.watch();
    ignored.event("ADDED", &claim("a", "ua", "9"));
    bench.script.list("10", &[claim("a", "ua", "9")]);
    let watch = bench.script.watch();
    bench.cache.synced().await;
    settle().await;
    assert!(!ignored.is_read() && watch.is_read());
    assert_eq!(bench.script.take_requests().len(), 3);
    // Not tried again after the next relist.
    watch.event("ERROR", &status(410, "Expired"));
    let _watch = bench.list_and_watch("20", &[]).await;
    bench.wait(20).await;
    assert_eq!(bench.script.take_requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn pages_are_put_together() {
    let bench = Bench::new(Listing::Paged);
    bench.script.page("10", &[claim("a", "ua", "1")], "more");
    let _watch = bench.list_and_watch("10", &[claim("b", "ub", "2")]).await;
    assert_eq!(bench.shown(), ["a@1", "b@2"]);
    assert_eq!(
        bench.script.take_requests()[1],
        format!("GET {CLAIMS}?limit=500&continue=more")
    );
}

#[tokio::test(start_paused = true)]
async fn an_expired_continue_token_leads_to_one_list_without_pages() {
    let bench = Bench::new(Listing::Paged);
    bench.script.page("10", &[claim("a", "ua", "1")], "more");
    bench.script.status(410, "Expired");
    let _watch = bench.list_and_watch("12", &[claim("b", "ub", "2")]).await;
    assert_eq!(bench.shown(), ["b@2"]);
    assert_eq!(bench.script.take_requests()[2], format!("GET {CLAIMS}?"));
}

#[tokio::test(start_paused = true)]
async fn a_broken_object_in_a_list_is_skipped() {
    let mut broken = claim("b", "ub", "2");
    broken["spec"] = json!({"volumeName": ["x"]});
    let (bench, _watch) = Bench::following("10", &[claim("a", "ua", "1"), broken]).await;
    assert_eq!(bench.shown(), ["a@1"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_is_tried_again_with_back_off() {
    let bench = Bench::new(Listing::Paged);
    bench.script.no_connection();
    bench
        .script
        .body(Response::builder().status(500), "<html>broken</html>");
    bench.script.body(Response::builder(), "{\"items\": [");
    bench.script.body(
        Response::builder().status(429).header("Retry-After", "50"),
        "wait",
    );
    let started = tokio::time::Instant::now();
    let _watch = bench.list_and_watch("10", &[claim("a", "ua", "1")]).await;
    assert_eq!(bench.script.take_requests().len(), 6);
    let waited = started.elapsed().as_millis();
    assert!(
        (53_500..57_100).contains(&waited),
        "0.5, 1 and 2 s with jitter, then what was asked for: {waited}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_watch_a_kind_and_selection() {
    let (bench, _watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    bench.script.take_requests();
    let same = bench.watches.clone().cache::<Claim>(Selection::default());
    assert!(same.get(&key("a")).is_some());
    settle().await;
    assert_eq!(bench.script.take_requests().len(), 0);
    let other = bench
        .watches
        .cache::<Claim>(Selection::labels("a=b").within("shop"));
    bench.script.list("10", &[]);
    other.synced().await;
    assert_eq!(
        bench.script.take_requests()[0],
        "GET /api/v1/namespaces/shop/persistentvolumeclaims?labelSelector=a%3Db&limit=500"
    );
}

#[tokio::test(start_paused = true)]
async fn objects_are_trimmed_before_they_are_stored() {
    let bench = Bench::new(Listing::Paged);
    bench
        .watches
        .trim::<runtime::objects::Volume>(|volume| volume.mode = None);
    let _watch = bench.list_and_watch("10", &[]).await;
    let volumes = bench
        .watches
        .cache::<runtime::objects::Volume>(Selection::default());
    let volume = json!({"metadata": {"name": "v", "resourceVersion": "3"}, "spec": {"volumeMode": "Block"}});
    bench.script.list("10", &[volume]);
    volumes.synced().await;
    assert_eq!(volumes.all()[0].mode, None);
}
