//! When and how to format, how to mount, when to grow: rules without I/O. Source: spec 4.3, 4.4, Q32, Q33.

use std::collections::BTreeMap;

use ::node::Contents;

use crate::parameters::ParameterError;
use crate::parameters::format::{FormatOptions, Target};

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

/// The formatting options of a volume context, checked against the file system.
///
/// # Errors
/// The first one that cannot be used.
pub fn format_options(
    context: &BTreeMap<String, String>,
    fs_type: &str,
) -> Result<FormatOptions, ParameterError> {
    let mut options = FormatOptions::default();
    for (given, value) in context {
        if let Some(key) = FormatOptions::key(&given.to_lowercase()) {
            options.insert(key, given, value)?;
        }
    }
    options.check(Target::FileSystem(fs_type))?;
    Ok(options)
}

/// The options of `mkfs.<fs_type>`: those of the parameters, then the fixed ones. Features of ext4 go in one `-O`,
/// since a second one would replace the first (Q32).
#[must_use]
pub fn mkfs_options(fs_type: &str, options: &FormatOptions, has_legacy_xfs: bool) -> Vec<String> {
    let set: BTreeMap<&str, &str> = options.iter().collect();
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |parts: &[&str]| arguments.extend(parts.iter().map(|part| (*part).to_owned()));
    if fs_type == "xfs" {
        for (key, flag) in [("blocksize", "-b"), ("inodesize", "-i")] {
            if let Some(value) = set.get(key) {
                add(&[flag, &format!("size={value}")]);
            }
        }
        if has_legacy_xfs {
            add(&["-m", "bigtime=0,inobtcount=0,reflink=0", "-i", "nrext64=0"]);
        }
        add(&["-f"]);
        return arguments;
    }
    let numbers = [
        ("blocksize", "-b"),
        ("inodesize", "-I"),
        ("bytesperinode", "-i"),
        ("numberofinodes", "-N"),
        ("ext4clustersize", "-C"),
    ];
    for (key, flag) in numbers {
        if let Some(value) = set.get(key) {
            add(&[flag, value]);
        }
    }
    let features = [("ext4bigalloc", "bigalloc"), ("ext4encryptionsupport", "encrypt")];
    let features: Vec<&str> = features
        .iter()
        .filter(|(key, _)| set.contains_key(key))
        .map(|(_, feature)| *feature)
        .collect();
    if !features.is_empty() {
        add(&["-O", &features.join(",")]);
    }
    add(&["-F", "-m0"]);
    arguments
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
    let flags = ::node::options::single(flags);
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

    fn options(pairs: &[(&str, &str)], fs_type: &str) -> Result<Vec<String>, ParameterError> {
        let context = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        format_options(&context, fs_type).map(|options| mkfs_options(fs_type, &options, false))
    }

    #[test]
    fn options_stand_before_the_fixed_ones() {
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
        let rows: [Row<'_>; 6] = [
            (&[], "ext4", "-F -m0"),
            (&[], "xfs", "-f"),
            (
                &[
                    ("blocksize", "1024"),
                    ("inodesize", "512"),
                    ("numberofinodes", "9"),
                ],
                "ext3",
                "-b 1024 -I 512 -N 9 -F -m0",
            ),
            (
                &[
                    ("ext4bigalloc", "true"),
                    ("ext4encryptionsupport", "true"),
                    ("ext4clustersize", "16384"),
                ],
                "ext4",
                "-C 16384 -O bigalloc,encrypt -F -m0",
            ),
            (&[("blocksize", "4096")], "xfs", "-b size=4096 -f"),
            (&[("partition", "0"), ("x", "y")], "ext4", "-F -m0"),
        ];
        for (pairs, fs_type, expected) in rows {
            assert_eq!(options(pairs, fs_type).unwrap().join(" "), expected);
        }
        assert!(options(&[("bytesperinode", "1")], "xfs").is_err());
        assert!(options(&[("blocksize", "4;k")], "ext4").is_err());
        let legacy = mkfs_options("xfs", &FormatOptions::default(), true).join(" ");
        assert_eq!(legacy, "-m bigtime=0,inobtcount=0,reflink=0 -i nrext64=0 -f");
    }

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
