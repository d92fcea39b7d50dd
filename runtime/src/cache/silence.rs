//! How long a watch may say nothing.
//!
//! kube-apiserver sends a bookmark about once a minute on every watch that asks for them, whether anything changed or
//! not. A watch that says nothing at all for three times as long is not followed by the server: it begins at a version
//! that is ahead of the server (etcd was restored from a backup), or nothing is at the other end any more. Both last
//! for ever, so the objects are listed anew.

use std::time::Duration;

use tokio::time::Instant;

/// Three times the interval of bookmarks: one of them may be dropped by a busy server.
const PATIENCE: Duration = Duration::from_secs(180);
/// Where bookmarks never come (the server keeps no watch cache) the patience doubles up to this after each list, so
/// that a quiet kind is not listed all the time.
const LONGEST: Duration = Duration::from_secs(3600);

/// The silence of one cache's watches. That of several watches in a row adds up: a proxy may cut each after a minute.
#[derive(Debug)]
pub(super) struct Silence {
    patience: Duration,
    /// That of the watches before.
    borne: Duration,
    /// Since when the open watch says nothing.
    since: Option<Instant>,
}

impl Default for Silence {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            borne: Duration::ZERO,
            since: None,
        }
    }
}

impl Silence {
    /// A watch is open from now on.
    pub(super) fn opened(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// The watch said something.
    pub(super) fn heard(&mut self, now: Instant) {
        *self = Self {
            since: Some(now),
            ..Self::default()
        };
    }

    /// The watch has ended.
    pub(super) fn closed(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.borne += now.saturating_duration_since(since);
        }
    }

    /// When the open watch has said nothing for too long.
    pub(super) fn ends(&self) -> Option<Instant> {
        let left = self.patience.saturating_sub(self.borne);
        self.since.map(|since| since + left)
    }

    /// The objects were listed, for this silence or for another reason.
    pub(super) fn listed(&mut self, for_silence: bool) {
        self.borne = Duration::ZERO;
        if for_silence {
            self.patience = (self.patience * 2).min(LONGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_adds_up_over_watches_and_ends_with_a_word() {
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let mut silence = Silence::default();
        assert_eq!(silence.ends(), None, "no watch is open");
        silence.opened(start);
        assert_eq!(silence.ends(), Some(start + PATIENCE));
        silence.closed(start + minute);
        // Nobody is to blame for the time between two watches.
        silence.opened(start + 10 * minute);
        assert_eq!(silence.ends(), Some(start + 12 * minute));
        silence.heard(start + 11 * minute);
        assert_eq!(silence.ends(), Some(start + 14 * minute));
    }

    #[test]
    fn patience_doubles_with_each_list_until_a_word_comes() {
        let start = Instant::now();
        let mut silence = Silence::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            silence.opened(start);
            let ends = silence.ends().unwrap();
            waits.push((ends - start).as_secs());
            silence.closed(ends);
            silence.listed(true);
        }
        assert_eq!(waits, [180, 360, 720, 1440, 2880, 3600, 3600]);
        silence.listed(false);
        silence.opened(start);
        assert_eq!(silence.ends(), Some(start + LONGEST));
        silence.heard(start);
        assert_eq!(silence.ends(), Some(start + PATIENCE));
    }
}
