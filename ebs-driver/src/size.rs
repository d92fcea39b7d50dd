//! Sizes: CSI speaks bytes, EC2 whole GiB. Source: spec 1.4 (rounding), 1.5 (capacity), Q15, Q23.

use thiserror::Error;

/// Bytes of one GiB.
pub const GIB: i64 = 1 << 30;

/// Size of a volume for which the caller named no range.
pub const DEFAULT_GIB: i64 = 100;

/// Why a capacity range cannot be met. All are InvalidArgument.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum RangeError {
    /// `required_bytes` is 0 or absent where it must be given.
    #[error("the required capacity must be above 0")]
    NothingRequired,
    /// A field is below 0.
    #[error("the capacity range holds a negative number")]
    Negative,
    /// EC2 counts whole GiB, and the next whole GiB is above the limit.
    #[error(
        "{rounded_gib} GiB, the required capacity in whole GiB, is above the limit of {limit_bytes} bytes"
    )]
    AboveLimit {
        /// What would be asked of EC2.
        rounded_gib: i64,
        /// What the caller allows.
        limit_bytes: i64,
    },
    /// EC2 takes a 32-bit number of GiB.
    #[error("{0} GiB is larger than any EBS volume")]
    TooLarge(i64),
}

/// Bytes rounded up to whole GiB.
#[must_use]
pub fn round_up(bytes: i64) -> i64 {
    bytes / GIB + i64::from(bytes % GIB > 0)
}

/// GiB as bytes.
#[must_use]
pub fn bytes(gib: i64) -> i64 {
    gib.saturating_mul(GIB)
}

/// The size in GiB that a range asks for.
///
/// # Errors
/// When the range names no size, contradicts itself, or cannot be met in whole GiB.
pub fn required_gib(required_bytes: i64, limit_bytes: i64) -> Result<i64, RangeError> {
    if required_bytes < 0 || limit_bytes < 0 {
        return Err(RangeError::Negative);
    }
    if required_bytes == 0 {
        return Err(RangeError::NothingRequired);
    }
    let rounded_gib = round_up(required_bytes);
    if limit_bytes > 0 && bytes(rounded_gib) > limit_bytes {
        return Err(RangeError::AboveLimit {
            rounded_gib,
            limit_bytes,
        });
    }
    if rounded_gib > i64::from(i32::MAX) {
        return Err(RangeError::TooLarge(rounded_gib));
    }
    Ok(rounded_gib)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ebs_case_12_13_14_71_ranges_are_rounded_and_checked() {
        assert_eq!(required_gib(5 * GIB + 1, 0), Ok(6));
        assert_eq!(required_gib(5 * GIB, 5 * GIB), Ok(5));
        assert_eq!(
            required_gib(5 * GIB + 1, 5 * GIB),
            Err(RangeError::AboveLimit {
                rounded_gib: 6,
                limit_bytes: 5 * GIB
            })
        );
        assert_eq!(required_gib(0, 5 * GIB), Err(RangeError::NothingRequired));
        assert_eq!(required_gib(-1, 0), Err(RangeError::Negative));
        assert_eq!(required_gib(1, 0), Ok(1));
        assert_eq!(required_gib(i64::MAX, 0), Err(RangeError::TooLarge(1 << 33)));
    }
}
