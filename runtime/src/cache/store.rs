//! Objects, overlay and tombstones of one cache. Synchronous and without I/O: the rules are all here.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use base::Panics;
use base::every::Every;
use kube::Resource;
use tokio::time::Instant;

use super::index::{Index, IndexTaken};
use super::kept::{Item, Kept, Packing, Place};
use super::subscription::{Change, Source};
use super::version::Version;
use crate::objects::ObjectKey;
use crate::write::is_gone;

/// A tombstone that no event cleared (the watch was faster than the answer to our DELETE) is dropped after
/// this; a watch that lags longer is cut and resumed.
const TOMBSTONE_KEPT: Duration = Duration::from_secs(600);
/// How often they are looked through for older ones.
const SWEEP: Duration = Duration::from_secs(10);

/// The answer to a complete list of objects, in whatever form they are taken.
pub(crate) struct Listed<T> {
    pub(crate) objects: Vec<T>,
    /// Objects that are there but could not be decoded.
    pub(crate) unreadable: BTreeSet<ObjectKey>,
    /// resourceVersion of the list.
    pub(crate) version: String,
}

/// A list that is older than what the watch has already shown.
#[derive(Debug, PartialEq)]
pub(super) struct StaleList;

pub(super) struct Entry<K> {
    kept: Kept<K>,
    /// Zero for a version that is not numeric.
    version: u64,
}

impl<K> Entry<K> {
    fn version(&self) -> Version {
        Version::numbered(self.version)
    }
}

struct Tombstone {
    /// The last version known of the deleted object; its deletion is later.
    version: Version,
    recorded: Instant,
}

/// What a reader wants kept: whether it needs an object, as it is now.
#[derive(Clone)]
pub(super) struct Keep<K> {
    name: Arc<str>,
    needs: Arc<dyn Fn(&K) -> bool + Send + Sync>,
}

impl<K> Keep<K> {
    pub(super) fn new(name: &str, needs: impl Fn(&K) -> bool + Send + Sync + 'static) -> Self {
        Self {
            name: name.into(),
            needs: Arc::new(needs),
        }
    }
}

pub(super) struct Store<K> {
    entries: BTreeMap<Place, Entry<K>>,
    /// What the readers want kept; none for all. Own writes are, until the watch has passed them.
    keep: Option<Vec<Keep<K>>>,
    packing: Option<Packing<K>>,
    /// By key and UID.
    tombstones: BTreeMap<(ObjectKey, String), Tombstone>,
    sweep: Every,
    indexes: BTreeMap<&'static str, Index<K>>,
    /// Those that came from an own write which the watch has not passed yet, by version.
    own: BTreeSet<(u64, ObjectKey)>,
    /// The watch has shown everything up to here.
    seen: Version,
    /// The watch shows only some objects of the kind.
    selective: bool,
    /// Nobody is told of changes: that there were some is enough.
    is_silent: bool,
    has_changed: bool,
    changes: Vec<Change<K>>,
}

impl<K: Resource + 'static> Store<K> {
    /// `selective`: the watch shows only some objects of the kind.
    pub(super) fn new(selective: bool, keep: Option<Keep<K>>) -> Self {
        Self {
            selective,
            keep: keep.map(|keep| vec![keep]),
            entries: BTreeMap::new(),
            packing: Packing::of_kind(),
            tombstones: BTreeMap::new(),
            sweep: Every::new(SWEEP),
            indexes: BTreeMap::new(),
            own: BTreeSet::new(),
            seen: Version::default(),
            is_silent: false,
            has_changed: false,
            changes: Vec::new(),
        }
    }

    pub(super) fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.at(&Place::of(key))
    }

    fn at(&self, place: &Place) -> Option<Arc<K>> {
        let entry = self.entries.get(place)?;
        entry.kept.object(place, self.packing.as_ref())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Place, Arc<K>)> {
        objects(&self.entries, self.packing.as_ref())
    }

    /// The watch has shown everything up to this version.
    pub(super) fn has_passed(&self, version: Version) -> bool {
        version.is_older_than(self.seen) || version.is_same_as(self.seen)
    }

    /// The watch has shown everything up to here.
    pub(super) fn seen(&self) -> Version {
        self.seen
    }

    /// The first object behind this place, and its own.
    pub(super) fn behind(&self, place: &Place) -> Option<(Place, ObjectKey, Arc<K>)> {
        let behind = (Bound::Excluded(place), Bound::Unbounded);
        self.entries.range(behind).find_map(|(place, entry)| {
            let object = entry.kept.object(place, self.packing.as_ref())?;
            Some((place.clone(), place.key(), object))
        })
    }

    /// An object of a list as [`Store::replace`] takes it.
    #[cfg(test)]
    pub(super) fn item(&self, object: K) -> Item<K> {
        Item::new(object, self.packing.as_ref())
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) fn tombstones(&self) -> usize {
        self.tombstones.len()
    }

    /// Whether changes are to be told: the first list of a large cluster is not, since nobody has subscribed yet.
    pub(super) fn tell(&mut self, told: bool) {
        self.is_silent = !told;
    }

    /// Whether there were changes since the last call, and those to be told, in order.
    pub(super) fn take_changes(&mut self) -> (bool, Vec<Change<K>>) {
        (
            std::mem::take(&mut self.has_changed),
            std::mem::take(&mut self.changes),
        )
    }

    fn note(&mut self, change: Change<K>) {
        self.has_changed = true;
        if !self.is_silent {
            self.changes.push(change);
        }
    }

    /// Adds an index. The same function may come again under its name, another one may not.
    pub(super) fn index<F>(&mut self, name: &'static str, values: F, panics: Panics) -> Result<(), IndexTaken>
    where
        F: Fn(&K) -> Vec<String> + Send + Sync + 'static,
        K: Resource<DynamicType = ()>,
    {
        if let Some(index) = self.indexes.get(name) {
            let taken = IndexTaken {
                name,
                kind: K::kind(&()).into_owned(),
            };
            return (index.function() == TypeId::of::<F>()).then_some(()).ok_or(taken);
        }
        let mut index = Index::new(name, values, panics);
        for (place, object) in self.all() {
            index.update(place, None, Some(&object));
        }
        self.indexes.insert(name, index);
        Ok(())
    }

    /// The objects of a value, built one by one.
    pub(super) fn indexed(&self, index: &str, value: &str) -> impl Iterator<Item = Arc<K>> {
        let index = self.indexes.get(index).into_iter();
        index
            .flat_map(move |index| index.places(value))
            .filter_map(|place| self.at(place))
    }

    pub(super) fn count(&self, index: &str, value: &str) -> usize {
        self.indexes.get(index).map_or(0, |index| index.count(value))
    }

    /// Whether an object is kept, as it is now.
    pub(super) fn keeps(&self, object: &K) -> bool {
        let keep = self.keep.as_ref();
        keep.is_none_or(|keep| keep.iter().any(|keep| (keep.needs)(object)))
    }

    /// Keeps these too from now on. True where that is new: they are to be listed.
    pub(super) fn keep_too(&mut self, wanted: Keep<K>) -> bool {
        let Some(keep) = &mut self.keep else {
            return false;
        };
        let is_new = keep.iter().all(|keep| keep.name != wanted.name);
        if is_new {
            keep.push(wanted);
        }
        is_new
    }

    /// Keeps all from now on. True where that is new: those that were not kept are to be listed.
    pub(super) fn keep_all(&mut self) -> bool {
        self.keep.take().is_some()
    }

    /// ADDED or MODIFIED.
    pub(super) fn apply(&mut self, object: K) {
        let version = Version::of(&object);
        if !self.keeps(&object) {
            return self.pass_over(&ObjectKey::of(&object), version);
        }
        self.upsert(Arc::new(object), None, version);
        self.advance(version);
    }

    /// An object that is not kept, as of this version: one that was kept goes.
    fn pass_over(&mut self, key: &ObjectKey, version: Version) {
        let known = self.entries.get(&Place::of(key)).map(Entry::version);
        if known.is_some_and(|known| !version.is_older_than(known)) {
            self.remove(key, Source::Watch);
        }
        self.advance(version);
    }

    /// DELETED, at this version. Nothing else of the object need be known.
    pub(super) fn apply_deleted(&mut self, key: &ObjectKey, uid: &str, version: Version) {
        self.tombstones.remove(&(key.clone(), uid.to_owned()));
        self.outlive(key, version);
        if !self.has_successor(key, uid, version) {
            self.remove(key, Source::Watch);
        }
        self.advance(version);
    }

    /// A newer one has been recorded under the name of a deleted one: by its version, or where versions cannot be
    /// compared by its UID.
    fn has_successor(&self, key: &ObjectKey, deleted: &str, version: Version) -> bool {
        let Some(entry) = self.entries.get(&Place::of(key)) else {
            return false;
        };
        if version.number().is_some() {
            return version.is_older_than(entry.version());
        }
        let is_other = |present: Arc<K>| ![deleted, ""].contains(&uid(present.as_ref()));
        !deleted.is_empty() && self.get(key).is_some_and(is_other)
    }

    /// Everything up to this version has been shown (an event of another object, or a bookmark).
    pub(super) fn advance(&mut self, version: Version) {
        self.seen = self.seen.max(version);
        let Some(seen) = self.seen.number() else { return };
        while self.own.first().is_some_and(|(version, _)| *version <= seen) {
            let Some((version, key)) = self.own.pop_first() else {
                break;
            };
            let is_present = |entry: &Entry<K>| entry.version().number() == Some(version);
            if self.selective && self.entries.get(&Place::of(&key)).is_some_and(is_present) {
                // Passed without being shown: it is not among the selected ones.
                self.remove(&key, Source::Watch);
            }
        }
    }

    /// Takes a complete list. With `force`, also one that is older than what was seen: the server went back
    /// to a backup.
    pub(super) fn replace(&mut self, listed: Listed<Item<K>>, force: bool) -> Result<(), StaleList> {
        let version = Version::parse(&listed.version);
        if version.is_older_than(self.seen) {
            if !force {
                return Err(StaleList);
            }
            self.forget_versions();
        }
        let mut present: BTreeMap<Place, (Kept<K>, Version)> = BTreeMap::new();
        for item in listed.objects {
            present.insert(item.place, (item.kept, item.version));
        }
        let packing = self.packing.as_ref();
        self.tombstones.retain(|(key, buried), tombstone| {
            let listed = present.get(&Place::of(key));
            let listed = listed.and_then(|(kept, _)| kept.object(&Place::of(key), packing));
            let listed = listed.is_some_and(|object| uid(object.as_ref()) == buried);
            listed || tombstone.version.number().is_none() || version.is_older_than(tombstone.version)
        });
        let absent: Vec<_> = self
            .entries
            .iter()
            .filter(|(place, entry)| !present.contains_key(place) && !version.is_older_than(entry.version()))
            .map(|(place, _)| place.key())
            .filter(|key| !listed.unreadable.contains(key))
            .collect();
        for key in absent {
            self.remove(&key, Source::Watch);
        }
        for (place, (kept, version)) in present {
            let key = place.key();
            // What is there already needs no second look.
            let known = self.entries.get(&place).map(Entry::version);
            if known.is_some_and(|known| version.is_same_as(known)) {
                self.own.remove(&(version.number().unwrap_or_default(), key));
            } else if let Some(object) = kept.object(&place, self.packing.as_ref()) {
                self.upsert(object, Some(kept), version);
            }
        }
        self.changes.sort_by(|left, right| left.key.cmp(&right.key));
        self.seen = version;
        self.advance(version);
        Ok(())
    }

    /// The answer to an own write. Returns the newest known of the object.
    pub(super) fn record(&mut self, object: K, now: Instant) -> Arc<K> {
        let (key, version) = (ObjectKey::of(&object), Version::of(&object));
        let object = Arc::new(object);
        if is_gone(object.as_ref()) {
            self.record_deleted(&key, uid(object.as_ref()), version, now);
            return object;
        }
        if self.is_buried(&key, object.as_ref(), version) {
            return object;
        }
        let known = self.entries.get(&Place::of(&key)).map(Entry::version);
        match known {
            Some(known) if version.is_older_than(known) || version.is_same_as(known) => {
                return self.get(&key).unwrap_or(object);
            }
            // The watch has passed this version and the object is not there: it was deleted since.
            None if self.has_passed(version) => return object,
            _ => {}
        }
        self.outlive(&key, version);
        let kept = Kept::new(&key, &object, self.packing.as_ref());
        self.put(key, object.clone(), kept, version, Source::OwnWrite);
        object
    }

    /// Drops the tombstones that are too old to matter.
    fn sweep(&mut self, now: Instant) {
        if self.sweep.is_due(now) {
            self.tombstones
                .retain(|_, tombstone| now.saturating_duration_since(tombstone.recorded) < TOMBSTONE_KEPT);
        }
    }

    /// An own DELETE, or an own write that removed the last finalizer, succeeded.
    pub(super) fn record_deleted(
        &mut self,
        key: &ObjectKey,
        uid_deleted: &str,
        version: Version,
        now: Instant,
    ) {
        self.sweep(now);
        let entry = self.entries.get(&Place::of(key));
        let present = self.get(key);
        if present.is_some_and(|present| uid(present.as_ref()) != uid_deleted) {
            // Another object of that name: the deleted one is already past.
            return;
        }
        let known = entry.map_or(version, |entry| entry.version().max(version));
        if entry.is_some() {
            self.remove(key, Source::OwnWrite);
        }
        let tombstone = Tombstone {
            version: known,
            recorded: now,
        };
        self.tombstones
            .insert((key.clone(), uid_deleted.to_owned()), tombstone);
    }

    /// Takes an object, unless that or a newer one is there. How it will lie in the store is found out where nobody has yet.
    fn upsert(&mut self, object: Arc<K>, kept: Option<Kept<K>>, version: Version) {
        let key = ObjectKey::of(object.as_ref());
        if self.is_buried(&key, &object, version) {
            return;
        }
        match self.entries.get(&Place::of(&key)).map(Entry::version) {
            Some(known) if version.is_older_than(known) => return,
            Some(known) if version.is_same_as(known) => {
                self.own.remove(&(version.number().unwrap_or_default(), key));
                return;
            }
            _ => {}
        }
        self.outlive(&key, version);
        let kept = kept.unwrap_or_else(|| Kept::new(&key, &object, self.packing.as_ref()));
        self.put(key, object, kept, version, Source::Watch);
    }

    /// True for what a tombstone is in the way of: the deleted object, or one that came before it.
    fn is_buried(&self, key: &ObjectKey, object: &K, version: Version) -> bool {
        self.tombstones_of(key)
            .any(|(buried, tombstone)| buried == uid(object) || version.is_older_than(tombstone.version))
    }

    fn tombstones_of<'a>(&'a self, key: &'a ObjectKey) -> impl Iterator<Item = (&'a str, &'a Tombstone)> {
        self.tombstones
            .range((key.clone(), String::new())..)
            .take_while(move |((place, _), _)| place == key)
            .map(|((_, uid), tombstone)| (uid.as_str(), tombstone))
    }

    /// Removes the tombstones that an event or object of this version shows to be past.
    fn outlive(&mut self, key: &ObjectKey, version: Version) {
        let past = |tombstone: &Tombstone| tombstone.version.is_older_than(version);
        let served: Vec<_> = self
            .tombstones_of(key)
            .filter(|(_, tombstone)| past(tombstone))
            .map(|(uid, _)| (key.clone(), uid.to_owned()))
            .collect();
        for place in served {
            self.tombstones.remove(&place);
        }
    }

    fn put(&mut self, key: ObjectKey, object: Arc<K>, kept: Kept<K>, version: Version, source: Source) {
        if source == Source::OwnWrite
            && let Some(number) = version.number()
        {
            self.own.insert((number, key.clone()));
        }
        let entry = Entry {
            kept,
            version: version.number().unwrap_or_default(),
        };
        let place = Place::of(&key);
        let old = self.entries.insert(place.clone(), entry);
        let old = old.and_then(|entry| entry.kept.object(&place, self.packing.as_ref()));
        for index in self.indexes.values_mut() {
            index.update(&place, old.as_deref(), Some(&object));
        }
        self.note(Change {
            key,
            old,
            new: Some(object),
            source,
        });
    }

    fn remove(&mut self, key: &ObjectKey, source: Source) {
        let place = Place::of(key);
        let entry = self.entries.remove(&place);
        let Some(object) = entry.and_then(|entry| entry.kept.object(&place, self.packing.as_ref())) else {
            return;
        };
        for index in self.indexes.values_mut() {
            index.update(&place, Some(&object), None);
        }
        self.note(Change {
            key: key.clone(),
            old: Some(object),
            new: None,
            source,
        });
    }

    /// Makes every listed version count as newer.
    fn forget_versions(&mut self) {
        self.tombstones.clear();
        self.own.clear();
        for entry in self.entries.values_mut() {
            entry.version = 0;
        }
    }
}

fn objects<'a, K>(
    entries: &'a BTreeMap<Place, Entry<K>>,
    packing: Option<&'a Packing<K>>,
) -> impl Iterator<Item = (&'a Place, Arc<K>)> {
    entries.iter().filter_map(move |(place, entry)| {
        let object = entry.kept.object(place, packing)?;
        Some((place, object))
    })
}

fn uid<K: Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}
