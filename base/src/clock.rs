//! Wall time on the tokio clock.
//!
//! Waiting is done with `tokio::time`; wall time comes from [`Clock`]. In simulation the clock is a base
//! plus the elapsed tokio time, so that time stamps, leases and backoff agree under a paused clock.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The source of wall time. Cheap to clone; clones agree.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Simulated { base: Timestamp, started: Instant },
}

impl Clock {
    /// The clock of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self {
            source: Source::System,
        }
    }

    /// A clock that shows `base` now and moves with the tokio clock, paused or not.
    #[must_use]
    pub fn simulated(base: Timestamp) -> Self {
        Self {
            source: Source::Simulated {
                base,
                started: Instant::now(),
            },
        }
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::System => Timestamp::now(),
            Source::Simulated { base, started } => {
                let elapsed = SignedDuration::try_from(started.elapsed()).unwrap_or(SignedDuration::MAX);
                base.checked_add(elapsed).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_moves_with_the_tokio_clock() {
        let base: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::simulated(base);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.clone().now(), "2026-01-01T01:00:00Z".parse().unwrap());
    }
}
