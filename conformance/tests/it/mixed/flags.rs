//! Every flag of upstream's programs is one of ours.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use conformance::Peers;

use super::LAYER;
use crate::journey::FUNCTIONS;
use crate::shared;

/// Everything that a program prints.
fn printed(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat()
}

/// The names of the flags in the help of a Go program: lines that begin with one, or with its short form before it.
fn flags(help: &str) -> BTreeSet<&str> {
    let lines = help.lines().filter(|line| line.starts_with("  "));
    let names = lines.flat_map(|line| {
        let words = line.split_ascii_whitespace();
        let flags = words.map_while(|word| word.strip_prefix('-'));
        flags.map(|flag| flag.trim_start_matches('-').trim_end_matches(','))
    });
    names.collect()
}

#[test]
fn every_flag_of_upstream_is_accepted() {
    let (peers, ours) = match (Peers::find(), conformance::slackwater()) {
        (Ok(peers), Ok(ours)) => (peers, ours),
        (Err(error), _) | (_, Err(error)) => return shared::not_run(LAYER, &error),
    };
    let mut lacking = Vec::new();
    for name in FUNCTIONS {
        let help = printed(&peers.path(name), &["--help"]);
        let flags = flags(&help);
        assert!(flags.contains("leader-election"), "{name}: {help}");
        for flag in flags {
            // With --help at the end nothing is started: it is printed, or missing as the value.
            let answer = printed(&ours, &[name, &format!("--{flag}"), "--help"]);
            if answer.contains("unexpected argument") {
                lacking.push((name, flag.to_owned()));
            }
        }
    }
    assert!(
        lacking.is_empty(),
        "flags of upstream that ours lack: {lacking:?}"
    );
}
