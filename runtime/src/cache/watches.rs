//! All watch caches of the process.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, Random, Scope};
use kube::Client;
use prometheus::Registry;

use super::cache::{Cache, Cached, Selection};
use super::hub::{AnyHub, Hub, Trim};
use super::metrics::Metrics;
use super::store::Keep;
use super::watcher::{Progress, Watcher};

/// A cache that cannot be followed for so long makes the process unready. Shorter ones are ordinary (an API server
/// that is upgraded), and a pod must not flap with them.
const STALE: Duration = Duration::from_secs(600);

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
    /// The same, with their kinds.
    hubs: Vec<(String, Arc<dyn AnyHub>)>,
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
        self.shared(selection, None)
    }

    /// The cache of all objects of this kind, of which the process keeps those of which `keep` is true, and what other readers
    /// in it ask for: an object costs nothing that nobody asks about. It is judged at each of its changes, as it is then;
    /// one that is kept no longer counts as gone. So whatever may need something must be kept, and who drops an object by its
    /// own write sees it until the watch has shown that. `keep` runs under the cache's lock and must not use it. `name` says
    /// what is kept (such as the driver): the same one counts once, so that a reader may come again.
    #[must_use]
    pub fn cache_keeping<K: Cached>(
        &self,
        name: &str,
        keep: impl Fn(&K) -> bool + Send + Sync + 'static,
    ) -> Cache<K> {
        self.shared(Selection::default(), Some(Keep::new(name, keep)))
    }

    fn shared<K: Cached>(&self, selection: Selection, keep: Option<Keep<K>>) -> Cache<K> {
        let mut known = self.inner.known();
        let place = (TypeId::of::<K>(), selection.clone());
        if let Some(cache) = known
            .caches
            .get(&place)
            .and_then(|cache| cache.downcast_ref::<Cache<K>>())
        {
            let cache = cache.clone();
            drop(known);
            cache.keep_too(keep);
            return cache;
        }
        let trim = known
            .trims
            .get(&place.0)
            .and_then(|trim| trim.downcast_ref::<Trim<K>>());
        let panics = self.inner.scope.panics();
        let is_selective = !selection.is_whole();
        let hub = Arc::new(Hub::new(is_selective, trim.cloned(), keep, panics));
        let cache = Cache::new(hub.clone());
        known.caches.insert(place, Box::new(cache.clone()));
        known.hubs.push((K::kind(&()).into_owned(), hub.clone()));
        drop(known);
        self.inner.start(hub, selection);
        cache
    }

    /// Makes every cache of the process list again; [`Cache::synced`] waits for it. A term of leadership asks the
    /// caches that it reads, by [`Cache::caught_up`].
    pub fn relist(&self) {
        let hubs = self.inner.known().hubs.clone();
        hubs.iter().for_each(|(_, hub)| hub.relist());
    }

    /// A check for [`base::http::Readiness::check`]: fails while a cache is known to be stale for more than ten
    /// minutes, since what is done then is done on old facts. It is true again with the first word of the API server.
    /// A kind whose definition is gone is not stale. The check does not keep the caches alive.
    pub fn freshness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.inner);
        move || {
            let hubs = inner.upgrade().map(|inner| inner.known().hubs.clone());
            let mut stale: Vec<String> = hubs
                .iter()
                .flatten()
                .filter_map(|(kind, hub)| Some((kind, hub.stale_for()?)))
                .filter(|(_, lost)| *lost >= STALE)
                .map(|(kind, lost)| format!("{kind} not followed for {} min", lost.as_secs() / 60))
                .collect();
            stale.sort();
            if stale.is_empty() {
                return Ok(());
            }
            Err(format!("the API server cannot be followed: {}", stale.join(", ")))
        }
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
        let kind = K::kind(&());
        if let Some(metrics) = &self.metrics {
            let hub: Arc<dyn AnyHub> = hub.clone();
            metrics.add(&kind, &hub);
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
        self.scope.spawn_named(format!("watch of {kind}"), watcher.run());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.unregister(&self.registry);
        }
    }
}
