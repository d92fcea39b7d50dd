//! What readers hold.

use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use serde::de::DeserializeOwned;

use super::asks::Asks;
use super::hub::{AnyHub as _, Hub};
use super::index::IndexTaken;
use super::store::Keep;
use super::subscription::{Change, Subscription};
use super::version::Version;
use crate::objects::ObjectKey;

/// Kinds that can be cached: every typed resource. `managedFields` are always dropped; further trimming is
/// done by the type itself (see [`crate::objects`]) or by [`super::Watches::trim`].
pub trait Cached: Resource<DynamicType = ()> + Clone + DeserializeOwned + Send + Sync + 'static {}

impl<K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Send + Sync + 'static> Cached for K {}

/// Which objects of a kind; the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selection {
    /// Only this namespace; empty for all, and for cluster-scoped kinds.
    pub namespace: String,
    /// Label selector, as in `kubectl -l`.
    pub labels: Option<String>,
    /// Field selector, as in `kubectl --field-selector`.
    pub fields: Option<String>,
    /// The version of the API that is asked for, where it is not the type's own; what the type reads must be the same in both.
    pub version: Option<&'static str>,
}

impl Selection {
    /// Objects with these labels.
    #[must_use]
    pub fn labels(selector: impl Into<String>) -> Self {
        Self {
            labels: Some(selector.into()),
            ..Self::default()
        }
    }

    /// Objects with these fields.
    #[must_use]
    pub fn fields(selector: impl Into<String>) -> Self {
        Self {
            fields: Some(selector.into()),
            ..Self::default()
        }
    }

    /// The same as this version of the API has it.
    #[must_use]
    pub fn in_version<K: Cached>(mut self, version: &'static str) -> Self {
        self.version = Some(version).filter(|version| *version != K::version(&()));
        self
    }

    /// Whether it is all objects of the kind.
    pub(super) fn is_whole(&self) -> bool {
        self.namespace.is_empty() && self.labels.is_none() && self.fields.is_none()
    }

    /// The same in one namespace only.
    #[must_use]
    pub fn within(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }
}

/// The objects of one kind and selection, kept up to date by a watch and by our own writes. Cloning is cheap.
///
/// All reads are synchronous, send nothing, and answer in key order.
pub struct Cache<K> {
    hub: Arc<Hub<K>>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            hub: self.hub.clone(),
        }
    }
}

impl<K: Cached> Cache<K> {
    pub(super) fn new(hub: Arc<Hub<K>>) -> Self {
        Self { hub }
    }

    pub(super) fn keep_too(&self, keep: Option<Keep<K>>) {
        self.hub.keep_too(keep);
    }

    /// The newest known of an object: cache or overlay.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.hub.read(|store| store.get(key))
    }

    /// All objects.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        self.hub
            .read(|store| store.all().map(|(_, object)| object).collect())
    }

    /// Shows every object, one after the other, none of which stays built. `look` runs under the cache's lock and must not
    /// use the cache.
    pub fn each(&self, mut look: impl FnMut(&K)) {
        self.hub
            .read(|store| store.all().for_each(|(_, object)| look(&object)));
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hub.read(super::store::Store::len)
    }

    /// True when there are no objects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an index: `values` names what an object is found under. It must be pure and quick, since it runs under
    /// the cache's lock, and capture nothing; should it panic, the process ends ([`base::Panics`]). Adding the same
    /// function again under the same name changes nothing, so that each term of leadership may do it.
    ///
    /// # Errors
    /// Another function has this name, of this reader or of another one of the shared cache.
    pub fn index<F>(&self, name: &'static str, values: F) -> Result<(), IndexTaken>
    where
        F: Fn(&K) -> Vec<String> + Send + Sync + 'static,
    {
        const {
            assert!(
                size_of::<F>() == 0,
                "an index function captures nothing: its type must say which function it is"
            );
        }
        self.hub.index(name, values)
    }

    /// The objects with this value in this index; none if there is no such index.
    #[must_use]
    pub fn indexed(&self, index: &'static str, value: &str) -> Vec<Arc<K>> {
        self.hub.read(|store| store.indexed(index, value).collect())
    }

    /// The first object with this value in this index, in key order, of which this is true. Objects are built one by
    /// one, and none behind it. `so` runs under the cache's lock and must not use the cache.
    pub fn find(&self, index: &'static str, value: &str, so: impl Fn(&K) -> bool) -> Option<Arc<K>> {
        self.hub
            .read(|store| store.indexed(index, value).find(|object| so(object)))
    }

    /// How many objects have this value in this index. No object is built or looked at.
    #[must_use]
    pub fn count(&self, index: &'static str, value: &str) -> usize {
        self.hub.read(|store| store.count(index, value))
    }

    /// Whether any object has this value in this index, at the cost of [`Cache::count`].
    #[must_use]
    pub fn has(&self, index: &'static str, value: &str) -> bool {
        self.count(index, value) > 0
    }

    /// Takes the answer to an own write, or to a live GET, into the overlay. Returns the newest known of the
    /// object, which is the cache's own if the watch was faster.
    ///
    /// An object that is marked deleted and has no finalizers left counts as deleted.
    pub fn record(&self, written: K) -> Arc<K> {
        self.hub.record(written)
    }

    /// Takes the success of an own DELETE. Nothing happens if another object has that name.
    pub fn record_deleted(&self, key: &ObjectKey, uid: &str) {
        self.hub.record_deleted(key, uid);
    }

    /// Resolves when the first list is in, and after [`super::Watches::relist`] when the new one is.
    pub async fn synced(&self) {
        self.hub.until(Asks::is_synced).await;
    }

    /// True once the first list is in.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.hub.asks().is_synced()
    }

    /// False from the first failure to follow the objects until the API server says something, or a watch stands: what is
    /// not here may be there all the same.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.hub.lost_for().is_none()
    }

    /// Resolves when the cache holds what the API server held at the time of the call, or newer. A term of leadership
    /// begins with it, for each cache that it reads: others have led meanwhile, and a watch that lags or is in its
    /// back-off does not show yet what they did. Readers of the same cache that do not ask are not held up.
    ///
    /// Sends: nothing where the first list has not begun, which is waited for; else one list for up to 500 objects, and for more
    /// one LIST of nothing and two short WATCHes instead, with a list only where those cannot show it.
    pub async fn caught_up(&self) {
        let ask = self.hub.ask();
        self.hub.until(|asks| asks.has_served(ask)).await;
    }

    /// Waits until cache or overlay are newer than `resource_version`, or the object is gone: after a conflict,
    /// before planning again (decision 17). False if that does not happen `within` the time.
    pub async fn passes(&self, key: &ObjectKey, resource_version: &str, within: Duration) -> bool {
        let known = Version::parse(resource_version);
        let passed = async {
            loop {
                let change = self.hub.change();
                let Some(object) = self.get(key) else { return };
                let current = object.meta().resource_version.as_deref().unwrap_or_default();
                let version = Version::parse(current);
                let numeric = version.number().is_some() && known.number().is_some();
                if known.is_older_than(version) || (!numeric && current != resource_version) {
                    return;
                }
                change.await;
            }
        };
        tokio::time::timeout(within, passed).await.is_ok()
    }

    /// Calls `handler` for every present object, then for every change, until the subscription is dropped.
    ///
    /// It is called synchronously, by the watch or by who records a write, and should only note the key (add
    /// it to a queue). It may use the cache. A panic in it ends the process ([`base::Panics`]), since nobody knows
    /// who was to be told: a handler that does more than look at fields catches what concerns one key itself.
    #[must_use = "dropping the subscription ends it"]
    pub fn subscribe(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) -> Subscription {
        let id = self.hub.subscribe(Arc::new(handler));
        let (to_resync, to_end) = (Arc::downgrade(&self.hub), Arc::downgrade(&self.hub));
        let resync = move || {
            if let Some(hub) = to_resync.upgrade() {
                hub.resync(id);
            }
        };
        let end = move || {
            if let Some(hub) = to_end.upgrade() {
                hub.unsubscribe(id);
            }
        };
        Subscription::new(resync, end)
    }
}
