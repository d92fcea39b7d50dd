//! Start-up and work.

use std::sync::{Arc, Mutex};

use base::http::LeaderHealth;
use base::{Backoff, Queue, QueueOptions, Scope};
use csi::Channel;
use runtime::objects::{Claim, Volume};
use runtime::{Cache, Context, ObjectKey, Selection, Writer};
use sidecar::{Driver as _, Error, Sidecar};

use crate::args::Config;
use crate::controller::Controller;
use crate::driver::Driver;
use crate::execute::Executor;
use crate::observe::Settings;
use crate::usage::Usages;
use crate::{events, triggers};

/// The field manager and the function's name.
const NAME: &str = "csi-resizer";

/// The function after its start-up: the driver is known and ready.
pub struct Prepared {
    config: Config,
    sidecar: Sidecar<Driver>,
    queue: Queue<ObjectKey>,
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
    let options = sidecar::Options {
        name: NAME,
        lease: |driver| format!("external-resizer-{driver}"),
        component: events::component,
        timeout: config.timeout,
        exit_on_connection_loss: config.exit_on_connection_loss,
        termination_log: config.termination_log.clone(),
    };
    let sidecar = Sidecar::<Driver>::prepare(options, &config.common, context, driver).await?;
    if config.modify_demanded {
        tracing::warn!(
            "feature gate VolumeAttributesClass is switched on, but changing volumes by class is not built yet"
        );
    } else if sidecar.driver().modifies {
        tracing::info!("the CSI driver can change volumes by VolumeAttributesClass; that is not built yet");
    }
    let options = QueueOptions {
        name: format!("{}-pvc", sidecar.driver().name()),
        workers: config.workers,
        backoff: backoff(&config),
    };
    let context = sidecar.context();
    let random = context.random.fork();
    let queue = Queue::new(options, context.clock.clone(), random, &context.registry)?;
    Ok(Prepared {
        config,
        sidecar,
        queue,
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

impl Prepared {
    /// The driver's name.
    #[must_use]
    pub fn driver_name(&self) -> &str {
        self.sidecar.driver().name()
    }

    /// The health check of leader election, where it is on.
    #[must_use]
    pub fn leader_health(&self) -> Option<LeaderHealth> {
        self.sidecar.leader_health()
    }

    /// The second half of [`run`]: leader election and work.
    ///
    /// # Errors
    /// The lease or the driver is lost for good; see [`Error`].
    pub async fn run(&self) -> Result<(), Error> {
        self.sidecar.run(|scope| self.work(scope)).await
    }

    /// Works until the scope is stopping and running claims are done.
    async fn work(&self, scope: Scope) {
        let watches = &self.sidecar.context().watches;
        let claims: Cache<Claim> = watches.cache(Selection::default());
        let volumes: Cache<Volume> = watches.cache(Selection::default());
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
            driver: self.driver_name().to_owned(),
            controller_expands: self.sidecar.driver().controller_expands,
            single_node_multi_writer: self.sidecar.driver().single_node_multi_writer,
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
        let context = self.sidecar.context();
        let (client, clock) = (&context.client, &context.clock);
        let random = context.random.fork();
        let queue = self.queue.clone();
        Controller {
            executor: Executor {
                claims,
                volumes,
                claim_writer: Writer::new(client, NAME),
                volume_writer: Writer::new(client, NAME),
                secrets: Writer::new(client, NAME),
                recorder: self.sidecar.recorder().clone(),
                driver: self.sidecar.channel().clone(),
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
}
