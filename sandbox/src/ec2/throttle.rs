//! Token buckets.

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
    /// Takes a token for a request; false if there is none. `is_narrow` says that it has a filter or a page size.
    pub(super) fn take(
        &mut self,
        action: &str,
        is_narrow: bool,
        throttles: &Throttles,
        now: Timestamp,
    ) -> bool {
        let Some((name, Throttle { burst, per_second })) = throttles.of(action, is_narrow) else {
            return true;
        };
        let full = Level {
            tokens: burst,
            at: now,
        };
        let level = self.levels.entry(name.to_owned()).or_insert(full);
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

    fn moment(seconds: u64) -> Timestamp {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_bucket_fills_again_up_to_its_burst() {
        let bucket = Throttle {
            burst: 2.0,
            per_second: 1.0,
        };
        let throttles = Throttles {
            actions: BTreeMap::from([("A".to_owned(), bucket)]),
            ..Throttles::off()
        };
        let mut buckets = Buckets::default();
        let mut take = |seconds| buckets.take("A", true, &throttles, moment(seconds));
        assert_eq!([take(0), take(0), take(0)], [true, true, false]);
        assert_eq!([take(1), take(1)], [true, false]);
        assert_eq!([take(9), take(9), take(9)], [true, true, false]);
        assert!(buckets.take("B", true, &throttles, moment(9)));
    }

    #[test]
    fn actions_of_one_kind_share_a_bucket() {
        let throttles = Throttles::aws();
        let rows = [
            ("CreateSnapshot", false, "snapshots", 100.0, 5.0),
            ("DeleteSnapshot", false, "snapshots", 100.0, 5.0),
            ("CreateSnapshots", false, "snapshots", 100.0, 5.0),
            ("CreateVolume", false, "volumes", 100.0, 5.0),
            ("DeleteVolume", false, "volumes", 100.0, 5.0),
            ("CreateTags", false, "tags", 100.0, 10.0),
            ("DeleteTags", false, "tags", 100.0, 10.0),
            ("AttachVolume", false, "changes", 50.0, 5.0),
            ("DetachVolume", false, "changes", 50.0, 5.0),
            ("ModifyVolume", false, "changes", 50.0, 5.0),
            ("LockSnapshot", false, "changes", 50.0, 5.0),
            ("DescribeVolumes", true, "describe", 100.0, 20.0),
            ("DescribeVolumes", false, "describe-whole", 50.0, 10.0),
        ];
        for (action, is_narrow, name, burst, per_second) in rows {
            let bucket = Throttle { burst, per_second };
            assert_eq!(throttles.of(action, is_narrow), Some((name, bucket)), "{action}");
        }
        let mut buckets = Buckets::default();
        let mut take = |action| buckets.take(action, false, &throttles, moment(0));
        assert!((0..50).all(|_| take("CreateSnapshot") && take("DeleteSnapshot")));
        assert_eq!(
            [
                take("CreateSnapshot"),
                take("DeleteSnapshot"),
                take("CreateVolume")
            ],
            [false, false, true]
        );
    }
}
