//! Start-up, leadership, and the watch over the driver.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::Scope;
use base::http::LeaderHealth;
use csi::{Channel, Metrics, State};
use runtime::args::{CommonConfig, LeaderElectionArgs};
use runtime::leader::{ElectionOptions, Ended, LeaderElector};
use runtime::{Context, Recorder};

use crate::driver::{PAUSE, meet};
use crate::{Driver, Error};

/// A leader whose driver stays away longer gives its lease back (decision 3).
const LONGEST_WITHOUT_DRIVER: Duration = Duration::from_secs(30);
/// How long an impatient process waits for its first connection (sidecars.md 1.2).
const FIRST_CONNECTION: Duration = Duration::from_secs(30);
/// How long the last events may take at the end.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// Longest time that running work has to end before a lease is given back, if no CSI call may take longer.
const DRAIN: Duration = Duration::from_secs(25);

/// How a sidecar runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The function's name: `csi-resizer`.
    pub name: &'static str,
    /// The lease for a driver's name, before it is made a valid name.
    pub lease: fn(&str) -> String,
    /// The source component of events for a driver's name.
    pub component: fn(&str) -> String,
    /// Longest time of one CSI call.
    pub timeout: Duration,
    /// End when the connection to the driver is lost.
    pub exit_on_connection_loss: bool,
    /// Where the reason of an exit goes with `exit_on_connection_loss`.
    pub termination_log: PathBuf,
}

/// A sidecar after it has met its driver.
pub struct Sidecar<D> {
    options: Options,
    context: Context,
    channel: Channel,
    driver: D,
    elector: Option<LeaderElector>,
    recorder: Recorder,
    /// Not the first term of leadership in this process.
    has_led: AtomicBool,
}

impl<D: Driver> Sidecar<D> {
    /// Waits until the driver is ready and asks who it is and what it can do.
    ///
    /// # Errors
    /// The driver is none that the sidecar can work with; without patience also that it is away.
    pub async fn prepare(
        options: Options,
        common: &CommonConfig,
        context: Context,
        channel: Channel,
    ) -> Result<Self, Error> {
        for warning in &common.gates.warnings {
            tracing::warn!("{warning}");
        }
        let metrics = Metrics::new(&context.registry)?;
        let channel = channel.with_metrics(metrics.clone());
        let patient = !options.exit_on_connection_loss;
        if !patient {
            // As upstream: the first connection may take its time. Without one the next call says what is wrong.
            let _ = tokio::time::timeout(FIRST_CONNECTION, channel.connected()).await;
        }
        let driver: D = meet(&channel, options.timeout, patient).await?;
        metrics.set_driver(driver.name());
        tracing::info!(driver = driver.text(), "found the CSI driver");
        let recorder = Recorder::new(&context, &(options.component)(driver.name()));
        let elector = elector(
            &options,
            common.election.as_ref(),
            &context,
            driver.name(),
            &recorder,
        )?;
        Ok(Self {
            options,
            context,
            channel,
            driver,
            elector,
            recorder,
            has_led: AtomicBool::new(false),
        })
    }

    /// What is known of the driver.
    pub fn driver(&self) -> &D {
        &self.driver
    }

    /// The way to the driver.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Clients, caches, clock and tasks.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Records the events of the sidecar.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The health check of leader election, where it is on.
    #[must_use]
    pub fn leader_health(&self) -> Option<LeaderHealth> {
        self.elector.as_ref().map(LeaderElector::health)
    }

    /// Leads, and works while it leads, until the scope of the context is stopping. Without leader election it
    /// works at once. `work` ends when the scope that it is given is stopping and what runs is done.
    ///
    /// # Errors
    /// The lease or the driver is lost for good.
    pub async fn run<W, F>(&self, work: W) -> Result<(), Error>
    where
        W: Fn(Scope) -> F,
        F: Future<Output = ()>,
    {
        let ended = tokio::select! {
            biased;
            ended = self.lead(work) => ended,
            error = self.watch_driver() => Err(error),
        };
        self.recorder.flush(LAST_EVENTS).await;
        ended
    }

    async fn lead<W, F>(&self, work: W) -> Result<(), Error>
    where
        W: Fn(Scope) -> F,
        F: Future<Output = ()>,
    {
        let work = |scope| {
            if self.has_led.swap(true, Ordering::Relaxed) {
                // What another leader has done since is not in the caches for sure.
                self.context.watches.relist();
            }
            work(scope)
        };
        let Some(elector) = &self.elector else {
            work(self.context.scope.child()).await;
            return Ok(());
        };
        let stopping = self.context.scope.stopping_token();
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Ok(()),
                () = self.channel.connected() => {}
            }
            let away = self.channel.lost_for(LONGEST_WITHOUT_DRIVER);
            let ended = elector.run_leading_until(&self.context.scope, work, away).await;
            match ended {
                Ended::Stopped | Ended::Finished(()) => return Ok(()),
                Ended::SteppedDown => tracing::warn!("gave up the lease: the CSI driver is away"),
                Ended::Lost => {
                    let lease = (self.options.lease)(self.driver.name());
                    let lease = runtime::leader::clean_name(&lease);
                    return Err(Error::LeaseLost { lease });
                }
            }
        }
    }

    /// Resolves when the driver is lost for good: at once with `--exit-on-connection-loss`, else only when another
    /// one answers after a reconnection (sidecars.md 1.2).
    async fn watch_driver(&self) -> Error {
        let mut state = self.channel.state();
        let mut seen = match *state.borrow_and_update() {
            State::Connected { connection } => connection,
            State::Lost { .. } => 0,
        };
        loop {
            let now = *state.borrow_and_update();
            match now {
                State::Connected { connection } if connection == seen => {}
                _ if self.options.exit_on_connection_loss => return self.connection_lost(),
                State::Connected { connection } => match D::ask(&self.channel, self.options.timeout).await {
                    Ok(driver) if driver == self.driver => seen = connection,
                    Ok(driver) => {
                        return Error::DriverChanged {
                            before: self.driver.text(),
                            after: driver.text(),
                        };
                    }
                    Err(error @ Error::Incapable { .. }) => return error,
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

    fn connection_lost(&self) -> Error {
        let error = Error::ConnectionLost;
        let path = &self.options.termination_log;
        if let Err(error) = base::process::write_termination_log(path, &error.to_string()) {
            tracing::warn!(%error, "cannot write the termination log");
        }
        error
    }
}

fn elector(
    options: &Options,
    args: Option<&LeaderElectionArgs>,
    context: &Context,
    driver: &str,
    recorder: &Recorder,
) -> Result<Option<LeaderElector>, Error> {
    let Some(args) = args else {
        return Ok(None);
    };
    let lease = (options.lease)(driver);
    let election = ElectionOptions {
        // A running CSI call may use all of its time.
        drain: options.timeout.max(DRAIN),
        ..ElectionOptions::from_args(args, options.name, &lease, &context.namespace, &context.identity)
    };
    let (clock, random) = (&context.clock, &context.random);
    let (client, registry) = (&context.lease_client, &context.registry);
    let elector = LeaderElector::new(client, clock, random, registry, election, Some(recorder))?;
    Ok(Some(elector))
}
