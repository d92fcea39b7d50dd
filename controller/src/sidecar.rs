//! A function that drives a CSI driver: it meets its driver, leads or waits to lead, and ends when its driver is gone for
//! good or has become another one (`spec/sidecars.md` 1).

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use csi::{Channel, Metrics, State};
use runtime::Context;
use runtime::args::CommonConfig;
use runtime::migration::is_migrated_driver;

use crate::args::DriverConfig;
use crate::driver::{PAUSE, meet};
use crate::{Driver, Error, Function, FunctionOptions};

/// A leader whose driver stays away longer gives its lease back (decision 3).
const LONGEST_WITHOUT_DRIVER: Duration = Duration::from_secs(30);
/// How long an impatient process waits for its first connection (sidecars.md 1.2).
const FIRST_CONNECTION: Duration = Duration::from_secs(30);

/// How a sidecar runs.
#[derive(Clone, Debug)]
pub struct SidecarOptions {
    /// The function's name: `csi-resizer`.
    pub name: &'static str,
    /// The lease for a driver's name, before it is made a valid name.
    pub lease: fn(&str) -> String,
    /// The source component of events for a driver's name and this pod's.
    pub component: fn(&str, &str) -> String,
    /// How to reach the driver.
    pub driver: DriverConfig,
    /// Longest time of one call of its work, where that is not the driver's.
    pub longest_call: Option<Duration>,
    /// Calls are measured by whether they are for a volume of an in-tree plugin.
    pub tells_migrated: bool,
}

/// A sidecar after it has met its driver.
pub struct Sidecar<D> {
    options: SidecarOptions,
    function: Function,
    channel: Channel,
    driver: D,
    /// The connection on which the driver was last asked who it is.
    asked_on: AtomicU64,
}

impl<D: Driver> Sidecar<D> {
    /// Waits until the driver is ready and asks who it is and what it can do.
    ///
    /// # Errors
    /// There is no driver, or none that the sidecar can work with; without patience also that it is away.
    pub async fn prepare(
        options: SidecarOptions,
        common: &CommonConfig,
        context: Context,
        channel: Option<Channel>,
    ) -> Result<Self, Error> {
        let Some(channel) = channel else {
            return Err(Error::NoDriver);
        };
        let metrics = match options.tells_migrated {
            true => Metrics::telling_migrated(&context.registry)?,
            false => Metrics::new(&context.registry)?,
        };
        let channel = channel.with_metrics(metrics.clone());
        let timeout = options.driver.timeout;
        let patient = !options.driver.exit_on_connection_loss;
        if !patient {
            // As upstream: the first connection may take its time. Without one the next call says what is wrong.
            let _ = tokio::time::timeout(FIRST_CONNECTION, channel.connected()).await;
        }
        let before = connection(*channel.state().borrow());
        let driver: D = meet(&channel, timeout, patient).await?;
        let met_on = connection(*channel.state().borrow());
        // A driver that came back meanwhile may be another one, and is asked again; before the first connection there was none.
        let came_back = patient && before != 0 && before != met_on;
        let asked_on = AtomicU64::new(if came_back { before } else { met_on });
        metrics.set_driver(driver.name(), is_migrated_driver(driver.name()));
        tracing::info!(driver = driver.text(), "found the CSI driver");
        let function = FunctionOptions {
            name: options.name,
            lease: (options.lease)(driver.name()),
            component: (options.component)(driver.name(), &context.identity),
            // A running CSI call may use all of its time.
            drain: Some(options.longest_call.unwrap_or(timeout)),
        };
        Ok(Self {
            function: Function::new(function, common, context)?,
            options,
            channel,
            driver,
            asked_on,
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

    /// What it is besides its driver.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// Leads, and works while it leads, until the scope of the context is stopping; see [`Function::lead`].
    ///
    /// # Errors
    /// The lease or the driver is lost for good.
    pub async fn run<W, F>(&self, work: W) -> Result<(), Error>
    where
        W: Fn(base::Scope) -> F,
        F: Future<Output = Result<(), Error>>,
    {
        let lead = self.function.lead(
            work,
            || self.channel.connected(),
            || self.channel.lost_for(LONGEST_WITHOUT_DRIVER),
        );
        let ended = tokio::select! {
            biased;
            ended = lead => ended,
            error = self.watch_driver() => Err(error),
        };
        self.function.finish().await;
        ended
    }

    /// Resolves when the driver is lost for good: at once with `--exit-on-connection-loss`, else only when another
    /// one answers after a reconnection (sidecars.md 1.2).
    async fn watch_driver(&self) -> Error {
        let mut state = self.channel.state();
        loop {
            let now = *state.borrow_and_update();
            match now {
                State::Connected { connection } if connection == self.asked_on.load(Ordering::Relaxed) => {}
                _ if self.options.driver.exit_on_connection_loss => return self.connection_lost(),
                State::Connected { connection } => {
                    match D::ask(&self.channel, self.options.driver.timeout).await {
                        Ok(driver) if driver == self.driver => {
                            self.asked_on.store(connection, Ordering::Relaxed);
                        }
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
                    }
                }
                State::Lost { .. } => {}
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn connection_lost(&self) -> Error {
        let error = Error::ConnectionLost;
        let path = &self.options.driver.termination_log;
        if let Err(error) = base::process::write_termination_log(path, &error.to_string()) {
            tracing::warn!(%error, "cannot write the termination log");
        }
        error
    }
}

/// 0 while there is none.
fn connection(state: State) -> u64 {
    match state {
        State::Connected { connection } => connection,
        State::Lost { .. } => 0,
    }
}
