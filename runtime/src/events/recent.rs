//! A bounded memory that forgets what was not used for the longest time.

use std::collections::BTreeMap;

/// A map of at most `capacity` entries.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    capacity: usize,
    uses: u64,
    entries: BTreeMap<K, (u64, V)>,
    by_use: BTreeMap<u64, K>,
}

impl<K: Ord + Clone, V> Recent<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            uses: 0,
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
        }
    }

    /// The entry of `key`, made when absent; it becomes the most recently used one.
    pub(super) fn entry(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        self.uses += 1;
        let this_use = self.uses;
        if !self.entries.contains_key(key)
            && self.entries.len() >= self.capacity
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.entries.remove(&oldest);
        }
        let (last_use, value) = self
            .entries
            .entry(key.clone())
            .or_insert_with(|| (this_use, make()));
        self.by_use.remove(last_use);
        *last_use = this_use;
        self.by_use.insert(this_use, key.clone());
        value
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.by_use.len());
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_entry_is_forgotten() {
        let mut recent = Recent::new(2);
        *recent.entry(&"a", || 1) += 1;
        recent.entry(&"b", || 1);
        recent.entry(&"a", || 1);
        recent.entry(&"c", || 1);
        assert_eq!(recent.len(), 2);
        assert_eq!(*recent.entry(&"a", || 0), 2, "used again, so kept");
        assert_eq!(*recent.entry(&"b", || 0), 0, "forgotten and made anew");
        assert_eq!(recent.len(), 2);
    }
}
