//! The objects of one resource type and their recent history.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::watch;

use super::object::Object;
use super::resource::ResourceType;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It has another state.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The new state; for a deletion the last one, with the resourceVersion of the deletion.
    pub object: Arc<Object>,
    /// The state before, none for a new object.
    pub previous: Option<Arc<Object>>,
}

impl Change {
    /// The resourceVersion that the change made.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.object.revision()
    }
}

/// The objects of one resource type.
pub(crate) struct Collection {
    pub resource: Arc<ResourceType>,
    pub objects: BTreeMap<String, Arc<Object>>,
    history: History,
    history_limit: usize,
    changed: watch::Sender<Signal>,
}

/// What wakes the watches of a type: it changed, or, with what is left of it, it is served no more.
pub(crate) type Signal = Option<Arc<Remains>>;

/// What the watches of a type that is served no more are still to be told.
pub(crate) struct Remains {
    pub resource: Arc<ResourceType>,
    pub history: History,
}

/// The recent changes of a type.
pub(crate) struct History {
    changes: VecDeque<Change>,
    /// Changes up to and with this revision are missing.
    forgotten: u64,
}

/// The history does not reach back so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOld;

impl History {
    /// The changes after `revision`, oldest first.
    pub fn after(&self, revision: u64) -> Result<impl Iterator<Item = &Change>, TooOld> {
        if revision < self.forgotten {
            return Err(TooOld);
        }
        let start = self
            .changes
            .partition_point(|change| change.revision() <= revision);
        Ok(self.changes.range(start..))
    }
}

impl Collection {
    /// A type that is served from `revision` on; what was before, of another one of that name perhaps, it does not know.
    pub fn new(resource: ResourceType, history_limit: usize, revision: u64) -> Self {
        Self {
            resource: Arc::new(resource),
            objects: BTreeMap::new(),
            history: History {
                changes: VecDeque::new(),
                forgotten: revision,
            },
            history_limit,
            changed: watch::Sender::new(None),
        }
    }

    /// Takes a change into objects and history and wakes the watches.
    pub fn record(&mut self, change: Change) {
        match change.kind {
            ChangeKind::Added | ChangeKind::Modified => {
                self.objects
                    .insert(change.object.key().to_owned(), change.object.clone());
            }
            ChangeKind::Deleted => {
                self.objects.remove(change.object.key());
            }
        }
        let history = &mut self.history;
        history.changes.push_back(change);
        if history.changes.len() > self.history_limit
            && let Some(oldest) = history.changes.pop_front()
        {
            history.forgotten = oldest.revision();
        }
        self.changed.send_replace(None);
    }

    /// Forgets the history up to now, which is `revision`.
    pub fn forget(&mut self, revision: u64) {
        self.history.changes.clear();
        self.history.forgotten = revision;
        // Watches that have not yet read everything must learn that they never can.
        self.changed.send_replace(None);
    }

    /// Hands the watches what they have not read yet.
    pub fn end(self) {
        let remains = Remains {
            resource: self.resource,
            history: self.history,
        };
        self.changed.send_replace(Some(Arc::new(remains)));
    }

    /// A receiver that wakes on each change, and ends with the collection.
    pub fn wake(&self) -> watch::Receiver<Signal> {
        self.changed.subscribe()
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    /// The objects of a namespace (all when none is given) from `start` on, in key order.
    pub fn range<'a>(
        &'a self,
        namespace: Option<&str>,
        start: Option<&str>,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let (low, high) = bounds(namespace, start);
        self.objects.range((low, high)).map(|(_, object)| object)
    }

    /// The same as it was at `revision`.
    pub fn range_at(
        &self,
        revision: u64,
        namespace: Option<&str>,
        start: Option<&str>,
    ) -> Result<Vec<Arc<Object>>, TooOld> {
        let mut undone: BTreeMap<&str, Option<&Arc<Object>>> = BTreeMap::new();
        for change in self.history.after(revision)? {
            undone
                .entry(change.object.key())
                .or_insert(change.previous.as_ref());
        }
        if undone.is_empty() {
            return Ok(self.range(namespace, start).cloned().collect());
        }
        let (low, high) = bounds(namespace, start);
        let mut objects: BTreeMap<&str, &Arc<Object>> = self
            .range(namespace, start)
            .map(|object| (object.key(), object))
            .collect();
        for (key, before) in undone {
            objects.remove(key);
            let inside =
                std::ops::RangeBounds::<String>::contains(&(low.clone(), high.clone()), &key.to_owned());
            if let Some(before) = before
                && inside
            {
                objects.insert(key, before);
            }
        }
        Ok(objects.into_values().cloned().collect())
    }
}

/// The keys of a namespace from `start` on. `'0'` follows `'/'`.
fn bounds(namespace: Option<&str>, start: Option<&str>) -> (Bound<String>, Bound<String>) {
    let (low, high) = match namespace {
        Some(namespace) => (format!("{namespace}/"), Bound::Excluded(format!("{namespace}0"))),
        None => (String::new(), Bound::Unbounded),
    };
    // A start outside of the namespace comes from a foreign token; an inverted range would panic.
    let low = match start {
        Some(start) if start > low.as_str() && namespace.is_none_or(|_| start.starts_with(&low)) => {
            start.to_owned()
        }
        _ => low,
    };
    (Bound::Included(low), high)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::builtin;

    fn change(kind: ChangeKind, key: &str, revision: u64, previous: Option<&Change>) -> Change {
        Change {
            kind,
            object: Arc::new(Object::new(key.to_owned(), revision, json!({}))),
            previous: previous.map(|change| change.object.clone()),
        }
    }

    fn collection(limit: usize) -> Collection {
        let pods = builtin::types()
            .find(|resource| resource.plural == "pods")
            .unwrap();
        Collection::new(pods, limit, 0)
    }

    #[test]
    fn an_old_list_is_rebuilt_from_history() {
        let mut pods = collection(10);
        let first = change(ChangeKind::Added, "a/x", 1, None);
        let second = change(ChangeKind::Added, "a/y", 2, None);
        let third = change(ChangeKind::Modified, "a/x", 3, Some(&first));
        let fourth = change(ChangeKind::Deleted, "a/y", 4, Some(&second));
        let fifth = change(ChangeKind::Added, "a-b/z", 5, None);
        for change in [first, second, third, fourth, fifth] {
            pods.record(change);
        }
        let at = |revision, namespace| -> Vec<(String, u64)> {
            let objects = pods.range_at(revision, namespace, None).unwrap();
            objects
                .iter()
                .map(|object| (object.key().to_owned(), object.revision()))
                .collect()
        };
        let pair = |key: &str, revision| (key.to_owned(), revision);
        assert_eq!(at(2, None), [pair("a/x", 1), pair("a/y", 2)]);
        assert_eq!(at(5, None), [pair("a-b/z", 5), pair("a/x", 3)]);
        assert_eq!(at(4, Some("a-b")), []);
        assert_eq!(at(1, Some("a")), [pair("a/x", 1)]);
    }

    #[test]
    fn a_full_history_forgets_its_oldest() {
        let mut pods = collection(2);
        for revision in 1..=3 {
            pods.record(change(
                ChangeKind::Added,
                &format!("a/{revision}"),
                revision,
                None,
            ));
        }
        assert_eq!(pods.history.after(0).err(), Some(TooOld));
        assert_eq!(pods.history.after(1).unwrap().count(), 2);
        pods.forget(3);
        assert_eq!(pods.history.after(2).err(), Some(TooOld));
        assert_eq!(pods.history.after(3).unwrap().count(), 0);
    }
}
