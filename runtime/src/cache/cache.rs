//! What readers hold.

use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use serde::de::DeserializeOwned;

use super::hub::Hub;
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

    /// Adds an index: `values` names what an object is found under. The first function of a name stays. It
    /// must be pure and quick, since it runs under the cache's lock.
    pub fn index(&self, name: &'static str, values: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) {
        self.hub.index(name, values);
    }

    /// The objects with this value in this index; none if there is no such index.
    #[must_use]
    pub fn indexed(&self, index: &'static str, value: &str) -> Vec<Arc<K>> {
        self.hub.read(|store| store.indexed(index, value))
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
        let mut synced = self.hub.synced();
        // Fails only when the hub is gone, which this holds.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// True once the first list is in.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.hub.synced().borrow()
    }

    /// Waits until cache or overlay are newer than `resource_version`, or the object is gone: after a conflict,
    /// before planning again (decision 17). False if that does not happen `within` the time.
    pub async fn passes(&self, key: &ObjectKey, resource_version: &str, within: Duration) -> bool {
        let mut changes = self.hub.changes();
        let known = Version::parse(resource_version);
        let passed = async {
            loop {
                changes.mark_unchanged();
                let Some(object) = self.get(key) else { return };
                let current = object.meta().resource_version.as_deref().unwrap_or_default();
                let version = Version::parse(current);
                let numeric = version.number().is_some() && known.number().is_some();
                if known.is_older_than(version) || (!numeric && current != resource_version) {
                    return;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(within, passed).await.is_ok()
    }

    /// Calls `handler` for every present object, then for every change, until the subscription is dropped.
    ///
    /// It is called synchronously, by the watch or by who records a write, and should only note the key (add
    /// it to a queue). It may use the cache. A panic in it is caught and logged.
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
