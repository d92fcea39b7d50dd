//! The watch caches against a scripted API server.

mod broken;
mod caught_up;
mod follow;
mod index;
mod keeping;
mod list;
mod overlay;
mod quiet;
mod server;
mod subscribe;

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Random, Scope};
use prometheus::{Registry, TextEncoder};
use runtime::objects::Claim;
use runtime::{Cache, Listing, ObjectKey, Selection, Watches};
use serde_json::Value;

use crate::script::{Script, Watch, settle};

/// A cache of claims, its server, and what keeps it alive.
struct Bench {
    script: Script,
    cache: Cache<Claim>,
    watches: Watches,
    registry: Registry,
    scope: Scope,
}

impl Bench {
    fn new(listing: Listing) -> Self {
        Self::selecting(listing, Selection::default())
    }

    fn selecting(listing: Listing, selection: Selection) -> Self {
        Self::with(listing, |watches| watches.cache(selection))
    }

    /// That keeps these claims.
    fn keeping(listing: Listing, keep: fn(&Claim) -> bool) -> Self {
        Self::with(listing, |watches| watches.cache_keeping("a", keep))
    }

    fn with(listing: Listing, cache: impl FnOnce(&Watches) -> Cache<Claim>) -> Self {
        let (script, scope, registry) = (Script::default(), Scope::new(), Registry::new());
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let random = Random::seeded(1);
        let watches = Watches::with_listing(script.client(), clock, random, &scope, &registry, listing);
        let cache = cache(&watches);
        Self {
            script,
            cache,
            watches,
            registry,
            scope,
        }
    }

    /// A synced cache of paged lists, with its watch open.
    async fn following(version: &str, items: &[Value]) -> (Self, Watch) {
        let bench = Self::new(Listing::Paged);
        let watch = bench.list_and_watch(version, items).await;
        (bench, watch)
    }

    async fn list_and_watch(&self, version: &str, items: &[Value]) -> Watch {
        self.script.list(version, items);
        let watch = self.script.watch();
        self.synced().await;
        settle().await;
        watch
    }

    /// Waits for the first list, but not for ever.
    async fn synced(&self) {
        let synced = tokio::time::timeout(Duration::from_secs(3600), self.cache.synced());
        synced.await.unwrap();
    }

    /// `name@version` of all objects.
    fn shown(&self) -> Vec<String> {
        self.cache.all().iter().map(label).collect()
    }

    fn metrics(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap()
    }

    async fn wait(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

fn label(claim: &Arc<Claim>) -> String {
    let meta = &claim.metadata;
    format!(
        "{}@{}",
        meta.name.as_deref().unwrap(),
        meta.resource_version.as_deref().unwrap()
    )
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("shop", name)
}

fn typed(claim: &Value) -> Claim {
    serde_json::from_value(claim.clone()).unwrap()
}
