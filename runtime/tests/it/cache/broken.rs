//! Objects that cannot be decoded: they stop nothing, stay as they were last read, and go when they are deleted.

use serde_json::{Value, json};

use super::{Bench, typed};
use crate::script::{claim, settle, status};

fn broken(name: &str, uid: &str, version: &str) -> Value {
    let mut broken = claim(name, uid, version);
    broken["spec"] = json!({"volumeName": 7});
    broken
}

#[tokio::test(start_paused = true)]
async fn a_broken_object_keeps_its_last_state_and_stops_nothing() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    let broken = broken("a", "ua", "12");
    watch.event("MODIFIED", &broken);
    watch.event("ADDED", &claim("b", "ub", "13"));
    settle().await;
    assert_eq!(bench.shown(), ["a@1", "b@13"]);
    // Nor does a relist that cannot read it take it away.
    watch.event("ERROR", &status(410, "Expired"));
    let _next = bench.list_and_watch("20", &[broken]).await;
    bench.wait(5).await;
    assert_eq!(bench.shown(), ["a@1"]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_that_cannot_be_decoded_goes() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1"), claim("b", "ub", "2")]).await;
    bench
        .cache
        .index("uid", |claim| vec![claim.metadata.uid.clone().unwrap()])
        .unwrap();
    watch.event("DELETED", &broken("a", "ua", "12"));
    settle().await;
    assert_eq!(bench.shown(), ["b@2"]);
    assert!(!bench.cache.has("uid", "ua"));
    // The answer to an own write of before does not bring it back.
    bench.cache.record(typed(&claim("a", "ua", "11")));
    assert_eq!(bench.shown(), ["b@2"]);
    assert!(watch.is_read(), "and the watch goes on");
}

#[tokio::test(start_paused = true)]
async fn the_successor_of_a_deleted_object_that_cannot_be_decoded_stays() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    bench.cache.record_deleted(&super::key("a"), "ua");
    bench.cache.record(typed(&claim("a", "new", "14")));
    watch.event("DELETED", &broken("a", "ua", "13"));
    settle().await;
    assert_eq!(bench.shown(), ["a@14"]);
    // Where versions cannot be compared the UID tells.
    let mut unversioned = broken("a", "ua", "13");
    unversioned["metadata"]["resourceVersion"] = json!(null);
    watch.event("DELETED", &unversioned);
    settle().await;
    assert_eq!(bench.shown(), ["a@14"]);
    unversioned["metadata"]["uid"] = json!("new");
    watch.event("DELETED", &unversioned);
    settle().await;
    assert!(bench.cache.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_without_readable_metadata_leads_to_a_list() {
    for metadata in [json!({"name": 7}), json!("none"), Value::Null] {
        let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1"), claim("b", "ub", "2")]).await;
        bench.wait(60).await;
        bench.script.take_requests();
        bench.script.list("20", &[claim("b", "ub", "2")]);
        let next = bench.script.watch();
        watch.event("DELETED", &json!({"metadata": metadata}));
        settle().await;
        assert_eq!(bench.shown(), ["b@2"], "{metadata}");
        assert_eq!(bench.script.take_requests().len(), 2, "one list, one watch");
        assert!(next.is_read() && bench.metrics().contains("reason=\"unreadable\"} 1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_object_without_readable_metadata_does_not_end_the_watch() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    watch.event("MODIFIED", &json!({"metadata": 7}));
    watch.event("MODIFIED", &claim("a", "ua", "12"));
    settle().await;
    assert_eq!(bench.shown(), ["a@12"]);
    assert!(watch.is_read());
}
