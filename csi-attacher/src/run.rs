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
            longest_call: None,
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

/// What calls are made from.
struct Around {
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
        let (attachments, around) = tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            caches = self.caches() => caches?,
        };
        let (settings, listing) = (self.settings(), Arc::new(Listing::default()));
        let mut enqueue = Enqueue::new();
        self.follow_attachments(&attachments, &settings, &mut enqueue, &scope);
        let calls = self.calls();
        let function = self.sidecar.function();
        let client = &function.context().client;
        let volumes = |around: &Around| Objects::new(around.volumes.clone(), client, NAME);
        let rules = function.reconciler(Attachments {
            attachments: Objects::new(attachments.clone(), client, NAME),
            volumes: around.as_ref().map(volumes),
            nodes: around.as_ref().map(|around| around.nodes.clone()),
            listing: listing.clone(),
            calls: calls.clone(),
            settings: settings.clone(),
        });
        let attached = self.attachments.run(&scope, Arc::new(rules));
        let Some(around) = around else {
            // Nothing holds a volume.
            attached.await;
            return Ok(());
        };
        self.follow_around(&attachments, &around, &settings, &mut enqueue, &scope);
        let comparison = self.comparison(&attachments, &around, listing, calls);
        let rules = function.reconciler(Volumes {
            volumes: volumes(&around),
            attachments,
            settings,
        });
        let released = self.volumes.run(&scope, Arc::new(rules));
        let compared = async {
            if let Some(comparison) = comparison {
                comparison.repeat(self.config.reconcile_sync, &scope).await;
            }
        };
        tokio::join!(biased; attached, released, compared);
        Ok(())
    }

    /// The caches, up to date. A driver that attaches nothing wants the attachments alone.
    async fn caches(&self) -> Result<(Cache<Attachment>, Option<Around>), Error> {
        let watches = &self.sidecar.function().context().watches;
        let driver = self.sidecar.driver();
        let attachments: Cache<Attachment> = watches.cache(Selection::default());
        attachments.index_by_volume()?;
        attachments.index(triggers::BY_NODE, triggers::node_of)?;
        if !driver.publishes {
            attachments.caught_up().await;
            return Ok((attachments, None));
        }
        let around = Around {
            volumes: watches.cache_keeping(driver.name(), migration::volumes_of(driver.name())),
            nodes: watches.cache(Selection::default()),
        };
        tokio::join!(
            attachments.caught_up(),
            around.volumes.caught_up(),
            around.nodes.caught_up(),
        );
        Ok((attachments, Some(around)))
    }

    fn follow_attachments(
        &self,
        attachments: &Cache<Attachment>,
        settings: &Settings,
        enqueue: &mut Enqueue,
        scope: &Scope,
    ) {
        let (metrics, driver) = (self.metrics.clone(), settings.driver.clone());
        enqueue.tell(attachments, move |change| metrics.count(change, &driver));
        let driver = settings.driver.clone();
        let of_attachments = enqueue.on(attachments, &self.attachments, move |change| {
            let concerned = triggers::of_attachment(change, &driver);
            concerned.then(|| change.key.clone()).into_iter().collect()
        });
        of_attachments.resync_every(self.config.resync, scope);
    }

    fn follow_around(
        &self,
        attachments: &Cache<Attachment>,
        around: &Around,
        settings: &Settings,
        enqueue: &mut Enqueue,
        scope: &Scope,
    ) {
        let (waiting, driver) = (attachments.clone(), settings.driver.clone());
        enqueue.on(&around.volumes, &self.attachments, move |change| {
            triggers::waiting_for_volume(change, &waiting, &driver)
        });
        let (waiting, driver) = (attachments.clone(), settings.driver.clone());
        enqueue.on(&around.nodes, &self.attachments, move |change| {
            triggers::waiting_for_node(change, &waiting, &driver)
        });
        let (volumes, known) = (around.volumes.clone(), settings.clone());
        enqueue.on(attachments, &self.volumes, move |change| {
            triggers::freed(change, &volumes, &known).into_iter().collect()
        });
        let settings = settings.clone();
        let of_volumes = enqueue.on(&around.volumes, &self.volumes, move |change| {
            let concerned = triggers::of_volume(change, &settings);
            concerned.then(|| change.key.clone()).into_iter().collect()
        });
        of_volumes.resync_every(self.config.resync, scope);
    }

    /// None where the driver does not say where its volumes are.
    fn comparison(
        &self,
        attachments: &Cache<Attachment>,
        around: &Around,
        listing: Arc<Listing>,
        calls: Calls,
    ) -> Option<Comparison> {
        let driver = self.sidecar.driver();
        driver.lists_nodes.then(|| Comparison {
            listing,
            attachments: attachments.clone(),
            volumes: around.volumes.clone(),
            nodes: around.nodes.clone(),
            queue: self.attachments.clone(),
            calls,
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
