//! Caches that keep some of the objects of a kind.

use runtime::objects::{Claim, ClaimPhase};
use runtime::{Cache, Listing, Selection, Watches};
use serde_json::{Value, json};

use super::{Bench, key, label, typed};
use crate::script::{Watch, claim, settle};

/// A claim of this phase.
fn of_phase(name: &str, version: &str, phase: &str) -> Value {
    let mut claim = claim(name, &format!("u{name}"), version);
    claim["status"] = json!({"phase": phase});
    claim
}

/// Keeps claims that are lost. With `a` and `b`, of which `a` is.
async fn lost_ones() -> (Bench, Watch) {
    let bench = Bench::keeping(Listing::Paged, |claim| claim.phase == ClaimPhase::Lost);
    let items = [of_phase("a", "1", "Lost"), of_phase("b", "2", "Bound")];
    let watch = bench.list_and_watch("10", &items).await;
    (bench, watch)
}

#[tokio::test(start_paused = true)]
async fn objects_come_and_go_as_they_are_kept() {
    let (bench, watch) = lost_ones().await;
    assert_eq!(bench.shown(), ["a@1"]);
    watch.event("MODIFIED", &of_phase("b", "11", "Lost"));
    watch.event("MODIFIED", &of_phase("a", "12", "Bound"));
    watch.event("ADDED", &of_phase("c", "13", "Bound"));
    settle().await;
    assert_eq!(bench.shown(), ["b@11"]);
    watch.event("DELETED", &of_phase("c", "14", "Bound"));
    watch.event("DELETED", &of_phase("b", "15", "Lost"));
    settle().await;
    assert!(bench.cache.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_own_write_is_seen_until_the_watch_has_shown_it() {
    let (bench, watch) = lost_ones().await;
    bench.cache.record(typed(&of_phase("a", "15", "Bound")));
    // What was before it does not come back.
    watch.event("MODIFIED", &of_phase("a", "12", "Lost"));
    watch.event("MODIFIED", &of_phase("a", "13", "Bound"));
    settle().await;
    assert_eq!(bench.shown(), ["a@15"]);
    watch.event("MODIFIED", &of_phase("a", "15", "Bound"));
    settle().await;
    assert!(bench.cache.is_empty());
    assert!(bench.cache.get(&key("a")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_list_takes_away_what_is_kept_no_longer() {
    let (bench, watch) = lost_ones().await;
    watch.event("ERROR", &crate::script::status(410, "Expired"));
    let items = [of_phase("a", "11", "Bound"), of_phase("b", "12", "Lost")];
    let _watch = bench.list_and_watch("20", &items).await;
    bench.wait(2).await;
    assert_eq!(bench.shown(), ["b@12"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_all_makes_the_cache_whole_for_everybody() {
    let (bench, watch) = lost_ones().await;
    let all: Cache<Claim> = bench.watches.cache(Selection::default());
    assert!(!all.is_synced());
    drop(watch);
    let items = [of_phase("a", "1", "Lost"), of_phase("b", "2", "Bound")];
    let watch = bench.list_and_watch("20", &items).await;
    bench.wait(2).await;
    let shown: Vec<String> = all.all().iter().map(label).collect();
    assert_eq!(
        (shown, bench.shown()),
        (vec!["a@1".to_owned(), "b@2".to_owned()], bench.shown())
    );
    watch.event("ADDED", &of_phase("c", "21", "Bound"));
    settle().await;
    assert_eq!(bench.shown().len(), 3);
    // A later reader of some finds all.
    let some: Cache<Claim> = bench.watches.cache_keeping("none", |_| false);
    assert!(some.is_synced() && some.len() == 3);
}

#[tokio::test(start_paused = true)]
async fn readers_of_some_find_each_their_own() {
    let (bench, watch) = lost_ones().await;
    let reader_of = |watches: &Watches, name: &'static str| -> Cache<Claim> {
        watches.cache_keeping(name, |claim: &Claim| claim.metadata.name.as_deref() == Some(name))
    };
    let second = reader_of(&bench.watches, "b");
    assert!(!second.is_synced());
    drop(watch);
    let items = ["a", "b", "c"].map(|name| of_phase(name, "1", if name == "a" { "Lost" } else { "Bound" }));
    let watch = bench.list_and_watch("20", &items).await;
    bench.wait(2).await;
    assert_eq!(bench.shown(), ["a@1", "b@1"]);
    watch.event("MODIFIED", &of_phase("a", "21", "Bound"));
    watch.event("MODIFIED", &of_phase("b", "22", "Lost"));
    settle().await;
    assert_eq!(bench.shown(), ["b@22"]);
    // The same reader in a later term of leadership.
    assert!(reader_of(&bench.watches, "b").is_synced());
    // One of the same code for something else, as a sidecar of a second driver is.
    let third = reader_of(&bench.watches, "c");
    assert!(!third.is_synced());
    drop(watch);
    let items = [of_phase("b", "22", "Lost"), of_phase("c", "1", "Bound")];
    let _watch = bench.list_and_watch("30", &items).await;
    bench.wait(3).await;
    assert_eq!(bench.shown(), ["b@22", "c@1"]);
}
