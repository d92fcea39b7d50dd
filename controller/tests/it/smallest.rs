//! The smallest whole sidecar, to begin a new one from: volumes of its driver have a least size. A crate has these parts
//! in files of their own, whose names stand below; the last step is a line in the registry of the binary.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::args::{Environment, GoDuration};
use base::http::LeaderHealth;
use base::{Queue, Scope};
use controller::args::{ArgsError, DriverArgs, DriverConfig, workers};
use controller::{
    CallFailure, Command, ConfigError, Controller, Difference, Driver as _, Enqueue, Entry, Error, Event,
    Failure, Known, Next, Objects, Part, Past, Plan, Ready, Run, Sidecar, SidecarOptions, Start, patch,
};
use csi::v1::{CapacityRange, ControllerExpandVolumeRequest};
use csi::{Address, Channel, Operation, identity};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::args::{CommonArgs, CommonConfig};
use runtime::objects::{Quantity, Volume};
use runtime::{Cache, Context, ObjectKey, Selection};

/// The line in `FUNCTIONS` of `slackwater/src/controller/registry.rs` names this.
pub const ENTRY: Entry = Entry {
    name: "csi-least-size",
    summary: "give volumes a least size",
    address: ":3399",
    workers_flag: "workers",
    by_default: false,
    parse: Entry::parsed::<Args>,
};

// Flags: `args.rs`.

#[derive(Clone, Debug, clap::Parser)]
#[command(name = "csi-least-size", disable_version_flag = true)]
pub struct Args {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    driver: DriverArgs,
    #[arg(long, default_value = "10s")]
    timeout: GoDuration,
    #[arg(long, default_value_t = 1)]
    gibibytes: i64,
    // `slackwater controller` gives these two to every function.
    #[arg(long, default_value_t = 10)]
    workers: usize,
    #[arg(long, default_value = "10m")]
    resync_period: GoDuration,
}

#[derive(Clone, Debug)]
struct Config {
    common: CommonConfig,
    driver: DriverConfig,
    least: Quantity,
    workers: usize,
    resync_period: Duration,
}

impl Args {
    fn config(&self) -> Result<Config, ArgsError> {
        Ok(Config {
            common: self.common.config(&[])?,
            driver: self.driver.config(self.timeout)?,
            least: Quantity::from_bytes(self.gibibytes << 30),
            workers: workers("workers", self.workers)?,
            resync_period: self.resync_period.0,
        })
    }
}

impl Command for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn check(&self, _environment: &Environment) -> Result<Box<dyn Start>, ConfigError> {
        Ok(Box::new(self.config()?))
    }
}

// Who the driver is: `driver.rs`.

#[derive(Clone, Debug, PartialEq)]
struct Driver {
    name: String,
}

impl controller::Driver for Driver {
    fn name(&self) -> &str {
        &self.name
    }

    fn text(&self) -> String {
        self.name.clone()
    }

    async fn ask(channel: &Channel, timeout: Duration) -> Result<Self, Error> {
        let name = identity::plugin_info(channel, timeout).await?.name;
        identity::wait_until_ready(channel, timeout).await?;
        Ok(Self { name })
    }
}

// Start-up and work: `run.rs`.

#[async_trait]
impl Start for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn driver(&self) -> Option<&Address> {
        Some(&self.driver.address)
    }

    async fn start(
        self: Box<Self>,
        context: Context,
        driver: Option<Channel>,
    ) -> Result<Box<dyn Ready>, Error> {
        let options = SidecarOptions {
            name: ENTRY.name,
            lease: |driver| format!("least-size-{driver}"),
            component: |driver, _| format!("least-size {driver}"),
            driver: self.driver.clone(),
            longest_call: None,
            tells_migrated: false,
        };
        let sidecar = Sidecar::<Driver>::prepare(options, &self.common, context, driver).await?;
        let queue = sidecar.function().queue("volumes".into(), self.workers)?;
        Ok(Box::new(Prepared {
            config: *self,
            sidecar,
            queue,
        }))
    }
}

struct Prepared {
    config: Config,
    sidecar: Sidecar<Driver>,
    queue: Queue<ObjectKey>,
}

#[async_trait]
impl Ready for Prepared {
    fn leader_health(&self) -> Option<LeaderHealth> {
        self.sidecar.function().leader_health()
    }

    async fn run(&self) -> Result<(), Error> {
        self.sidecar.run(|scope| self.work(scope)).await
    }
}

impl Prepared {
    /// A term of leadership.
    async fn work(&self, scope: Scope) -> Result<(), Error> {
        let _term = self.queue.term();
        let function = self.sidecar.function();
        let context = function.context();
        let volumes: Cache<Volume> = context.watches.cache(Selection::default());
        tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            _ = volumes.caught_up() => {}
        }
        let mut enqueue = Enqueue::new();
        let driver = self.sidecar.driver().name().to_owned();
        enqueue
            .on(&volumes, &self.queue, move |change| concerned(change, &driver))
            .resync_every(self.config.resync_period, &scope);
        let rules = Volumes {
            volumes: Objects::new(volumes, &context.client, ENTRY.name),
            channel: self.sidecar.channel().clone(),
            timeout: self.config.driver.timeout,
            least: self.config.least,
        };
        self.queue.run(&scope, Arc::new(function.reconciler(rules))).await;
        Ok(())
    }
}

/// Which changes concern which keys: `triggers.rs`.
fn concerned(change: Difference<'_, Volume>, driver: &str) -> Vec<ObjectKey> {
    let is_ours = |volume: &Volume| volume.csi.as_ref().is_some_and(|csi| csi.driver == driver);
    change
        .new
        .filter(|volume| is_ours(volume))
        .map(|_| change.key.clone())
        .into_iter()
        .collect()
}

/// The rules as the frame runs them.
struct Volumes {
    volumes: Objects<Volume>,
    channel: Channel,
    timeout: Duration,
    least: Quantity,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// One call.
    Expand(Quantity),
    /// One PATCH.
    Capacity(Quantity),
}

type Answer = Result<Quantity, CallFailure>;

/// What a volume needs now: `plan/`. Pure, so a table of rows tests it.
pub fn plan(volume: &Volume, answers: &[Answer], least: Quantity) -> Plan<Step, ()> {
    let plan = Plan::resting(());
    match answers.last() {
        _ if volume.capacity.is_some_and(|size| size >= least) => plan,
        None => plan.step(Step::Expand(least)).then(Next::Again),
        Some(Ok(size)) => plan.step(Step::Capacity(*size)),
        Some(Err(failure)) => plan
            .event(Event::warning("ExpansionFailed", failure.text.clone()))
            .then(Next::backoff(failure.text.clone())),
    }
}

#[async_trait]
impl Controller for Volumes {
    type Seen = Arc<Volume>;
    type Memory = ();
    type Step = Step;
    type Answer = Answer;

    fn observe(&self, key: &ObjectKey) -> Option<Self::Seen> {
        self.volumes.cache().get(key)
    }

    fn uid<'a>(&self, seen: &'a Self::Seen) -> &'a str {
        seen.metadata.uid.as_deref().unwrap_or_default()
    }

    fn reference(&self, seen: &Self::Seen) -> ObjectReference {
        ObjectReference {
            kind: Some("PersistentVolume".into()),
            name: seen.metadata.name.clone(),
            uid: seen.metadata.uid.clone(),
            ..ObjectReference::default()
        }
    }

    fn plan(&self, seen: &Self::Seen, _: &Past<()>, run: &Run<Answer>, _: Timestamp) -> Plan<Step, ()> {
        plan(seen, &run.answers, self.least)
    }

    async fn take(&self, seen: &Self::Seen, step: &Step, _: &Run<Answer>) -> Result<Option<Answer>, Failure> {
        match step {
            Step::Expand(size) => Ok(Some(self.expand(seen, *size).await)),
            Step::Capacity(size) => {
                let path = ["spec", "capacity", "storage"];
                let operations = vec![
                    patch::same_object(seen.metadata.uid.as_deref()),
                    patch::add(&path, size.to_string()),
                ];
                let change = patch::Change::json(operations);
                self.volumes
                    .patch(&Known::of(&**seen), Part::Main, &change)
                    .await?;
                Ok(None)
            }
        }
    }

    fn refusal_reason(&self, _: &Step) -> &'static str {
        "ExpansionFailed"
    }
}

impl Volumes {
    async fn expand(&self, volume: &Volume, size: Quantity) -> Answer {
        let handle = volume.csi.as_ref().map(|csi| csi.volume_handle.clone());
        let request = ControllerExpandVolumeRequest {
            volume_id: handle.unwrap_or_default(),
            capacity_range: Some(CapacityRange {
                required_bytes: size.bytes(),
                limit_bytes: 0,
            }),
            ..ControllerExpandVolumeRequest::default()
        };
        let request = csi::channel::request(request, self.timeout);
        let answered = self.channel.controller().controller_expand_volume(request).await;
        let secrets = std::collections::BTreeMap::new();
        answered
            .map(|answer| Quantity::from_bytes(answer.into_inner().capacity_bytes))
            .map_err(|status| CallFailure::of(Operation::ExpandVolume, &status, &secrets))
    }
}
