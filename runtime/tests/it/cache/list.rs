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
    bench.synced().await;
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
async fn a_server_that_refuses_streaming_lists_is_asked_again_after_an_hour() {
    let bench = Bench::new(Listing::Streaming);
    bench.script.status(422, "Invalid");
    let mut watch = bench.list_and_watch("10", &[claim("a", "ua", "9")]).await;
    // Within the hour one list is a list.
    bench.wait(60).await;
    bench.script.take_requests();
    watch.event("ERROR", &status(410, "Expired"));
    watch = bench.list_and_watch("20", &[]).await;
    assert_eq!(bench.script.take_requests().len(), 2);
    for minute in 0..60 {
        watch.bookmark(&format!("{}", 21 + minute));
        if minute % 3 == 2 {
            let next = bench.script.watch();
            drop(std::mem::replace(&mut watch, next));
        }
        bench.wait(60).await;
    }
    // It may have been upgraded meanwhile.
    bench.script.take_requests();
    let streamed = bench.script.watch();
    streamed.event("ADDED", &claim("b", "ub", "90"));
    streamed.initial_events_end("90");
    watch.event("ERROR", &status(410, "Expired"));
    bench.wait(2).await;
    assert_eq!(bench.shown(), ["b@90"]);
    let requests = bench.script.take_requests();
    assert!(
        requests.len() == 1 && requests[0].contains("sendInitialEvents=true"),
        "{requests:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_that_ends_early_is_tried_again() {
    let bench = Bench::new(Listing::Streaming);
    let cut = bench.script.watch();
    cut.event("ADDED", &claim("a", "ua", "9"));
    cut.cut();
    let ended = bench.script.watch();
    ended.event("ADDED", &claim("a", "ua", "9"));
    drop(ended);
    let whole = bench.script.watch();
    whole.event("ADDED", &claim("a", "ua", "9"));
    whole.initial_events_end("10");
    bench.synced().await;
    assert_eq!(bench.shown(), ["a@9"]);
    let requests = bench.script.take_requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests
            .iter()
            .all(|request| request.contains("sendInitialEvents=true")),
        "{requests:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_that_never_comes_to_its_end_is_asked_for_in_pages_this_time() {
    let bench = Bench::new(Listing::Streaming);
    for _ in 0..3 {
        drop(bench.script.watch());
    }
    let watch = bench.list_and_watch("10", &[claim("a", "ua", "9")]).await;
    let streaming = |requests: &[String]| {
        let streaming = |request: &&String| request.contains("sendInitialEvents=true");
        requests.iter().filter(streaming).count()
    };
    let requests = bench.script.take_requests();
    assert_eq!(
        (requests.len(), streaming(&requests)),
        (5, 3),
        "then one list and one watch"
    );
    // The next list is a stream again.
    bench.wait(60).await;
    let streamed = bench.script.watch();
    streamed.initial_events_end("20");
    watch.event("ERROR", &status(410, "Expired"));
    bench.wait(2).await;
    assert!(bench.cache.is_empty());
    let requests = bench.script.take_requests();
    assert_eq!((requests.len(), streaming(&requests)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ignores_the_wish_for_a_streaming_list_is_asked_for_pages() {
    let bench = Bench::new(Listing::Streaming);
    let ignored = bench.script.watch();
    ignored.event("ADDED", &claim("a", "ua", "9"));
    bench.script.list("10", &[claim("a", "ua", "9")]);
    let watch = bench.script.watch();
    bench.synced().await;
    settle().await;
    assert!(!ignored.is_read() && watch.is_read());
    assert_eq!(bench.script.take_requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_happens_while_a_streaming_list_comes_is_part_of_it() {
    let bench = Bench::new(Listing::Streaming);
    let watch = bench.script.watch();
    for (name, version) in [("a", "5"), ("b", "6"), ("c", "7")] {
        watch.event("ADDED", &claim(name, name, version));
    }
    watch.event("DELETED", &claim("a", "a", "8"));
    watch.event("MODIFIED", &claim("b", "b", "9"));
    watch.event("ADDED", &claim("a", "new", "10"));
    watch.event("DELETED", &claim("c", "c", "11"));
    watch.initial_events_end("11");
    bench.synced().await;
    assert_eq!(bench.shown(), ["a@10", "b@9"]);
    settle().await;
    assert!(watch.is_read(), "it stays the watch");
    assert_eq!(bench.script.take_requests().len(), 1);
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
async fn a_later_page_that_does_not_come_is_asked_for_again() {
    let bench = Bench::new(Listing::Paged);
    bench.script.page("10", &[claim("a", "ua", "7")], "more");
    for code in [429, 500] {
        bench.script.status(code, "Busy");
    }
    let _watch = bench.list_and_watch("10", &[claim("b", "ub", "9")]).await;
    assert_eq!(bench.shown(), ["a@7", "b@9"]);
    let requests = bench.script.take_requests();
    let page = format!("GET {CLAIMS}?limit=500");
    let more = format!("{page}&continue=more");
    assert_eq!(requests[..4], [page, more.clone(), more.clone(), more]);
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
