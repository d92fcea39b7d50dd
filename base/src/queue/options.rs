//! Settings of a queue.

use std::time::Duration;

use crate::Random;

/// Settings of a [`super::Queue`].
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// Upstream's name of the queue, for the label `name` of `workqueue_*`.
    pub name: String,
    /// Keys that run at the same time (`--worker-threads`). With none all of them wait.
    pub workers: usize,
    /// Waiting after failures.
    pub backoff: Backoff,
}

/// Exponential back-off of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// After the first failure (`--retry-interval-start`).
    pub start: Duration,
    /// Never more than this (`--retry-interval-max`).
    pub max: Duration,
    /// Jitter: up to this share is added, 0.0 to 1.0.
    pub jitter: f64,
}

impl Default for Backoff {
    /// Upstream's defaults of the sidecars: 1 s to 5 min; and a tenth of jitter.
    fn default() -> Self {
        Self {
            start: Duration::from_secs(1),
            max: Duration::from_secs(300),
            jitter: 0.1,
        }
    }
}

impl Backoff {
    /// The wait after the given number of failures in a row: `start` x 2^(n-1), jittered, at most `max` with its
    /// jitter.
    #[must_use]
    pub fn after(&self, failures: u32, random: &Random) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let wait = self.start.saturating_mul(2_u32.saturating_pow(doublings));
        let jitter = self.jitter.clamp(0.0, 1.0);
        let ceiling = self.max.div_f64(1.0 + jitter);
        random.jittered(wait.min(ceiling), jitter).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_the_maximum() {
        let random = Random::seeded(1);
        let exact = Backoff {
            jitter: 0.0,
            ..Backoff::default()
        };
        let waits: Vec<_> = (1..=11).map(|n| exact.after(n, &random).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(exact.after(u32::MAX, &random), exact.max);
    }

    #[test]
    fn jitter_lengthens_and_keeps_the_maximum() {
        let (random, backoff) = (Random::seeded(2), Backoff::default());
        for _ in 0..200 {
            let (first, last) = (backoff.after(1, &random), backoff.after(40, &random));
            assert!(first >= Duration::from_secs(1) && first <= Duration::from_millis(1100));
            assert!(last >= Duration::from_secs(272) && last <= Duration::from_secs(300));
        }
    }
}
