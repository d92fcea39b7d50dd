//! Indexes: names, counts, and functions that fail.

use std::cell::Cell;
use std::time::Duration;

use runtime::IndexTaken;
use runtime::objects::Claim;
use runtime::{Listing, Selection};

use super::{Bench, label};
use crate::script::{claim, settle};

/// A test must not wait for ever for what is never told.
const MINUTE: Duration = Duration::from_secs(60);

fn by_uid(claim: &Claim) -> Vec<String> {
    claim.metadata.uid.iter().cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn a_name_belongs_to_one_function() {
    let (bench, _watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    bench.cache.index("uid", by_uid).unwrap();
    // Another function of the process has the same cache and thinks of the same name.
    let same = bench.watches.cache::<Claim>(Selection::default());
    let error = same.index("uid", |_| vec!["other".to_owned()]).unwrap_err();
    let taken = IndexTaken {
        name: "uid",
        kind: "PersistentVolumeClaim".to_owned(),
    };
    assert_eq!(error, taken);
    assert_eq!(
        error.to_string(),
        "the index \"uid\" of PersistentVolumeClaim is there already with another function: give one of them another name"
    );
    // The next term of the same function comes with the same one.
    same.index("uid", by_uid).unwrap();
    assert_eq!(same.indexed("uid", "ua").len(), 1);
    same.index("other", |_| vec!["other".to_owned()]).unwrap();
    assert_eq!(same.indexed("other", "other").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn counts_follow_every_change() {
    let bench = Bench::new(Listing::Paged);
    bench.cache.index("uid", by_uid).unwrap();
    let items = [claim("a", "x", "1"), claim("b", "x", "2"), claim("c", "y", "3")];
    let watch = bench.list_and_watch("10", &items).await;
    let counts = || ["x", "y", "z"].map(|value| bench.cache.count("uid", value));
    assert_eq!(counts(), [2, 1, 0]);
    assert_eq!(
        (bench.cache.count("uid", "x"), bench.cache.count("uid", "z")),
        (2, 0)
    );
    assert_eq!(bench.cache.count("none", "x"), 0);
    assert!(bench.cache.has("uid", "y") && !bench.cache.has("uid", "z"));
    watch.event("MODIFIED", &claim("b", "x", "11"));
    settle().await;
    assert_eq!(counts(), [2, 1, 0], "the same value");
    watch.event("MODIFIED", &claim("b", "y", "12"));
    settle().await;
    assert_eq!(counts(), [1, 2, 0]);
    bench.cache.record(super::typed(&claim("d", "z", "13")));
    bench.cache.record_deleted(&super::key("a"), "x");
    assert_eq!(counts(), [0, 2, 1], "own writes count at once");
    watch.event("DELETED", &claim("c", "y", "14"));
    watch.event("DELETED", &claim("b", "y", "15"));
    settle().await;
    assert_eq!(counts(), [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_search_looks_no_further_than_it_must() {
    let items = ["a", "b", "c", "d"].map(|name| claim(name, "x", "1"));
    let (bench, _watch) = Bench::following("10", &items).await;
    bench.cache.index("uid", by_uid).unwrap();
    let looks = Cell::new(0);
    let found = bench.cache.find("uid", "x", |claim| {
        looks.set(looks.get() + 1);
        claim.metadata.name.as_deref() == Some("b")
    });
    assert_eq!(
        (found.as_ref().map(label), looks.get()),
        (Some("b@1".to_owned()), 2)
    );
    assert_eq!(bench.cache.find("uid", "y", |_| true), None);
    assert_eq!(bench.cache.find("none", "x", |_| true), None);
}

#[tokio::test(start_paused = true)]
async fn an_index_function_that_panics_ends_the_process() {
    let (bench, watch) = Bench::following("10", &[claim("a", "ua", "1")]).await;
    bench
        .cache
        .index("length", |claim| {
            let name = claim.metadata.name.as_deref().unwrap();
            assert!(name.len() < 3, "a long name");
            vec![name.len().to_string()]
        })
        .unwrap();
    assert_eq!(bench.scope.panics().count(), 0);
    watch.event("ADDED", &claim("long", "ul", "11"));
    settle().await;
    let panicked = tokio::time::timeout(MINUTE, bench.scope.failed())
        .await
        .expect("nothing was told of the panic");
    assert!(panicked.task.starts_with("index \"length\" of "), "{panicked}");
    assert_eq!(panicked.text, "a long name");
    // Until it ends, the cache itself is whole.
    assert_eq!(bench.shown(), ["a@1", "long@11"]);
}
