//! Quantities like `5Gi`, `1500M` or `100m`.

use std::fmt;

use serde_json::Value;

const NANO: i128 = 1_000_000_000;

/// How a quantity was written, which is how it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Binary,
    Decimal,
    Exponent,
}

/// An amount with nine decimal places. Comparison is by amount alone.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    style: Style,
}

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

impl Quantity {
    /// Reads a text or a number; nothing where it is no quantity or beyond what the API server keeps.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let end = text
            .char_indices()
            .find(|(index, c)| !(c.is_ascii_digit() || *c == '.' || *index == 0 && matches!(c, '+' | '-')));
        let (number, suffix) = text.split_at_checked(end.map_or(text.len(), |(index, _)| index))?;
        let (factor, style) = factor(suffix)?;
        let negative = number.starts_with('-');
        let digits = number.trim_start_matches(['+', '-']);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && part.is_empty() || part.contains('.') || whole.len() + part.len() > 18 {
            return None;
        }
        let mantissa: i128 = format!("{whole}{part}").parse().ok()?;
        let scale = 10_i128.checked_pow(u32::try_from(part.len()).ok()?)?;
        let product = mantissa.checked_mul(factor)?;
        // Finer amounts than a billionth are rounded up.
        let nanos = product.div_euclid(scale) + i128::from(product.rem_euclid(scale) != 0);
        Some(Self {
            nanos: if negative { -nanos } else { nanos },
            style,
        })
    }

    /// The amount in whole bytes, rounded up.
    #[must_use]
    pub fn bytes(self) -> i64 {
        let whole = self.nanos.div_euclid(NANO) + i128::from(self.nanos.rem_euclid(NANO) != 0);
        i64::try_from(whole).unwrap_or(i64::MAX)
    }

    /// True for zero and above.
    #[must_use]
    pub fn is_positive(self) -> bool {
        self.nanos > 0
    }
}

/// What a suffix multiplies by, in billionths.
fn factor(suffix: &str) -> Option<(i128, Style)> {
    if let Some((_, shift)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((NANO << shift, Style::Binary));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((10_i128.pow(*power), Style::Decimal));
    }
    let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (exponent <= 18).then(|| (10_i128.pow(exponent + 9), Style::Exponent))
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: the largest suffix of the style that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos / NANO;
        if self.style == Style::Binary && self.nanos % NANO == 0 && whole.abs() >= 1024 {
            let fitting = BINARY
                .iter()
                .rev()
                .find(|(_, shift)| whole % (1_i128 << shift) == 0);
            return match fitting {
                Some((suffix, shift)) => write!(f, "{}{suffix}", whole >> shift),
                None => write!(f, "{whole}"),
            };
        }
        let fitting = DECIMAL
            .iter()
            .rev()
            .find(|(_, power)| self.nanos % 10_i128.pow(*power) == 0);
        let (suffix, power) = fitting.copied().unwrap_or(("n", 0));
        let mantissa = self.nanos / 10_i128.pow(power);
        match (self.style, power.checked_sub(9)) {
            (Style::Exponent, Some(exponent)) if exponent > 0 => write!(f, "{mantissa}e{exponent}"),
            _ => write!(f, "{mantissa}{suffix}"),
        }
    }
}

/// Brings the values of a map of quantities into canonical form.
pub(super) fn canonicalise(map: Option<&mut Value>) {
    let Some(Value::Object(map)) = map else {
        return;
    };
    for value in map.values_mut() {
        if let Some(quantity) = Quantity::read(value) {
            *value = Value::from(quantity.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        for text in ["", "Gi", "1gi", "1 Gi", "1..2", "--1", "five", "1e99", "+"] {
            assert!(Quantity::read(&json!(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn quantities_compare_by_amount() {
        let read = |text: &str| Quantity::read(&json!(text)).unwrap();
        assert_eq!(read("1Gi"), read("1024Mi"));
        assert!(read("1G") < read("1Gi"));
        assert!(!read("0").is_positive());
    }
}
