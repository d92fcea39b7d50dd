//! All watch caches of the process.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Clock, Random, Scope};
use kube::Client;
use prometheus::Registry;

use super::cache::{Cache, Cached, Selection};
use super::hub::{Hub, Trim};
use super::metrics::Metrics;
use super::watcher::{Progress, Watcher};

/// How the present state is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// Streaming lists (`sendInitialEvents`), paged ones where the server has none (decision 11).
    #[default]
    Streaming,
    /// Paged lists only: one LIST and one WATCH a cache.
    Paged,
}

/// The watch caches of the process, one a kind and selection. Clones share them; the watches end with the last
/// clone, or when the scope is aborted. They go on while the scope is stopping, since work is drained with them.
#[derive(Clone)]
pub struct Watches {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    random: Random,
    scope: Scope,
    registry: Registry,
    metrics: Option<Metrics>,
    listing: Listing,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Holds `Cache<K>` for the `TypeId` of `K`.
    caches: BTreeMap<(TypeId, Selection), Box<dyn Any + Send + Sync>>,
    /// Ask each cache for a list.
    relists: Vec<Arc<dyn Fn() + Send + Sync>>,
    /// Holds `Trim<K>`.
    trims: BTreeMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl Watches {
    /// Caches that list as [`Listing::default`] does. The metrics are served by `registry`.
    #[must_use]
    pub fn new(client: Client, clock: Clock, random: Random, scope: &Scope, registry: &Registry) -> Self {
        Self::with_listing(client, clock, random, scope, registry, Listing::default())
    }

    /// Caches that list in this way.
    #[must_use]
    pub fn with_listing(
        client: Client,
        _clock: Clock,
        random: Random,
        scope: &Scope,
        registry: &Registry,
        listing: Listing,
    ) -> Self {
        let metrics = Metrics::new().and_then(|metrics| metrics.register(registry).map(|()| metrics));
        let metrics = metrics
            .inspect_err(|error| tracing::warn!(%error, "the metrics of the watch caches are not served"))
            .ok();
        Self {
            inner: Arc::new(Inner {
                client,
                random,
                scope: scope.child(),
                registry: registry.clone(),
                metrics,
                listing,
                known: Mutex::default(),
            }),
        }
    }

    /// The cache of this kind and selection. The first call starts its watch; later ones share it.
    #[must_use]
    pub fn cache<K: Cached>(&self, selection: Selection) -> Cache<K> {
        let mut known = self.inner.known();
        let place = (TypeId::of::<K>(), selection.clone());
        if let Some(cache) = known
            .caches
            .get(&place)
            .and_then(|cache| cache.downcast_ref::<Cache<K>>())
        {
            return cache.clone();
        }
        let trim = known
            .trims
            .get(&place.0)
            .and_then(|trim| trim.downcast_ref::<Trim<K>>());
        let hub = Arc::new(Hub::new(selection != Selection::default(), trim.cloned()));
        let cache = Cache::new(hub.clone());
        known.caches.insert(place, Box::new(cache.clone()));
        let asked = hub.clone();
        known.relists.push(Arc::new(move || asked.relist()));
        drop(known);
        self.inner.start(hub, selection);
        cache
    }

    /// Makes every cache list again; [`Cache::synced`] waits for it. For a function that leads once more in
    /// the same process: others have led meanwhile, and a watch that is in its back-off does not show yet
    /// what they did.
    pub fn relist(&self) {
        let relists = self.inner.known().relists.clone();
        relists.iter().for_each(|relist| relist());
    }

    /// Drops what no reader of this process needs of every object of this kind, before it is stored. Must be
    /// called before the first [`Watches::cache`] of the kind, by who assembles the process: what one
    /// function does not need another one may.
    pub fn trim<K: Cached>(&self, trim: impl Fn(&mut K) + Send + Sync + 'static) {
        let trim: Trim<K> = Arc::new(trim);
        self.inner.known().trims.insert(TypeId::of::<K>(), Box::new(trim));
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start<K: Cached>(&self, hub: Arc<Hub<K>>, selection: Selection) {
        if let Some(metrics) = &self.metrics {
            metrics.add(&K::kind(&()), &hub);
        }
        let watcher = Watcher {
            client: self.client.clone(),
            random: self.random.fork(),
            hub,
            selection,
            listing: self.listing,
            metrics: self.metrics.clone(),
            state: Progress::default(),
        };
        self.scope.spawn(watcher.run());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.unregister(&self.registry);
        }
    }
}
