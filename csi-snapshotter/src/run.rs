//! Start-up and work.

use std::sync::{Arc, Mutex};

use base::http::LeaderHealth;
use base::{Backoff, Queue, QueueOptions, Scope};
use crds::names;
use crds::v1::{VolumeSnapshotClass, VolumeSnapshotContent};
use csi::Channel;
use kube::core::ApiResource;
use runtime::crds::{Patience, WaitingGauge, wait_for_crds};
use runtime::{Cache, Context, ObjectKey, Selection, Writer};
use sidecar::{Driver as _, Error, Sidecar};

use crate::args::Config;
use crate::controller::Controller;
use crate::driver::Driver;
use crate::execute::Executor;
use crate::observe::Settings;
use crate::{events, triggers};

/// The field manager and the function's name.
const NAME: &str = "csi-snapshotter";
/// Index of contents by class.
const BY_CLASS: &str = "class";

/// The function after its start-up: the driver is known and ready, the definitions exist.
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
    let options = sidecar::Options {
        name: NAME,
        lease: |driver| format!("external-snapshotter-leader-{driver}"),
        component: events::component,
        timeout: config.timeout,
        exit_on_connection_loss: config.exit_on_connection_loss,
        termination_log: config.termination_log.clone(),
    };
    let sidecar = Sidecar::<Driver>::prepare(options, &config.common, context, driver).await?;
    let context = sidecar.context();
    let gauge = WaitingGauge::new(&context.registry)?;
    let kinds = [
        ApiResource::erase::<VolumeSnapshotContent>(&()),
        ApiResource::erase::<VolumeSnapshotClass>(&()),
    ];
    let remark = config.crds_remark.as_ref();
    // Endless patience never runs out.
    let _ = wait_for_crds(&context.client, &kinds, Patience::Endless, Some(&gauge), remark).await;
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
    let random = context.random.fork();
    let queue = Queue::new(options, context.clock.clone(), random, &context.registry)?;
    Ok(Prepared {
        config,
        sidecar,
        queue,
    })
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

    /// Works until the scope is stopping and running contents are done.
    async fn work(&self, scope: Scope) {
        let watches = &self.sidecar.context().watches;
        let selection = match &self.config.node {
            Some(node) => Selection::labels(format!("{}={node}", names::MANAGED_BY_LABEL)),
            None => Selection::default(),
        };
        let contents: Cache<VolumeSnapshotContent> = watches.cache(selection);
        let classes: Cache<VolumeSnapshotClass> = watches.cache(Selection::default());
        contents.index(BY_CLASS, |content| {
            content.spec.volume_snapshot_class_name.iter().cloned().collect()
        });
        tokio::select! {
            biased;
            () = scope.stopping() => return,
            () = async { contents.synced().await; classes.synced().await } => {}
        }
        let (queue, driver) = (self.queue.clone(), self.driver_name().to_owned());
        let of_contents = contents.subscribe(move |change| {
            if triggers::wakes(change, &driver) {
                queue.add(change.key.clone());
            }
        });
        of_contents.resync_every(self.config.resync_period, &scope);
        let (queue, users, driver) = (
            self.queue.clone(),
            contents.clone(),
            self.driver_name().to_owned(),
        );
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
        let controller = Arc::new(self.controller(contents, classes));
        self.queue.run(&scope, controller).await;
        drop((of_contents, of_classes));
    }

    fn controller(
        &self,
        contents: Cache<VolumeSnapshotContent>,
        classes: Cache<VolumeSnapshotClass>,
    ) -> Controller {
        let context = self.sidecar.context();
        Controller {
            classes,
            executor: Executor {
                contents,
                writer: Writer::new(&context.client, NAME),
                secrets: Writer::new(&context.client, NAME),
                driver: self.sidecar.channel().clone(),
                timeout: self.config.timeout,
            },
            recorder: self.sidecar.recorder().clone(),
            clock: context.clock.clone(),
            settings: Settings {
                driver: self.driver_name().to_owned(),
                can_list: self.sidecar.driver().lists,
                name_prefix: self.config.name_prefix.clone(),
                name_uid_length: self.config.name_uid_length,
                extra_create_metadata: self.config.extra_create_metadata,
                retry_interval_max: self.config.common.retry_intervals.1,
            },
            memories: Mutex::default(),
        }
    }
}
