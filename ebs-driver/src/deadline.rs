//! The moment until which a caller waits. Source: spec 3.3 (waits end with the RPC), 3.8.

use std::time::Duration;

use tokio::time::Instant;

/// Until when an answer is of use; none means that the caller set no limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No limit.
    pub const NONE: Self = Self(None);

    /// This long from now.
    #[must_use]
    pub fn within(limit: Duration) -> Self {
        Self(Instant::now().checked_add(limit))
    }

    /// The limit that a caller sent as `grpc-timeout`, less a margin in which our answer still reaches it:
    /// a tenth of the time, at most half a second.
    #[must_use]
    pub fn from_grpc_timeout(header: Option<&str>) -> Self {
        let Some(timeout) = header.and_then(parse_grpc_timeout) else {
            return Self::NONE;
        };
        let margin = (timeout / 10).min(Duration::from_millis(500));
        Self::within(timeout.saturating_sub(margin))
    }

    /// The earlier of both.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(left), Some(right)) => Self(Some(left.min(right))),
            (left, right) => Self(left.or(right)),
        }
    }

    /// The later of both.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(left), Some(right)) => Self(Some(left.max(right))),
            _ => Self::NONE,
        }
    }

    /// Sooner by this time, but never by more than half of what is left.
    #[must_use]
    pub fn leaving(self, rest: Duration) -> Self {
        let left = |at: Instant| at.saturating_duration_since(Instant::now());
        Self(
            self.0
                .map(|at| at.checked_sub(rest.min(left(at) / 2)).unwrap_or(at)),
        )
    }

    /// Sooner by this time.
    #[must_use]
    pub fn sooner(self, by: Duration) -> Self {
        Self(self.0.map(|at| at.checked_sub(by).unwrap_or(at)))
    }

    /// True when the limit comes before this wait would be over.
    #[must_use]
    pub fn ends_within(self, wait: Duration) -> bool {
        self.0
            .is_some_and(|at| Instant::now().checked_add(wait).is_none_or(|end| end >= at))
    }

    /// The moment itself.
    #[must_use]
    pub fn at(self) -> Option<Instant> {
        self.0
    }

    /// Runs `work` until the limit; `None` when the limit came first.
    pub async fn limit<T>(self, work: impl Future<Output = T>) -> Option<T> {
        match self.0 {
            Some(at) => tokio::time::timeout_at(at, work).await.ok(),
            None => Some(work.await),
        }
    }
}

/// Reads the gRPC form: at most eight digits and a unit of `H M S m u n`.
fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read() {
        let rows = [
            ("60S", Some(Duration::from_secs(60))),
            ("60000000u", Some(Duration::from_secs(60))),
            ("5m", Some(Duration::from_millis(5))),
            ("1H", Some(Duration::from_secs(3600))),
            ("", None),
            ("S", None),
            ("12", None),
            ("-1S", None),
            ("123456789S", None),
            ("1é", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_grpc_timeout(text), expected, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_margin_is_left_for_the_answer() {
        let deadline = Deadline::from_grpc_timeout(Some("60S"));
        assert_eq!(
            deadline.at().unwrap() - Instant::now(),
            Duration::from_millis(59_500)
        );
        assert!(deadline.ends_within(Duration::from_secs(60)));
        assert!(!deadline.ends_within(Duration::from_secs(59)));
        assert_eq!(Deadline::from_grpc_timeout(None), Deadline::NONE);
        let left = |rest| deadline.leaving(Duration::from_secs(rest)).at().unwrap() - Instant::now();
        assert_eq!([left(5), left(50)], [54_500, 29_750].map(Duration::from_millis));
        assert_eq!(Deadline::NONE.leaving(Duration::from_secs(5)), Deadline::NONE);
    }
}
