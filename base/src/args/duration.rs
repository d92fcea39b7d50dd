//! Go's duration syntax, as in `--timeout=1m30s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration written as Go writes it: `300ms`, `1.5h`, `1m30s`, `0`. Never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub Duration);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDurationError {
    /// Nothing that Go would read.
    #[error("{0:?} is no duration: write it like 300ms, 15s, 1m30s or 1.5h")]
    Malformed(String),
    /// A number without its unit.
    #[error("{0:?} lacks a unit: write it like 300ms, 15s, 1m30s or 1.5h")]
    NoUnit(String),
    /// Below zero.
    #[error("{0:?} is negative; only durations of zero and more make sense here")]
    Negative(String),
    /// More than Go's 292 years.
    #[error("{0:?} is longer than 292 years")]
    TooLong(String),
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl FromStr for GoDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || ParseDurationError::Malformed(text.to_owned());
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        if unsigned == "0" {
            return Ok(Self::default());
        }
        if unsigned.is_empty() {
            return Err(malformed());
        }
        let mut rest = unsigned;
        let mut nanoseconds: u128 = 0;
        while !rest.is_empty() {
            let (part, after) = one_part(rest, text)?;
            nanoseconds += part;
            rest = after;
        }
        if text.starts_with('-') && nanoseconds > 0 {
            return Err(ParseDurationError::Negative(text.to_owned()));
        }
        let nanoseconds =
            i64::try_from(nanoseconds).map_err(|_| ParseDurationError::TooLong(text.to_owned()))?;
        Ok(Self(Duration::from_nanos(nanoseconds.unsigned_abs())))
    }
}

/// Reads one number with its unit: nanoseconds, and what follows.
fn one_part<'a>(rest: &'a str, text: &str) -> Result<(u128, &'a str), ParseDurationError> {
    let malformed = || ParseDurationError::Malformed(text.to_owned());
    let number_end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let (number, rest) = rest.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(malformed());
    }
    let unit_end = rest
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    if unit.is_empty() {
        return Err(ParseDurationError::NoUnit(text.to_owned()));
    }
    let scale = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, scale)| u128::from(*scale))
        .ok_or_else(malformed)?;
    // 20 digits exceed Go's range in any unit, and far more would overflow here.
    if whole.trim_start_matches('0').len() > 20 {
        return Err(ParseDurationError::TooLong(text.to_owned()));
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| malformed())?
    };
    // Digits beyond the 18th are far below a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let numerator: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().map_err(|_| malformed())?
    };
    let denominator = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    Ok((whole * scale + numerator * scale / denominator, rest))
}

/// An interval between two looks of a kind that zero switches off; so does a negative one.
///
/// # Errors
/// As for any duration.
pub fn parse_interval(text: &str) -> Result<GoDuration, ParseDurationError> {
    match text.parse::<GoDuration>() {
        Err(ParseDurationError::Negative(_)) => Ok(GoDuration::default()),
        read => read,
    }
}

impl fmt::Display for GoDuration {
    /// Go's own form: `1m30s`, `1.5s`, `300ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        if nanoseconds == 0 {
            return f.write_str("0s");
        }
        let below_a_second = [
            (1_000_u128, 1_u128, "ns"),
            (1_000_000, 1_000, "µs"),
            (1_000_000_000, 1_000_000, "ms"),
        ];
        if let Some((_, scale, unit)) = below_a_second.iter().find(|(limit, _, _)| nanoseconds < *limit) {
            return write!(f, "{}{unit}", decimal(nanoseconds, *scale));
        }
        let seconds = self.0.as_secs();
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", decimal(nanoseconds % 60_000_000_000, 1_000_000_000))
    }
}

/// `value / scale` with as many digits as it needs.
fn decimal(value: u128, scale: u128) -> String {
    let (whole, rest) = (value / scale, value % scale);
    if rest == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

impl From<GoDuration> for Duration {
    fn from(duration: GoDuration) -> Self {
        duration.0
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("100ms", 100),
            ("15s", 15_000),
            ("+5s", 5_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("1h15m30.918s", 4_530_918),
            ("2000us", 2),
            ("2000µs", 2),
            ("39h9m14.425s", 140_954_425),
        ] {
            assert_eq!(
                text.parse(),
                Ok(GoDuration(Duration::from_millis(milliseconds))),
                "{text}"
            );
        }
        assert_eq!(
            "0.3333333333333333333h".parse(),
            Ok(GoDuration(Duration::from_nanos(1_200_000_000_000 - 1)))
        );
    }

    #[test]
    fn refuses_what_go_refuses_and_negatives() {
        use ParseDurationError as E;
        type Case = (&'static str, fn(String) -> E);
        let cases: [Case; 12] = [
            ("", E::Malformed),
            ("-", E::Malformed),
            ("s", E::Malformed),
            (".", E::Malformed),
            (".s", E::Malformed),
            ("1d", E::Malformed),
            ("1..5s", E::Malformed),
            ("1 s", E::Malformed),
            ("30", E::NoUnit),
            ("1m30", E::NoUnit),
            ("-1s", E::Negative),
            ("99999999999999999999999h", E::TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<GoDuration>(), Err(error(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_negative_interval_is_none() {
        for (text, seconds) in [
            ("-5m", Ok(0)),
            ("-1ns", Ok(0)),
            ("0", Ok(0)),
            ("5s", Ok(5)),
            ("-5", Err(())),
        ] {
            let read = parse_interval(text).map(|interval| interval.0.as_secs());
            assert_eq!(read.map_err(|_| ()), seconds, "{text}");
        }
    }

    #[test]
    fn writes_what_go_writes() {
        for text in [
            "0s",
            "1ns",
            "1.5µs",
            "300ms",
            "15s",
            "1m30s",
            "1h0m0s",
            "1h30m1.25s",
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_ends_in_a_value_or_an_error(text in "[-+0-9.hmsuµn ]{0,40}") {
            let _ = text.parse::<GoDuration>();
        }

        #[test]
        fn reading_what_was_written_gives_the_same(nanoseconds in 0..i64::MAX) {
            let duration = GoDuration(Duration::from_nanos(nanoseconds.unsigned_abs()));
            proptest::prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
