//! When to format, how to mount, when to grow: rules without I/O, the same for every driver.

use crate::options::single;
use crate::types::Contents;

/// What is made where the request names no file system.
const DEFAULT: &str = "ext4";
/// A file system is as large as its device up to this many bytes: block sizes and allocation groups are rounded down,
/// while EBS grows by whole GiB.
const ROUNDING: u64 = 1 << 20;

/// The file system that a request asks for, in lower case.
///
/// # Errors
/// The name, when it is none of ext3, ext4 and xfs.
pub fn wanted(fs_type: &str) -> Result<String, String> {
    let lower = fs_type.to_lowercase();
    match lower.as_str() {
        "" => Ok(DEFAULT.to_owned()),
        "ext3" | "ext4" | "xfs" => Ok(lower),
        _ => Err(fs_type.to_owned()),
    }
}

/// What to do with a device before it is mounted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Preparation {
    /// Make the file system.
    Format,
    /// Check what is there.
    Check,
    /// Nothing: it is only to be read.
    Nothing,
    /// It is blank and only to be read: it cannot be mounted.
    BlankReadOnly,
    /// It holds other data, which are not to be touched.
    OtherData,
}

/// Decides what to do with a device.
#[must_use]
pub fn preparation(contents: &Contents, fs_type: &str, is_read_only: bool) -> Preparation {
    match contents {
        Contents::Blank if is_read_only => Preparation::BlankReadOnly,
        Contents::Blank => Preparation::Format,
        Contents::FileSystem(found) if is_compatible(found, fs_type) && is_read_only => Preparation::Nothing,
        Contents::FileSystem(found) if is_compatible(found, fs_type) => Preparation::Check,
        _ => Preparation::OtherData,
    }
}

/// Whether a file system can be mounted as the one that is asked for: ext4 mounts its older forms.
fn is_compatible(found: &str, wanted: &str) -> bool {
    match wanted {
        "ext4" => matches!(found, "ext2" | "ext3" | "ext4"),
        "ext3" => matches!(found, "ext2" | "ext3" | "ext4"),
        _ => found == wanted,
    }
}

/// Mount options: the flags of the capability, each where it stands last, since that is the word that counts, and `nouuid` for xfs, so that a volume and its copy can be
/// mounted on one machine.
#[must_use]
pub fn mount_options(first: &[&str], flags: &[String], fs_type: &str) -> Vec<String> {
    let flags = single(flags);
    let extra = (fs_type == "xfs").then_some("nouuid");
    let all = first
        .iter()
        .copied()
        .chain(flags.iter().map(String::as_str))
        .chain(extra);
    let mut options: Vec<String> = Vec::new();
    for option in all.filter(|option| !option.is_empty()) {
        options.retain(|known| known != option);
        options.push(option.to_owned());
    }
    options
}

/// Whether a file system is noticeably smaller than its device.
#[must_use]
pub fn can_grow(file_system: u64, device: u64) -> bool {
    device.saturating_sub(file_system) >= ROUNDING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blank_devices_are_formatted() {
        let fs = |name: &str| Contents::FileSystem(name.to_owned());
        let rows = [
            (Contents::Blank, "ext4", false, Preparation::Format),
            (Contents::Blank, "ext4", true, Preparation::BlankReadOnly),
            (fs("ext4"), "ext4", false, Preparation::Check),
            (fs("ext3"), "ext4", false, Preparation::Check),
            (fs("xfs"), "xfs", true, Preparation::Nothing),
            (fs("xfs"), "ext4", false, Preparation::OtherData),
            (fs("LVM2_member"), "ext4", false, Preparation::OtherData),
            (
                Contents::PartitionTable("gpt".into()),
                "ext4",
                false,
                Preparation::OtherData,
            ),
        ];
        for (contents, fs_type, read_only, expected) in rows {
            assert_eq!(preparation(&contents, fs_type, read_only), expected, "{contents}");
        }
    }

    #[test]
    fn file_systems_are_named_in_any_case() {
        assert_eq!(wanted("XFS"), Ok("xfs".to_owned()));
        assert_eq!(wanted(""), Ok("ext4".to_owned()));
        assert_eq!(wanted("btrfs"), Err("btrfs".to_owned()));
    }

    #[test]
    fn mount_options_come_once() {
        let flags = ["noatime".to_owned(), "noatime".to_owned()];
        assert_eq!(
            mount_options(&["bind", "ro"], &flags, "xfs"),
            ["bind", "ro", "noatime", "nouuid"]
        );
    }

    #[test]
    fn a_rounded_size_is_full_size() {
        assert!(!can_grow((1 << 30) - 4096, 1 << 30));
        assert!(can_grow(1 << 30, 2 << 30));
        assert!(!can_grow(2 << 30, 1 << 30));
    }
}
