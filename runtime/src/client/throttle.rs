//! A token bucket, used only when the flags ask for a limit (decision 5).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::args::RateLimit;

/// Hands out moments at which requests may be sent. Clones share the bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
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
    pub(super) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            state: Arc::new(Mutex::new(State {
                tokens: f64::from(limit.burst),
                at: Instant::now(),
            })),
        }
    }

    /// Takes a token and says how long to wait for it. Who waits is served in the order of these calls.
    pub(super) fn take(&self) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let refilled = now.duration_since(state.at).as_secs_f64() * self.limit.qps;
        state.tokens = (state.tokens + refilled).min(f64::from(self.limit.burst)) - 1.0;
        state.at = now;
        if state.tokens >= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-state.tokens / self.limit.qps).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
