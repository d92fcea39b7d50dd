//! Pauses inside a call. They end with the caller's deadline and when the process is to stop.

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deadline::Deadline;
use crate::ec2::limit::Limits;
use crate::ec2::limit::bucket::Bucket;

/// Why a pause ended early.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Interrupted {
    /// The caller would not wait so long.
    #[error("the deadline of the call is too near")]
    Deadline,
    /// The process is to stop.
    #[error("the driver is stopping")]
    Stopping,
}

/// The shortest time between two moments at which polls are due.
const TICK: Duration = Duration::from_millis(250);
/// How late a poll may come while calls wait for their turn at EC2.
const CROWDED: Duration = Duration::from_secs(2);

/// Pauses of one driver.
#[derive(Clone, Debug)]
pub struct Waits {
    stopping: CancellationToken,
    limits: Limits,
    /// From when on the moments of polls are counted.
    since: Instant,
}

impl Waits {
    /// Pauses that end with this token.
    pub fn new(stopping: CancellationToken, limits: Limits) -> Self {
        Self {
            stopping,
            limits,
            since: Instant::now(),
        }
    }

    /// Waits this long, or says at once that the caller would not.
    pub async fn pause(&self, pause: Duration, deadline: Deadline) -> Result<(), Interrupted> {
        if deadline.ends_within(pause) {
            return Err(Interrupted::Deadline);
        }
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(Interrupted::Stopping),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    /// Waits until the next poll that is due after this long: polls of calls that began at different times come at common
    /// moments, and then go as one. None comes late by more than half its pause; while calls wait for their turn at EC2,
    /// which takes longer anyhow, by up to two seconds.
    pub async fn poll(&self, pause: Duration, deadline: Deadline) -> Result<(), Interrupted> {
        let is_crowded = Bucket::ALL
            .into_iter()
            .any(|bucket| self.limits.waiting(bucket) > 0);
        let most = if is_crowded {
            CROWDED.max(pause / 2)
        } else {
            pause / 2
        };
        let due = self.since.elapsed() + pause;
        let late = common(due, most).saturating_sub(due);
        // The caller's last poll comes when it must.
        let late = if deadline.ends_within(pause + late) {
            Duration::ZERO
        } else {
            late
        };
        self.pause(pause + late, deadline).await
    }

    /// Waits until this moment, or says at once that the caller would not.
    pub async fn until(&self, moment: Instant, deadline: Deadline) -> Result<(), Interrupted> {
        self.pause(moment.saturating_duration_since(Instant::now()), deadline)
            .await
    }
}

/// The first common moment of polls at or after this one, late by `most` at most: these moments are the largest power of two
/// ticks apart that fits, so that those of long pauses are among those of short ones.
fn common(due: Duration, most: Duration) -> Duration {
    let ticks = most.as_millis() / TICK.as_millis();
    let Some(power) = ticks.checked_ilog2() else {
        return due;
    };
    let apart = TICK.as_millis() << power;
    let apart = apart * 1_000_000;
    let moments = due.as_nanos().div_ceil(apart);
    Duration::from_nanos(u64::try_from(moments * apart).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_due_at_common_moments() {
        let millis = Duration::from_millis;
        for (due, pause, at) in [
            (1250, 1250, 1500),
            (1500, 1250, 1500),
            (1501, 1250, 2000),
            (1501, 500, 1750),
            (1501, 499, 1501),
            (4600, 3240, 5000),
            (10_100, 10_000, 12_000),
            (0, 0, 0),
        ] {
            assert_eq!(
                common(millis(due), millis(pause) / 2),
                millis(at),
                "{due} {pause}"
            );
        }
        for pause in [500, 777, 1250, 1800, 5832, 60_000] {
            for due in (0..120_000).step_by(37) {
                let late = common(millis(due), millis(pause) / 2) - millis(due);
                assert!(late <= millis(pause) / 2, "{due} {pause}");
            }
        }
        assert!(common(Duration::from_nanos(1_500_000_001), millis(625)) > millis(1500));
    }
}
