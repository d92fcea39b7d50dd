//! Watches that say nothing, servers that are away, and when a process says that it is not ready.

use std::time::Duration;

use base::http::Readiness;
use base::{Clock, Random, Scope};
use prometheus::{Registry, TextEncoder};
use runtime::objects::Claim;
use runtime::{Cache, Listing, Selection, Watches};
use tokio::time::Instant;

use super::label;
use super::server::{Mood, Server};

/// Some caches of one server.
struct Caches {
    server: Server,
    caches: Vec<Cache<Claim>>,
    watches: Watches,
    registry: Registry,
    _scope: Scope,
}

impl Caches {
    /// That are synced, and whose watches are open.
    async fn following(server: Server, count: usize, listing: Listing) -> Self {
        let (scope, registry) = (Scope::new(), Registry::new());
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let watches = Watches::with_listing(
            server.client(),
            clock,
            Random::seeded(7),
            &scope,
            &registry,
            listing,
        );
        let of = |number: usize| match number {
            0 => Selection::default(),
            _ => Selection::labels(format!("number={number}")),
        };
        let caches: Vec<_> = (0..count)
            .map(|number| watches.cache::<Claim>(of(number)))
            .collect();
        for cache in &caches {
            cache.synced().await;
        }
        minutes(0.1).await;
        server.take_requests();
        Self {
            server,
            caches,
            watches,
            registry,
            _scope: scope,
        }
    }

    fn shown(&self) -> Vec<String> {
        self.caches[0].all().iter().map(label).collect()
    }

    fn relists(&self, reason: &str) -> bool {
        let metrics = TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap();
        metrics.contains(&format!(
            "relists_total{{kind=\"PersistentVolumeClaim\",reason=\"{reason}\"}} 1"
        ))
    }
}

async fn minutes(minutes: f64) {
    tokio::time::sleep(Duration::from_secs_f64(minutes * 60.0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_version_ahead_of_the_server_is_given_up_after_three_minutes() {
    for (listing, list) in [
        (Listing::Streaming, vec!["STREAM"]),
        (Listing::Paged, vec!["LIST", "WATCH"]),
    ] {
        let bench = Caches::following(Server::new(3), 1, listing).await;
        bench.server.moves_on(5000);
        minutes(1.1).await;
        // etcd is restored from a backup: what came since is gone, and versions begin again from there.
        bench.server.restore(2, &["a-00000", "a-00001"]);
        minutes(0.01).await;
        bench.server.is(Mood::Well);
        minutes(0.1).await;
        bench.server.write("new");
        let resumed = bench.server.take_requests();
        assert_eq!(resumed.last().map(String::as_str), Some("WATCH"));
        assert!(resumed.iter().all(|request| request == "WATCH"), "{resumed:?}");
        minutes(2.7).await;
        assert_eq!(bench.shown(), ["a-00000@1", "a-00001@2", "a-00002@3"]);
        assert_eq!(bench.server.take_requests(), Vec::<String>::new());
        minutes(0.3).await;
        assert_eq!(bench.shown(), ["a-00000@1", "a-00001@2", "new@3"]);
        assert_eq!(bench.server.take_requests(), list, "once, though it is older");
        assert!(bench.relists("silent"));
        bench.server.write("newer");
        minutes(0.01).await;
        assert_eq!(bench.shown().last().map(String::as_str), Some("newer@4"));
        // From then on all is as before.
        minutes(60.0).await;
        let later = bench.server.take_requests();
        assert!(later.iter().all(|request| request == "WATCH"), "{later:?}");
        assert!(
            (11..=15).contains(&later.len()),
            "each lasts 230 to 287 s: {}",
            later.len()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_at_whose_other_end_nobody_is_left_is_given_up_after_three_minutes() {
    let bench = Caches::following(Server::new(1), 1, Listing::Streaming).await;
    bench.server.is(Mood::Mute);
    minutes(0.1).await;
    bench.server.is(Mood::Well);
    bench.server.write("b");
    minutes(2.7).await;
    assert_eq!(bench.shown(), ["a-00000@1"]);
    assert_eq!(bench.server.take_requests(), Vec::<String>::new());
    minutes(0.3).await;
    assert_eq!(bench.shown(), ["a-00000@1", "b@2"]);
    assert_eq!(bench.server.take_requests(), ["STREAM"]);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_kind_is_never_listed_again_while_bookmarks_come() {
    let bench = Caches::following(Server::new(1), 1, Listing::Streaming).await;
    minutes(24.0 * 60.0).await;
    let requests = bench.server.take_requests();
    assert!(requests.iter().all(|request| request == "WATCH"), "{requests:?}");
    assert!((300..=376).contains(&requests.len()), "{}", requests.len());
}

#[tokio::test(start_paused = true)]
async fn a_server_without_bookmarks_is_asked_for_lists_ever_less_often() {
    let bench = Caches::following(Server::new(1), 1, Listing::Streaming).await;
    bench.server.is(Mood::WithoutBookmarks);
    minutes(24.0 * 60.0).await;
    let lists = |requests: Vec<String>| requests.iter().filter(|request| *request == "STREAM").count();
    let first_day = lists(bench.server.take_requests());
    // After 3, 6, 12, 24 and 48 minutes, then once an hour.
    assert_eq!(first_day, 5 + 22);
    // A word ends it.
    bench.server.write("b");
    minutes(2.9).await;
    assert_eq!(lists(bench.server.take_requests()), 0);
    minutes(0.2).await;
    assert_eq!(lists(bench.server.take_requests()), 1);
}

/// Requests while the server is away for ten minutes, and in the five minutes after.
async fn ten_minutes_away(compacted: bool) -> (Vec<Instant>, Vec<String>) {
    const CACHES: usize = 8;
    let bench = Caches::following(Server::new(1), CACHES, Listing::Streaming).await;
    bench.server.is(Mood::Away);
    minutes(10.0).await;
    let tries = bench.server.times();
    bench.server.take_requests();
    if compacted {
        bench.server.moves_on(9000);
        bench.server.compact();
    }
    bench.server.is(Mood::Well);
    minutes(2.0).await;
    bench.server.write("b");
    minutes(0.01).await;
    for cache in &bench.caches {
        assert_eq!(cache.len(), 2, "all follow again");
    }
    (tries, bench.server.take_requests())
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_away_for_ten_minutes_gets_no_list_after() {
    let (tries, after) = ten_minutes_away(false).await;
    // 0.5, 1, 2 ... 30 s, each up to doubled: 15 to 26 tries a cache.
    assert!((8 * 15..=8 * 26).contains(&tries.len()), "{}", tries.len());
    let late: Vec<Instant> = tries.into_iter().rev().take(8).collect();
    assert!(
        late.windows(2).all(|pair| pair[0] != pair[1]),
        "they do not come together"
    );
    assert_eq!(after, ["WATCH"; 8]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_forgot_what_was_before_gets_one_list_a_cache() {
    let (_, after) = ten_minutes_away(true).await;
    let count = |kind: &str| after.iter().filter(|request| *request == kind).count();
    assert_eq!((count("WATCH"), count("STREAM"), after.len()), (8, 8, 16));
}

#[tokio::test(start_paused = true)]
async fn a_process_is_not_ready_while_a_cache_is_known_to_be_stale_for_ten_minutes() {
    let bench = Caches::following(Server::new(1), 2, Listing::Streaming).await;
    let readiness = Readiness::default();
    readiness.check("caches", bench.watches.freshness());
    bench.server.is(Mood::Away);
    minutes(9.9).await;
    assert!(
        readiness.is_ready(),
        "an API server that restarts unsettles no pod"
    );
    minutes(0.2).await;
    let (ready, report) = readiness.report();
    assert!(!ready);
    let kind = "PersistentVolumeClaim not followed for 10 min";
    let line = format!("[-]caches failed: the API server cannot be followed: {kind}, {kind}\n");
    assert!(report.contains(&line), "{report}");
    bench.server.is(Mood::Well);
    minutes(2.1).await;
    assert!(readiness.is_ready());
    drop(bench);
    assert!(readiness.is_ready(), "it does not keep the caches alive");
}

#[tokio::test(start_paused = true)]
async fn a_process_stays_ready_without_bookmarks_and_without_the_kind() {
    for mood in [Mood::WithoutBookmarks, Mood::Unknown] {
        let bench = Caches::following(Server::new(1), 1, Listing::Streaming).await;
        let readiness = Readiness::default();
        readiness.check("caches", bench.watches.freshness());
        // One failure, from which on a word would have to come.
        bench.server.is(Mood::Away);
        minutes(0.1).await;
        bench.server.is(mood);
        for _ in 0..300 {
            minutes(0.5).await;
            assert!(readiness.is_ready(), "{mood:?}");
        }
    }
}
