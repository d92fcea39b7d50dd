//! The store of one cache, those who wait for it and those who are told of its changes.
//!
//! Handlers are called without the lock, in the order of the changes, by whoever made the change; if another
//! thread (or the handler itself) is calling handlers at that moment, that one goes on with ours.

use std::any::type_name;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Panics;
use kube::Resource;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::asks::Asks;
use super::contact::Contact;
use super::index::IndexTaken;
use super::kept::{Item, Packing, Place};
use super::store::{Keep, Listed, StaleList, Store};
use super::subscription::{Change, Source};
use super::version::Version;
use crate::objects::ObjectKey;

pub(super) type Handler<K> = Arc<dyn Fn(&Change<K>) + Send + Sync>;
pub(super) type Trim<K> = Arc<dyn Fn(&mut K) + Send + Sync>;

pub(super) struct Hub<K> {
    state: Mutex<State<K>>,
    /// Wakes those who wait for a change, in the order in which they came: one that wakes them in any order would make
    /// schedules that cannot be replayed.
    changed: Notify,
    asks: Mutex<Asks>,
    asked: Notify,
    trim: Option<Trim<K>>,
    packing: Option<Packing<K>>,
    panics: Panics,
}

/// A cache of whatever kind.
pub(super) trait AnyHub: Send + Sync {
    fn objects(&self) -> usize;

    /// When the API server last said anything (list, event, bookmark).
    fn last_word(&self) -> Instant;

    /// For how long the objects have not been followed; `None` while they are.
    fn lost_for(&self) -> Option<Duration>;

    /// The same, where that makes what is known out of date.
    fn stale_for(&self) -> Option<Duration>;

    /// Asks for a list.
    fn relist(&self);
}

impl<K: Resource + Send + Sync + 'static> AnyHub for Hub<K> {
    fn objects(&self) -> usize {
        self.read(Store::len)
    }

    fn last_word(&self) -> Instant {
        self.lock().contact.last_word()
    }

    fn lost_for(&self) -> Option<Duration> {
        self.lock().contact.lost_for(Instant::now())
    }

    fn stale_for(&self) -> Option<Duration> {
        self.lock().contact.stale_for(Instant::now())
    }

    fn relist(&self) {
        self.change_asks(Asks::ask_for_list);
    }
}

struct State<K> {
    store: Store<K>,
    handlers: BTreeMap<u64, Handler<K>>,
    next_handler: u64,
    undelivered: VecDeque<Undelivered<K>>,
    delivering: bool,
    contact: Contact,
}

/// What handlers are still to be told.
enum Undelivered<K> {
    One(Delivery<K>),
    /// To one handler every object behind this place, one after the other.
    All {
        behind: Place,
        handler: u64,
        source: Source,
    },
}

struct Delivery<K> {
    change: Change<K>,
    to: To,
}

#[derive(Clone, Copy)]
enum To {
    One(u64),
    /// Those who had subscribed before.
    Before(u64),
}

impl To {
    fn includes(self, handler: u64) -> bool {
        match self {
            Self::One(one) => handler == one,
            Self::Before(next) => handler < next,
        }
    }
}

impl<K: Resource + 'static> Hub<K> {
    pub(super) fn new(selective: bool, trim: Option<Trim<K>>, keep: Option<Keep<K>>, panics: Panics) -> Self {
        Self {
            state: Mutex::new(State {
                store: Store::new(selective, keep),
                handlers: BTreeMap::new(),
                next_handler: 0,
                undelivered: VecDeque::new(),
                delivering: false,
                contact: Contact::new(Instant::now()),
            }),
            changed: Notify::new(),
            asks: Mutex::default(),
            asked: Notify::new(),
            trim,
            packing: Packing::of_kind(),
            panics,
        }
    }

    /// An object of a list as [`Hub::replace`] takes it; none where it is not kept.
    pub(super) fn item(&self, object: K) -> Option<Item<K>> {
        let object = self.trimmed(object);
        let is_kept = self.read(|store| store.keeps(&object));
        is_kept.then(|| Item::new(object, self.packing.as_ref()))
    }

    /// Keeps these objects too from now on, all of them for a reader that wants no less. It counts as synced once they are listed.
    pub(super) fn keep_too(&self, keep: Option<Keep<K>>) {
        let is_new = match keep {
            Some(keep) => self.lock().store.keep_too(keep),
            None => self.lock().store.keep_all(),
        };
        if is_new {
            self.change_asks(Asks::ask_for_list);
        }
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Store<K>) -> T) -> T {
        read(&self.lock().store)
    }

    pub(super) fn index<F>(&self, name: &'static str, values: F) -> Result<(), IndexTaken>
    where
        F: Fn(&K) -> Vec<String> + Send + Sync + 'static,
        K: Resource<DynamicType = ()>,
    {
        self.lock().store.index(name, values, self.panics.clone())
    }

    /// An event of the watch.
    pub(super) fn apply(&self, object: K) {
        let object = self.trimmed(object);
        self.write(|store| store.apply(object));
        self.heard();
    }

    pub(super) fn apply_deleted(&self, key: &ObjectKey, uid: &str, version: Version) {
        self.write(|store| store.apply_deleted(key, uid, version));
        self.heard();
    }

    pub(super) fn advance(&self, version: Version) {
        self.write(|store| store.advance(version));
        self.heard();
    }

    /// Takes a list that was begun after this ask.
    pub(super) fn replace(&self, listed: Listed<Item<K>>, force: bool, ask: u64) -> Result<(), StaleList> {
        self.write(|store| store.replace(listed, force))?;
        self.heard();
        self.change_asks(|asks| asks.listed(ask));
        Ok(())
    }

    /// The watch has passed a version that was asked for after this ask.
    pub(super) fn passed(&self, ask: u64) {
        self.change_asks(|asks| asks.passed(ask));
    }

    pub(super) fn record(&self, object: K) -> Arc<K> {
        let object = self.trimmed(object);
        self.write(|store| store.record(object, Instant::now()))
    }

    pub(super) fn record_deleted(&self, key: &ObjectKey, uid: &str) {
        self.write(|store| store.record_deleted(key, uid, Version::default(), Instant::now()));
    }

    /// The next change from now on.
    pub(super) fn change(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn asks(&self) -> Asks {
        *self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_asks(&self, change: impl FnOnce(&mut Asks)) {
        change(&mut self.asks.lock().unwrap_or_else(PoisonError::into_inner));
        self.asked.notify_waiters();
    }

    /// Asks for the cache to be fresh; the number of the ask.
    pub(super) fn ask(&self) -> u64 {
        let mut ask = 0;
        self.change_asks(|asks| ask = asks.ask());
        ask
    }

    /// Resolves when it is so with the asks.
    pub(super) async fn until(&self, so: impl Fn(Asks) -> bool) {
        loop {
            let asked = self.asked.notified();
            if so(self.asks()) {
                return;
            }
            asked.await;
        }
    }

    /// Changes what is known of the contact with the server.
    pub(super) fn contact(&self, change: impl FnOnce(&mut Contact)) {
        change(&mut self.lock().contact);
    }

    pub(super) fn subscribe(&self, handler: Handler<K>) -> u64 {
        let id = {
            let mut state = self.lock();
            let id = state.next_handler;
            state.next_handler += 1;
            state.handlers.insert(id, handler);
            state.show_all(id, Source::Subscribed);
            id
        };
        self.deliver();
        id
    }

    pub(super) fn unsubscribe(&self, id: u64) {
        // Dropped outside of the lock: it may own anything.
        let _handler = self.lock().handlers.remove(&id);
    }

    pub(super) fn resync(&self, id: u64) {
        self.lock().show_all(id, Source::Resync);
        self.deliver();
    }

    fn trimmed(&self, mut object: K) -> K {
        object.meta_mut().managed_fields = None;
        if let Some(trim) = &self.trim {
            trim(&mut object);
        }
        object
    }

    /// The server said something.
    pub(super) fn heard(&self) {
        self.contact(|contact| contact.heard(Instant::now()));
    }

    fn write<T>(&self, write: impl FnOnce(&mut Store<K>) -> T) -> T {
        let (answer, changed) = {
            let mut state = self.lock();
            let told = !state.handlers.is_empty();
            state.store.tell(told);
            let answer = write(&mut state.store);
            let (changed, changes) = state.store.take_changes();
            let to = To::Before(state.next_handler);
            let deliveries = changes
                .into_iter()
                .map(|change| Undelivered::One(Delivery { change, to }));
            state.undelivered.extend(deliveries);
            (answer, changed)
        };
        if changed {
            self.deliver();
            self.changed.notify_waiters();
        }
        answer
    }

    fn deliver(&self) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.delivering, true) {
            return;
        }
        while let Some(delivery) = state.next_delivery() {
            let handlers: Vec<_> = state
                .handlers
                .iter()
                .filter(|(id, _)| delivery.to.includes(**id))
                .map(|(_, handler)| handler.clone())
                .collect();
            drop(state);
            for handler in handlers {
                self.call(&handler, &delivery.change);
            }
            state = self.lock();
        }
        state.delivering = false;
    }

    /// A handler that panics may have told nobody of the change, and nobody would be told again: the process ends. Who
    /// can say whom a panic concerns catches it in the handler.
    fn call(&self, handler: &Handler<K>, change: &Change<K>) {
        if let Err(caught) = catch_unwind(AssertUnwindSafe(|| handler(change))) {
            let task = format!("handler of changes of {} for {}", type_name::<K>(), change.key);
            self.panics.tell(&task, caught.as_ref());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Resource + 'static> State<K> {
    fn show_all(&mut self, handler: u64, source: Source) {
        self.undelivered.push_back(Undelivered::All {
            behind: Place::first(),
            handler,
            source,
        });
    }

    fn next_delivery(&mut self) -> Option<Delivery<K>> {
        loop {
            let (behind, handler, source) = match self.undelivered.pop_front()? {
                Undelivered::One(delivery) => return Some(delivery),
                Undelivered::All {
                    behind,
                    handler,
                    source,
                } => (behind, handler, source),
            };
            if !self.handlers.contains_key(&handler) {
                continue;
            }
            let Some((place, key, object)) = self.store.behind(&behind) else {
                continue;
            };
            self.undelivered.push_front(Undelivered::All {
                behind: place,
                handler,
                source,
            });
            return Some(Delivery {
                change: Change {
                    key,
                    old: (source == Source::Resync).then(|| object.clone()),
                    new: Some(object),
                    source,
                },
                to: To::One(handler),
            });
        }
    }
}
