//! From a change of an object to the keys that it concerns.

use std::time::Duration;

use base::{Queue, Scope};
use runtime::{Cache, Cached, Change, ObjectKey, Source, Subscription};

/// An object that came (`new` only), changed (both) or went (`old` only). Who told of it is not in it: whether a change
/// concerns a controller depends on old and new alone, since the writer may be another function of this process.
#[derive(Debug)]
pub struct Difference<'a, K> {
    /// The object.
    pub key: &'a ObjectKey,
    /// What was known before; none for an object that is looked at anew.
    pub old: Option<&'a K>,
    /// What is known now. Under one name an object with another UID may follow without a deletion between.
    pub new: Option<&'a K>,
}

impl<K> Clone for Difference<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Difference<'_, K> {}

impl<'a, K> Difference<'a, K> {
    fn of(change: &'a Change<K>) -> Self {
        Self {
            key: &change.key,
            old: change.old.as_deref().filter(|_| change.source != Source::Resync),
            new: change.new.as_deref(),
        }
    }

    /// Both sides, as far as they are there.
    pub fn sides(self) -> impl Iterator<Item = &'a K> {
        self.old.into_iter().chain(self.new)
    }
}

/// Enqueues keys as long as it lives.
#[derive(Debug, Default)]
pub struct Enqueue {
    subscriptions: Vec<Subscription>,
}

impl Enqueue {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the keys that `concerned` names for a change of an object of this cache. It is also called for every object
    /// that is there now.
    pub fn on<K: Cached>(
        &mut self,
        cache: &Cache<K>,
        queue: &Queue<ObjectKey>,
        concerned: impl Fn(Difference<'_, K>) -> Vec<ObjectKey> + Send + Sync + 'static,
    ) -> &Subscription {
        let queue = queue.clone();
        self.tell(cache, move |difference| {
            for key in concerned(difference) {
                queue.add(key);
            }
        })
    }

    /// Calls `told` for a change of an object of this cache, and for every object that is there now.
    pub fn tell<K: Cached>(
        &mut self,
        cache: &Cache<K>,
        told: impl Fn(Difference<'_, K>) + Send + Sync + 'static,
    ) -> &Subscription {
        let subscription = cache.subscribe(move |change| told(Difference::of(change)));
        self.subscriptions.push(subscription);
        let last = self.subscriptions.len() - 1;
        &self.subscriptions[last]
    }

    /// Looks at every object of the caches again each `period`, until `scope` stops; zero means never.
    pub fn resync_every(&self, period: Duration, scope: &Scope) {
        for subscription in &self.subscriptions {
            subscription.resync_every(period, scope);
        }
    }
}

/// Serves the keys of a queue, until the term ends, round robin by the namespace that their objects are for: those of a
/// cluster-scoped kind do not bear it in their names.
pub fn serve_by_namespace<K: Cached>(
    queue: &Queue<ObjectKey>,
    cache: &Cache<K>,
    namespace: impl Fn(&K) -> Option<String> + Send + Sync + 'static,
) {
    let cache = cache.clone();
    queue.serve_by(move |key| {
        let object = cache.get(key);
        object.and_then(|object| namespace(&object)).unwrap_or_default()
    });
}
