//! Words of a command line that belong to no flag, such as an empty one of a template or `true` behind a boolean flag. Upstream's
//! programs pass over them; ours tell of them.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

use super::parse_bool;

/// The hidden flag of [`super::LogArgs`] that takes them to where they are told, and its field.
const FLAG: &str = "stray-word";
const FIELD: &str = "stray_words";

/// What the word before means for one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A flag without its value: this is it, whatever it looks like.
    Flag,
    /// A boolean flag, which takes no value without an equals sign.
    Switch,
    /// Anything else.
    Other,
}

/// Turns such words into values of the hidden flag. Those that the program has a place for stay, such as a mode; so do all where it
/// has no hidden flag. What follows `--` is no flag. The first argument is the program's name.
pub(super) fn set_apart(command: &Command, args: Vec<OsString>) -> Vec<OsString> {
    if !command.get_arguments().any(|arg| arg.get_id().as_str() == FIELD) {
        return args;
    }
    let mut places = command.get_positionals().count();
    let mut args = args.into_iter();
    let mut line: Vec<OsString> = args.next().into_iter().collect();
    let (mut last, mut is_literal) = (Before::Other, false);
    for arg in args {
        let before = std::mem::replace(&mut last, Before::Other);
        if is_literal {
            line.push(stray(&arg));
        } else if before == Before::Flag {
            line.push(arg);
        } else if arg == "--" {
            is_literal = true;
        } else if is_flag(&arg) {
            last = meaning(command, &arg);
            line.push(arg);
        } else if places > 0 && !(before == Before::Switch && is_bool(&arg)) {
            places -= 1;
            line.push(arg);
        } else {
            line.push(stray(&arg));
        }
    }
    line
}

/// A dash alone is a word.
fn is_flag(arg: &OsStr) -> bool {
    let bytes = arg.as_encoded_bytes();
    bytes.len() > 1 && bytes[0] == b'-'
}

fn is_bool(word: &OsStr) -> bool {
    word.to_str().is_some_and(|text| parse_bool(text).is_ok())
}

fn stray(word: &OsStr) -> OsString {
    let mut flag = OsString::from(format!("--{FLAG}="));
    flag.push(word);
    flag
}

fn meaning(command: &Command, flag: &OsStr) -> Before {
    let Some(text) = flag.to_str().filter(|text| !text.contains('=')) else {
        return Before::Other;
    };
    match command.get_arguments().find(|arg| is_named(arg, text)) {
        None => Before::Other,
        Some(arg) if arg.get_action().takes_values() && !arg.is_require_equals_set() => Before::Flag,
        Some(_) => Before::Switch,
    }
}

/// `-v5` has its value already, and is not found.
fn is_named(arg: &Arg, flag: &str) -> bool {
    if let Some(long) = flag.strip_prefix("--") {
        let is_alias = |aliases: Vec<&str>| aliases.contains(&long);
        return arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(is_alias);
    }
    let mut characters = flag.chars().skip(1);
    let short = characters.next().filter(|_| characters.next().is_none());
    short.is_some() && arg.get_short() == short
}

#[cfg(test)]
mod tests {
    use super::super::{LogArgs, parse, parse_bool};

    #[derive(clap::Parser)]
    struct Line {
        #[arg(default_value = "all")]
        mode: String,
        #[arg(long, alias = "title", default_value = "-")]
        name: String,
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
              default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
        switch: bool,
        #[command(flatten)]
        log: LogArgs,
    }

    #[test]
    fn a_word_is_a_value_or_the_mode_or_stray() {
        let rows: [(&[&str], &str, &[&str]); 15] = [
            (&[], "all - false 0", &[]),
            (&["node", "--name", "n"], "node n false 0", &[]),
            (&["--title", "n", "node"], "node n false 0", &[]),
            (&["node", "word", "--switch"], "node - true 0", &["word"]),
            (&["node", "", "-v", "5", ""], "node - false 5", &["", ""]),
            (&["node", "-v5", "6"], "node - false 5", &["6"]),
            (&["node", "-v=5", "6"], "node - false 5", &["6"]),
            (&["node", "--name", "", "x"], "node  false 0", &["x"]),
            (&["--switch", "true"], "all - true 0", &["true"]),
            (&["--switch", "false", "node"], "node - true 0", &["false"]),
            (&["--switch", "node"], "node - true 0", &[]),
            (&["--switch=false", "true"], "true - false 0", &[]),
            (&["node", "-"], "node - false 0", &["-"]),
            (
                &["--switch", "--", "node", "--name=n"],
                "all - true 0",
                &["node", "--name=n"],
            ),
            (&["-name", "n", "node", "--"], "node n false 0", &[]),
        ];
        for (words, expected, stray) in rows {
            let line: Line = parse(["x"].iter().chain(words).map(Into::into)).unwrap();
            let read = format!(
                "{} {} {} {}",
                line.mode, line.name, line.switch, line.log.verbosity
            );
            assert_eq!(read, expected, "{words:?}");
            assert_eq!(line.log.stray_words, stray, "{words:?}");
        }
        for words in [&["--bogus", "word"][..], &["word", "--name"], &["-5"]] {
            let refused = parse::<Line>(["x"].iter().chain(words).map(Into::into));
            assert_eq!(refused.err().map(|error| error.exit_code()), Some(2), "{words:?}");
        }
    }

    #[test]
    fn a_program_of_our_own_refuses_them() {
        #[derive(clap::Parser)]
        struct Strict {
            #[arg(long)]
            stay: bool,
        }
        let line = |words: [&str; 2]| parse::<Strict>(words.map(Into::into));
        assert!(line(["x", "--stay"]).is_ok_and(|line| line.stay));
        assert!(line(["x", "stay"]).is_err());
    }
}
