//! The IOPS value sent to EC2. Source: spec 2.4, 2.5, 3.1 (dry run), Q7.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What the driver itself knows of a volume type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct TypeLimits {
    min: i64,
    fallback_max: i64,
    per_gib: i64,
}

/// What the driver fits IOPS of a type into where EC2 does not say more: the least, the most and the most for each GiB.
#[must_use]
pub fn known_limits(volume_type: &str) -> Option<(i64, i64, i64)> {
    type_limits(volume_type).map(|limits| (limits.min, limits.fallback_max, limits.per_gib))
}

fn type_limits(volume_type: &str) -> Option<TypeLimits> {
    let (min, fallback_max, per_gib) = match volume_type.to_ascii_lowercase().as_str() {
        "gp3" => (3000, 16_000, 500),
        "io1" => (100, 64_000, 50),
        "io2" => (100, 256_000, 1000),
        _ => return None,
    };
    Some(TypeLimits {
        min,
        fallback_max,
        per_gib,
    })
}

/// The highest IOPS that EC2 allows for a type in a zone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ceiling {
    /// EC2 did not say; the table of the driver holds.
    Fallback,
    /// EC2 named this number.
    Limited(i64),
    /// The type has no such limit.
    Unlimited,
}

/// Whether a value below the minimum of its type is raised to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BelowMinimum {
    /// Raised (asked for by the class, and always when an existing volume is changed).
    Raise,
    /// Sent as it is; EC2 refuses it.
    Keep,
}

/// Fits a requested number of IOPS into what the type allows at this size.
#[must_use]
pub fn fitted(
    requested: i64,
    size_gib: i64,
    volume_type: &str,
    ceiling: Ceiling,
    below: BelowMinimum,
) -> i64 {
    let Some(limits) = type_limits(volume_type) else {
        return requested;
    };
    let mut iops = requested;
    if iops < limits.min && below == BelowMinimum::Raise {
        iops = limits.min;
    }
    let max = match ceiling {
        Ceiling::Fallback => Some(limits.fallback_max),
        Ceiling::Limited(max) => Some(max),
        Ceiling::Unlimited => None,
    };
    if let Some(max) = max {
        iops = iops.min(max);
    }
    let by_size = size_gib.saturating_mul(limits.per_gib);
    if iops > by_size && by_size >= limits.min {
        iops = by_size;
    }
    iops
}

/// Reads the ceiling from the text with which EC2 refuses a dry run that asks for too much.
#[must_use]
pub fn ceiling_from_refusal(message: &str) -> Ceiling {
    let text = message.to_ascii_lowercase();
    if text.contains("parameter iops is not supported") {
        return Ceiling::Unlimited;
    }
    if text.contains("volume iops")
        && text.contains("too high")
        && let Some((_, rest)) = text.split_once("maximum is")
        && let Some(number) = leading_number(rest)
    {
        return Ceiling::Limited(number);
    }
    if let Some((before, _)) = message.split_once("K IOPS")
        && let Some(number) = trailing_number(before)
    {
        return Ceiling::Limited(number.saturating_mul(1000));
    }
    Ceiling::Fallback
}

fn leading_number(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

fn trailing_number(text: &str) -> Option<i64> {
    let start = text
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    text[start..].parse().ok()
}

/// How long an answer of EC2 is kept after its last use.
const KEEP: Duration = Duration::from_secs(12 * 3600);
/// How long it is kept that EC2 gave none (a policy may deny the probe, Q7).
const KEEP_FALLBACK: Duration = Duration::from_secs(600);

/// What a ceiling depends on.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct CeilingKey {
    /// Volume type.
    pub volume_type: String,
    /// Zone name.
    pub zone: Option<String>,
    /// Zone ID.
    pub zone_id: Option<String>,
    /// Outpost.
    pub outpost_arn: Option<String>,
}

/// The ceilings that EC2 named lately.
#[derive(Debug, Default)]
pub struct Ceilings {
    known: Mutex<BTreeMap<CeilingKey, (Ceiling, Instant)>>,
}

impl Ceilings {
    /// The ceiling, if it was asked for lately.
    pub fn get(&self, key: &CeilingKey) -> Option<Ceiling> {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (ceiling, used)| {
            let keep = if *ceiling == Ceiling::Fallback {
                KEEP_FALLBACK
            } else {
                KEEP
            };
            now.duration_since(*used) < keep
        });
        let (ceiling, used) = known.get_mut(key)?;
        if *ceiling != Ceiling::Fallback {
            *used = now;
        }
        Some(*ceiling)
    }

    /// Remembers an answer.
    pub fn put(&self, key: CeilingKey, ceiling: Ceiling) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, (ceiling, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ebs_case_42_values_are_fitted_into_the_type() {
        use BelowMinimum::{Keep, Raise};
        use Ceiling::{Fallback, Limited, Unlimited};
        let rows = [
            // requested, GiB, type, ceiling, below, expected
            (10_000, 1000, "gp3", Limited(80_000), Keep, 10_000),
            (100, 10, "gp3", Fallback, Keep, 100),
            (100, 10, "gp3", Fallback, Raise, 3000),
            (90_000, 1000, "gp3", Limited(80_000), Keep, 80_000),
            (90_000, 1000, "gp3", Fallback, Keep, 16_000),
            (4000, 6, "gp3", Fallback, Keep, 3000),
            (4000, 5, "gp3", Fallback, Keep, 4000),
            (500_000, 10_000, "io2", Unlimited, Keep, 500_000),
            (5000, 10, "io1", Fallback, Keep, 500),
            (50, 1, "GP3", Fallback, Raise, 3000),
            (700, 1, "st1", Fallback, Raise, 700),
            (
                i64::from(i32::MAX) * 65_536,
                65_536,
                "gp3",
                Fallback,
                Keep,
                16_000,
            ),
        ];
        for (requested, gib, volume_type, ceiling, below, expected) in rows {
            assert_eq!(
                fitted(requested, gib, volume_type, ceiling, below),
                expected,
                "{requested} {gib} {volume_type}"
            );
        }
    }

    #[test]
    fn the_refusal_of_a_probe_names_the_ceiling() {
        let rows = [
            (
                "The parameter IOPS is not supported for gp2 volumes",
                Ceiling::Unlimited,
            ),
            (
                "Volume iops of 2147483647 is too high; maximum is 80000.",
                Ceiling::Limited(80_000),
            ),
            (
                "io2 volumes support up to 256K IOPS here",
                Ceiling::Limited(256_000),
            ),
            ("You are not authorized", Ceiling::Fallback),
            ("maximum is unknown, volume iops too high", Ceiling::Fallback),
            ("K IOPS", Ceiling::Fallback),
            ("éK IOPS", Ceiling::Fallback),
            ("", Ceiling::Fallback),
        ];
        for (message, expected) in rows {
            assert_eq!(ceiling_from_refusal(message), expected, "{message}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_answer_is_kept_for_minutes_only() {
        let ceilings = Ceilings::default();
        let key = |volume_type: &str| CeilingKey {
            volume_type: volume_type.into(),
            ..CeilingKey::default()
        };
        ceilings.put(key("gp3"), Ceiling::Fallback);
        ceilings.put(key("io2"), Ceiling::Limited(5));
        tokio::time::advance(Duration::from_secs(599)).await;
        assert_eq!(ceilings.get(&key("gp3")), Some(Ceiling::Fallback));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ceilings.get(&key("gp3")), None);
        assert_eq!(ceilings.get(&key("io2")), Some(Ceiling::Limited(5)));
    }
}
