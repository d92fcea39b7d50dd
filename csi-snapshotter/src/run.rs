//! Start-up, leader election, work.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crds::names;
use crds::v1::{VolumeSnapshotClass, VolumeSnapshotContent};
use csi::identity::{
    ControllerCapability, IdentityError, controller_capabilities, plugin_info, wait_until_ready,
};
use csi::{Channel, Metrics, State};
use kube::core::ApiResource;
use runtime::crds::{Patience, WaitingGauge, wait_for_crds};
use runtime::leader::{ElectionOptions, Ended, LeaderElector, LeaderHealth};
use runtime::{
    Backoff, Cache, Clock, Context, ObjectKey, Queue, QueueOptions, Recorder, Scope, Selection, Writer,
};

use crate::args::Config;
use crate::controller::Controller;
use crate::error::Error;
use crate::execute::Executor;
use crate::observe::Settings;
use crate::{events, triggers};

/// The field manager and the function's name.
const NAME: &str = "csi-snapshotter";
/// A leader whose driver stays away longer gives its lease back (decision 3).
const LONGEST_WITHOUT_DRIVER: Duration = Duration::from_secs(30);
/// How long an impatient process waits for its first connection (sidecars.md 1.2).
const FIRST_CONNECTION: Duration = Duration::from_secs(30);
/// How long the last events may take at the end.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// Pause between two questions to a driver that is away, and between two terms of leadership.
const PAUSE: Duration = Duration::from_secs(1);
/// Index of contents by class.
const BY_CLASS: &str = "class";

/// The function after its start-up: the driver is known and ready, the definitions exist.
pub struct Prepared {
    config: Config,
    context: Context,
    driver: Channel,
    known: Known,
    elector: Option<LeaderElector>,
    recorder: Recorder,
    queue: Queue<ObjectKey>,
    /// Not the first term of leadership in this process.
    has_led: AtomicBool,
}

/// What must stay the same over a reconnection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    name: String,
    can_create: bool,
    can_list: bool,
}

impl Known {
    fn new(name: String, capabilities: &BTreeSet<ControllerCapability>) -> Self {
        Self {
            name,
            can_create: capabilities.contains(&ControllerCapability::CreateDeleteSnapshot),
            can_list: capabilities.contains(&ControllerCapability::ListSnapshots),
        }
    }

    fn text(&self) -> String {
        let with = |has: bool| if has { "with" } else { "without" };
        format!(
            "{} ({} snapshots, {} lists)",
            self.name,
            with(self.can_create),
            with(self.can_list)
        )
    }
}

/// Runs the function until `context.scope` is stopping and all is drained.
///
/// Metrics, events, caches and tasks belong to `context`; `driver` may be in process or behind a socket. Serving
/// HTTP is the caller's.
///
/// # Errors
/// See [`Error`]. The failure of one content is no error.
pub async fn run(config: Config, context: Context, driver: Channel) -> Result<(), Error> {
    let stopping = context.scope.stopping_token();
    let prepared = tokio::select! {
        biased;
        () = stopping.cancelled() => return Ok(()),
        prepared = prepare(config, context, driver) => prepared?,
    };
    prepared.run().await
}

/// The first half of [`run`]: asks the driver who it is, waits until it is ready and until the definitions exist.
/// Source: snapshot.md 3.1.
///
/// # Errors
/// The driver is none that we can work with.
pub async fn prepare(config: Config, context: Context, driver: Channel) -> Result<Prepared, Error> {
    for warning in &config.common.gates.warnings {
        tracing::warn!("{warning}");
    }
    let metrics = Metrics::new(&context.registry)?;
    let driver = driver.with_metrics(metrics.clone());
    let patient = !config.exit_on_connection_loss;
    if !patient {
        // As upstream: the first connection may take its time. Without one the next call says what is wrong.
        let _ = tokio::time::timeout(FIRST_CONNECTION, driver.connected()).await;
    }
    let info = patiently(patient, || plugin_info(&driver, config.timeout)).await?;
    metrics.set_driver(&info.name);
    tracing::info!(driver = info.name, version = info.version, "found the CSI driver");
    patiently(patient, || wait_until_ready(&driver, config.timeout)).await?;
    let capabilities = patiently(patient, || controller_capabilities(&driver, config.timeout)).await?;
    let known = Known::new(info.name, &capabilities);
    if !known.can_create {
        return Err(Error::NoSnapshots { driver: known.name });
    }
    let gauge = WaitingGauge::new(&context.registry)?;
    let kinds = [
        ApiResource::erase::<VolumeSnapshotContent>(&()),
        ApiResource::erase::<VolumeSnapshotClass>(&()),
    ];
    let remark = config.crds_remark.as_ref();
    // Endless patience never runs out.
    let _ = wait_for_crds(&context.client, &kinds, Patience::Endless, Some(&gauge), remark).await;
    let recorder = Recorder::new(&context, &events::component(&known.name));
    let elector = elector(&config, &context, &known.name, &recorder)?;
    let (start, max) = config.common.retry_intervals;
    let options = QueueOptions {
        name: format!("{NAME}-content"),
        workers: config.workers,
        backoff: Backoff {
            start,
            max,
            ..Backoff::default()
        },
    };
    let queue = Queue::new(
        options,
        context.clock.clone(),
        context.random.fork(),
        &context.registry,
    )?;
    Ok(Prepared {
        config,
        context,
        driver,
        known,
        elector,
        recorder,
        queue,
        has_led: AtomicBool::new(false),
    })
}

fn elector(
    config: &Config,
    context: &Context,
    driver: &str,
    recorder: &Recorder,
) -> Result<Option<LeaderElector>, Error> {
    let Some(args) = &config.common.election else {
        return Ok(None);
    };
    let lease = format!("external-snapshotter-leader-{driver}");
    let options = ElectionOptions {
        // A running CSI call may use all of its time.
        drain: config.timeout.max(Duration::from_secs(25)),
        ..ElectionOptions::from_args(args, NAME, &lease, &context.namespace, &context.identity)
    };
    let (clock, random) = (&context.clock, &context.random);
    let (client, registry) = (&context.lease_client, &context.registry);
    Ok(Some(LeaderElector::new(
        client,
        clock,
        random,
        registry,
        options,
        Some(recorder),
    )?))
}

/// Asks again each second while the driver is away, if that is allowed.
async fn patiently<T, F>(patient: bool, ask: impl Fn() -> F) -> Result<T, IdentityError>
where
    F: Future<Output = Result<T, IdentityError>>,
{
    let mut told = false;
    loop {
        match ask().await {
            Err(error) if patient && error.is_unreachable() => {
                if !told {
                    tracing::warn!(%error, "waiting for the CSI driver");
                }
                told = true;
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

impl Prepared {
    /// The driver's name.
    #[must_use]
    pub fn driver_name(&self) -> &str {
        &self.known.name
    }

    /// The health check of leader election, where it is on.
    #[must_use]
    pub fn leader_health(&self) -> Option<LeaderHealth> {
        self.elector.as_ref().map(LeaderElector::health)
    }

    /// The second half of [`run`]: leader election and work.
    ///
    /// # Errors
    /// The lease or the driver is lost for good; see [`Error`].
    pub async fn run(&self) -> Result<(), Error> {
        let ended = tokio::select! {
            biased;
            ended = self.lead() => ended,
            error = self.watch_driver() => Err(error),
        };
        self.recorder.flush(LAST_EVENTS).await;
        ended
    }

    async fn lead(&self) -> Result<(), Error> {
        let Some(elector) = &self.elector else {
            self.work(self.context.scope.child()).await;
            return Ok(());
        };
        let stopping = self.context.scope.stopping_token();
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Ok(()),
                () = self.driver.connected() => {}
            }
            let away = self.driver.lost_for(LONGEST_WITHOUT_DRIVER);
            let ended = elector
                .run_leading_until(&self.context.scope, |scope| self.work(scope), away)
                .await;
            match ended {
                Ended::Stopped | Ended::Finished(()) => return Ok(()),
                Ended::SteppedDown => tracing::warn!("gave up the lease: the CSI driver is away"),
                Ended::Lost => {
                    let lease = format!("external-snapshotter-leader-{}", self.known.name);
                    let lease = runtime::leader::clean_name(&lease);
                    return Err(Error::LeaseLost { lease });
                }
            }
        }
    }

    /// Works until the scope is stopping and running contents are done.
    async fn work(&self, scope: Scope) {
        if self.has_led.swap(true, Ordering::Relaxed) {
            self.context.watches.relist();
        }
        let selection = match &self.config.node {
            Some(node) => Selection::labels(format!("{}={node}", names::MANAGED_BY_LABEL)),
            None => Selection::default(),
        };
        let contents: Cache<VolumeSnapshotContent> = self.context.watches.cache(selection);
        let classes: Cache<VolumeSnapshotClass> = self.context.watches.cache(Selection::default());
        contents.index(BY_CLASS, |content| {
            content.spec.volume_snapshot_class_name.iter().cloned().collect()
        });
        tokio::select! {
            biased;
            () = scope.stopping() => return,
            () = async { contents.synced().await; classes.synced().await } => {}
        }
        let (queue, driver) = (self.queue.clone(), self.known.name.clone());
        let of_contents = contents.subscribe(move |change| {
            if triggers::wakes(change, &driver) {
                queue.add(change.key.clone());
            }
        });
        of_contents.resync_every(self.config.resync_period, &scope);
        let (queue, users, driver) = (self.queue.clone(), contents.clone(), self.known.name.clone());
        // A class that comes or changes may be what its contents wait for.
        let of_classes = classes.subscribe(move |change| {
            for content in users.indexed(BY_CLASS, &change.key.name) {
                let ready = content.status.as_ref().and_then(|status| status.ready_to_use) == Some(true);
                let leaving = content.metadata.deletion_timestamp.is_some();
                if content.spec.driver == driver && (!ready || leaving) {
                    queue.add(ObjectKey::of(&*content));
                }
            }
        });
        let controller = Arc::new(self.controller(contents, classes, &self.context.clock));
        self.queue.run(&scope, controller).await;
        drop((of_contents, of_classes));
    }

    fn controller(
        &self,
        contents: Cache<VolumeSnapshotContent>,
        classes: Cache<VolumeSnapshotClass>,
        clock: &Clock,
    ) -> Controller {
        Controller {
            classes,
            executor: Executor {
                contents,
                writer: Writer::new(&self.context.client, NAME),
                secrets: Writer::new(&self.context.client, NAME),
                driver: self.driver.clone(),
                timeout: self.config.timeout,
            },
            recorder: self.recorder.clone(),
            clock: clock.clone(),
            settings: Settings {
                driver: self.known.name.clone(),
                can_list: self.known.can_list,
                name_prefix: self.config.name_prefix.clone(),
                name_uid_length: self.config.name_uid_length,
                extra_create_metadata: self.config.extra_create_metadata,
                retry_interval_max: self.config.common.retry_intervals.1,
            },
            memories: Mutex::default(),
        }
    }

    /// Resolves when the driver is lost for good: at once with `--exit-on-connection-loss`, else only when another
    /// one answers after a reconnection (sidecars.md 1.2).
    async fn watch_driver(&self) -> Error {
        let mut state = self.driver.state();
        let mut seen = match *state.borrow_and_update() {
            State::Connected { connection } => connection,
            State::Lost { .. } => 0,
        };
        loop {
            let now = *state.borrow_and_update();
            match now {
                State::Connected { connection } if connection == seen => {}
                _ if self.config.exit_on_connection_loss => {
                    let text = Error::ConnectionLost.to_string();
                    if let Err(error) =
                        runtime::process::write_termination_log(&self.config.termination_log, &text)
                    {
                        tracing::warn!(%error, "cannot write the termination log");
                    }
                    return Error::ConnectionLost;
                }
                State::Connected { connection } => match self.ask_again().await {
                    Ok(known) if known == self.known => seen = connection,
                    Ok(known) => {
                        return Error::DriverChanged {
                            before: self.known.text(),
                            after: known.text(),
                        };
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot ask the CSI driver who it is after reconnecting");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
                State::Lost { .. } => {}
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn ask_again(&self) -> Result<Known, IdentityError> {
        let info = plugin_info(&self.driver, self.config.timeout).await?;
        let capabilities = controller_capabilities(&self.driver, self.config.timeout).await?;
        Ok(Known::new(info.name, &capabilities))
    }
}
