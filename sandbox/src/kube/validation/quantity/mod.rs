//! Quantities like `5Gi`, `1500M` or `100m`, read, kept and printed as the API server does.
//!
//! It keeps the text of a quantity that it takes for canonical, and of some that are not; all others it prints anew.
//! Source: `apimachinery pkg/api/resource`.

mod decimal;

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

use self::decimal::Decimal;

/// How a quantity was written, which is how it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Binary,
    Decimal,
    Exponent,
}

/// An exact amount. Comparison is by amount alone.
#[derive(Clone, Debug)]
pub struct Quantity {
    negative: bool,
    amount: Decimal,
    style: Style,
    /// As it was written, where that is kept.
    text: Option<String>,
    /// Written as a whole number of few digits, times what its suffix says.
    is_plain: bool,
}

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
/// Digits after the point that the API server keeps of any quantity, and of one in a list of resources.
const NANO: i64 = 9;
const MILLI: i64 = 3;
/// The most that a binary suffix may say; more is taken for this.
const BINARY_LIMIT: &str = "9223372036854775807";

const FORM: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const SUFFIX: &str = "unable to parse quantity's suffix";

impl Quantity {
    /// Reads a text or a number; nothing where it is no quantity.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        Self::decode(value).ok()
    }

    /// The same, with what the API server says where it is no quantity.
    pub(crate) fn decode(value: &Value) -> Result<Self, &'static str> {
        match value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => Err(FORM),
        }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err(FORM);
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, rest) = digits(unsigned);
        let (part, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
        if !is_suffix(suffix) {
            return Err(FORM);
        }
        let whole = whole.trim_start_matches('0');
        // What is not short the API server keeps as a decimal number, whatever its amount.
        let is_short = whole.len() + part.len() <= 18;
        let (amount, style, exactly) = match BINARY.iter().find(|(name, _)| *name == suffix) {
            Some((_, power)) => binary(whole, part, *power),
            None => decimal(whole, part, suffix).ok_or(SUFFIX)?,
        };
        Ok(Self {
            negative: text.starts_with('-') && !amount.is_zero(),
            text: (exactly || text == "0").then(|| text.to_owned()),
            is_plain: is_short && is_scaled(part, suffix),
            amount,
            style,
        })
    }

    /// As it is in a list of resources: no finer than a thousandth, rounded up.
    fn of_resource(self) -> Self {
        if self.amount.power() >= -MILLI {
            return self;
        }
        Self {
            amount: self.amount.rounded_up(MILLI),
            text: None,
            ..self
        }
    }

    /// The amount in whole bytes, rounded up; the most or least that an int64 holds where it is more.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        let bytes = self.amount.clone().rounded_up(0).integer().unwrap_or(i64::MAX);
        if self.negative { -bytes } else { bytes }
    }

    /// The smallest whole number that is not less.
    pub(crate) fn rounded_up(self) -> Self {
        if !self.is_fractional() {
            return self;
        }
        Self {
            amount: self.amount.rounded_up(0),
            text: None,
            ..self
        }
    }

    /// A whole number.
    pub(crate) fn whole(number: i64) -> Self {
        Self {
            negative: number < 0,
            amount: Decimal::new(&number.unsigned_abs().to_string(), "", 0),
            style: Style::Decimal,
            text: None,
            is_plain: true,
        }
    }

    /// As a whole number; none where it is none, or an int64 does not hold it, or it was written as no whole number
    /// (`1.0`) or with more than 18 digits.
    pub(crate) fn integer(&self) -> Option<i64> {
        let amount = self.amount.integer().filter(|_| self.is_plain)?;
        Some(if self.negative { -amount } else { amount })
    }

    /// The closest number of double precision.
    pub(crate) fn approximate(&self) -> f64 {
        self.plain().parse().unwrap_or(f64::NAN)
    }

    /// The same amount with the other sign.
    pub(crate) fn negated(&self) -> Self {
        Self {
            negative: !self.negative && !self.amount.is_zero(),
            amount: self.amount.clone(),
            style: self.style,
            text: None,
            is_plain: self.is_plain,
        }
    }

    /// The sum, which is written as this one is; where this one is zero, as the other.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let (negative, amount) = if self.negative == other.negative {
            (self.negative, self.amount.plus(&other.amount))
        } else if self.amount >= other.amount {
            (self.negative, self.amount.minus(&other.amount))
        } else {
            (other.negative, other.amount.minus(&self.amount))
        };
        let style = if self.amount.is_zero() {
            other.style
        } else {
            self.style
        };
        Self {
            negative: negative && !amount.is_zero(),
            amount,
            style,
            text: None,
            is_plain: self.is_plain && other.is_plain,
        }
    }

    /// True for more than zero.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        !self.negative && !self.amount.is_zero()
    }

    /// True where it is not a whole number.
    #[must_use]
    pub fn is_fractional(&self) -> bool {
        self.amount.power() < 0
    }

    /// The amount alone, the same for all that are equal.
    pub(super) fn plain(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let power = self.amount.power();
        format!("{sign}{}e{power}", self.amount.text(power))
    }

    /// Whether it is printed in powers of two: whole numbers from 1,024 on.
    fn prints_binary(&self) -> bool {
        self.style == Style::Binary && !self.is_fractional() && self.amount >= Decimal::new("1024", "", 0)
    }
}

/// Whether a suffix leaves no digit behind the point, by how the amount is written.
fn is_scaled(part: &str, suffix: &str) -> bool {
    if BINARY.iter().any(|(name, _)| *name == suffix) {
        return part.is_empty();
    }
    let power = match DECIMAL.iter().find(|(name, _)| *name == suffix) {
        Some((_, power)) => Some(*power),
        None => exponent(suffix),
    };
    let power = power.and_then(|power| usize::try_from(power).ok());
    power.is_some_and(|power| power >= part.len())
}

/// The digits with which a text begins, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// Whether a text has the form of a suffix, known or not.
fn is_suffix(text: &str) -> bool {
    let rest = text.trim_start_matches(['e', 'E', 'i', 'n', 'u', 'm', 'k', 'K', 'M', 'G', 'T', 'P']);
    let rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    rest.bytes().all(|byte| byte.is_ascii_digit())
}

/// A quantity with a binary suffix; whether its text is kept: a number of few digits that is no multiple of eight.
fn binary(whole: &str, part: &str, power: u32) -> (Decimal, Style, bool) {
    let length = whole.len().max(1);
    let is_short = part.is_empty() && length + usize::try_from(power * 3 / 10).unwrap_or(0) < 15;
    if is_short {
        let number: u64 = whole.parse().unwrap_or(0);
        return (
            Decimal::binary(whole, part, power),
            Style::Binary,
            !number.is_multiple_of(8),
        );
    }
    let limit = Decimal::new(BINARY_LIMIT, "", 0);
    let amount = if whole.len() > BINARY_LIMIT.len() {
        limit
    } else {
        Decimal::binary(whole, part, power).rounded_up(NANO).min(limit)
    };
    let is_whole = amount.is_zero() || amount >= Decimal::new("1", "", 0);
    let style = if is_whole { Style::Binary } else { Style::Decimal };
    (amount, style, false)
}

/// A quantity in powers of ten; whether its text is kept.
fn decimal(whole: &str, part: &str, suffix: &str) -> Option<(Decimal, Style, bool)> {
    let (power, style) = match DECIMAL.iter().find(|(name, _)| *name == suffix) {
        Some((_, power)) => (*power, Style::Decimal),
        None => (exponent(suffix)?, Style::Exponent),
    };
    let amount = Decimal::new(whole, part, power).rounded_up(NANO);
    let whole = if whole.is_empty() { "0" } else { whole };
    let places = i64::try_from(part.len()).unwrap_or(i64::MAX);
    let scale = i64::from(power).saturating_sub(places);
    let is_short = whole.len() + part.len() <= 18 && scale >= -NANO;
    let last = if part.len() >= 3 {
        part.to_owned()
    } else {
        format!("{whole}{part}")
    };
    let is_kept = is_short && scale % 3 == 0 && !whole.starts_with('0') && !last.ends_with("000");
    Some((amount, style, is_kept))
}

/// The exponent of a suffix like `e3`, of which the API server keeps 32 bits.
fn exponent(suffix: &str) -> Option<i32> {
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let [a, b, c, d, ..] = exponent.to_le_bytes();
    Some(i32::from_le_bytes([a, b, c, d]))
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
        match (self.negative, other.negative) {
            (false, false) => self.amount.cmp(&other.amount),
            (true, true) => other.amount.cmp(&self.amount),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl fmt::Display for Quantity {
    /// As the API server prints it: its text where that is kept, else the largest suffix of the style that leaves a
    /// whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        if self.amount.is_zero() {
            return f.write_str("0");
        }
        let sign = if self.negative { "-" } else { "" };
        if self.prints_binary() {
            let bytes = self.amount.integer().unwrap_or(i64::MAX);
            let fitting = BINARY
                .iter()
                .rev()
                .find(|(_, shift)| bytes % (1_i64 << shift) == 0);
            return match fitting {
                Some((suffix, shift)) => write!(f, "{sign}{}{suffix}", bytes >> shift),
                None => write!(f, "{sign}{bytes}"),
            };
        }
        let power = self.amount.power().div_euclid(3) * 3;
        let digits = self.amount.text(power);
        if self.style == Style::Exponent {
            return match power {
                0 => write!(f, "{sign}{digits}"),
                _ => write!(f, "{sign}{digits}e{power}"),
            };
        }
        // Beyond the largest suffix the API server prints none at all.
        let suffix = DECIMAL.iter().find(|(_, known)| i64::from(*known) == power);
        write!(f, "{sign}{digits}{}", suffix.map_or("", |(suffix, _)| suffix))
    }
}

/// Brings the values of a map of quantities into the form in which the API server keeps them.
pub(super) fn canonicalise(map: Option<&mut Value>) {
    let Some(Value::Object(map)) = map else {
        return;
    };
    for value in map.values_mut() {
        if let Some(quantity) = Quantity::read(value) {
            *value = Value::from(quantity.of_resource().to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a real API server stored of claims, which the conformance tests recorded.
    const RECORD: &str = include_str!("../../../../../conformance/corpus/quantities.txt");

    #[test]
    fn sizes_are_stored_as_the_real_one_stores_them() {
        let rows = RECORD
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut number = 0;
        for row in rows {
            let columns: Vec<&str> = row.split_whitespace().collect();
            let mut sizes = json!({"storage": columns[0]});
            canonicalise(Some(&mut sizes));
            assert_eq!(sizes["storage"], columns[1], "{row}");
            number += 1;
        }
        assert!(number > 50, "only {number} sizes are recorded");
    }

    #[test]
    fn quantities_print_in_canonical_form() {
        for (written, canonical) in [
            (json!("5Gi"), "5Gi"),
            (json!("1024Mi"), "1Gi"),
            (json!("0.5Gi"), "512Mi"),
            (json!("1500000000"), "1500M"),
            (json!(1000), "1k"),
            (json!("512Ki"), "512Ki"),
            (json!("0.5Ki"), "512"),
            (json!("100m"), "100m"),
            (json!("1.5"), "1500m"),
            (json!("1e3"), "1e3"),
            (json!("0Gi"), "0"),
            (json!("-1Gi"), "-1Gi"),
            (json!("-0.5"), "-500m"),
        ] {
            assert_eq!(
                Quantity::read(&written).unwrap().to_string(),
                canonical,
                "{written}"
            );
        }
    }

    #[test]
    fn other_texts_are_no_quantities() {
        for text in [
            "",
            "1gi",
            "1 Gi",
            "1..2",
            "--1",
            "five",
            "1e",
            "1Gi5",
            "1mm",
            "1é",
            "1e99999999999999999999",
        ] {
            assert!(Quantity::read(&json!(text)).is_none(), "{text}");
        }
        for value in [json!(null), json!(true), json!([]), json!({})] {
            assert!(Quantity::read(&value).is_none(), "{value}");
        }
    }

    #[test]
    fn quantities_add_up() {
        let read = |text: &str| Quantity::read(&json!(text)).unwrap();
        for (one, other, sum) in [
            ("1Gi", "1Mi", "1025Mi"),
            ("1", "-1", "0"),
            ("100m", "-1", "-900m"),
            ("-1", "100m", "-900m"),
            ("999", "1m", "999001m"),
            ("-5", "-5", "-10"),
            ("1e2000", "1", "1e2000"),
        ] {
            assert_eq!(read(one).plus(&read(other)), read(sum), "{one} {other}");
        }
        for (one, other, printed) in [
            ("0", "4Gi", "4Gi"),
            ("4Gi", "0", "4Gi"),
            ("2Gi", "2147483648", "4Gi"),
            ("2147483648", "2Gi", "4294967296"),
        ] {
            assert_eq!(read(one).plus(&read(other)).to_string(), printed, "{one} {other}");
        }
        for (size, whole) in [("100m", "1"), ("1500m", "2"), ("5Gi", "5Gi"), ("0", "0")] {
            assert_eq!(read(size).rounded_up().to_string(), whole, "{size}");
        }
        assert_eq!(Quantity::whole(-1024), read("-1Ki"));
        assert_eq!(
            (read("-1Ki").integer(), read("1m").integer()),
            (Some(-1024), None)
        );
        assert!((read("-500m").approximate() + 0.5).abs() < 1e-9);
        assert_eq!(read("1Gi").negated(), read("-1Gi"));
    }

    #[test]
    fn quantities_compare_by_amount() {
        let read = |text: &str| Quantity::read(&json!(text)).unwrap();
        assert_eq!(read("1Gi"), read("1024Mi"));
        assert_eq!(read("1e19"), read("10E"));
        assert!(read("1G") < read("1Gi"));
        assert!(read("1e2147483647") > read("1e2147483646"));
        assert!(read("-2") < read("-1") && read("-1") < read("0"));
        assert!(!read("0").is_positive() && !read("-1").is_positive());
        assert!(read("1500m").is_fractional() && !read("1500").is_fractional());
        assert_eq!(
            (read("1e19").bytes(), read("-1e19").bytes()),
            (i64::MAX, -i64::MAX)
        );
    }
}
