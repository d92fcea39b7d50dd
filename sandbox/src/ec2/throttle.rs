//! Token buckets, one an action.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::options::{Throttle, Throttles};

/// How full the buckets are.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    levels: BTreeMap<String, Level>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    tokens: f64,
    at: Timestamp,
}

impl Buckets {
    /// Takes a token for an action; false if there is none.
    pub(super) fn take(&mut self, action: &str, throttles: &Throttles, now: Timestamp) -> bool {
        let Some(Throttle { burst, per_second }) = throttles.of(action) else {
            return true;
        };
        let full = Level {
            tokens: burst,
            at: now,
        };
        let level = self.levels.entry(action.to_owned()).or_insert(full);
        let elapsed = now.duration_since(level.at).as_secs_f64().max(0.0);
        level.tokens = (level.tokens + elapsed * per_second).min(burst);
        level.at = now;
        if level.tokens < 1.0 {
            return false;
        }
        level.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_fills_again_up_to_its_burst() {
        let throttles = Throttles {
            default: Some(Throttle {
                burst: 2.0,
                per_second: 1.0,
            }),
            actions: BTreeMap::new(),
        };
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut buckets = Buckets::default();
        let mut take = |seconds| buckets.take("A", &throttles, start + Duration::from_secs(seconds));
        assert_eq!([take(0), take(0), take(0)], [true, true, false]);
        assert_eq!([take(1), take(1)], [true, false]);
        assert_eq!([take(9), take(9), take(9)], [true, true, false]);
        assert!(buckets.take("B", &Throttles::off(), start));
    }
}
