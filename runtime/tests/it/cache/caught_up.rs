//! What a term of leadership that is not the first one reads.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Clock, Random, Scope};
use prometheus::Registry;
use runtime::objects::Claim;
use runtime::{Cache, Listing, Selection, Watches};
use tokio::time::Instant;

use super::key;
use super::server::{Mood, Server};
use crate::script::settle;

/// A cache of many or few claims, and one that another function reads.
struct Bench {
    server: Server,
    mine: Cache<Claim>,
    others: Cache<Claim>,
    _watches: Watches,
    scope: Scope,
}

impl Bench {
    async fn new(claims: usize, listing: Listing) -> Self {
        let (server, scope) = (Server::new(claims), Scope::new());
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let registry = Registry::new();
        let watches = Watches::with_listing(
            server.client(),
            clock,
            Random::seeded(3),
            &scope,
            &registry,
            listing,
        );
        let (mine, others) = (
            watches.cache(Selection::default()),
            watches.cache(Selection::labels("others=true")),
        );
        mine.synced().await;
        others.synced().await;
        settle().await;
        server.take_requests();
        Self {
            server,
            mine,
            others,
            _watches: watches,
            scope,
        }
    }

    async fn caught_up(&self) {
        tokio::select! {
            biased;
            panicked = self.scope.failed() => panic!("{panicked}"),
            () = self.mine.caught_up() => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_term_reads_nothing_more_than_the_first_list() {
    let (server, scope) = (Server::new(3), Scope::new());
    let (clock, registry) = (Clock::system(), Registry::new());
    let watches = Watches::new(server.client(), clock, Random::seeded(3), &scope, &registry);
    let cache = watches.cache::<Claim>(Selection::default());
    cache.caught_up().await;
    assert_eq!(cache.len(), 3);
    settle().await;
    assert_eq!(server.take_requests(), ["STREAM"]);
}

#[tokio::test(start_paused = true)]
async fn a_term_that_begins_during_the_first_list_reads_what_came_after_it_had_begun() {
    for listing in [Listing::Streaming, Listing::Paged] {
        for claims in [3, 501] {
            let (server, scope) = (Server::new(claims), Scope::new());
            server.lists_take(Duration::from_secs(5));
            let (clock, registry) = (Clock::system(), Registry::new());
            let random = Random::seeded(3);
            let watches = Watches::with_listing(server.client(), clock, random, &scope, &registry, listing);
            let cache = watches.cache::<Claim>(Selection::default());
            tokio::time::sleep(Duration::from_secs(1)).await;
            server.write("by-another-leader");
            cache.caught_up().await;
            assert!(
                cache.get(&key("by-another-leader")).is_some(),
                "{listing:?} of {claims}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_and_went_while_it_was_caught_up_with_does_not_come_again() {
    let (server, scope) = (Server::new(501), Scope::new());
    server.lists_take(Duration::from_secs(5));
    let (clock, registry) = (Clock::system(), Registry::new());
    let watches = Watches::new(server.client(), clock, Random::seeded(3), &scope, &registry);
    let cache = watches.cache::<Claim>(Selection::default());
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.write("short-lived");
    server.delete("short-lived");
    cache.caught_up().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let told_too = told.clone();
    let _told = cache.subscribe(move |change| {
        if change.key == key("short-lived") {
            told_too.lock().unwrap().push(change.clone());
        }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn few_objects_are_listed_anew_and_those_of_other_functions_are_not() {
    for (listing, requests) in [
        (Listing::Streaming, vec!["STREAM"]),
        (Listing::Paged, vec!["LIST", "WATCH"]),
    ] {
        let bench = Bench::new(500, listing).await;
        bench.server.is(Mood::Mute);
        settle().await;
        bench.server.write("by-another-leader");
        settle().await;
        assert_eq!(bench.mine.get(&key("by-another-leader")), None, "the watch lags");
        bench.server.is(Mood::Well);
        bench.caught_up().await;
        assert!(bench.mine.get(&key("by-another-leader")).is_some());
        settle().await;
        assert_eq!(bench.server.take_requests(), requests);
        assert!(bench.others.is_synced());
    }
}

#[tokio::test(start_paused = true)]
async fn many_objects_are_not_listed_where_the_watch_can_show_that_it_has_caught_up() {
    let bench = Bench::new(501, Listing::Streaming).await;
    bench.server.is(Mood::Mute);
    settle().await;
    bench.server.write("by-another-leader");
    // Leases are renewed all the time: the version is ahead of what concerns the kind.
    bench.server.moves_on(900);
    bench.server.is(Mood::Well);
    let asked = Instant::now();
    let (mine, synced) = (bench.mine.clone(), bench.mine.clone());
    tokio::join!(mine.caught_up(), async {
        settle().await;
        assert!(synced.is_synced(), "who does not ask is not held up");
    });
    assert_eq!(
        asked.elapsed().as_secs(),
        1,
        "a bookmark two seconds before the end of a watch of three"
    );
    assert!(bench.mine.get(&key("by-another-leader")).is_some());
    settle().await;
    assert_eq!(bench.server.take_requests(), ["NEWEST", "WATCH", "WATCH"]);
    // Nothing has happened since: the version alone shows it.
    bench.caught_up().await;
    settle().await;
    assert_eq!(bench.server.take_requests(), ["NEWEST", "WATCH"]);
}

#[tokio::test(start_paused = true)]
async fn many_objects_are_listed_where_the_watch_cannot_show_it() {
    let bench = Bench::new(501, Listing::Streaming).await;
    bench.server.is(Mood::Lagging);
    bench.server.write("by-another-leader");
    let asked = Instant::now();
    bench.caught_up().await;
    assert!(bench.mine.get(&key("by-another-leader")).is_some());
    assert_eq!(asked.elapsed().as_secs(), 3);
    settle().await;
    assert_eq!(bench.server.take_requests(), ["NEWEST", "WATCH", "STREAM"]);
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_while_another_is_being_served_are_served_after_it() {
    let bench = Bench::new(501, Listing::Streaming).await;
    bench.server.moves_on(900);
    let first = bench.mine.clone();
    let waiting = tokio::spawn(async move { first.caught_up().await });
    settle().await;
    // What was asked of the server before this does not count for the second one.
    bench.server.write("late");
    bench.caught_up().await;
    assert!(waiting.is_finished() && bench.mine.get(&key("late")).is_some());
    settle().await;
    assert_eq!(
        bench.server.take_requests(),
        ["NEWEST", "WATCH", "NEWEST", "WATCH"],
        "the event itself shows the second version"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_not_pressed_by_who_waits() {
    let bench = Bench::new(501, Listing::Streaming).await;
    bench.server.is(Mood::Away);
    settle().await;
    bench.server.take_requests();
    let mine = bench.mine.clone();
    let waiting = tokio::spawn(async move { mine.caught_up().await });
    tokio::time::sleep(Duration::from_secs(60)).await;
    let tries = bench.server.take_requests().len();
    assert!((5..=18).contains(&tries), "of two caches, with back-off: {tries}");
    bench.server.is(Mood::Well);
    waiting.await.unwrap();
}
