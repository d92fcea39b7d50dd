//! A process of functions: clients from flags, metrics and health, signals, and the end.

use std::collections::BTreeMap;
use std::pin::pin;

use base::args::{Environment, HttpAddress};
use base::http::{Endpoints, Readiness};
use base::process::{Signals, register_build_info, register_process_metrics, register_task_panics};
use base::{Clock, Random, Scope};
use csi::Channel;
use ebs_driver::Ec2Transport;
use ebs_driver::ec2::client;
use prometheus::Registry;
use runtime::client::{Connection, proxy_remark};

use super::args::{ArgsError, Commands, ControllerCommand};
use super::assembly::{Assembly, Outside};
use super::registry::Function;
use super::settings::{Settings, WhenLost, driver_guard};
use crate::VERSION;
use crate::driver;
use crate::ending::until_ended;

/// The component of the requests of the shared caches, in metrics and in the user agent.
const WATCHES: &str = "watches";

/// Runs `slackwater controller` until it is told to stop.
///
/// # Errors
/// What keeps it from running; the text says what to do.
pub async fn run_controller(command: ControllerCommand) -> anyhow::Result<()> {
    run(&command.commands, WhenLost::CompeteAgain).await
}

/// Runs functions until the process is told to stop.
///
/// # Errors
/// What keeps it from running; the text says what to do.
pub async fn run(commands: &Commands, when_lost: WhenLost) -> anyhow::Result<()> {
    let environment = surroundings(Environment::of_process(), when_lost);
    let mut settings = commands.settings(&environment, when_lost)?;
    let scope = Scope::new();
    let signals = Signals::install()?;
    let readiness = Readiness::default();
    let started = readiness.condition("functions", "starting");
    remark_missing_definitions(&mut settings, &readiness);
    let shared = Registry::new();
    register_process_metrics(&shared)?;
    register_task_panics(&shared, &scope)?;
    let addresses = addresses(&settings);
    let guard = settings.driver.as_ref().map(driver_guard).transpose()?;
    let working = scope.child();
    let mut signalled = pin!(signals.relay(&working));
    tokio::select! {
        biased;
        () = working.stopping() => return Ok(()),
        prepared = prepare_driver(commands, &mut settings) => prepared?,
        () = signalled.as_mut() => return Ok(()),
    }
    let outside = outside(commands, &settings, &environment, &shared).await?;
    let functions = settings.functions();
    let mut assembly = Assembly::new(settings, outside, &working, &shared).await?;
    if let Some(freshness) = assembly.freshness.take() {
        readiness.check("caches", freshness);
    }
    let mut endpoints = Endpoints::new(readiness);
    // Series of the process are served once, by its first function (journeys 5.1).
    let mut process_series = Some(&shared);
    for function in &functions {
        let Some(registry) = assembly.registries.get(function) else {
            continue;
        };
        register_build_info(registry, VERSION, function.name(), function.name())?;
        if let Some(address) = addresses.get(function) {
            endpoints.add(address, registry, assembly.elections.get(function));
            if let Some(shared) = process_series.take() {
                endpoints.add(address, shared, None);
            }
        }
    }
    if let Some((address, guard)) = addresses.get(&Function::DRIVER).zip(guard) {
        endpoints.guard(address, guard);
    }
    // Health is asked for while the functions drain: it ends last.
    let serving = scope.child();
    endpoints.bind().await?.serve(&serving);
    started.ready();
    let names: Vec<&str> = functions.iter().map(|function| function.name()).collect();
    tracing::info!(version = VERSION, functions = names.join(","), "started");
    let work = async { Ok(assembly.run().await?) };
    let ended = until_ended(work, &scope, signalled).await;
    scope.stop();
    ended?;
    tracing::info!("stopped");
    Ok(())
}

/// Of what keeps it from AWS it is told before it serves.
async fn prepare_driver(commands: &Commands, settings: &mut Settings) -> anyhow::Result<()> {
    match commands.driver.as_ref().zip(settings.driver.as_mut()) {
        Some((args, config)) => {
            let options = args.node_options().map_err(ArgsError::from)?;
            client::check(&config.ec2).await?;
            driver::learn_region(config, &options).await
        }
        None => Ok(()),
    }
}

/// What the functions are told of the surroundings. Several of them share their caches, so that none may follow a cluster of its
/// own: `KUBECONFIG`, which upstream's csi-provisioner alone reads, is for a process of that function.
fn surroundings(environment: Environment, when_lost: WhenLost) -> Environment {
    match when_lost {
        WhenLost::Exit => environment,
        WhenLost::CompeteAgain => Environment {
            kubeconfig: None,
            ..environment
        },
    }
}

/// Missing definitions show under `/readyz?verbose` (decision 4).
fn remark_missing_definitions(settings: &mut Settings, readiness: &Readiness) {
    for (function, start) in &mut settings.functions {
        if let Some(definitions) = start.definitions() {
            let name = format!("{function}-definitions");
            definitions.remark = Some(readiness.remark(&name, "not waiting for definitions"));
        }
    }
}

fn addresses(settings: &Settings) -> BTreeMap<Function, HttpAddress> {
    Function::ALL
        .into_iter()
        .filter_map(|function| Some((function, settings.http(function)?)))
        .collect()
}

/// How the functions reach what is outside. The caches that they share have clients of their own, on the connection
/// of the first function: no function's limit slows them down, and their requests count for none of them.
async fn outside(
    commands: &Commands,
    settings: &Settings,
    environment: &Environment,
    shared: &Registry,
) -> anyhow::Result<Outside> {
    let registries: BTreeMap<_, _> = settings
        .functions()
        .into_iter()
        .map(|function| (function, Registry::new()))
        .collect();
    let mut kubernetes = BTreeMap::new();
    let (mut watches, mut remark) = (None, None);
    for (function, registry) in &registries {
        let Some(command) = commands.functions.get(function) else {
            continue;
        };
        let kube = command.kube(environment);
        remark = remark.or(proxy_remark(&kube, environment));
        let agent = |name: &str| format!("slackwater/{VERSION} {name}");
        let connection = Connection::from_args(&kube, &agent(function.name())).await?;
        let clients = connection.clients(function.name(), registry)?;
        if watches.is_none() {
            let of_watches = connection.shared(&agent(WATCHES))?;
            watches = Some(of_watches.clients_beside(&clients, WATCHES, shared)?.work);
        }
        kubernetes.insert(*function, clients);
    }
    if let Some(remark) = remark {
        tracing::warn!("{remark}");
    }
    Ok(Outside {
        kubernetes,
        watches,
        registries,
        ec2: Ec2Transport::Network,
        channel: Box::new(Channel::in_process),
        serves_socket: true,
        clock: Clock::system(),
        random: Random::from_entropy(),
        identity: environment.identity(),
        namespace: environment.namespace(),
    })
}
