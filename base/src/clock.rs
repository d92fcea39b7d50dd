//! Wall time on the tokio clock.
//!
//! Waiting is done with `tokio::time`; wall time comes from [`Clock`]. In simulation the clock is a base
//! plus the elapsed tokio time, so that time stamps, leases and backoff agree under a paused clock.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The source of wall time, which never goes back. Cheap to clone; clones agree.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    System(Arc<Mutex<Shown>>),
    Simulated { base: Timestamp, started: Instant },
}

/// A moment that the clock of the machine showed, and when on its monotonic clock.
#[derive(Debug)]
struct Shown {
    moment: Timestamp,
    at: std::time::Instant,
}

impl Shown {
    /// What is shown now. Where the clock of the machine was set back, time goes on at half its pace until that has caught up: what
    /// ends at a moment ends after twice its time at most, and nobody waits for the same time once more.
    fn next(&mut self, moment: Timestamp, at: std::time::Instant) -> Timestamp {
        let half = at.saturating_duration_since(self.at) / 2;
        let half = SignedDuration::try_from(half).unwrap_or(SignedDuration::MAX);
        let least = self.moment.checked_add(half).unwrap_or(Timestamp::MAX);
        if moment < least {
            return least;
        }
        *self = Self { moment, at };
        moment
    }
}

impl Clock {
    /// The clock of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self {
            source: Source::System(Arc::new(Mutex::new(Shown {
                moment: Timestamp::now(),
                at: std::time::Instant::now(),
            }))),
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
            Source::System(shown) => {
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                shown.next(Timestamp::now(), std::time::Instant::now())
            }
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

    #[test]
    fn a_machine_whose_clock_is_set_back_shows_no_moment_twice() {
        let began = std::time::Instant::now();
        let moment = |second| Timestamp::from_second(second).unwrap();
        let mut shown = Shown {
            moment: moment(36_000),
            at: began,
        };
        // Seconds since the beginning, what the machine shows, and what is shown of it.
        for (elapsed, machine, expected) in [
            (10, 36_010, 36_010),
            // Set back by an hour.
            (20, 32_420, 36_015),
            (3_610, 36_010, 37_810),
            (7_210, 39_610, 39_610),
            // Set forward.
            (7_220, 99_999, 99_999),
        ] {
            let at = began + Duration::from_secs(elapsed);
            assert_eq!(
                shown.next(moment(machine), at),
                moment(expected),
                "after {elapsed} s"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_moves_with_the_tokio_clock() {
        let base: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::simulated(base);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.clone().now(), "2026-01-01T01:00:00Z".parse().unwrap());
    }
}
