//! A limit on the calls of each action that is learned from EC2's refusals. Source: spec 3.8.
//!
//! There is none until EC2 throttles an action. Then calls are spaced: the rate halves at each refusal, not
//! below one call in two seconds, grows by half a call a second with each success, and the limit is
//! dropped when it reaches 100 calls a second.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::errors::Action;

const FLOOR: f64 = 0.5;
const FIRST: f64 = 10.0;
const STEP: f64 = 0.5;
const OFF: f64 = 100.0;

#[derive(Debug)]
struct Limit {
    per_second: f64,
    next: Instant,
}

/// The limits of all actions.
#[derive(Debug, Default)]
pub struct Limits {
    limits: Mutex<BTreeMap<Action, Limit>>,
}

impl Limits {
    /// Takes the next free place; the caller waits this long before it sends.
    pub fn reserve(&self, action: Action) -> Duration {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let Some(limit) = limits.get_mut(&action) else {
            return Duration::ZERO;
        };
        let place = limit.next.max(now);
        limit.next = place + Duration::from_secs_f64(1.0 / limit.per_second);
        place - now
    }

    /// Learns from a refusal.
    pub fn throttled(&self, action: Action) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        limits
            .entry(action)
            .and_modify(|limit| limit.per_second = (limit.per_second / 2.0).max(FLOOR))
            .or_insert(Limit {
                per_second: FIRST,
                next: now,
            });
    }

    /// Learns from an answer that was no refusal.
    pub fn accepted(&self, action: Action) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = limits.get_mut(&action) {
            limit.per_second += STEP;
            if limit.per_second >= OFF {
                limits.remove(&action);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_spaced_after_a_refusal_and_free_again_later() {
        let limits = Limits::default();
        let action = Action::CreateSnapshot;
        assert_eq!(limits.reserve(action), Duration::ZERO);
        limits.throttled(action);
        let waits: Vec<Duration> = (0..3).map(|_| limits.reserve(action)).collect();
        assert_eq!(waits, [0, 100, 200].map(Duration::from_millis));
        assert_eq!(
            limits.reserve(Action::CreateVolume),
            Duration::ZERO,
            "each action by itself"
        );
        for _ in 0..20 {
            limits.throttled(action);
        }
        let before = limits.reserve(action);
        assert_eq!(limits.reserve(action) - before, Duration::from_secs(2));
        for _ in 0..200 {
            limits.accepted(action);
        }
        assert_eq!(limits.reserve(action), Duration::ZERO);
    }
}
