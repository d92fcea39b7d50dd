//! Comparing resourceVersions.

use std::fmt;

/// A resourceVersion. Numeric ones are ordered (as Kubernetes 1.35 guarantees); one that is not numeric counts
/// as newer than any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version(Option<u64>);

impl Version {
    /// Reads a `metadata.resourceVersion`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.parse().ok())
    }

    /// Reads the resourceVersion of an object.
    #[must_use]
    pub fn of<K: kube::Resource>(object: &K) -> Self {
        Self::parse(object.meta().resource_version.as_deref().unwrap_or_default())
    }

    /// The version of this number; zero is one that is not numeric, since no object has it.
    pub(super) fn numbered(number: u64) -> Self {
        Self(Some(number).filter(|number| *number > 0))
    }

    /// True if both are numeric and this one is the lower.
    #[must_use]
    pub fn is_older_than(self, other: Self) -> bool {
        matches!((self.0, other.0), (Some(own), Some(other)) if own < other)
    }

    /// True if both are numeric and equal.
    #[must_use]
    pub fn is_same_as(self, other: Self) -> bool {
        self.0.is_some() && self.0 == other.0
    }

    /// The number, if it is one.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        self.0
    }

    /// The later of the two; a version that is not numeric leaves the other.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(formatter),
            None => formatter.write_str("?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers_and_others_count_as_newer() {
        let older = |left: &str, right: &str| Version::parse(left).is_older_than(Version::parse(right));
        assert!(older("9", "10"));
        assert!(!older("10", "9"));
        assert!(!older("10", "10"));
        assert!(!older("abc", "10") && !older("10", "abc") && !older("", "1"));
    }
}
