//! Whether a cache is known to be stale.

use std::time::Duration;

use tokio::time::Instant;

/// A watch that stands so long follows its objects, though it may have nothing to say.
const STANDS: Duration = Duration::from_secs(10);

/// The contact of one cache with the API server.
#[derive(Debug)]
pub(super) struct Contact {
    last_word: Instant,
    lost: Option<Instant>,
    /// Since when what is known may be out of date: not while something says that there is no such kind, though that may not be the
    /// API server.
    stale: Option<Instant>,
    watching: Option<Instant>,
}

impl Contact {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            last_word: now,
            lost: None,
            stale: None,
            watching: None,
        }
    }

    /// A list, an event or a bookmark came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.last_word = now;
        self.found();
    }

    /// The objects cannot be followed at the moment.
    pub(super) fn failed(&mut self, now: Instant) {
        self.lost.get_or_insert(now);
        self.stale.get_or_insert(now);
    }

    /// They cannot, and the answer is that there is no such path: so the API server answers for a custom kind without a
    /// definition, and so may answer what stands before it.
    pub(super) fn kind_is_unknown(&mut self, now: Instant) {
        self.lost.get_or_insert(now);
        self.stale = None;
    }

    /// The server does not know the kind: there is nothing to follow.
    pub(super) fn kind_is_gone(&mut self) {
        self.found();
    }

    /// A watch is open.
    pub(super) fn opened(&mut self, now: Instant) {
        self.watching = Some(now);
    }

    /// It has ended.
    pub(super) fn closed(&mut self, now: Instant) {
        if self.stands(now) {
            self.found();
        }
        self.watching = None;
    }

    /// When the server last said something.
    pub(super) fn last_word(&self) -> Instant {
        self.last_word
    }

    /// For how long the objects have not been followed; `None` while they are.
    pub(super) fn lost_for(&self, now: Instant) -> Option<Duration> {
        self.lost
            .filter(|_| !self.stands(now))
            .map(|lost| now.saturating_duration_since(lost))
    }

    /// For how long what is known may have been out of date.
    pub(super) fn stale_for(&self, now: Instant) -> Option<Duration> {
        self.stale
            .filter(|_| !self.stands(now))
            .map(|stale| now.saturating_duration_since(stale))
    }

    fn found(&mut self) {
        (self.lost, self.stale) = (None, None);
    }

    fn stands(&self, now: Instant) -> bool {
        self.watching
            .is_some_and(|opened| now.saturating_duration_since(opened) >= STANDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_lost_from_the_first_failure_until_a_word_or_a_watch_that_stands() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let lost = |contact: &Contact, second| contact.lost_for(at(second)).map(|lost| lost.as_secs());
        let mut contact = Contact::new(start);
        contact.opened(start);
        assert_eq!(lost(&contact, 1000), None, "quiet, but followed");
        contact.closed(at(1000));
        contact.failed(at(1000));
        contact.failed(at(1100));
        assert_eq!(lost(&contact, 1200), Some(200));
        contact.opened(at(1200));
        assert_eq!(
            lost(&contact, 1209),
            Some(209),
            "one that ends at once helps nobody"
        );
        assert_eq!(lost(&contact, 1210), None);
        contact.closed(at(1250));
        assert_eq!(lost(&contact, 1251), None, "it stood");
        contact.failed(at(1300));
        contact.heard(at(1400));
        assert_eq!(lost(&contact, 1500), None);
        assert_eq!(contact.last_word(), at(1400));
        contact.failed(at(1500));
        contact.kind_is_unknown(at(1550));
        assert_eq!(
            (lost(&contact, 1600), contact.stale_for(at(1600))),
            (Some(100), None)
        );
        contact.failed(at(5000));
        let seconds = |count| Some(Duration::from_secs(count));
        assert_eq!(
            (lost(&contact, 5001), contact.stale_for(at(5001))),
            (Some(3501), seconds(1))
        );
        contact.kind_is_gone();
        assert_eq!((lost(&contact, 1600), contact.last_word()), (None, at(1400)));
    }
}
