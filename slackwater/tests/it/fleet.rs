//! Controller processes, which are started, killed and started again: all functions in one, or each in its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Scope;
use base::args::Environment;
use prometheus::Registry;
use runtime::client::Connection;
use sandbox::faults::{Faults, transports};
use slackwater::controller::{Assembly, ControllerCommand, Function, Outside, Settings, WhenLost};

use crate::world::{LOOK, World};

/// How the functions are spread over processes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// `slackwater controller`: one set of watch caches, the driver called in process.
    One,
    /// The driver and each sidecar by itself, as upstream's containers: no cache and no client is shared.
    Each,
}

impl Form {
    /// The functions of each process, in the order in which they start.
    pub fn processes(self) -> Vec<Vec<Function>> {
        match self {
            Self::One => vec![Function::ALL.to_vec()],
            Self::Each => Function::ALL.map(|function| vec![function]).to_vec(),
        }
    }
}

/// Longest time to the end of all work once no fault is met any more: a back-off of five minutes, the driver's own, and
/// a watch that has come late. There is no resync.
const BOUND: Duration = Duration::from_secs(20 * 60);

/// A running controller process. Dropping it kills it.
pub struct Process {
    pub faults: Faults,
    ended: Arc<Mutex<Option<String>>>,
    _scope: Scope,
}

impl Process {
    /// Whether it was killed, or ended with an error as a process may when its start-up fails: the kubelet
    /// then starts it again.
    pub fn is_gone(&self) -> bool {
        self.faults.has_crashed() || self.ended.lock().unwrap().is_some()
    }

    /// The text with which it ended by itself.
    pub fn failure(&self) -> Option<String> {
        self.ended.lock().unwrap().clone()
    }
}

/// These functions with these flags; all others have their defaults.
fn settings(functions: &[Function], flags: &[&str]) -> Settings {
    let names: Vec<&str> = functions.iter().map(|function| function.name()).collect();
    let line = [
        OsString::from("controller"),
        format!("--functions={}", names.join(",")).into(),
        // Nothing may wait for it: what is lost is lost for good.
        "--resync-period=0s".into(),
    ];
    let line = line.into_iter().chain(flags.iter().map(OsString::from)).collect();
    let command = ControllerCommand::parse(line).unwrap();
    command
        .commands
        .settings(&Environment::default(), WhenLost::CompeteAgain)
        .unwrap()
}

impl World {
    /// Starts a process with all functions.
    pub async fn start(&self, faults: Faults) -> Process {
        self.start_with(faults, "replica", &[]).await
    }

    /// The same with flags, as the pod `identity`.
    pub async fn start_with(&self, faults: Faults, identity: &str, flags: &[&str]) -> Process {
        self.start_functions(&Function::ALL, faults, identity, flags)
            .await
    }

    /// Starts a process with some functions. Without the driver among them it reaches the one that listens.
    pub async fn start_functions(
        &self,
        functions: &[Function],
        faults: Faults,
        identity: &str,
        flags: &[&str],
    ) -> Process {
        let scope = self.scope.child();
        let outside = self.outside(functions, &faults, identity, &scope);
        self.start_reaching(outside, functions, faults, flags, scope)
            .await
    }

    /// Starts a process with some functions that reaches what is outside in this way.
    pub async fn start_reaching(
        &self,
        outside: Outside,
        functions: &[Function],
        faults: Faults,
        flags: &[&str],
        scope: Scope,
    ) -> Process {
        let (settings, shared) = (settings(functions, flags), Registry::new());
        let assembly = if functions.contains(&Function::DRIVER) {
            Assembly::new(settings, outside, &scope, &shared).await
        } else {
            let driver = self.socket.channel(&faults);
            Assembly::beside(driver, settings, outside, &scope, &shared).await
        };
        let assembly = assembly.unwrap();
        let ended = Arc::new(Mutex::new(None));
        let (reason, working) = (ended.clone(), scope.child());
        scope.spawn(async move {
            let _working = working;
            if let Err(error) = assembly.run().await {
                *reason.lock().unwrap() = Some(error.to_string());
            }
        });
        Process {
            faults,
            ended,
            _scope: scope,
        }
    }

    pub fn client(&self, user: &str, faults: &Faults) -> kube::Client {
        kube::Client::new(transports::kubernetes(&self.api, user, faults), "default")
    }

    pub fn outside(&self, functions: &[Function], faults: &Faults, identity: &str, scope: &Scope) -> Outside {
        let registries: BTreeMap<_, _> = functions
            .iter()
            .map(|function| (*function, Registry::new()))
            .collect();
        let mut kubernetes = BTreeMap::new();
        for (function, registry) in registries.iter().filter(|(name, _)| **name != Function::DRIVER) {
            let client = self.client(function.name(), faults);
            let clients = Connection::over(client, None).clients(function.name(), registry);
            kubernetes.insert(*function, clients.unwrap());
        }
        let (socket, at_driver, of_driver) = (self.socket.clone(), faults.clone(), scope.child());
        let is_alone = functions.len() == 1;
        Outside {
            kubernetes,
            watches: Some(self.client("watches", faults)),
            registries,
            ec2: ebs_driver::Ec2Transport::InProcess(transports::ec2(&self.ec2, faults)),
            channel: Box::new(move |routes| {
                if is_alone {
                    socket.listen(routes.clone(), &at_driver, of_driver);
                }
                transports::csi(routes, &at_driver)
            }),
            serves_socket: false,
            clock: self.clock.clone(),
            random: self.random.fork(),
            identity: identity.to_owned(),
            namespace: "kube-system".to_owned(),
        }
    }

    /// Runs a process with all functions under faults until something is so. When it is killed another one is
    /// started, which meets none.
    pub async fn run(&self, faults: Faults, what: &str, so: impl Fn(&Self) -> bool) -> Fleet<'_> {
        let mut fleet = Fleet::start(self, Form::One, |_| faults.clone()).await;
        fleet.until(what, so).await;
        fleet
    }
}

/// The processes of one form.
pub struct Fleet<'a> {
    world: &'a World,
    members: Vec<(Vec<Function>, Process)>,
    /// How many were killed or were gone, and were started again.
    deaths: usize,
}

impl<'a> Fleet<'a> {
    /// Starts all processes; `faults` are those of the process with this number.
    pub async fn start(world: &'a World, form: Form, faults: impl Fn(usize) -> Faults) -> Self {
        let mut members = Vec::new();
        for (number, functions) in form.processes().into_iter().enumerate() {
            let process = world
                .start_functions(&functions, faults(number), "replica", &[])
                .await;
            members.push((functions, process));
        }
        Self {
            world,
            members,
            deaths: 0,
        }
    }

    /// Starts those again that are gone; answers how many.
    pub async fn revive(&mut self, faults: impl Fn() -> Faults) -> usize {
        let mut gone = 0;
        for number in 0..self.members.len() {
            if self.members[number].1.is_gone() {
                self.restart(number, faults()).await;
                gone += 1;
            }
        }
        gone
    }

    /// Whether one was killed, or ended because its start-up failed: what it remembered is lost in either case.
    pub fn has_had_deaths(&self) -> bool {
        self.deaths > 0
    }

    /// Kills one and starts it again after a moment.
    pub async fn restart(&mut self, number: usize, faults: Faults) {
        self.deaths += 1;
        let (functions, process) = self.members.remove(number);
        if std::env::var_os("STORM_TRACE").is_some() {
            println!(
                "the process of {functions:?} ends at {} ({:?}) having made these calls:",
                self.world.clock.now(),
                process.ended.lock().unwrap(),
            );
            for (call, fault) in process.faults.calls() {
                println!("  {} {fault:?}", call.name);
            }
        }
        drop(process);
        tokio::time::sleep(LOOK).await;
        let process = self
            .world
            .start_functions(&functions, faults, "replica", &[])
            .await;
        self.members.insert(number, (functions, process));
    }

    /// Kills all and starts them again; they meet no more faults.
    pub async fn calm(&mut self) {
        for number in 0..self.members.len() {
            self.restart(number, Faults::none()).await;
        }
    }

    /// The weather clears for the processes as they are. What they missed in it they must find out by themselves.
    pub fn clear(&self) {
        for (_, process) in &self.members {
            process.faults.end();
        }
    }

    /// Lets time pass. A process that is killed is started again without faults: one that met its crash before the weather cleared
    /// may die of it after.
    pub async fn rest(&mut self, time: Duration) {
        for _ in 0..(time.as_millis() / LOOK.as_millis()) {
            self.revive(Faults::none).await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until something is so, [`BOUND`] at most. Processes that are killed are started again without faults.
    pub async fn until(&mut self, what: &str, so: impl Fn(&World) -> bool) {
        for _ in 0..(BOUND.as_millis() / LOOK.as_millis()) {
            self.revive(Faults::none).await;
            self.world.nothing_panicked().await;
            if so(self.world) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!(
            "{what}: not within {BOUND:?}; the world is {:#}",
            self.world.api.dump()
        );
    }
}
