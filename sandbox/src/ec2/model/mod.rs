//! What exists in the region. Everything is a pure function of what was written and the present moment.

pub(super) mod instance;
pub(super) mod snapshot;
pub(super) mod volume;

use std::time::Duration;

use jiff::Timestamp;

/// The moment this long after another; the end of time where there is none.
pub(super) fn after(moment: Timestamp, duration: Duration) -> Timestamp {
    moment.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// How much of the way from `start` to `end` is behind us, in percent; 100 only at the end.
pub(super) fn percent(start: Timestamp, end: Timestamp, now: Timestamp) -> u32 {
    if now >= end {
        return 100;
    }
    let whole = end.duration_since(start).as_millis().max(1);
    let behind = now.duration_since(start).as_millis().max(0);
    u32::try_from(behind.saturating_mul(100) / whole)
        .unwrap_or(99)
        .min(99)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_reaches_the_end_only_at_the_end() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let end = after(start, Duration::from_secs(6));
        for (milliseconds, expected) in [
            (0, 0),
            (600, 10),
            (3000, 50),
            (5999, 99),
            (6000, 100),
            (9000, 100),
        ] {
            let now = after(start, Duration::from_millis(milliseconds));
            assert_eq!(percent(start, end, now), expected, "{milliseconds} ms");
        }
        assert_eq!(percent(start, start, start), 100);
    }
}
