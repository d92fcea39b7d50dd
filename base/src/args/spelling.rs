//! Go's spellings of flags.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Turns Go's single-dash long flags (`-leader-election=true`, `-timeout 5s`) into the double-dash form
/// that clap reads. `-v5`, `-v=5`, `-v 5`, `-h` and negative numbers stay. The first argument is the
/// program's name; what follows `--` stays as it is.
#[must_use]
pub fn normalise_go_flags(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut literal = false;
    args.into_iter()
        .enumerate()
        .map(|(position, arg)| {
            literal |= arg == "--";
            match arg.to_str() {
                Some(text) if position > 0 && !literal && is_single_dash_long(text) => {
                    OsString::from(format!("-{text}"))
                }
                _ => arg,
            }
        })
        .collect()
}

fn is_single_dash_long(arg: &str) -> bool {
    let Some(name) = arg
        .strip_prefix('-')
        .map(|rest| rest.split('=').next().unwrap_or(rest))
    else {
        return false;
    };
    let mut characters = name.chars();
    match characters.next() {
        None | Some('-' | '.') => false,
        Some(first) if first.is_ascii_digit() => false,
        Some('v') => characters.as_str().chars().any(|c| !c.is_ascii_digit()),
        Some(_) => name.chars().count() > 1,
    }
}

/// Go's spellings of a boolean.
///
/// # Errors
/// A text that names them.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

/// Takes the flags of the functions of a combined process out of its command line:
/// `--csi-resizer.workers=50` goes as `--workers=50` to `csi-resizer`. A value may follow after a space.
///
/// Every one of `functions` is in the answer, in its order; second is what belongs to nobody, among it
/// flags with a prefix that is no function, and all from `--` on.
#[must_use]
pub fn split_prefixed(
    args: impl IntoIterator<Item = OsString>,
    functions: &[&str],
) -> (BTreeMap<String, Vec<OsString>>, Vec<OsString>) {
    let mut taken: BTreeMap<String, Vec<OsString>> = functions
        .iter()
        .map(|function| ((*function).to_owned(), Vec::new()))
        .collect();
    let mut rest = Vec::new();
    let mut owner: Option<String> = None;
    let mut is_literal = false;
    for arg in args {
        is_literal |= arg == "--";
        if is_literal {
            rest.push(arg);
            continue;
        }
        let text = arg.to_string_lossy().into_owned();
        let is_number = text
            .strip_prefix('-')
            .is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()));
        if !text.starts_with('-') || owner.is_some() && is_number {
            // A value of the flag before it, or a word that belongs to none: its function knows.
            match owner.take().and_then(|name| taken.get_mut(&name)) {
                Some(flags) => flags.push(arg),
                None => rest.push(arg),
            }
            continue;
        }
        let bare = text.trim_start_matches('-');
        let function = bare
            .split_once('.')
            .filter(|(name, flag)| taken.contains_key(*name) && !flag.is_empty());
        owner = None;
        match function {
            Some((name, flag)) => {
                if let Some(flags) = taken.get_mut(name) {
                    flags.push(OsString::from(format!("--{flag}")));
                }
                owner = (!flag.contains('=')).then(|| name.to_owned());
            }
            None => rest.push(arg),
        }
    }
    (taken, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    #[test]
    fn single_dashes_become_double() {
        for (before, after) in [
            ("-leader-election", "--leader-election"),
            ("-timeout=60s", "--timeout=60s"),
            ("--timeout", "--timeout"),
            ("-v", "-v"),
            ("-v5", "-v5"),
            ("-v=5", "-v=5"),
            ("-vmodule=leader=6", "--vmodule=leader=6"),
            ("-version", "--version"),
            ("-h", "-h"),
            ("-1", "-1"),
            ("-", "-"),
            ("value", "value"),
        ] {
            assert_eq!(normalise_go_flags(os(&["x", before])), os(&["x", after]));
        }
        assert_eq!(
            normalise_go_flags(os(&["-x-y", "--", "-ab"])),
            os(&["-x-y", "--", "-ab"])
        );
    }

    #[test]
    fn prefixed_flags_go_to_their_function() {
        let args = os(&[
            "--csi-resizer.workers=50",
            "-csi-snapshotter.timeout",
            "2m",
            "--csi-resizer.leader-election",
            "--v=5",
            "--functions",
            "driver",
            "--csi-provisioner.x=1",
            "--csi-resizer.resync",
            "-5m",
            "--",
            "--csi-resizer.workers=1",
        ]);
        let (taken, rest) = split_prefixed(args, &["csi-resizer", "csi-snapshotter"]);
        assert_eq!(
            taken["csi-resizer"],
            os(&["--workers=50", "--leader-election", "--resync", "-5m"])
        );
        assert_eq!(taken["csi-snapshotter"], os(&["--timeout", "2m"]));
        assert_eq!(
            rest,
            os(&[
                "--v=5",
                "--functions",
                "driver",
                "--csi-provisioner.x=1",
                "--",
                "--csi-resizer.workers=1"
            ])
        );
    }
}
