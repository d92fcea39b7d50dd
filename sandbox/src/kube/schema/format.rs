//! The `format` of texts and integers.

use base64::Engine as _;
use serde_json::Value;

/// A format that is checked; others are ignored as the API server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    DateTime,
    Date,
    Duration,
    Byte,
    Int32,
    Int64,
    Uuid,
    Ipv4,
    Ipv6,
}

impl Format {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "date-time" | "datetime" => Self::DateTime,
            "date" => Self::Date,
            "duration" => Self::Duration,
            "byte" => Self::Byte,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "uuid" => Self::Uuid,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Duration => "duration",
            Self::Byte => "byte",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uuid => "uuid",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    /// True where the format says nothing about this JSON type or the value has it.
    pub(super) fn holds(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Int32, Value::Number(number)) => number.as_i64().is_none_or(|n| i32::try_from(n).is_ok()),
            (Self::DateTime, Value::String(text)) => time(text).is_some(),
            (Self::Date, Value::String(text)) => {
                text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
            }
            (Self::Duration, Value::String(text)) => duration(text).is_some(),
            (Self::Byte, Value::String(text)) => bytes(text).is_some(),
            (Self::Uuid, Value::String(text)) => is_uuid(text),
            (Self::Ipv4, Value::String(text)) => text.parse::<std::net::Ipv4Addr>().is_ok(),
            (Self::Ipv6, Value::String(text)) => text.parse::<std::net::Ipv6Addr>().is_ok(),
            _ => true,
        }
    }
}

/// A moment as RFC 3339 writes it.
pub(super) fn time(text: &str) -> Option<chrono::DateTime<chrono::FixedOffset>> {
    chrono::DateTime::parse_from_rfc3339(text).ok()
}

/// The bytes of a base64 text.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// Dashes between the parts may be missing, each for itself.
fn is_uuid(text: &str) -> bool {
    let mut rest = text;
    for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        rest = match (index, rest.strip_prefix('-')) {
            (1.., Some(rest)) => rest,
            _ => rest,
        };
        let part = rest
            .get(..length)
            .filter(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let (Some(_), Some(after)) = (part, rest.get(length..)) else {
            return false;
        };
        rest = after;
    }
    rest.is_empty()
}

/// A duration like `1h30m` or `250ms`, in nanoseconds.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (rest, sign) = match text.strip_prefix('-') {
        Some(rest) => (rest, -1.0),
        None => (text.strip_prefix('+').unwrap_or(text), 1.0),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut rest = rest;
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let (unit, length) = unit(rest)?;
        rest = rest.get(length..)?;
        total += amount * unit;
    }
    // 2^63 nanoseconds; the comparison also refuses what is not a number.
    (total < 9_223_372_036_854_775_807.0).then_some((total * sign) as i64)
}

fn unit(text: &str) -> Option<(f64, usize)> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3600e9),
    ];
    UNITS
        .iter()
        .find(|(name, _)| text.starts_with(name))
        .map(|(name, size)| (*size, name.len()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formats_hold_for_what_they_describe() {
        let cases = [
            ("date-time", json!("2026-11-21T09:30:00Z"), true),
            ("date-time", json!("2026-11-21T09:30:00.5+01:00"), true),
            ("date-time", json!("yesterday"), false),
            ("date-time", json!(5), true),
            ("int32", json!(2_147_483_648_i64), false),
            ("int64", json!(i64::MIN), true),
            ("duration", json!("1h30m"), true),
            ("duration", json!("1 hour"), false),
            ("duration", json!("9999999999h"), false),
            ("byte", json!("aGk="), true),
            ("byte", json!("a"), false),
            ("uuid", json!("6f1d6b5e-7d0f-4c1e-9b0e-1a2b3c4d5e6f"), true),
            ("uuid", json!("6f1d6b5e"), false),
        ];
        for (name, value, holds) in cases {
            assert_eq!(
                Format::from_name(name).unwrap().holds(&value),
                holds,
                "{name} {value}"
            );
        }
    }

    #[test]
    fn durations_are_nanoseconds() {
        assert_eq!(duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(duration("-250ms"), Some(-250_000_000));
        assert_eq!(duration("1.5s"), Some(1_500_000_000));
        assert_eq!(duration("5"), None);
        assert_eq!(duration("µ"), None);
    }
}
