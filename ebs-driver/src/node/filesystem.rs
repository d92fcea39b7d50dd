//! How to format, from the parameters of a class: rules without I/O. Source: spec 4.3, Q32, Q33. When to format, how to
//! mount and when to grow are the same for every driver: `::node::filesystem`.

use std::collections::BTreeMap;

use crate::parameters::ParameterError;
use crate::parameters::format::{FormatOptions, Target};

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
}
