//! Secondary indexes: values computed from an object, to the keys of the objects that have them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::objects::ObjectKey;

type Values<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

pub(super) struct Index<K> {
    values: Values<K>,
    keys: BTreeMap<String, BTreeSet<ObjectKey>>,
}

impl<K> Index<K> {
    pub(super) fn new(values: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> Self {
        Self {
            values: Box::new(values),
            keys: BTreeMap::new(),
        }
    }

    /// Moves `key` from the values of `old` to those of `new`.
    pub(super) fn update(&mut self, key: &ObjectKey, old: Option<&K>, new: Option<&K>) {
        for value in self.values_of(old) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
        for value in self.values_of(new) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    pub(super) fn keys(&self, value: &str) -> impl Iterator<Item = &ObjectKey> {
        self.keys.get(value).into_iter().flatten()
    }

    /// An object that the function panics on has no values.
    fn values_of(&self, object: Option<&K>) -> Vec<String> {
        let Some(object) = object else {
            return Vec::new();
        };
        catch_unwind(AssertUnwindSafe(|| (self.values)(object))).unwrap_or_else(|_| {
            tracing::error!("an index function panicked: the object is left out of the index");
            Vec::new()
        })
    }
}
