//! Which lines are written.

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

use crate::args::{LogArgs, VerbosityRule};
use crate::traces;

/// Libraries: quiet unless something is wrong or everything is wanted.
const LIBRARIES: [&str; 16] = [
    "aws_",
    "axum",
    "h2",
    "hyper",
    "hyper_rustls",
    "hyper_timeout",
    "hyper_util",
    "kube",
    "mio",
    "opentelemetry",
    "opentelemetry_",
    "rustls",
    "tokio",
    "tonic",
    "tower",
    "tracing",
];

/// The filter of `-v` and `--vmodule`.
#[derive(Debug)]
pub(super) struct Verbosity {
    general: u8,
    rules: Vec<VerbosityRule>,
}

impl Verbosity {
    pub(super) fn new(args: &LogArgs) -> Self {
        Self {
            general: args.verbosity,
            rules: args.vmodule.clone(),
        }
    }

    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.target().starts_with("kube_client") || metadata.target() == traces::TARGET {
            return false;
        }
        let verbosity = self
            .rules
            .iter()
            .find(|rule| fits(rule, metadata.file().unwrap_or_default()))
            .map_or(self.general, |rule| rule.level);
        let limit = if of_library(metadata.target()) && verbosity < 6 {
            LevelFilter::WARN
        } else {
            level(verbosity)
        };
        *metadata.level() <= limit
    }
}

/// Verbosity as a level.
fn level(verbosity: u8) -> LevelFilter {
    LevelFilter::from_level(match verbosity {
        0..=3 => Level::INFO,
        4 | 5 => Level::DEBUG,
        _ => Level::TRACE,
    })
}

fn of_library(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    LIBRARIES
        .iter()
        .any(|library| name == *library || library.ends_with('_') && name.starts_with(library))
}

/// A pattern without slash means the file's name, one with a slash the end of its path.
fn fits(rule: &VerbosityRule, file: &str) -> bool {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let depth = rule.pattern.matches('/').count();
    let start = path.rmatch_indices('/').nth(depth).map_or(0, |(at, _)| at + 1);
    glob(rule.pattern.as_bytes(), &path.as_bytes()[start..])
}

/// `*` stands for any bytes, `?` for one. Linear in the product of both lengths at worst.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((star_p, star_t)) => {
                    star = Some((star_p, star_t + 1));
                    p = star_p + 1;
                    t = star_t + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

impl<S: Subscriber> Filter<S> for Verbosity {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.allows(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.allows(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let highest = self.rules.iter().map(|rule| rule.level).max().unwrap_or(0);
        Some(level(self.general.max(highest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_files_or_ends_of_paths() {
        let rule = |pattern: &str| VerbosityRule {
            pattern: pattern.to_owned(),
            level: 6,
        };
        for (pattern, file, result) in [
            ("leader", "runtime/src/leader.rs", true),
            ("lead*", "runtime/src/leader.rs", true),
            ("l?ader", "runtime/src/leader.rs", true),
            ("leader", "runtime/src/leader/term.rs", false),
            ("leader/term", "runtime/src/leader/term.rs", true),
            ("*/term", "runtime/src/leader/term.rs", true),
            ("a*b*c", "src/axxbxxbc.rs", true),
            ("a*b*c", "src/axxbxxb.rs", false),
        ] {
            assert_eq!(fits(&rule(pattern), file), result, "{pattern} {file}");
        }
    }

    #[test]
    fn verbosity_has_levels() {
        assert_eq!(level(0), LevelFilter::INFO);
        assert_eq!(level(3), LevelFilter::INFO);
        assert_eq!(level(5), LevelFilter::DEBUG);
        assert_eq!(level(10), LevelFilter::TRACE);
        assert!(
            of_library("hyper_util::client") && of_library("aws_config") && !of_library("runtime::leader")
        );
    }
}
