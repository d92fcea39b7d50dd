//! How large a volume becomes.

use csi::v1::CapacityRange;

use super::Refusal;

/// Sizes are multiples of it, which every device and file system can have.
pub const STEP: u64 = 4096;
/// The size of a volume of which none is asked for.
pub const DEFAULT: u64 = 1 << 30;
/// The largest size.
pub const MOST: u64 = 1 << 50;

/// The sizes that are asked for, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Range {
    /// At least.
    pub required: u64,
    /// At most.
    pub limit: Option<u64>,
}

impl Range {
    /// What a message asks for; anything where there is none.
    ///
    /// # Errors
    /// Negative numbers, and a limit below what is required.
    pub fn read(range: Option<&CapacityRange>) -> Result<Self, Refusal> {
        let invalid = |problem: String| Refusal::invalid("capacity_range", problem);
        let bytes = |value: i64| {
            u64::try_from(value).map_err(|_| invalid(format!("has the negative number {value}")))
        };
        let Some(range) = range else {
            return Ok(Self::default());
        };
        let (required, limit) = (bytes(range.required_bytes)?, bytes(range.limit_bytes)?);
        let limit = (limit > 0).then_some(limit);
        if limit.is_some_and(|limit| limit < required) {
            let limit = range.limit_bytes;
            return Err(invalid(format!(
                "has the limit {limit}, below the required {required} bytes"
            )));
        }
        Ok(Self { required, limit })
    }

    /// Whether a size is among them.
    #[must_use]
    pub fn holds(&self, bytes: u64) -> bool {
        bytes >= self.required && self.limit.is_none_or(|limit| bytes <= limit)
    }
}

fn checked(bytes: u64, range: &Range) -> Result<u64, Refusal> {
    let rounded = bytes.checked_next_multiple_of(STEP).unwrap_or(u64::MAX);
    if rounded > MOST {
        return Err(Refusal::OutOfRange(format!(
            "{bytes} bytes are more than a volume can have, which is {MOST}"
        )));
    }
    match range.limit {
        Some(limit) if rounded > limit => Err(Refusal::OutOfRange(format!(
            "the volume would have {rounded} bytes, and the limit is {limit}"
        ))),
        _ => Ok(rounded),
    }
}

/// The size of a new volume; `source` is that of what it is made from, in bytes.
///
/// # Errors
/// [`Refusal::OutOfRange`].
pub fn of_new(range: &Range, source: Option<u64>) -> Result<u64, Refusal> {
    let least = range.required.max(source.unwrap_or_default());
    if least > 0 {
        return checked(least, range);
    }
    let down = |limit: u64| limit - limit % STEP;
    match range.limit.map(down) {
        Some(0) => checked(1, range),
        limit => Ok(limit.map_or(DEFAULT, |limit| limit.min(DEFAULT))),
    }
}

/// The size that a volume of `now` bytes grows to: `now` where it is large enough.
///
/// # Errors
/// [`Refusal::OutOfRange`], for a limit below its size too: volumes do not shrink.
pub fn of_grown(range: &Range, now: u64) -> Result<u64, Refusal> {
    checked(range.required.max(now), range)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(required: i64, limit: i64) -> Range {
        Range::read(Some(&CapacityRange {
            required_bytes: required,
            limit_bytes: limit,
        }))
        .unwrap()
    }

    #[test]
    fn new_volumes_have_what_is_asked_for() {
        let rows = [
            (0, 0, None, Ok(DEFAULT)),
            (0, 1 << 20, None, Ok(1 << 20)),
            (0, 2 << 30, None, Ok(DEFAULT)),
            (1, 0, None, Ok(STEP)),
            (1 << 31, 0, None, Ok(1 << 31)),
            (5000, 6000, None, Err(())),
            (0, 100, None, Err(())),
            (1 << 20, 0, Some(2 << 20), Ok(2 << 20)),
            (1 << 20, 1 << 20, Some(2 << 20), Err(())),
            (i64::MAX, 0, None, Err(())),
        ];
        for (required, limit, source, expected) in rows {
            let size = of_new(&range(required, limit), source);
            assert_eq!(
                size.clone().map_err(drop),
                expected,
                "{required} {limit}: {size:?}"
            );
            if let Err(refusal) = size {
                assert!(matches!(refusal, Refusal::OutOfRange(_)));
            }
        }
    }

    #[test]
    fn volumes_do_not_shrink() {
        assert_eq!(of_grown(&range(1 << 20, 0), 2 << 20), Ok(2 << 20));
        assert_eq!(of_grown(&range(3 << 20, 0), 2 << 20), Ok(3 << 20));
        assert!(of_grown(&range(0, 1 << 20), 2 << 20).is_err());
    }

    #[test]
    fn what_contradicts_itself_is_invalid() {
        for (required_bytes, limit_bytes) in [(-1, 0), (0, -1), (2, 1)] {
            let range = CapacityRange {
                required_bytes,
                limit_bytes,
            };
            let refusal = Range::read(Some(&range)).unwrap_err();
            assert!(refusal.to_string().starts_with("capacity_range has"), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn a_size_is_among_those_that_were_asked_for(
            required in 0_i64.., limit in 0_i64.., source in proptest::option::of(0..MOST)
        ) {
            prop_assume!(limit == 0 || limit >= required);
            let range = range(required, limit);
            if let Ok(bytes) = of_new(&range, source) {
                prop_assert!(range.holds(bytes) && bytes > 0 && bytes % STEP == 0);
                prop_assert!(bytes >= source.unwrap_or_default());
            }
        }
    }
}
