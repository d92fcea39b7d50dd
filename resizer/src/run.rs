//! Start-up, leader election, work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use csi::identity::wait_until_ready;
use csi::{Channel, Metrics, State};
use runtime::leader::{ElectionOptions, Ended, LeaderElector, LeaderHealth};
use runtime::objects::{Claim, Volume};
use runtime::{Backoff, Cache, Context, ObjectKey, Queue, QueueOptions, Recorder, Scope, Selection, Writer};

use crate::args::Config;
use crate::controller::Controller;
use crate::error::Error;
use crate::execute::Executor;
use crate::observe::Settings;
use crate::start::{Known, PAUSE, ask, patiently};
use crate::usage::Usages;
use crate::{events, triggers};

/// The field manager and the function's name.
const NAME: &str = "csi-resizer";
/// A leader whose driver stays away longer gives its lease back (decision 3).
const LONGEST_WITHOUT_DRIVER: Duration = Duration::from_secs(30);
/// How long an impatient process waits for its first connection (sidecars.md 1.2).
const FIRST_CONNECTION: Duration = Duration::from_secs(30);
/// How long the last events may take at the end.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// The function after its start-up: the driver is known and ready.
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

/// Runs the function until `context.scope` is stopping and all is drained.
///
/// Metrics, events, caches and tasks belong to `context`; `driver` may be in process or behind a socket. Serving
/// HTTP is the caller's.
///
/// # Errors
/// See [`Error`]. The failure of one claim is no error.
pub async fn run(config: Config, context: Context, driver: Channel) -> Result<(), Error> {
    let stopping = context.scope.stopping_token();
    let prepared = tokio::select! {
        biased;
        () = stopping.cancelled() => return Ok(()),
        prepared = prepare(config, context, driver) => prepared?,
    };
    prepared.run().await
}

/// The first half of [`run`]: waits until the driver is ready and asks who it is and what it can do.
/// Source: resize.md 1.1.
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
    patiently(patient, async || {
        Ok(wait_until_ready(&driver, config.timeout).await?)
    })
    .await?;
    let known = patiently(patient, || ask(&driver, config.timeout)).await?;
    metrics.set_driver(&known.name);
    tracing::info!(driver = known.text(), "found the CSI driver");
    if config.modify_demanded {
        tracing::warn!(
            "feature gate VolumeAttributesClass is switched on, but changing volumes by class is not built yet"
        );
    } else if known.modifies {
        tracing::info!("the CSI driver can change volumes by VolumeAttributesClass; that is not built yet");
    }
    let recorder = Recorder::new(&context, &events::component(&known.name));
    let elector = elector(&config, &context, &known.name, &recorder)?;
    let options = QueueOptions {
        name: format!("{}-pvc", known.name),
        workers: config.workers,
        backoff: backoff(&config),
    };
    let random = context.random.fork();
    let queue = Queue::new(options, context.clock.clone(), random, &context.registry)?;
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

fn backoff(config: &Config) -> Backoff {
    let (start, max) = config.common.retry_intervals;
    Backoff {
        start,
        max,
        ..Backoff::default()
    }
}

fn lease(driver: &str) -> String {
    format!("external-resizer-{driver}")
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
    let options = ElectionOptions {
        // A running CSI call may use all of its time.
        drain: config.timeout.max(Duration::from_secs(25)),
        ..ElectionOptions::from_args(args, NAME, &lease(driver), &context.namespace, &context.identity)
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
                    let lease = runtime::leader::clean_name(&lease(&self.known.name));
                    return Err(Error::LeaseLost { lease });
                }
            }
        }
    }

    /// Works until the scope is stopping and running claims are done.
    async fn work(&self, scope: Scope) {
        if self.has_led.swap(true, Ordering::Relaxed) {
            self.context.watches.relist();
        }
        let claims: Cache<Claim> = self.context.watches.cache(Selection::default());
        let volumes: Cache<Volume> = self.context.watches.cache(Selection::default());
        tokio::select! {
            biased;
            () = scope.stopping() => return,
            () = async { claims.synced().await; volumes.synced().await } => {}
        }
        let settings = self.settings();
        let (queue, known, rules) = (self.queue.clone(), volumes.clone(), settings.clone());
        let of_claims = claims.subscribe(move |change| {
            let name = change.new.as_ref().and_then(|claim| claim.volume_name.as_deref());
            let volume = name.and_then(|name| known.get(&ObjectKey::cluster(name)));
            if triggers::claim_wakes(change, volume.as_deref(), &rules) {
                queue.add(change.key.clone());
            }
        });
        of_claims.resync_every(self.config.resync_period, &scope);
        let (queue, known, rules) = (self.queue.clone(), claims.clone(), settings.clone());
        // A volume that comes may be what its claim waits for (Q30).
        let of_volumes = volumes.subscribe(move |change| {
            let Some(volume) = change.new.as_ref().filter(|_| triggers::volume_wakes(change)) else {
                return;
            };
            let Some(reference) = &volume.claim else { return };
            let key = ObjectKey::new(&reference.namespace, &reference.name);
            let due = |claim: Arc<Claim>| crate::plan::is_due(&claim, Some(volume), &rules);
            if known.get(&key).is_some_and(due) {
                queue.add(key);
            }
        });
        let controller = Arc::new(self.controller(claims, volumes, settings, &scope));
        self.queue.run(&scope, controller).await;
        drop((of_claims, of_volumes));
    }

    fn settings(&self) -> Settings {
        let (start, max) = self.config.common.retry_intervals;
        Settings {
            driver: self.known.name.clone(),
            controller_expands: self.known.controller_expands,
            single_node_multi_writer: self.known.single_node_multi_writer,
            handle_in_use: self.config.handle_volume_inuse_error,
            annotate: self.config.annotate,
            recover: self.config.recover,
            retry_interval_start: start,
            retry_interval_max: max,
        }
    }

    fn controller(
        &self,
        claims: Cache<Claim>,
        volumes: Cache<Volume>,
        settings: Settings,
        scope: &Scope,
    ) -> Controller {
        let (client, clock) = (&self.context.client, &self.context.clock);
        let random = self.context.random.fork();
        let queue = self.queue.clone();
        Controller {
            executor: Executor {
                claims,
                volumes,
                claim_writer: Writer::new(client, NAME),
                volume_writer: Writer::new(client, NAME),
                secrets: Writer::new(client, NAME),
                recorder: self.recorder.clone(),
                driver: self.driver.clone(),
                timeout: self.config.timeout,
            },
            usages: Usages::new(client.clone(), clock.clone(), random.fork(), scope, queue),
            clock: clock.clone(),
            random,
            settings,
            backoff: backoff(&self.config),
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
                State::Connected { connection } => match ask(&self.driver, self.config.timeout).await {
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
}
