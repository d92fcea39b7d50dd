//! Handlers of changes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime::objects::Claim;
use runtime::{Change, Subscription};

use super::{Bench, key, label, typed};
use crate::script::{claim, settle};

/// A test must not wait for ever for what is never told.
const MINUTE: Duration = Duration::from_secs(60);

/// A handler that notes `Source old>new`.
fn noting(bench: &Bench) -> (Subscription, Arc<Mutex<Vec<String>>>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let to = notes.clone();
    let subscription = bench
        .cache
        .subscribe(move |change| to.lock().unwrap().push(note(change)));
    (subscription, notes)
}

fn note(change: &Change<Claim>) -> String {
    let of = |object: &Option<Arc<Claim>>| object.as_ref().map(label).unwrap_or_default();
    format!("{:?} {}>{}", change.source, of(&change.old), of(&change.new))
}

fn take(notes: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut *notes.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn every_change_is_told_once() {
    let (bench, watch) = Bench::following("10", &[claim("b", "ub", "2"), claim("a", "ua", "1")]).await;
    let (subscription, notes) = noting(&bench);
    assert_eq!(take(&notes), ["Subscribed >a@1", "Subscribed >b@2"]);
    bench.cache.record(typed(&claim("a", "ua", "15")));
    assert_eq!(take(&notes), ["OwnWrite a@1>a@15"]);
    watch.event("MODIFIED", &claim("a", "ua", "12"));
    watch.event("MODIFIED", &claim("a", "ua", "15"));
    watch.bookmark("16");
    settle().await;
    assert_eq!(take(&notes), Vec::<String>::new(), "the watch shows nothing new");
    watch.event("MODIFIED", &claim("a", "ua", "17"));
    watch.event("DELETED", &claim("b", "ub", "18"));
    settle().await;
    assert_eq!(take(&notes), ["Watch a@15>a@17", "Watch b@2>"]);
    bench.cache.record_deleted(&key("a"), "ua");
    assert_eq!(take(&notes), ["OwnWrite a@17>"]);
    watch.event("DELETED", &claim("a", "ua", "19"));
    settle().await;
    assert_eq!(take(&notes), Vec::<String>::new());
    drop(subscription);
    watch.event("ADDED", &claim("c", "uc", "20"));
    settle().await;
    assert_eq!(take(&notes), Vec::<String>::new());
    assert_eq!(bench.shown(), ["c@20"]);
}

#[tokio::test(start_paused = true)]
async fn a_relist_tells_the_differences_in_key_order() {
    let items = [
        claim("a", "ua", "1"),
        claim("b", "ub", "2"),
        claim("d", "ud", "3"),
    ];
    let (bench, watch) = Bench::following("10", &items).await;
    let (_subscription, notes) = noting(&bench);
    take(&notes);
    watch.event("ERROR", &crate::script::status(410, "Expired"));
    let relisted = [
        claim("d", "ud", "25"),
        claim("c", "uc", "26"),
        claim("a", "ua", "1"),
    ];
    let _watch = bench.list_and_watch("30", &relisted).await;
    bench.wait(2).await;
    assert_eq!(take(&notes), ["Watch b@2>", "Watch >c@26", "Watch d@3>d@25"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_ends_the_process_and_holds_up_no_other() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    let bad = |change: &Change<Claim>| assert!(change.old.is_none(), "on purpose");
    let _bad = bench.cache.subscribe(bad);
    let (_subscription, notes) = noting(&bench);
    assert_eq!(bench.scope.panics().count(), 0);
    watch.event("MODIFIED", &claim("a", "ua", "11"));
    watch.event("MODIFIED", &claim("a", "ua", "12"));
    settle().await;
    assert_eq!(
        take(&notes),
        ["Subscribed >a@1", "Watch a@1>a@11", "Watch a@11>a@12"]
    );
    let panicked = tokio::time::timeout(MINUTE, bench.scope.failed())
        .await
        .expect("nothing was told of the panic");
    assert!(panicked.task.ends_with("for shop/a"), "{panicked}");
    assert_eq!(
        (panicked.text.as_str(), bench.scope.panics().count()),
        ("on purpose", 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_panics_ends_the_process() {
    let (scope, registry) = (base::Scope::new(), prometheus::Registry::new());
    let service = tower::service_fn(|request: http::Request<kube::client::Body>| async move {
        assert!(request.uri().path().is_empty(), "in the transport");
        Ok::<_, tower::BoxError>(http::Response::new(kube::client::Body::empty()))
    });
    let client = kube::Client::new(service, "default");
    let (clock, random) = (base::Clock::system(), base::Random::seeded(1));
    let watches = runtime::Watches::new(client, clock, random, &scope, &registry);
    let cache = watches.cache::<Claim>(runtime::Selection::default());
    let panicked = tokio::select! {
        () = cache.synced() => panic!("synced"),
        () = tokio::time::sleep(MINUTE) => panic!("nothing was told of the panic"),
        panicked = scope.failed() => panicked,
    };
    assert_eq!(
        panicked.to_string(),
        "watch of PersistentVolumeClaim panicked: in the transport; \
        this is a fault of the program, please report it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_use_the_cache() {
    let (bench, _watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    let cache = bench.cache.clone();
    let _writing = bench.cache.subscribe(move |change| {
        if change.key.name == "a" && cache.get(&key("b")).is_none() {
            cache.record(typed(&claim("b", "ub", "11")));
        }
    });
    let (_subscription, notes) = noting(&bench);
    assert_eq!(take(&notes), ["Subscribed >a@1", "Subscribed >b@11"]);
}

#[tokio::test(start_paused = true)]
async fn resync_shows_all_objects_every_period() {
    let (bench, _watch) = Bench::following("10", &[claim("a", "ua", "1"), claim("b", "ub", "2")]).await;
    let (subscription, notes) = noting(&bench);
    let (_other, others) = noting(&bench);
    take(&notes);
    take(&others);
    subscription.resync_every(Duration::from_secs(900), &bench.scope);
    bench.wait(899).await;
    assert_eq!(take(&notes), Vec::<String>::new());
    bench.wait(2).await;
    assert_eq!(take(&notes), ["Resync a@1>a@1", "Resync b@2>b@2"]);
    assert_eq!(take(&others), Vec::<String>::new());
    bench.wait(900).await;
    assert_eq!(take(&notes).len(), 2);
    drop(subscription);
    bench.wait(2000).await;
    assert_eq!(take(&notes), Vec::<String>::new());
}
