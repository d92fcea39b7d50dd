//! Sizes such as `5Gi` in whole bytes.

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
/// Suffix and power of ten relative to one billionth.
const DECIMAL: [(&str, u32); 10] = [
    ("n", 0),
    ("u", 3),
    ("m", 6),
    ("", 9),
    ("k", 12),
    ("M", 15),
    ("G", 18),
    ("T", 21),
    ("P", 24),
    ("E", 27),
];
const BILLION: i128 = 1_000_000_000;

/// An amount of storage: whole bytes, rounded up, and whether it was written in powers of ten. Compared by bytes
/// alone. Amounts beyond 8 EiB count as that, as in the API.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    bytes: i64,
    decimal: bool,
}

impl Quantity {
    /// An amount that prints in powers of two.
    #[must_use]
    pub const fn from_bytes(bytes: i64) -> Self {
        Self {
            bytes,
            decimal: false,
        }
    }

    /// An amount in one of both forms.
    pub(super) const fn in_form(bytes: i64, decimal: bool) -> Self {
        Self { bytes, decimal }
    }

    /// It was written in powers of ten.
    pub(super) const fn is_decimal(self) -> bool {
        self.decimal
    }

    /// Reads the API's text form. None for a text that is no quantity.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_number =
            |(at, c): &(usize, char)| c.is_ascii_digit() || *c == '.' || (*at == 0 && matches!(c, '+' | '-'));
        let end = text.char_indices().find(|part| !is_number(part));
        let (number, suffix) = text.split_at(end.map_or(text.len(), |(at, _)| at));
        let binary = BINARY.iter().find(|(name, _)| *name == suffix);
        let factor = match binary {
            Some((_, shift)) => BILLION << shift,
            None => 10_i128.checked_pow(power(suffix)?)?,
        };
        let negative = number.starts_with('-');
        let digits = number.trim_start_matches(['+', '-']);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') || part.len() > 18 {
            return None;
        }
        let scale = 10_i128.pow(u32::try_from(part.len()).ok()?);
        let whole = if whole.is_empty() { "0" } else { whole };
        let part = if part.is_empty() { "0" } else { part };
        let mantissa = whole.parse::<i128>().ok()?.checked_mul(scale)?;
        let mantissa = mantissa.checked_add(part.parse().ok()?)?;
        let billionths = mantissa.saturating_mul(factor);
        let unit = scale.checked_mul(BILLION)?;
        let bytes = if negative {
            -(billionths / unit)
        } else {
            billionths / unit + i128::from(billionths % unit != 0)
        };
        Some(Self {
            bytes: i64::try_from(bytes).unwrap_or(if negative { i64::MIN } else { i64::MAX }),
            decimal: binary.is_none(),
        })
    }

    /// Whole bytes, rounded up.
    #[must_use]
    pub const fn bytes(self) -> i64 {
        self.bytes
    }
}

/// The power of ten of a decimal suffix or exponent, in billionths.
fn power(suffix: &str) -> Option<u32> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some(*power);
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    u32::try_from(exponent.checked_add(9)?)
        .ok()
        .filter(|power| *power <= 27)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
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
        self.bytes.cmp(&other.bytes)
    }
}

/// The API's canonical form: the largest suffix that leaves a whole number.
impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes;
        if bytes == 0 {
            return formatter.write_str("0");
        }
        if !self.decimal && bytes.unsigned_abs() >= 1024 {
            let fitting = BINARY
                .iter()
                .rev()
                .find(|(_, shift)| bytes % (1_i64 << shift) == 0);
            if let Some((suffix, shift)) = fitting {
                return write!(formatter, "{}{suffix}", bytes >> shift);
            }
            return write!(formatter, "{bytes}");
        }
        let whole = |power: u32| 10_i64.checked_pow(power.checked_sub(9)?);
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
                Ok(Quantity {
                    bytes: number,
                    decimal: true,
                })
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resize_case_14_amounts_are_rounded_up_to_whole_bytes() {
        for (text, bytes) in [
            ("10737418240500m", 10_737_418_241),
            ("10Gi", 10 << 30),
            ("0.5Gi", 512 << 20),
            ("1.5", 2),
            ("20G", 20_000_000_000),
            ("1e3", 1_000),
            ("1E3", 1_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1n", 1),
            ("-1Gi", -(1 << 30)),
            ("99999999999Gi", i64::MAX),
            ("00000000000000000000005", 5),
        ] {
            assert_eq!(Quantity::parse(text).map(Quantity::bytes), Some(bytes), "{text}");
        }
        for text in ["", "Gi", "1gi", "1 Gi", "1..2", "--1", "five", "1e99", "+", "1é"] {
            assert!(Quantity::parse(text).is_none(), "{text}");
        }
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
