//! The health check of leader election.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A leader whose lease expired longer ago than this hangs.
const TOLERANCE: Duration = Duration::from_secs(20);

/// Whether the renewals of one election go on. Candidates are always healthy. Source: sidecars 1.4.
#[derive(Clone, Debug)]
pub struct LeaderHealth {
    lease: Arc<str>,
    duration: Duration,
    renewed: Arc<Mutex<Option<Instant>>>,
}

/// A leader that does not renew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed election to renew leadership on lease {lease}")]
pub struct LeaseOverdue {
    /// Name of the lease.
    pub lease: String,
}

impl LeaderHealth {
    /// Of a candidate for this lease, which lasts so long.
    #[must_use]
    pub fn new(lease: &str, duration: Duration) -> Self {
        Self {
            lease: lease.into(),
            duration,
            renewed: Arc::default(),
        }
    }

    /// The lease was renewed at this time; none when it is no longer held.
    pub fn renewed(&self, at: Option<Instant>) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Fails when the lease of this leader expired more than 20 s ago.
    ///
    /// # Errors
    /// [`LeaseOverdue`].
    pub fn check(&self) -> Result<(), LeaseOverdue> {
        match self.last_renewal() {
            Some(renewed) if renewed.elapsed() > self.duration + TOLERANCE => Err(LeaseOverdue {
                lease: self.lease.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn last_renewal(&self) -> Option<Instant> {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sidecars_case_10_and_11_only_a_hung_leader_is_unhealthy() {
        let health = LeaderHealth::new("l", Duration::from_secs(15));
        tokio::time::advance(Duration::from_secs(1_000)).await;
        assert_eq!(health.check(), Ok(()), "a candidate");
        health.renewed(Some(Instant::now()));
        tokio::time::advance(Duration::from_secs(35)).await;
        assert_eq!(health.check(), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        let error = health.check().unwrap_err().to_string();
        assert_eq!(error, "failed election to renew leadership on lease l");
    }
}
