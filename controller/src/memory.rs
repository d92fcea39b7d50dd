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
    failures: u32,
    conflicts: u32,
    of: String,
    until: Option<Timestamp>,
}

impl Retries {
    /// The end of the back-off of what is tried, while it lasts.
    #[must_use]
    pub fn held(&self, of: &str, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|until| now < *until && self.of == of)
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// One failure more; another try than before begins to count anew. Returns how many.
    pub(crate) fn failed(&mut self, of: &str) -> u32 {
        if self.of != of {
            self.failures = 0;
            of.clone_into(&mut self.of);
        }
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    pub(crate) fn hold(&mut self, wait: Duration, now: Timestamp) {
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        self.until = Some(now.checked_add(wait).unwrap_or(Timestamp::MAX));
    }

    /// The back-off is over.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.of.clear();
        self.until = None;
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
