//! Decimal numbers of any size, as far as quantities need them.

use std::cmp::Ordering;

/// How far apart two amounts may begin of which the smaller counts in a sum.
const REACH: i64 = 1_000;

/// `0.d1d2d3...` times ten to the power: digits without zeros at either end; none for zero. Never negative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: Vec<u8>,
    /// How many digits are before the point; none or a negative number where zeros follow it.
    point: i64,
}

impl Decimal {
    /// `whole.part` times ten to the power, of ASCII digits.
    pub fn new(whole: &str, part: &str, power: i32) -> Self {
        let digits = whole.bytes().chain(part.bytes()).map(|digit| digit - b'0');
        let length = i64::try_from(whole.len()).unwrap_or(i64::MAX);
        Self {
            digits: digits.collect(),
            point: length.saturating_add(i64::from(power)),
        }
        .trimmed()
    }

    /// `whole.part` times two to the power.
    pub fn binary(whole: &str, part: &str, power: u32) -> Self {
        let mut number = Self::new(whole, part, 0);
        for _ in 0..power {
            number.double();
        }
        number
    }

    pub fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// The power of ten of its last digit; 0 for zero.
    pub fn power(&self) -> i64 {
        let length = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        self.point.saturating_sub(length)
    }

    /// The smallest number of so many digits after the point that is not less.
    pub fn rounded_up(mut self, places: i64) -> Self {
        let kept = usize::try_from(self.point.saturating_add(places)).unwrap_or(0);
        if self.is_zero() || kept >= self.digits.len() {
            return self;
        }
        self.digits.truncate(kept);
        if self.point.saturating_add(places) < 0 {
            // One at the last place is more than the whole.
            self.point = places.saturating_neg();
        }
        let mut carries = true;
        for digit in self.digits.iter_mut().rev() {
            *digit = (*digit + 1) % 10;
            carries = *digit == 0;
            if !carries {
                break;
            }
        }
        if carries {
            self.digits.insert(0, 1);
            self.point += 1;
        }
        self.trimmed()
    }

    /// The digits of the number divided by ten to the power, which is at most its own.
    pub fn text(&self, power: i64) -> String {
        let zeros = usize::try_from(self.power().saturating_sub(power)).unwrap_or(0);
        let digits = self.digits.iter().map(|digit| char::from(b'0' + digit));
        digits.chain(std::iter::repeat_n('0', zeros)).collect()
    }

    /// As an integer; none when it is none, or too large.
    pub fn integer(&self) -> Option<i64> {
        if self.is_zero() {
            return Some(0);
        }
        if self.power() < 0 || self.point > 19 {
            return None;
        }
        self.text(0).parse().ok()
    }

    /// The sum. An amount that begins more than [`REACH`] digits after the other one's is too small to change it.
    pub fn plus(&self, other: &Self) -> Self {
        self.combined(other, |one, other, carry| {
            let sum = one + other + carry;
            (sum % 10, sum / 10)
        })
    }

    /// The difference to another one that is not larger.
    pub fn minus(&self, other: &Self) -> Self {
        self.combined(other, |one, other, borrow| {
            let taken = other + borrow;
            if taken > one {
                (one + 10 - taken, 1)
            } else {
                (one - taken, 0)
            }
        })
    }

    /// Digit by digit from the end, with what is carried to the next.
    fn combined(&self, other: &Self, combine: fn(u8, u8, u8) -> (u8, u8)) -> Self {
        if other.is_zero() || self.point.saturating_sub(other.point) > REACH && !self.is_zero() {
            return self.clone();
        }
        if self.is_zero() || other.point.saturating_sub(self.point) > REACH {
            return other.clone();
        }
        let (top, end) = (self.point.max(other.point), self.power().min(other.power()));
        let mut digits = Vec::new();
        let mut carry = 0;
        for place in end..top {
            let (digit, next) = combine(self.digit(place), other.digit(place), carry);
            digits.push(digit);
            carry = next;
        }
        digits.push(carry);
        digits.reverse();
        Self {
            digits,
            point: top + 1,
        }
        .trimmed()
    }

    /// The digit that counts ten to the power.
    fn digit(&self, power: i64) -> u8 {
        let index = usize::try_from(self.point - 1 - power);
        index
            .ok()
            .and_then(|index| self.digits.get(index))
            .copied()
            .unwrap_or(0)
    }

    fn double(&mut self) {
        let mut carry = 0;
        for digit in self.digits.iter_mut().rev() {
            let doubled = *digit * 2 + carry;
            *digit = doubled % 10;
            carry = doubled / 10;
        }
        if carry > 0 {
            self.digits.insert(0, carry);
            self.point += 1;
        }
        *self = std::mem::take(self).trimmed();
    }

    fn trimmed(mut self) -> Self {
        let last = self.digits.iter().rposition(|digit| *digit != 0);
        self.digits.truncate(last.map_or(0, |last| last + 1));
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros);
        self.point = if self.digits.is_empty() {
            0
        } else {
            self.point
                .saturating_sub(i64::try_from(zeros).unwrap_or(i64::MAX))
        };
        self
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                let digits = self.digits.cmp(&other.digits);
                self.point.cmp(&other.point).then(digits)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        Decimal::new(whole, part, 0)
    }

    #[test]
    fn numbers_are_rounded_up() {
        for (text, places, rounded) in [
            ("1.001", 2, "1.01"),
            ("1.01", 2, "1.01"),
            ("9.999", 2, "10"),
            ("0.0001", 2, "0.01"),
            ("0.0099", 2, "0.01"),
            ("0.0101", 2, "0.02"),
            ("123", 0, "123"),
            ("99.5", 0, "100"),
            ("0", 0, "0"),
        ] {
            assert_eq!(number(text).rounded_up(places), number(rounded), "{text}");
        }
    }

    #[test]
    fn numbers_compare_and_print() {
        assert!(number("10") > number("9.999"));
        assert!(number("0.1") < number("0.11"));
        assert_eq!(number("0010.50"), number("10.5"));
        assert_eq!(number("1500").text(0), "1500");
        assert_eq!(number("1500").text(-3), "1500000");
        assert_eq!(number("1500").power(), 2);
        assert_eq!(Decimal::binary("1", "5", 10), number("1536"));
        assert_eq!(Decimal::binary("0", "001", 10), number("1.024"));
        assert_eq!(number("9223372036854775807").integer(), Some(i64::MAX));
        assert_eq!(number("9223372036854775808").integer(), None);
        assert_eq!(number("1.5").integer(), None);
    }
}
