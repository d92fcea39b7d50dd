//! Which key is where. Synchronous; the time is given.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::outcome::QueueKey;

type Due = (Instant, u64);
/// What keys are served round robin by.
pub(super) type FairnessKey<T> = Box<dyn Fn(&T) -> String + Send + Sync>;

pub(super) struct State<T> {
    /// Instead of [`QueueKey::fairness_key`].
    fairness_key: Option<FairnessKey<T>>,
    /// Keys that may run, by fairness key.
    lanes: BTreeMap<String, VecDeque<T>>,
    /// The lanes that are not empty, in the order of service.
    rotation: VecDeque<String>,
    /// Keys that wait for a run (also behind their present run), and since when.
    waiting: BTreeMap<T, Instant>,
    /// Keys that run, and since when.
    running: BTreeMap<T, Instant>,
    /// Set by the last outcome of the key: void when it runs again.
    timers: BTreeMap<Due, T>,
    timer_of: BTreeMap<T, Due>,
    /// Failures in a row.
    failures: BTreeMap<T, u32>,
    /// Conflicts in a row.
    conflicts: BTreeMap<T, u32>,
    sequence: u64,
}

impl<T: QueueKey> State<T> {
    pub(super) fn new() -> Self {
        Self {
            fairness_key: None,
            lanes: BTreeMap::new(),
            rotation: VecDeque::new(),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            timers: BTreeMap::new(),
            timer_of: BTreeMap::new(),
            failures: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Keys that line up from now on do so by this.
    pub(super) fn serve_by(&mut self, fairness_key: FairnessKey<T>) {
        self.fairness_key = Some(fairness_key);
    }

    /// False if the key is waiting already.
    pub(super) fn add(&mut self, key: T, now: Instant) -> bool {
        if self.waiting.contains_key(&key) {
            return false;
        }
        self.waiting.insert(key.clone(), now);
        if !self.running.contains_key(&key) {
            self.line_up(key);
        }
        true
    }

    /// The next key to run, and how long it has waited.
    pub(super) fn take(&mut self, now: Instant) -> Option<(T, Duration)> {
        let name = self.rotation.pop_front()?;
        let lane = self.lanes.get_mut(&name)?;
        let key = lane.pop_front()?;
        if lane.is_empty() {
            self.lanes.remove(&name);
        } else {
            self.rotation.push_back(name);
        }
        let since = self.waiting.remove(&key).unwrap_or(now);
        self.running.insert(key.clone(), now);
        self.clear_timer(&key);
        Some((key, now.saturating_duration_since(since)))
    }

    pub(super) fn runs(&self, key: &T) -> bool {
        self.running.contains_key(key)
    }

    /// The run of a key has ended; returns how long it took. A key added meanwhile lines up again.
    pub(super) fn finish(&mut self, key: &T, now: Instant) -> Duration {
        let since = self.running.remove(key).unwrap_or(now);
        if self.waiting.contains_key(key) {
            self.line_up(key.clone());
        }
        now.saturating_duration_since(since)
    }

    /// Replaces the timer of the outcome before.
    pub(super) fn set_timer(&mut self, key: T, at: Instant) {
        self.clear_timer(&key);
        self.sequence += 1;
        let due = (at, self.sequence);
        self.timers.insert(due, key.clone());
        self.timer_of.insert(key, due);
    }

    /// The keys whose timers are due, in the order of their times.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<T> {
        let mut keys = Vec::new();
        while self
            .timers
            .first_key_value()
            .is_some_and(|((at, _), _)| *at <= now)
        {
            let Some((_, key)) = self.timers.pop_first() else {
                break;
            };
            self.timer_of.remove(&key);
            keys.push(key);
        }
        keys
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Counts a failure; returns how many there are in a row.
    pub(super) fn failed(&mut self, key: &T) -> u32 {
        count(&mut self.failures, key)
    }

    /// Counts a conflict; returns how many there are in a row.
    pub(super) fn conflicted(&mut self, key: &T) -> u32 {
        count(&mut self.conflicts, key)
    }

    pub(super) fn end_conflicts(&mut self, key: &T) {
        self.conflicts.remove(key);
    }

    pub(super) fn succeeded(&mut self, key: &T) {
        self.failures.remove(key);
        self.conflicts.remove(key);
    }

    /// Forgets every key that does not run, and what keys are served by.
    pub(super) fn clear(&mut self) {
        let running = std::mem::take(&mut self.running);
        *self = Self {
            running,
            sequence: self.sequence,
            ..Self::new()
        };
    }

    /// Keys waiting for a run.
    pub(super) fn depth(&self) -> usize {
        self.waiting.len()
    }

    /// How long the running keys have been running: sum and maximum.
    pub(super) fn running_for(&self, now: Instant) -> (Duration, Duration) {
        self.running
            .values()
            .map(|since| now.saturating_duration_since(*since))
            .fold(
                Default::default(),
                |(sum, longest): (Duration, Duration), time| (sum.saturating_add(time), longest.max(time)),
            )
    }

    fn line_up(&mut self, key: T) {
        let name = match &self.fairness_key {
            Some(fairness_key) => fairness_key(&key),
            None => key.fairness_key(),
        };
        let lane = self.lanes.entry(name.clone()).or_default();
        if lane.is_empty() {
            self.rotation.push_back(name);
        }
        lane.push_back(key);
    }

    fn clear_timer(&mut self, key: &T) {
        if let Some(due) = self.timer_of.remove(key) {
            self.timers.remove(&due);
        }
    }
}

fn count<T: QueueKey>(counts: &mut BTreeMap<T, u32>, key: &T) -> u32 {
    let count = counts.entry(key.clone()).or_default();
    *count = count.saturating_add(1);
    *count
}
