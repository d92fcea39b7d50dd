//! The command line of `slackwater controller`: `--functions`, flags for all, and flags of one function
//! with its name in front (`--csi-snapshotter.worker-threads=50`).

use std::collections::BTreeMap;
use std::ffi::OsString;

use base::args::{Environment, LogArgs, ProcessArgs, split_prefixed};
use clap::Parser;
use controller::{Command, ConfigError, Entry};
use runtime::crds::Patience;

use super::registry::Function;
use super::settings::{Settings, WhenLost};

/// Where the driver serves metrics without a flag: upstream's port (journeys 5.1).
const DRIVER_ADDRESS: &str = "--http-endpoint=:3301";

/// Flags of the process. All others go to every function that has them.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "controller",
    disable_version_flag = true,
    about = "Runs several functions in one process",
    after_help = "Flags of one function carry its name: --csi-snapshotter.worker-threads=50.\n\
                  Flags without a name in front go to every function that has them: --kubeconfig, \
                  --leader-election and its companions, --kube-api-qps, --kube-api-burst, \
                  --retry-interval-start, --retry-interval-max, --worker-threads, --resync-period."
)]
pub struct ControllerArgs {
    /// Version and the like.
    #[command(flatten)]
    pub process: ProcessArgs,
    /// Logging.
    #[command(flatten)]
    pub log: LogArgs,
    /// What to run: driver, and the modes that work against the Kubernetes API; also as --controllers
    #[arg(long, alias = "controllers", value_delimiter = ',',
          default_values_t = Function::by_default().map(|function| function.name().to_owned()))]
    pub functions: Vec<String>,
    /// Path of a kubeconfig; empty means in-cluster
    #[arg(long)]
    kubeconfig: Option<String>,
    /// Take a lease for each controller
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_election: Option<String>,
    /// Namespace of the leases
    #[arg(long)]
    leader_election_namespace: Option<String>,
    /// How long candidates wait
    #[arg(long)]
    leader_election_lease_duration: Option<String>,
    /// How long a leader works on after its last renewal
    #[arg(long)]
    leader_election_renew_deadline: Option<String>,
    /// Time between tries
    #[arg(long)]
    leader_election_retry_period: Option<String>,
    /// Requests a second to the API; none means no limit
    #[arg(long)]
    kube_api_qps: Option<String>,
    /// Requests at once to the API
    #[arg(long)]
    kube_api_burst: Option<String>,
    /// First wait after a failure
    #[arg(long)]
    retry_interval_start: Option<String>,
    /// Longest wait after failures
    #[arg(long)]
    retry_interval_max: Option<String>,
    /// Objects that are worked on at the same time
    #[arg(long)]
    worker_threads: Option<String>,
    /// How often every object is looked at without a change
    #[arg(long, allow_hyphen_values = true)]
    resync_period: Option<String>,
}

/// A checked command line.
#[derive(Debug)]
pub struct ControllerCommand {
    /// The process.
    pub args: ControllerArgs,
    /// Its functions.
    pub commands: Commands,
}

/// The command lines of the functions that run.
#[derive(Debug, Default)]
pub struct Commands {
    /// The driver's.
    pub driver: Option<ebs_driver::Args>,
    /// Those of the others.
    pub functions: BTreeMap<Function, Box<dyn Command>>,
}

/// A command line that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// A flag is wrong; the text says which. Help is such an error too.
    #[error("{0}")]
    Flags(#[from] clap::Error),
    /// A function that does not exist.
    #[error("--functions names {name:?}; there are {known}")]
    UnknownFunction {
        /// What was given.
        name: String,
        /// What there is.
        known: String,
    },
    /// The driver's flags contradict each other.
    #[error("{0}")]
    Driver(#[from] ebs_driver::ArgsError),
    /// The flags of another function contradict each other.
    #[error("{function}: {source}")]
    Function {
        /// Which.
        function: Function,
        /// How.
        source: ConfigError,
    },
}

impl ArgsError {
    /// 2 for flags that cannot be read, 0 for help, 1 for contradictions, as upstream.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Flags(error) => u8::try_from(error.exit_code()).unwrap_or(2),
            Self::UnknownFunction { .. } => 2,
            Self::Driver(error) => error.exit_code(),
            _ => 1,
        }
    }
}

impl ControllerCommand {
    /// Reads the command line; the first item is the name of the program.
    ///
    /// # Errors
    /// [`ArgsError`].
    pub fn parse(args: Vec<OsString>) -> Result<Self, ArgsError> {
        let names = Function::ALL.map(Function::name);
        let (mut prefixed, rest) = split_prefixed(args, &names);
        let args: ControllerArgs = base::args::parse(rest)?;
        let mut commands = Commands::default();
        for name in &args.functions {
            let function = Function::named(name).ok_or_else(|| ArgsError::UnknownFunction {
                name: name.clone(),
                known: names.join(", "),
            })?;
            let own = prefixed.remove(function.name()).unwrap_or_default();
            let line = args.command_line(function, own);
            match function.entry() {
                None => commands.driver = Some(base::args::parse(line)?),
                Some(entry) => {
                    commands.functions.insert(function, (entry.parse)(line)?);
                }
            }
        }
        Ok(Self { args, commands })
    }

    /// How the process logs. Calls are traced also where the flag stands among those of a function, and the stray words of all
    /// command lines are told.
    #[must_use]
    pub fn log(&self) -> LogArgs {
        let driver = self.commands.driver.iter().map(|driver| &driver.log);
        let functions = self.commands.functions.values();
        let functions = functions.map(|command| &command.common().log);
        let all: Vec<&LogArgs> = std::iter::once(&self.args.log)
            .chain(driver)
            .chain(functions)
            .collect();
        LogArgs {
            enable_otel_tracing: all.iter().any(|log| log.enable_otel_tracing),
            stray_words: all.iter().flat_map(|log| log.stray_words.clone()).collect(),
            ..self.args.log.clone()
        }
    }
}

impl Commands {
    /// One function alone.
    #[must_use]
    pub fn alone(function: Function, command: Box<dyn Command>) -> Self {
        Self {
            functions: BTreeMap::from([(function, command)]),
            ..Self::default()
        }
    }

    /// Checks the flags of every function.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn settings(&self, environment: &Environment, when_lost: WhenLost) -> Result<Settings, ArgsError> {
        let driver = self.driver.as_ref().map(ebs_driver::Args::config).transpose()?;
        let mut functions = BTreeMap::new();
        for (function, command) in &self.functions {
            let checked = command.check(environment);
            let mut start = checked.map_err(|source| ArgsError::Function {
                function: *function,
                source,
            })?;
            if when_lost == WhenLost::CompeteAgain
                && let Some(definitions) = start.definitions()
            {
                // Beside other functions it waits as they do; alone it ends, as upstream's (decision 4).
                definitions.patience = Patience::Endless;
            }
            functions.insert(*function, start);
        }
        Ok(Settings {
            driver,
            functions,
            when_lost,
        })
    }
}

impl ControllerArgs {
    /// The command line of a function: its default address, the flags for all, its own flags. The last
    /// occurrence of a flag counts.
    fn command_line(&self, function: Function, own: Vec<OsString>) -> Vec<OsString> {
        let mut line = vec![OsString::from(function.name())];
        match function.entry() {
            None => {
                line.extend(["controller", DRIVER_ADDRESS].map(OsString::from));
                line.extend(given("kubeconfig", self.kubeconfig.as_ref()));
            }
            Some(entry) => {
                line.push(format!("--http-endpoint={}", entry.address).into());
                line.extend(self.shared(entry));
            }
        }
        line.extend(own);
        line
    }

    fn shared(&self, entry: &Entry) -> impl Iterator<Item = OsString> {
        [
            ("kubeconfig", &self.kubeconfig),
            ("leader-election", &self.leader_election),
            ("leader-election-namespace", &self.leader_election_namespace),
            (
                "leader-election-lease-duration",
                &self.leader_election_lease_duration,
            ),
            (
                "leader-election-renew-deadline",
                &self.leader_election_renew_deadline,
            ),
            ("leader-election-retry-period", &self.leader_election_retry_period),
            ("kube-api-qps", &self.kube_api_qps),
            ("kube-api-burst", &self.kube_api_burst),
            ("retry-interval-start", &self.retry_interval_start),
            ("retry-interval-max", &self.retry_interval_max),
            (entry.workers_flag, &self.worker_threads),
            ("resync-period", &self.resync_period),
        ]
        .into_iter()
        .filter_map(|(flag, value)| given(flag, value.as_ref()))
    }
}

fn given(flag: &str, value: Option<&String>) -> Option<OsString> {
    value.map(|value| format!("--{flag}={value}").into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(args: &[&str]) -> Result<ControllerCommand, ArgsError> {
        ControllerCommand::parse(
            std::iter::once("controller")
                .chain(args.iter().copied())
                .map(OsString::from)
                .collect(),
        )
    }

    #[test]
    fn flags_reach_the_functions_that_they_are_for() {
        let commands = parse(&[
            "--functions=driver,snapshot-controller,snapshotter,csi-resizer",
            "--kubeconfig=/k",
            "--worker-threads=20",
            "--csi-snapshotter.worker-threads=50",
            "--snapshot-controller.http-endpoint=127.0.0.1:0",
            "--driver.batching",
        ])
        .unwrap()
        .commands;
        for (name, address, workers) in [
            ("csi-snapshotter", ":3306", "worker_threads: 50"),
            ("csi-resizer", ":3304", "workers: 20"),
            ("snapshot-controller", "127.0.0.1:0", "worker_threads: 20"),
        ] {
            let command = &commands.functions[&Function::named(name).unwrap()];
            assert_eq!(command.common().kube.kubeconfig, "/k", "{name}");
            assert_eq!(command.common().http.http_endpoint, address, "{name}");
            assert!(format!("{command:?}").contains(workers), "{name}");
        }
        let driver = commands.driver.unwrap();
        assert_eq!(driver.controller.batching, Some(true));
        assert_eq!(driver.kubeconfig.as_deref(), Some(Path::new("/k")));
    }

    #[test]
    fn the_snapshot_controller_runs_only_when_named() {
        let functions = |args: &[&str]| {
            let commands = parse(args).unwrap().commands;
            assert!(args.is_empty() == commands.driver.is_some());
            commands
                .functions
                .keys()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            functions(&[]),
            [
                "csi-attacher",
                "csi-provisioner",
                "csi-resizer",
                "csi-snapshotter"
            ]
        );
        let named = ["--controllers=snapshotter,resizer,snapshot-controller"];
        assert_eq!(
            functions(&named),
            ["csi-resizer", "csi-snapshotter", "snapshot-controller"]
        );
    }

    #[test]
    fn sidecars_case_239_stray_words_of_all_functions_are_told_once() {
        let command = parse(&[
            "word",
            "--functions=driver,csi-resizer",
            "--leader-election",
            "true",
            "--csi-resizer.handle-volume-inuse-error",
            "false",
            "--csi-resizer.timeout",
            "5s",
            "--driver.batching",
            "true",
            "--",
            "--csi-resizer.workers=0",
        ])
        .unwrap();
        let words = command.log().stray_words;
        assert_eq!(
            words,
            ["word", "true", "--csi-resizer.workers=0", "true", "false"]
        );
        let told = command.log().stray_warning().unwrap();
        assert!(told.contains("\"word\", \"true\", "), "{told}");
        let settings = command
            .commands
            .settings(&Environment::default(), WhenLost::CompeteAgain);
        assert!(settings.is_ok(), "{settings:?}");
    }

    #[test]
    fn mistakes_are_named() {
        for (args, exit_code, says) in [
            (
                vec!["--functions=driver,cloner"],
                2,
                "\"cloner\"; there are driver, snapshot-controller",
            ),
            (vec!["--bogus"], 2, "--bogus"),
            (vec!["--csi-snapshotter.bogus=1"], 2, "--bogus"),
            (vec!["--csi-attacher.workers=1"], 2, "--workers"),
            (vec!["--csi-other.workers=1"], 2, "--csi-other.workers"),
        ] {
            let error = parse(&args).unwrap_err();
            assert_eq!(error.exit_code(), exit_code, "{args:?}");
            assert!(error.to_string().contains(says), "{args:?}: {error}");
        }
    }
}
