//! What is remembered of an object between runs, by its UID, and how often it failed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runtime::ObjectKey;

/// What a plan may know of earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past<M> {
    /// The controller's own.
    pub memory: M,
    /// Failures and conflicts in a row.
    pub retries: Retries,
}

/// Failures and conflicts in a row, and the back-off that they led to. This is the only place that counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// Of what has no name, requests to the API server above all. They say nothing of what was tried by a name.
    unnamed: Tries,
    /// Of what was tried last by a name.
    named: Tries,
    of: String,
    conflicts: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tries {
    failures: u32,
    until: Option<Timestamp>,
}

impl Retries {
    /// The end of the back-off of what is tried, while it lasts.
    #[must_use]
    pub fn held(&self, of: &str, now: Timestamp) -> Option<Timestamp> {
        let tries = match of {
            "" => &self.unnamed,
            _ if self.of == of => &self.named,
            _ => return None,
        };
        tries.until.filter(|until| now < *until)
    }

    /// Failures in a row, of all kinds.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.unnamed.failures.saturating_add(self.named.failures)
    }

    /// Failures in a row of what has no name.
    pub(crate) fn unnamed(&self) -> u32 {
        self.unnamed.failures
    }

    /// One failure more; another try than before begins to count anew. Returns how many.
    pub(crate) fn failed(&mut self, of: &str) -> u32 {
        let tries = self.tries(of);
        tries.failures = tries.failures.saturating_add(1);
        tries.failures
    }

    pub(crate) fn hold(&mut self, of: &str, wait: Duration, now: Timestamp) {
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        self.tries(of).until = Some(now.checked_add(wait).unwrap_or(Timestamp::MAX));
    }

    fn tries(&mut self, of: &str) -> &mut Tries {
        if of.is_empty() {
            return &mut self.unnamed;
        }
        if self.of != of {
            of.clone_into(&mut self.of);
            self.named = Tries::default();
        }
        &mut self.named
    }

    /// The back-off is over.
    pub(crate) fn succeeded(&mut self) {
        *self = Self {
            conflicts: self.conflicts,
            ..Self::default()
        };
    }

    /// One conflict more; returns how many in a row.
    pub(crate) fn conflicted(&mut self) -> u32 {
        self.conflicts = self.conflicts.saturating_add(1);
        self.conflicts
    }

    /// Something was written.
    pub(crate) fn wrote(&mut self) {
        self.conflicts = 0;
    }
}

/// What is remembered of all objects of a controller. An object of which there is nothing to remember has no entry.
pub(crate) struct Memories<M>(Mutex<BTreeMap<ObjectKey, (String, Past<M>)>>);

impl<M: Clone + Default + PartialEq> Memories<M> {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// That of this very object: another one of the same name starts afresh.
    pub(crate) fn of(&self, key: &ObjectKey, uid: &str) -> Past<M> {
        match self.lock().get(key) {
            Some((known, past)) if known == uid => past.clone(),
            _ => Past::default(),
        }
    }

    pub(crate) fn remember(&self, key: &ObjectKey, uid: &str, past: Past<M>) {
        if past == Past::default() {
            self.lock().remove(key);
        } else {
            self.lock().insert(key.clone(), (uid.to_owned(), past));
        }
    }

    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, (String, Past<M>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn a_refused_request_neither_ends_nor_counts_for_the_back_off_of_a_call() {
        let now = at("2026-01-01T10:00:00Z");
        let mut retries = Retries::default();
        for count in 1..=8 {
            assert_eq!(retries.failed("call"), count);
        }
        retries.hold("call", Duration::from_secs(300), now);
        assert_eq!(retries.failed(""), 1);
        retries.hold("", Duration::from_secs(1), now);
        assert!(retries.held("call", now).is_some());
        assert_eq!(retries.failed("call"), 9);
        assert_eq!(retries.failed("other"), 1, "another try");
        assert_eq!(retries.held("call", now), None);
        assert_eq!(retries.unnamed(), 1);
        retries.succeeded();
        assert_eq!(retries, Retries::default());
    }
}
