//! Which mode is meant: by the first argument, or by the name under which the binary was called.

use std::ffi::OsString;
use std::path::Path;

use snapshot_controller::webhook;

use crate::controller::Function;

/// What the binary can be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// One function, as its upstream image.
    Function(Function),
    /// Upstream's EBS CSI driver.
    AwsEbsCsiDriver,
    /// Upstream's node-driver-registrar.
    NodeDriverRegistrar,
    /// Upstream's livenessprobe.
    Livenessprobe,
    /// The CSI driver over files, for tests and demonstrations.
    FileCsiDriver,
    /// Several of these in one process.
    Controller,
    /// All of it on a sandbox.
    Quickstart,
    /// Tries the driver and its sidecars in a cluster.
    Selftest,
    /// Prints the custom resource definitions.
    Crds,
    /// Upstream's conversion webhook of the group kinds.
    ConversionWebhook,
}

impl Mode {
    /// Every mode, in the order in which the usage lists them.
    pub fn all() -> impl Iterator<Item = Self> {
        let functions = Function::ALL
            .into_iter()
            .filter(|function| function.entry().is_some());
        functions.map(Self::Function).chain([
            Self::ConversionWebhook,
            Self::AwsEbsCsiDriver,
            Self::NodeDriverRegistrar,
            Self::Livenessprobe,
            Self::FileCsiDriver,
            Self::Controller,
            Self::Selftest,
            Self::Quickstart,
            Self::Crds,
        ])
    }

    /// The name of the mode, and the file name under which the binary is this mode.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Function(function) => function.name(),
            Self::AwsEbsCsiDriver => "aws-ebs-csi-driver",
            Self::NodeDriverRegistrar => node_driver_registrar::NAME,
            Self::Livenessprobe => livenessprobe::NAME,
            Self::FileCsiDriver => file_driver::MODE,
            Self::Controller => "controller",
            Self::Quickstart => "quickstart",
            Self::Selftest => "selftest",
            Self::Crds => "crds",
            Self::ConversionWebhook => webhook::NAME,
        }
    }

    fn summary(self) -> &'static str {
        match self {
            Self::Function(function) => function.entry().map_or("", |entry| entry.summary),
            Self::AwsEbsCsiDriver => "serve the EBS CSI driver (`aws-ebs-csi-driver controller|node|all`)",
            Self::NodeDriverRegistrar => "register a CSI driver with the kubelet of its node",
            Self::Livenessprobe => "answer over HTTP whether a CSI driver is well",
            Self::FileCsiDriver => "serve a CSI driver over files in a folder, for tests and demonstrations",
            Self::Controller => "run several of these in one process (`--functions`)",
            Self::Selftest => {
                "try claims, snapshots, restores and growth in a cluster, and remove what was made"
            }
            Self::Quickstart => "show all of it on a sandbox, with no cluster and no AWS account",
            Self::ConversionWebhook => "convert group snapshot objects between their API versions",
            Self::Crds => "print the definitions of the snapshot kinds as YAML",
        }
    }

    /// The mode of this name. The registrar's program has `csi-` in front in upstream's image.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let is_it = |mode: &Self| {
            let plain = name
                .strip_prefix("csi-")
                .filter(|_| *mode == Self::NodeDriverRegistrar);
            [Some(name), plain].contains(&Some(mode.name()))
        };
        Self::all().find(is_it)
    }
}

/// A command line with its mode told apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invocation {
    /// The mode.
    pub mode: Mode,
    /// The command line of the mode; the first item is its name.
    pub args: Vec<OsString>,
}

/// What to print instead, and how to exit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoMode {
    /// The text.
    pub text: String,
    /// 0 when help or the version was asked for, else 2.
    pub exit_code: u8,
}

impl Invocation {
    /// Reads the command line of the process.
    ///
    /// # Errors
    /// The text to print when no mode is named.
    pub fn of(args: impl IntoIterator<Item = OsString>) -> Result<Self, NoMode> {
        let mut args = args.into_iter();
        let program = args.next().unwrap_or_default();
        let file_name = Path::new(&program)
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        if let Some(mode) = file_name.as_deref().and_then(Mode::named) {
            return Ok(Self {
                mode,
                args: std::iter::once(program).chain(args).collect(),
            });
        }
        let Some(first) = args.next().map(|first| first.to_string_lossy().into_owned()) else {
            return Err(NoMode {
                text: usage(),
                exit_code: 2,
            });
        };
        match (Mode::named(&first), first.as_str()) {
            (Some(mode), _) => Ok(Self {
                mode,
                args: std::iter::once(OsString::from(first)).chain(args).collect(),
            }),
            (None, "--help" | "-h" | "help") => Err(NoMode {
                text: usage(),
                exit_code: 0,
            }),
            (None, "--version" | "-version") => {
                let text = base::args::version_line("slackwater", crate::VERSION);
                Err(NoMode { text, exit_code: 0 })
            }
            (None, unknown) => {
                let text = format!("slackwater has no mode {unknown:?}\n\n{}", usage());
                Err(NoMode { text, exit_code: 2 })
            }
        }
    }
}

fn usage() -> String {
    let mut text = "usage: slackwater MODE [flags]\n\nmodes:\n".to_owned();
    for mode in Mode::all() {
        text += &format!("  {:<27} {}\n", mode.name(), mode.summary());
    }
    text + "\n`slackwater MODE --help` lists the flags of a mode. A link with the name of a mode is that mode."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> Result<Invocation, NoMode> {
        Invocation::of(args.iter().map(OsString::from))
    }

    #[test]
    fn the_mode_is_the_first_argument_or_the_file_name() {
        for (args, mode, rest) in [
            (
                vec!["slackwater", "csi-snapshotter", "-v5"],
                Mode::Function(Function::named("csi-snapshotter").unwrap()),
                vec!["csi-snapshotter", "-v5"],
            ),
            (
                vec!["/bin/csi-snapshotter", "-v5"],
                Mode::Function(Function::named("csi-snapshotter").unwrap()),
                vec!["/bin/csi-snapshotter", "-v5"],
            ),
            (
                vec!["/bin/aws-ebs-csi-driver", "controller"],
                Mode::AwsEbsCsiDriver,
                vec!["/bin/aws-ebs-csi-driver", "controller"],
            ),
            (vec!["./slackwater", "crds"], Mode::Crds, vec!["crds"]),
            (
                vec!["/csi-node-driver-registrar", "--v=5"],
                Mode::NodeDriverRegistrar,
                vec!["/csi-node-driver-registrar", "--v=5"],
            ),
            (
                vec!["/livenessprobe"],
                Mode::Livenessprobe,
                vec!["/livenessprobe"],
            ),
            (
                vec!["/bin/snapshot-conversion-webhook", "--port=8443"],
                Mode::ConversionWebhook,
                vec!["/bin/snapshot-conversion-webhook", "--port=8443"],
            ),
        ] {
            let expected: Vec<OsString> = rest.iter().map(OsString::from).collect();
            assert_eq!(of(&args), Ok(Invocation { mode, args: expected }), "{args:?}");
        }
    }

    #[test]
    fn without_a_mode_the_modes_are_listed() {
        for (args, exit_code, says) in [
            (vec!["slackwater"], 2, "usage"),
            (vec!["slackwater", "--help"], 0, "csi-snapshotter"),
            (vec!["slackwater", "--version"], 0, "slackwater v"),
            (vec!["slackwater", "csi-sizer"], 2, "no mode \"csi-sizer\""),
            (vec!["slackwater", "", "csi-resizer"], 2, "no mode \"\""),
        ] {
            let refused = of(&args).unwrap_err();
            assert_eq!(refused.exit_code, exit_code, "{args:?}");
            assert!(refused.text.contains(says), "{}", refused.text);
        }
    }
}
