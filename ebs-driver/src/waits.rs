//! Pauses inside a call. They end with the caller's deadline and when the process is to stop.

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deadline::Deadline;

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

/// Pauses of one driver.
#[derive(Clone, Debug)]
pub struct Waits {
    stopping: CancellationToken,
}

impl Waits {
    /// Pauses that end with this token.
    pub fn new(stopping: CancellationToken) -> Self {
        Self { stopping }
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

    /// Waits until this moment, or says at once that the caller would not.
    pub async fn until(&self, moment: Instant, deadline: Deadline) -> Result<(), Interrupted> {
        self.pause(moment.saturating_duration_since(Instant::now()), deadline)
            .await
    }
}
