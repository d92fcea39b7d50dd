//! A token bucket, used when the flags ask for a limit (decision 5), and for the scrapes of guarded metrics.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A token bucket: `burst` requests at once, refilled with `qps` a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Requests a second, above 0.
    pub qps: f64,
    /// Size of the bucket, at least 1.
    pub burst: u32,
}

/// Hands out moments at which requests may be sent. Clones share the bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    limit: RateLimit,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Below zero when requests wait.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            state: Arc::new(Mutex::new(State {
                tokens: f64::from(limit.burst),
                at: Instant::now(),
            })),
        }
    }

    /// Takes a token, if there is one now.
    #[must_use]
    pub fn try_take(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = self.refilled(&mut state);
        let is_there = tokens >= 1.0;
        state.tokens = if is_there { tokens - 1.0 } else { tokens };
        is_there
    }

    /// Takes a token and says how long to wait for it. Who waits is served in the order of these calls.
    #[must_use]
    pub fn take(&self) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tokens = self.refilled(&mut state) - 1.0;
        if state.tokens >= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-state.tokens / self.limit.qps).unwrap_or(Duration::MAX)
    }

    /// The tokens as of now.
    fn refilled(&self, state: &mut State) -> f64 {
        let now = Instant::now();
        let refilled = now.duration_since(state.at).as_secs_f64() * self.limit.qps;
        state.at = now;
        (state.tokens + refilled).min(f64::from(self.limit.burst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ebs_case_8_who_does_not_wait_is_refused() {
        let bucket = Bucket::new(RateLimit { qps: 5.0, burst: 10 });
        let mut passed = 0;
        for _ in 0..20 {
            passed += u32::from(bucket.try_take());
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        assert!((10..=15).contains(&passed), "{passed} in a second");
        tokio::time::advance(Duration::from_secs(60)).await;
        let burst = (0..20).filter(|_| bucket.try_take()).count();
        assert_eq!(burst, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_waits_in_order() {
        let bucket = Bucket::new(RateLimit { qps: 2.0, burst: 3 });
        let waits: Vec<u128> = (0..5).map(|_| bucket.take().as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500, 1_000]);
        tokio::time::advance(Duration::from_secs(60)).await;
        let waits: Vec<u128> = (0..4).map(|_| bucket.take().as_millis()).collect();
        assert_eq!(
            waits,
            [0, 0, 0, 500],
            "the bucket never holds more than the burst"
        );
    }
}
