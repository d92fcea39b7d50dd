//! Sizes such as `5Gi` in whole bytes.
//!
//! Read is every form in which the API server stores a size. It keeps most texts as they were written, so that signs,
//! leading zeros, any number of digits and any exponent come back (Source: `apimachinery pkg/api/resource`, and
//! `conformance/corpus/quantities.txt`, which records what it stored).

use std::cmp::Ordering;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// Suffix and power of two.
const BINARY: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];
/// Suffix and power of ten.
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
/// Digits of the largest amounts that [`i64`] may hold.
const MOST_DIGITS: usize = 19;

/// An amount of storage: whole bytes, rounded up, and whether it was written in powers of ten.
///
/// The API server caps what is written with a binary suffix at 2^63-1 bytes; what is written in powers of ten it
/// stores whatever it is, so a claim may ask for more than an int64 holds ([`Quantity::exceeds_int64`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    bytes: i64,
    form: Form,
}

/// How an amount was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// In powers of two, or nowhere.
    #[default]
    Binary,
    /// In powers of ten.
    Decimal,
    /// In powers of ten, and more than an int64 holds.
    Beyond,
}

impl Quantity {
    /// An amount that prints in powers of two.
    #[must_use]
    pub const fn from_bytes(bytes: i64) -> Self {
        Self::in_form(bytes, Form::Binary)
    }

    /// An amount as it was written.
    pub(super) const fn in_form(bytes: i64, form: Form) -> Self {
        Self { bytes, form }
    }

    /// How it was written.
    pub(super) const fn form(self) -> Form {
        self.form
    }

    /// Reads the API's text form. None for a text that is no quantity.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, suffix) = unsigned.split_at(end.unwrap_or(unsigned.len()));
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') {
            return None;
        }
        let (magnitude, form) = match BINARY.iter().find(|(name, _)| *name == suffix) {
            Some((_, shift)) => (binary(whole, part, *shift), Form::Binary),
            None => match decimal(whole, part, power(suffix)?) {
                Some(magnitude) => (magnitude, Form::Decimal),
                None => (i64::MAX, Form::Beyond),
            },
        };
        let bytes = if text.starts_with('-') {
            -magnitude
        } else {
            magnitude
        };
        Some(Self { bytes, form })
    }

    /// Whole bytes, rounded up; 2^63-1 where it is more.
    #[must_use]
    pub const fn bytes(self) -> i64 {
        self.bytes
    }

    /// It is more than an int64 holds: no driver can be asked for it, and [`Quantity::bytes`] is only the most that
    /// can be said.
    #[must_use]
    pub const fn exceeds_int64(self) -> bool {
        matches!(self.form, Form::Beyond)
    }
}

/// The power of ten of a decimal suffix or exponent, which the API server keeps in 32 bits.
fn power(suffix: &str) -> Option<i32> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some(*power);
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let [a, b, c, d, ..] = exponent.to_le_bytes();
    Some(i32::from_le_bytes([a, b, c, d]))
}

/// `whole.part` times ten to the power, rounded up; none where an int64 does not hold it.
fn decimal(whole: &str, part: &str, power: i32) -> Option<i64> {
    let digits = [whole, part].concat();
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // Digits before the point once it has moved. Lengths are far below what the types hold.
    let zeros = digits.len() - significant.len();
    let before = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()? + i64::from(power);
    let Ok(before) = usize::try_from(before) else {
        return Some(1);
    };
    if before > MOST_DIGITS {
        return None;
    }
    let (integer, fraction) = significant.split_at(before.min(significant.len()));
    let integer: u128 = format!("0{integer:0<before$}").parse().ok()?;
    i64::try_from(integer + u128::from(has_amount(fraction))).ok()
}

/// `whole.part` times two to the power, rounded up; at most what an int64 holds.
fn binary(whole: &str, part: &str, shift: u32) -> i64 {
    let whole = whole.trim_start_matches('0');
    if whole.len() > MOST_DIGITS {
        return i64::MAX;
    }
    let integer: u128 = format!("0{whole}").parse().unwrap_or(u128::MAX >> shift);
    let mut amount = integer;
    let mut fraction: Vec<u8> = part.bytes().map(|digit| digit - b'0').collect();
    for _ in 0..shift {
        let carry = fraction.iter_mut().rev().fold(0, |carry, digit| {
            let doubled = *digit * 2 + carry;
            *digit = doubled % 10;
            doubled / 10
        });
        amount = amount * 2 + u128::from(carry);
    }
    let rest = fraction.iter().any(|digit| *digit != 0);
    i64::try_from(amount + u128::from(rest)).unwrap_or(i64::MAX)
}

fn has_amount(digits: &str) -> bool {
    digits.bytes().any(|digit| digit != b'0')
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let beyond = self.exceeds_int64().cmp(&other.exceeds_int64());
        self.bytes.cmp(&other.bytes).then(beyond)
    }
}

/// The API's canonical form: the largest suffix that leaves a whole number.
impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes;
        if bytes == 0 {
            return formatter.write_str("0");
        }
        if self.form == Form::Binary && bytes.unsigned_abs() >= 1024 {
            let fitting = BINARY
                .iter()
                .rev()
                .find(|(_, shift)| bytes % (1_i64 << shift) == 0);
            if let Some((suffix, shift)) = fitting {
                return write!(formatter, "{}{suffix}", bytes >> shift);
            }
            return write!(formatter, "{bytes}");
        }
        let whole = |power: i32| 10_i64.checked_pow(u32::try_from(power).ok()?);
        let fitting = DECIMAL
            .iter()
            .rev()
            .find_map(|(suffix, power)| Some((suffix, whole(*power)?)).filter(|(_, unit)| bytes % unit == 0));
        let (suffix, unit) = fitting.unwrap_or((&"", 1));
        write!(formatter, "{}{suffix}", bytes / unit)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Quantity;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a quantity")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                Quantity::parse(text).ok_or_else(|| E::custom("not a quantity"))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity::in_form(number, Form::Decimal))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                let within = i64::try_from(number).map(|bytes| Quantity::in_form(bytes, Form::Decimal));
                Ok(within.unwrap_or(Quantity::in_form(i64::MAX, Form::Beyond)))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a real API server stored of claims: as it was sent, as it was stored, its whole bytes.
    const RECORD: &str = include_str!("../../../conformance/corpus/quantities.txt");

    fn record() -> Vec<[&'static str; 3]> {
        let lines = RECORD
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let columns = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().unwrap());
        columns.collect()
    }

    /// The bytes of a recorded size; none where an int64 does not hold them.
    fn within(bytes: &str) -> Option<i64> {
        bytes.parse().ok()
    }

    #[test]
    fn sizes_are_read_as_the_api_server_stores_them() {
        let record = record();
        assert!(record.len() > 50, "only {} sizes are recorded", record.len());
        for [sent, stored, bytes] in record {
            let read = Quantity::parse(stored).unwrap_or_else(|| panic!("{stored} is not read"));
            assert_eq!(read.bytes(), within(bytes).unwrap_or(i64::MAX), "{stored}");
            assert_eq!(read.exceeds_int64(), within(bytes).is_none(), "{stored}");
            let sent = Quantity::parse(sent).unwrap_or_else(|| panic!("{sent} is not read"));
            assert!(sent == read || sent.exceeds_int64(), "{sent} is {stored}");
        }
    }

    proptest! {
        #[test]
        fn sizes_compare_as_the_api_server_compares_them(
            left in prop::sample::select(record()),
            right in prop::sample::select(record()),
        ) {
            let read = |row: [&str; 3]| Quantity::parse(row[1]).unwrap();
            // What is beyond is more than all else, and no more is known of it.
            let bytes = |row: [&str; 3]| within(row[2]).map_or((1, 0), |bytes| (0, bytes));
            prop_assert_eq!(read(left).cmp(&read(right)), bytes(left).cmp(&bytes(right)));
        }

        #[test]
        fn digits_of_any_number_are_read(text in "[+-]?[0-9]{0,60}\\.?[0-9]{0,60}", suffix in "[eE][+-]?[0-9]{1,9}|[KMGTPE]i|[numkMGTPE]?") {
            let size = format!("{text}{suffix}");
            let has_digits = text.contains(|c: char| c.is_ascii_digit());
            prop_assert_eq!(Quantity::parse(&size).is_some(), has_digits, "{}", size);
        }
    }

    #[test]
    fn resize_case_14_amounts_are_rounded_up_to_whole_bytes() {
        for (text, bytes) in [
            ("10737418240500m", 10_737_418_241),
            ("10Gi", 10 << 30),
            ("0.5Gi", 512 << 20),
            ("1.5", 2),
            ("20G", 20_000_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1n", 1),
            ("-1Gi", -(1 << 30)),
            ("0e99", 0),
        ] {
            assert_eq!(Quantity::parse(text).map(Quantity::bytes), Some(bytes), "{text}");
        }
        for text in [
            "", "Gi", "1gi", "1 Gi", "1..2", "--1", "five", "e9", "+", "1é", "1e", "1e1.5",
        ] {
            assert!(Quantity::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn resize_case_14_what_an_int64_does_not_hold_is_read_and_known() {
        let most = Quantity::parse("9223372036854775807").unwrap();
        for text in [
            "1e19",
            "10E",
            "9223372036854775808",
            "9223372036854775807001m",
            "1e2147483647",
        ] {
            let size = Quantity::parse(text).unwrap();
            assert!(size.exceeds_int64(), "{text}");
            assert_eq!(size.bytes(), i64::MAX, "{text}");
            assert!(size > most, "{text}");
        }
        assert!(!most.exceeds_int64());
        let large: Quantity = serde_json::from_str("18446744073709551615").unwrap();
        assert!(large.exceeds_int64());
    }

    #[test]
    fn amounts_print_in_canonical_form() {
        for (text, canonical) in [
            ("4608Mi", "4608Mi"),
            ("1024Mi", "1Gi"),
            ("20000M", "20G"),
            ("1500000000", "1500M"),
            ("1000", "1k"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("1025Ki", "1025Ki"),
            ("0", "0"),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), canonical, "{text}");
        }
        assert_eq!(Quantity::from_bytes(5 << 30).to_string(), "5Gi");
        assert_eq!(Quantity::from_bytes((5 << 30) + 1).to_string(), "5368709121");
    }

    #[test]
    fn amounts_are_read_from_text_and_numbers() {
        let read = |text: &str| serde_json::from_str::<Quantity>(text);
        assert_eq!(read("\"1Gi\"").unwrap(), Quantity::from_bytes(1 << 30));
        assert_eq!(read("1000").unwrap().to_string(), "1k");
        assert!(read("\"much\"").is_err());
    }
}
