//! Verbosity, format, traces, and the retired flags of klog.

use std::ffi::OsString;
use std::str::FromStr;

use clap::ArgAction::{Append, Set};

use super::{GoDuration, parse_bool};

/// Logging flags. Source: sidecars 1.1, snapshot 5.1.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LogArgs {
    /// Verbosity: 0 to 3 info, 4 and 5 debug, 6 and above trace.
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u8,

    /// Verbosity by source file, as pattern=level,pattern=level.
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    pub vmodule: Vec<VerbosityRule>,

    /// Form of the log lines.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub logging_format: LogFormat,

    /// Send spans of calls to an OpenTelemetry collector, as the variables OTEL_* say.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          default_value = "false", value_parser = parse_bool, action = Set)]
    pub enable_otel_tracing: bool,

    /// Accepted for upstream's manifests: every line is written at once.
    #[arg(long, value_name = "DURATION", hide = true)]
    pub log_flush_frequency: Option<GoDuration>,

    /// Words that belong to no flag; whoever reads the command line puts them here.
    #[arg(long = "stray-word", value_name = "WORD", action = Append, hide = true)]
    pub stray_words: Vec<OsString>,

    /// Flags of klog, accepted without effect.
    #[command(flatten)]
    pub retired: RetiredLogArgs,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One readable line with klog's header.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// One rule of `--vmodule`: sources whose file name (without `.rs`) or path fits the pattern log up to
/// this level. `*` and `?` stand for any characters and any one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerbosityRule {
    /// File name without ending, or path when it holds a slash.
    pub pattern: String,
    /// Verbosity.
    pub level: u8,
}

impl FromStr for VerbosityRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once('=')
            .and_then(|(pattern, level)| {
                let level = level.trim().parse().ok()?;
                (!pattern.trim().is_empty()).then(|| Self {
                    pattern: pattern.trim().to_owned(),
                    level,
                })
            })
            .ok_or_else(|| format!("{text:?} is not of the form pattern=level"))
    }
}

/// Flags that older manifests carry; they have no effect. Upstream refuses most of them, which stops the
/// pod; a log destination is no reason for that.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RetiredLogArgs {
    #[arg(long = "alsologtostderr", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    alsologtostderr: Option<String>,
    #[arg(long = "logtostderr", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    logtostderr: Option<String>,
    #[arg(long = "add_dir_header", alias = "add-dir-header", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide = true)]
    add_dir_header: Option<String>,
    #[arg(long = "one_output", alias = "one-output", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide = true)]
    one_output: Option<String>,
    #[arg(long = "skip_headers", alias = "skip-headers", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide = true)]
    skip_headers: Option<String>,
    #[arg(long = "skip_log_headers", alias = "skip-log-headers", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide = true)]
    skip_log_headers: Option<String>,
    #[arg(long = "log_backtrace_at", alias = "log-backtrace-at", hide = true)]
    log_backtrace_at: Option<String>,
    #[arg(long = "log_dir", alias = "log-dir", hide = true)]
    log_dir: Option<String>,
    #[arg(long = "log_file", alias = "log-file", hide = true)]
    log_file: Option<String>,
    #[arg(long = "log_file_max_size", alias = "log-file-max-size", hide = true)]
    log_file_max_size: Option<String>,
    #[arg(long = "stderrthreshold", hide = true)]
    stderrthreshold: Option<String>,
    #[arg(long = "log-text-split-stream", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    log_text_split_stream: Option<String>,
    #[arg(long = "log-text-info-buffer-size", hide = true)]
    log_text_info_buffer_size: Option<String>,
    #[arg(long = "log-json-split-stream", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    log_json_split_stream: Option<String>,
    #[arg(long = "log-json-info-buffer-size", hide = true)]
    log_json_info_buffer_size: Option<String>,
}

impl LogArgs {
    /// One line naming the words that belong to no flag, if there are any; to be logged once.
    #[must_use]
    pub fn stray_warning(&self) -> Option<String> {
        let words: Vec<String> = self.stray_words.iter().map(|word| format!("{word:?}")).collect();
        (!words.is_empty()).then(|| {
            format!(
                "passed over, since they belong to no flag: {}; a boolean flag takes its value with an equals sign, as in \
                 --leader-election=true",
                words.join(", ")
            )
        })
    }

    /// One line naming the flags without effect, if there are any; to be logged once.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let retired = &self.retired;
        let given: Vec<&str> = [
            ("--alsologtostderr", &retired.alsologtostderr),
            ("--logtostderr", &retired.logtostderr),
            ("--add_dir_header", &retired.add_dir_header),
            ("--one_output", &retired.one_output),
            ("--skip_headers", &retired.skip_headers),
            ("--skip_log_headers", &retired.skip_log_headers),
            ("--log_backtrace_at", &retired.log_backtrace_at),
            ("--log_dir", &retired.log_dir),
            ("--log_file", &retired.log_file),
            ("--log_file_max_size", &retired.log_file_max_size),
            ("--stderrthreshold", &retired.stderrthreshold),
            ("--log-text-split-stream", &retired.log_text_split_stream),
            ("--log-text-info-buffer-size", &retired.log_text_info_buffer_size),
            ("--log-json-split-stream", &retired.log_json_split_stream),
            ("--log-json-info-buffer-size", &retired.log_json_info_buffer_size),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|_| name))
        .collect();
        (!given.is_empty()).then(|| {
            format!(
                "logging goes to standard error; without effect: {}",
                given.join(", ")
            )
        })
    }
}
