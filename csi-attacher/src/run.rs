//! Start-up and work.

use std::sync::Arc;

use async_trait::async_trait;
use base::args::Environment;
use base::http::LeaderHealth;
use base::{Queue, Scope};
use controller::{
    Command, ConfigError, Driver as _, Enqueue, Entry, Error, Objects, Ready, Sidecar, SidecarOptions, Start,
};
use csi::{Address, Channel};
use runtime::args::{CommonArgs, CommonConfig};
use runtime::objects::{Attachment, CsiNode, Volume, attacher_finalizer};
use runtime::{Cache, Context, ObjectKey, Selection, migration};

use crate::args::{Args, Config};
use crate::attachments::Attachments;
use crate::calls::Calls;
use crate::driver::Driver;
use crate::listing::{Comparison, Listing};
use crate::metrics::Metrics;
use crate::observe::Settings;
use crate::volumes::Volumes;
use crate::{events, triggers};

/// The function's name.
const NAME: &str = "csi-attacher";

/// The function, for the registry of the binary.
pub const ENTRY: Entry = Entry {
    name: NAME,
    summary: "attach volumes to nodes as VolumeAttachments ask for",
    address: ":3303",
    workers_flag: "worker-threads",
    by_default: true,
    parse: Entry::parsed::<Args>,
};

impl Command for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn check(&self, _environment: &Environment) -> Result<Box<dyn Start>, ConfigError> {
        Ok(Box::new(self.config()?))
    }
}

#[async_trait]
impl Start for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn driver(&self) -> Option<&Address> {
        Some(&self.driver.address)
    }

    /// Meets the driver. Source: sidecars.md 1.3.
    async fn start(
        self: Box<Self>,
        context: Context,
        driver: Option<Channel>,
    ) -> Result<Box<dyn Ready>, Error> {
        let options = SidecarOptions {
            name: NAME,
            lease: |driver| format!("external-attacher-leader-{driver}"),
            component: |driver, _| events::component(driver),
            driver: self.driver.clone(),
            tells_migrated: true,
        };
        let sidecar = Sidecar::<Driver>::prepare(options, &self.common, context, driver).await?;
        let function = sidecar.function();
        let attachments = function.queue(format!("{NAME}-va"), self.workers)?;
        let volumes = function.queue(format!("{NAME}-pv"), self.workers)?;
        let context = function.context();
        let metrics = Metrics::new(&context.registry, &context.clock, sidecar.driver().name())?;
        Ok(Box::new(Prepared {
            config: *self,
            sidecar,
            attachments,
            volumes,
            metrics,
        }))
    }
}

/// The function after its start-up: the driver is known and ready.
struct Prepared {
    config: Config,
    sidecar: Sidecar<Driver>,
    attachments: Queue<ObjectKey>,
    volumes: Queue<ObjectKey>,
    metrics: Metrics,
}

/// What a term of leadership reads.
struct Caches {
    attachments: Cache<Attachment>,
    volumes: Cache<Volume>,
    nodes: Cache<CsiNode>,
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
    /// Works until the scope is stopping and running calls are done.
    async fn work(&self, scope: Scope) -> Result<(), Error> {
        let _terms = (self.attachments.term(), self.volumes.term(), self.metrics.term());
        let caches = tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            caches = self.caches() => caches?,
        };
        let (settings, listing) = (self.settings(), Arc::new(Listing::default()));
        let mut enqueue = Enqueue::new();
        self.follow_attachments(&caches, &settings, &mut enqueue, &scope);
        let calls = self.calls();
        let comparison = self.comparison(&caches, &listing, &calls);
        let function = self.sidecar.function();
        let client = &function.context().client;
        let attachments = Attachments {
            attachments: Objects::new(caches.attachments.clone(), client, NAME),
            volumes: Objects::new(caches.volumes.clone(), client, NAME),
            nodes: caches.nodes.clone(),
            listing,
            calls,
            settings: settings.clone(),
        };
        let attachments = self
            .attachments
            .run(&scope, Arc::new(function.reconciler(attachments)));
        if !settings.publishes {
            // Nothing holds a volume.
            attachments.await;
            return Ok(());
        }
        self.follow_volumes(&caches, &settings, &mut enqueue, &scope);
        let volumes = function.reconciler(Volumes {
            volumes: Objects::new(caches.volumes, client, NAME),
            attachments: caches.attachments,
            settings,
        });
        let volumes = self.volumes.run(&scope, Arc::new(volumes));
        let compared = async {
            if let Some(comparison) = comparison {
                comparison.repeat(self.config.reconcile_sync, &scope).await;
            }
        };
        tokio::join!(biased; attachments, volumes, compared);
        Ok(())
    }

    /// The caches, up to date.
    async fn caches(&self) -> Result<Caches, Error> {
        let watches = &self.sidecar.function().context().watches;
        let driver = self.sidecar.driver().name();
        let caches = Caches {
            attachments: watches.cache(Selection::default()),
            volumes: watches.cache_keeping(migration::volumes_of(driver)),
            nodes: watches.cache(Selection::default()),
        };
        caches.attachments.index_by_volume()?;
        caches.attachments.index(triggers::BY_NODE, triggers::node_of)?;
        tokio::join!(
            caches.attachments.caught_up(),
            caches.volumes.caught_up(),
            caches.nodes.caught_up(),
        );
        Ok(caches)
    }

    fn follow_attachments(&self, caches: &Caches, settings: &Settings, enqueue: &mut Enqueue, scope: &Scope) {
        let (metrics, driver) = (self.metrics.clone(), settings.driver.clone());
        enqueue.tell(&caches.attachments, move |change| metrics.count(change, &driver));
        let driver = settings.driver.clone();
        let of_attachments = enqueue.on(&caches.attachments, &self.attachments, move |change| {
            let concerned = triggers::of_attachment(change, &driver);
            concerned.then(|| change.key.clone()).into_iter().collect()
        });
        of_attachments.resync_every(self.config.resync, scope);
        let (waiting, driver) = (caches.attachments.clone(), settings.driver.clone());
        enqueue.on(&caches.volumes, &self.attachments, move |change| {
            triggers::waiting_for_volume(change, &waiting, &driver)
        });
        let (waiting, driver) = (caches.attachments.clone(), settings.driver.clone());
        enqueue.on(&caches.nodes, &self.attachments, move |change| {
            triggers::waiting_for_node(change, &waiting, &driver)
        });
    }

    fn follow_volumes(&self, caches: &Caches, settings: &Settings, enqueue: &mut Enqueue, scope: &Scope) {
        let settings = settings.clone();
        let of_volumes = enqueue.on(&caches.volumes, &self.volumes, move |change| {
            let concerned = triggers::of_volume(change, &settings);
            concerned.then(|| change.key.clone()).into_iter().collect()
        });
        of_volumes.resync_every(self.config.resync, scope);
        enqueue.on(&caches.attachments, &self.volumes, move |change| {
            triggers::freed(change).into_iter().collect()
        });
    }

    /// None where the driver does not say where its volumes are.
    fn comparison(&self, caches: &Caches, listing: &Arc<Listing>, calls: &Calls) -> Option<Comparison> {
        let driver = self.sidecar.driver();
        driver.lists_nodes.then(|| Comparison {
            listing: listing.clone(),
            attachments: caches.attachments.clone(),
            volumes: caches.volumes.clone(),
            nodes: caches.nodes.clone(),
            queue: self.attachments.clone(),
            calls: calls.clone(),
            driver: driver.name().to_owned(),
            max_entries: self.config.max_entries,
        })
    }

    fn settings(&self) -> Settings {
        let driver = self.sidecar.driver();
        Settings {
            driver: driver.name().to_owned(),
            finalizer: attacher_finalizer(driver.name()),
            publishes: driver.publishes,
            publishes_read_only: driver.publishes_read_only,
            single_node_multi_writer: driver.single_node_multi_writer,
            default_fs_type: self.config.default_fs_type.clone(),
            error_codes: self.config.error_codes,
        }
    }

    fn calls(&self) -> Calls {
        Calls {
            channel: self.sidecar.channel().clone(),
            timeout: self.config.driver.timeout,
        }
    }
}
