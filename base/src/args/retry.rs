//! Back-off and workers.

use std::time::Duration;

use super::GoDuration;

/// Flags of the work queues. Source: snapshot 5.1.
#[derive(Clone, Debug, clap::Args)]
pub struct RetryArgs {
    /// Wait before the first retry of a failed object; doubles with each failure.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub retry_interval_start: GoDuration,

    /// Longest wait between two retries of one object.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub retry_interval_max: GoDuration,
}

/// Intervals that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryArgsError {
    /// A failing object would be retried without pause.
    #[error("--retry-interval-start ({0}) must be at least 1ms")]
    StartTooShort(GoDuration),
}

impl RetryArgs {
    /// Checks the intervals. A maximum below the start counts as the start.
    ///
    /// # Errors
    /// [`RetryArgsError::StartTooShort`].
    pub fn validate(&self) -> Result<(), RetryArgsError> {
        if self.retry_interval_start.0 < Duration::from_millis(1) {
            return Err(RetryArgsError::StartTooShort(self.retry_interval_start));
        }
        Ok(())
    }

    /// First and longest wait.
    #[must_use]
    pub fn intervals(&self) -> (Duration, Duration) {
        let start = self.retry_interval_start.0;
        (start, self.retry_interval_max.0.max(start))
    }
}

impl Default for RetryArgs {
    fn default() -> Self {
        Self {
            retry_interval_start: GoDuration(Duration::from_secs(1)),
            retry_interval_max: GoDuration(Duration::from_secs(300)),
        }
    }
}
