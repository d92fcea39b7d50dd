//! Command line groups that the modes share, with upstream's names and defaults.
//!
//! A mode flattens the groups it needs into its own clap struct and reads it with [`parse`], which accepts Go's spellings (`-flag`, `--flag`, `=` or a space, `-v5`, `--leader-election=false`).
//! Sources: sidecars 1.1, snapshot 5.1.
//!
//! | Module | Subject |
//! |---|---|
//! | `duration` | Go's duration syntax |
//! | `environment` | what the pod says about itself |
//! | `gates` | feature gates |
//! | `http` | metrics and health addresses |
//! | `log` | verbosity, format, retired klog flags |
//! | `retry` | back-off and workers |
//! | `spelling` | Go's flag spellings |
//! | `words` | what belongs to no flag |

mod duration;
mod environment;
mod gates;
mod http;
mod log;
mod retry;
mod spelling;
mod words;

use std::ffi::OsString;

pub use duration::{GoDuration, ParseDurationError, parse_interval};
pub use environment::Environment;
pub use gates::{FeatureGateArgs, FeatureGates, Gate, GateError, Stage};
pub use http::{HttpAddress, HttpArgs, HttpArgsError};
pub use log::{LogArgs, LogFormat, RetiredLogArgs, VerbosityRule};
pub use retry::{RetryArgs, RetryArgsError};
pub use spelling::{normalise_go_flags, parse_bool, split_prefixed};

/// Flags of every mode that concern the process itself.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ProcessArgs {
    /// Print the version and exit.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set)]
    pub version: bool,

    /// Accepted for upstream's manifests: the worker threads always follow the CPU quota.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = clap::ArgAction::Set, hide = true)]
    pub automaxprocs: bool,
}

/// Reads a command line in Go's spellings. As in Go the last occurrence of a flag counts, except for
/// flags that accumulate. Words that belong to no flag are in [`LogArgs::stray_words`], where the program has these.
///
/// # Errors
/// A clap error whose text says what is wrong; `error.exit_code()` is 2, and 0 for `--help`.
pub fn parse<A: clap::Parser>(args: impl IntoIterator<Item = OsString>) -> Result<A, clap::Error> {
    let command = A::command().args_override_self(true);
    let line = words::set_apart(&command, normalise_go_flags(args));
    let mut matches = command.try_get_matches_from(line)?;
    A::from_arg_matches_mut(&mut matches)
}

/// The answer to `--version`: the name of the program as it was called, and its version.
#[must_use]
pub fn version_line(argv0: &str, version: &str) -> String {
    format!("{argv0} {version}")
}
