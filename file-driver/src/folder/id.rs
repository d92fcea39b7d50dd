//! IDs. They follow from the names that CSI gives, so that a call that is repeated finds what it made before, and no
//! text of a request ever becomes a path.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Hexadecimal digits of an ID.
const DIGITS: usize = 32;

/// What an ID is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A volume.
    Volume,
    /// A snapshot, alone or in a group.
    Snapshot,
    /// A group of snapshots.
    Group,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Volume => "vol-",
            Self::Snapshot => "snap-",
            Self::Group => "group-",
        }
    }
}

/// An ID: the prefix of its kind and 32 hexadecimal digits.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

impl Id {
    /// The ID of what bears this name: any text.
    #[must_use]
    pub fn named(kind: Kind, name: &str) -> Self {
        Self::hashed(kind, &[name])
    }

    /// The ID of the snapshot of a volume in a group. No snapshot of its own has it, whatever its name.
    #[must_use]
    pub fn member(group: &Self, volume: &Self) -> Self {
        Self::hashed(Kind::Snapshot, &[&group.0, &volume.0])
    }

    fn hashed(kind: Kind, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut digits = hex::encode(hash.finalize());
        digits.truncate(DIGITS);
        Self(format!("{}{digits}", kind.prefix()))
    }

    /// The ID that a text is; none where it cannot be one of this kind, so that nothing can have it.
    #[must_use]
    pub fn parse(kind: Kind, text: &str) -> Option<Self> {
        let digits = text.strip_prefix(kind.prefix())?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == DIGITS && digits.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let kinds = [Kind::Volume, Kind::Snapshot, Kind::Group];
        let found = kinds.into_iter().find_map(|kind| Self::parse(kind, &text));
        found.ok_or_else(|| format!("{text:?} is no ID"))
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_id_names_nothing() {
        for text in [
            "",
            "vol-",
            "..",
            "vol-../../../../../../etc/passwd0000000000",
            "vol-0123456789ABCDEF0123456789ABCDEF",
            "snap-0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(Id::parse(Kind::Volume, text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_one_plain_part_of_a_path(name in ".*") {
            for kind in [Kind::Volume, Kind::Snapshot, Kind::Group] {
                let id = Id::named(kind, &name);
                prop_assert_eq!(Id::parse(kind, id.as_str()), Some(id.clone()));
                prop_assert!(id.as_str().chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
            }
        }

        #[test]
        fn no_name_of_a_snapshot_is_that_of_a_member(name in ".*", group in ".*", volume in ".*") {
            let (group, volume) = (Id::named(Kind::Group, &group), Id::named(Kind::Volume, &volume));
            prop_assert_ne!(Id::named(Kind::Snapshot, &name), Id::member(&group, &volume));
        }
    }
}
