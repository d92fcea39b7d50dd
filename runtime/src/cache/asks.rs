//! Who waits for a cache to be fresh, and up to whom it is.
//!
//! Asks are numbered. Whatever shows a cache to be fresh (a list, or a version that the watch has passed) counts for
//! those that were made before it was asked of the server.

/// The asks of one cache.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asks {
    /// The newest one.
    made: u64,
    /// All up to this one are served.
    served: u64,
    /// Served by a list only.
    by_list: u64,
    is_listed: bool,
}

impl Asks {
    /// One more; its number.
    pub(super) fn ask(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// One more, which only a list serves. Until then the cache does not count as synced.
    pub(super) fn ask_for_list(&mut self) {
        self.by_list = self.ask();
    }

    pub(super) fn made(self) -> u64 {
        self.made
    }

    /// The newest one, if it is not served.
    pub(super) fn open(self) -> Option<u64> {
        (self.made > self.served).then_some(self.made)
    }

    pub(super) fn has_served(self, ask: u64) -> bool {
        self.served >= ask
    }

    /// Only a list will do.
    pub(super) fn wants_list(self) -> bool {
        self.by_list > self.served
    }

    /// A list that was begun after this ask is in.
    pub(super) fn listed(&mut self, ask: u64) {
        self.is_listed = true;
        self.served = self.served.max(ask);
    }

    /// The watch has passed a version that was asked for after this ask.
    pub(super) fn passed(&mut self, ask: u64) {
        if !self.wants_list() {
            self.served = self.served.max(ask);
        }
    }

    pub(super) fn is_synced(self) -> bool {
        self.is_listed && !self.wants_list()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_before_an_ask_does_not_serve_it() {
        let mut asks = Asks::default();
        assert!(!asks.is_synced());
        asks.listed(asks.made());
        assert!(asks.is_synced() && asks.open().is_none());
        let begun = asks.made();
        let first = asks.ask();
        asks.listed(begun);
        assert_eq!(asks.open(), Some(first));
        let second = asks.ask();
        asks.passed(first);
        assert!(asks.has_served(first) && !asks.has_served(second));
        asks.ask_for_list();
        asks.passed(asks.made());
        assert!(!asks.is_synced(), "only a list will do");
        asks.listed(asks.made());
        assert!(asks.is_synced() && asks.has_served(second));
    }
}
