//! Formatting options, which the node uses. Source: spec 1.4, 2.1.

use std::collections::BTreeMap;

use super::{ParameterError, boolean, refused};

const ALL: [&str; 7] = [
    "blocksize",
    "inodesize",
    "bytesperinode",
    "numberofinodes",
    "ext4bigalloc",
    "ext4clustersize",
    "ext4encryptionsupport",
];
const EXT4_ONLY: [&str; 3] = ["ext4bigalloc", "ext4clustersize", "ext4encryptionsupport"];
const SWITCHES: [&str; 2] = ["ext4bigalloc", "ext4encryptionsupport"];

/// The formatting options that are set, by lower-case key; they go into the volume context.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FormatOptions(BTreeMap<&'static str, String>);

/// What is formatted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target<'a> {
    /// Nothing: the volume is used as a block device.
    Block,
    /// A file system of this type; empty when the caller named none.
    FileSystem(&'a str),
}

impl FormatOptions {
    /// The canonical form of a lower-case key, if it is a formatting key.
    pub(crate) fn key(lower: &str) -> Option<&'static str> {
        ALL.into_iter().find(|key| *key == lower)
    }

    pub(crate) fn insert(
        &mut self,
        key: &'static str,
        given: &str,
        value: &str,
    ) -> Result<(), ParameterError> {
        if value.is_empty() {
            return Ok(());
        }
        if !value.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(refused(given, value, "letters and digits"));
        }
        if !SWITCHES.contains(&key) {
            self.0.insert(key, value.to_owned());
        } else if boolean(given, value)? {
            self.0.insert(key, "true".to_owned());
        }
        Ok(())
    }

    /// The options by lower-case key.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// Refuses options that mean nothing for this target. Unknown file systems are checked when staged.
    ///
    /// # Errors
    /// The first option that is not supported, or a cluster size without `ext4bigalloc`.
    pub fn check(&self, target: Target<'_>) -> Result<(), ParameterError> {
        let (unsupported, name): (&[&str], String) = match target {
            Target::Block => (&ALL, "block volumes".to_owned()),
            Target::FileSystem(fs_type) => {
                let fs_type = fs_type.to_lowercase();
                match fs_type.as_str() {
                    "ext3" => (&EXT4_ONLY, fs_type),
                    "xfs" => (&ALL[2..], fs_type),
                    "ntfs" => (&ALL, fs_type),
                    _ => (&[], fs_type),
                }
            }
        };
        if let Some(key) = self.0.keys().find(|key| unsupported.contains(key)) {
            return Err(ParameterError::NotSupported { key, target: name });
        }
        if self.0.contains_key("ext4clustersize") && !self.0.contains_key("ext4bigalloc") {
            return Err(ParameterError::Needs {
                key: "ext4clustersize",
                needs: "ext4bigalloc=true",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&'static str, &str)]) -> FormatOptions {
        let mut options = FormatOptions::default();
        for (key, value) in pairs {
            options.insert(key, key, value).unwrap();
        }
        options
    }

    #[test]
    fn ebs_case_22_23_options_must_fit_the_target() {
        use Target::{Block, FileSystem};
        type Row<'a> = (&'a [(&'static str, &'a str)], Target<'a>, bool);
        let rows: [Row<'_>; 12] = [
            (&[("blocksize", "4096")], Block, false),
            (&[("inodesize", "512")], FileSystem("ntfs"), false),
            (&[("inodesize", "512")], FileSystem("NTFS"), false),
            (&[("bytesperinode", "8192")], FileSystem("xfs"), false),
            (&[("blocksize", "4096")], FileSystem("xfs"), true),
            (&[("ext4bigalloc", "true")], FileSystem("ext3"), false),
            (&[("numberofinodes", "7")], FileSystem("ext3"), true),
            (&[("ext4clustersize", "16384")], FileSystem("ext4"), false),
            (
                &[("ext4clustersize", "16384"), ("ext4bigalloc", "True")],
                FileSystem("ext4"),
                true,
            ),
            (
                &[("ext4clustersize", "16384"), ("ext4bigalloc", "false")],
                FileSystem("ext4"),
                false,
            ),
            (&[("blocksize", "")], Block, true),
            (&[("inodesize", "512")], FileSystem(""), true),
        ];
        for (pairs, target, accepted) in rows {
            assert_eq!(
                options(pairs).check(target).is_ok(),
                accepted,
                "{pairs:?} {target:?}"
            );
        }
    }

    #[test]
    fn values_are_letters_and_digits() {
        let mut options = FormatOptions::default();
        assert!(options.insert("blocksize", "blockSize", "4k; rm").is_err());
        assert!(options.insert("ext4bigalloc", "ext4BigAlloc", "1").is_err());
        assert!(options.insert("blocksize", "blockSize", "4k").is_ok());
    }
}
