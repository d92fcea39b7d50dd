//! Secondary indexes: values computed from an object, to the keys of the objects that have them.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::kept::Place;
use crate::objects::ObjectKey;

type Values<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

pub(super) struct Index<K> {
    values: Values<K>,
    /// Flat: most values have one key.
    keys: BTreeSet<(Box<str>, Place)>,
}

impl<K> Index<K> {
    pub(super) fn new(values: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> Self {
        Self {
            values: Box::new(values),
            keys: BTreeSet::new(),
        }
    }

    /// Moves `key` from the values of `old` to those of `new`.
    pub(super) fn update(&mut self, key: &ObjectKey, old: Option<&K>, new: Option<&K>) {
        for value in self.values_of(old) {
            self.keys.remove(&(value.into_boxed_str(), Place::of(key)));
        }
        for value in self.values_of(new) {
            self.keys.insert((value.into_boxed_str(), Place::of(key)));
        }
    }

    pub(super) fn keys<'a>(&'a self, value: &'a str) -> impl Iterator<Item = ObjectKey> + 'a {
        self.keys
            .range((value.into(), Place::first())..)
            .take_while(move |(of, _)| **of == *value)
            .map(|(_, place)| place.key())
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
