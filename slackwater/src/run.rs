//! From the command line to the exit code: 0 done, 1 failed, 2 flags that cannot be read.

use std::ffi::OsString;
use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use base::{Clock, Scope};

use base::args::{Environment, LogArgs, ProcessArgs, version_line};
use node_driver_registrar::args::Task;
use snapshot_controller::webhook;
use tokio::runtime::Runtime;

use crate::controller::{self, ArgsError, Commands, ControllerCommand, Function, WhenLost};
use crate::fips::{self, Fips};
use crate::mode::{Invocation, Mode};
use crate::{alone, driver, file_driver, quickstart, selftest, traces};

/// For work that hangs in a thread of its own, once everything else has ended.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Runs the process.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let invocation = match Invocation::of(args) {
        Ok(invocation) => invocation,
        Err(no_mode) => return tell(&no_mode.text, no_mode.exit_code),
    };
    // One provider for the whole process (decision 9); a second call only says that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match invocation.mode {
        Mode::Crds => print_definitions(),
        Mode::Quickstart => parsed(base::args::parse::<quickstart::Args>(invocation.args), |args| {
            end(block_on(quickstart::run(&args)))
        }),
        Mode::Selftest => parsed(base::args::parse::<selftest::Args>(invocation.args), |args| {
            selftest::main(&args)
        }),
        Mode::Controller => match ControllerCommand::parse(invocation.args) {
            Ok(command) => {
                let process = command.args.process.clone();
                let log = command.log();
                started(
                    Mode::Controller,
                    &process,
                    &log,
                    controller::run_controller(command),
                )
            }
            Err(error) => refuse(&error),
        },
        Mode::Function(function) => function_mode(function, invocation),
        Mode::ConversionWebhook => parsed(base::args::parse(invocation.args), webhook_mode),
        Mode::NodeDriverRegistrar => parsed(base::args::parse(invocation.args), registrar_mode),
        Mode::Livenessprobe => parsed(base::args::parse(invocation.args), livenessprobe_mode),
        Mode::FileCsiDriver => parsed(base::args::parse(invocation.args), file_driver_mode),
        Mode::AwsEbsCsiDriver => parsed(
            base::args::parse::<ebs_driver::Args>(invocation.args),
            driver_mode,
        ),
    }
}

fn function_mode(function: Function, invocation: Invocation) -> ExitCode {
    let Some(entry) = function.entry() else {
        return tell("the driver has modes of its own", 2);
    };
    parsed((entry.parse)(invocation.args), |command| {
        let common = command.common();
        let (process, log) = (common.process.clone(), common.log.clone());
        let commands = Commands::alone(function, command);
        started(invocation.mode, &process, &log, alone(commands))
    })
}

fn webhook_mode(args: webhook::Args) -> ExitCode {
    let (process, log) = (args.process.clone(), args.log.clone());
    let agent = format!("slackwater/{} {}", crate::VERSION, webhook::NAME);
    let work =
        async move |scope: &Scope| Ok(webhook::run(&args, &Environment::of_process(), &agent, scope).await?);
    started(Mode::ConversionWebhook, &process, &log, alone::run(work))
}

fn registrar_mode(args: node_driver_registrar::Args) -> ExitCode {
    let (process, log) = (args.process.clone(), args.log.clone());
    let work = async move {
        let config = match args.task()? {
            Task::Nothing => return Ok(()),
            Task::Register(config) => config,
        };
        for flag in args.without_effect() {
            tracing::warn!("{flag} has no effect");
        }
        let run = async move |scope: &Scope| Ok(node_driver_registrar::run(config, scope).await?);
        alone::run(run).await
    };
    started(Mode::NodeDriverRegistrar, &process, &log, work)
}

fn livenessprobe_mode(args: livenessprobe::Args) -> ExitCode {
    let (process, log) = (args.process.clone(), args.log.clone());
    let work = async move {
        let config = args.config()?;
        let run = async move |scope: &Scope| Ok(livenessprobe::run(config, crate::VERSION, scope).await?);
        alone::run(run).await
    };
    started(Mode::Livenessprobe, &process, &log, work)
}

fn file_driver_mode(args: ::file_driver::Args) -> ExitCode {
    let (process, log) = (args.process.clone(), args.log.clone());
    let work = async move |scope: &Scope| file_driver::serve(&args, scope).await;
    started(Mode::FileCsiDriver, &process, &log, alone::run(work))
}

/// The driver prints its version as one JSON object, as upstream's does.
fn driver_mode(args: ebs_driver::Args) -> ExitCode {
    if args.version {
        return tell(&ebs_driver::names::version_json(), 0);
    }
    let (process, log) = (ProcessArgs::default(), args.log.clone());
    started(Mode::AwsEbsCsiDriver, &process, &log, driver::run(args))
}

async fn alone(commands: Commands) -> anyhow::Result<()> {
    controller::run(&commands, WhenLost::Exit).await
}

fn started(
    mode: Mode,
    process: &ProcessArgs,
    log: &LogArgs,
    work: impl Future<Output = anyhow::Result<()>>,
) -> ExitCode {
    if process.version {
        return tell(&version_line(mode.name(), crate::VERSION), 0);
    }
    let fips = Fips::of_process();
    if fips == Fips::Only {
        return tell(fips::REFUSAL, 1);
    }
    end(watched(mode, log, fips, work))
}

/// Does the work of a process with its log, and where wanted with its traces, which end last.
fn watched(
    mode: Mode,
    log: &LogArgs,
    fips: Fips,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let (runtime, clock) = (runtime()?, Clock::system());
    let provider = match log.enable_otel_tracing {
        false => None,
        true => {
            let _entered = runtime.enter();
            // What the library says of the environment, before there is a log.
            let early = base::logging::subscriber(log, &clock, std::io::stderr);
            Some(tracing::subscriber::with_default(early, || {
                traces::start(mode.name())
            })?)
        }
    };
    base::logging::install(log, &clock, provider.as_ref()).context("cannot log")?;
    if fips == Fips::On {
        tracing::warn!("{}", fips::WARNING);
    }
    let outcome = runtime.block_on(async {
        let outcome = work.await;
        if let Some(provider) = provider {
            traces::end(provider).await;
        }
        outcome
    });
    // Whatever hangs in the kernel, such as a mount, must not keep the process.
    runtime.shutdown_timeout(LAST_WAIT);
    outcome
}

fn parsed<A>(args: Result<A, clap::Error>, then: impl FnOnce(A) -> ExitCode) -> ExitCode {
    match args {
        Ok(args) => then(args),
        Err(error) => refuse(&error.into()),
    }
}

fn refuse(error: &ArgsError) -> ExitCode {
    tell(error.to_string().trim_end(), error.exit_code())
}

/// Flags that contradict each other have an exit code of their own; everything else ends with 1.
fn end(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<ArgsError>() {
            Some(error) => refuse(error),
            None => tell(&format!("error: {}", chain(&error)), 1),
        },
    }
}

/// The causes of an error, each once: many of ours say their cause themselves.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    runtime()?.block_on(work)
}

fn runtime() -> std::io::Result<Runtime> {
    // One thread does more than an API server can answer. A worker thread beside this one would be a second: it would
    // have the connections, and this one the work, and each answer would wake the other.
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn print_definitions() -> ExitCode {
    let mut out = std::io::stdout().lock();
    for kind in crds::definitions::KINDS {
        if out.write_all(kind.manifest.as_bytes()).is_err() {
            // The reader has gone: `slackwater crds | head`.
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Prints to standard output when all is well, else to standard error.
fn tell(text: &str, exit_code: u8) -> ExitCode {
    let _ = match exit_code {
        0 => writeln!(std::io::stdout(), "{text}"),
        _ => writeln!(std::io::stderr(), "{text}"),
    };
    ExitCode::from(exit_code)
}
