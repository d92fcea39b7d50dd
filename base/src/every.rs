//! Work that is due once in a while, not at each call.

use std::time::Duration;

use tokio::time::Instant;

/// Tells when a period has passed since the last time.
#[derive(Debug)]
pub struct Every {
    period: Duration,
    last: Option<Instant>,
}

impl Every {
    /// Due at once, then after each period.
    #[must_use]
    pub const fn new(period: Duration) -> Self {
        Self { period, last: None }
    }

    /// Whether it is due; then the period begins anew.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= self.period);
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_at_first_and_after_each_period() {
        let mut every = Every::new(Duration::from_secs(10));
        let begun = Instant::now();
        let due: Vec<u64> = (0..25)
            .filter(|second| every.is_due(begun + Duration::from_secs(*second)))
            .collect();
        assert_eq!(due, [0, 10, 20]);
    }
}
