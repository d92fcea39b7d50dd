//! Start-up and work.

use std::sync::Arc;

use async_trait::async_trait;
use base::args::Environment;
use base::http::LeaderHealth;
use base::{Queue, Scope};
use controller::{
    Command, ConfigError, Definitions, Driver as _, Enqueue, Entry, Error, Objects, Ready, Sidecar,
    SidecarOptions, Start, serve_by_namespace,
};
use crds::group::v1::{VolumeGroupSnapshotClass, VolumeGroupSnapshotContent};
use crds::names;
use crds::v1::{VolumeSnapshotClass, VolumeSnapshotContent};
use csi::{Address, Channel};
use kube::core::ApiResource;
use runtime::args::{CommonArgs, CommonConfig};
use runtime::crds::{CrdsMissing, until_served};
use runtime::{Cache, Context, ObjectKey, Selection};

use crate::args::{Args, Config};
use crate::askers::Askers;
use crate::calls::Calls;
use crate::contents::{BY_GROUP, Contents, Kind, group_of};
use crate::driver::Driver;
use crate::observe::Settings;
use crate::triggers::{BY_CLASS, class_of};
use crate::{events, triggers};

/// The function's name.
const NAME: &str = "csi-snapshotter";

/// The function, for the registry of the binary.
pub const ENTRY: Entry = Entry {
    name: NAME,
    summary: "drive a CSI driver from VolumeSnapshotContent objects",
    address: ":3306",
    workers_flag: "worker-threads",
    by_default: true,
    parse: Entry::parsed::<Args>,
};

impl Command for Args {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn check(&self, environment: &Environment) -> Result<Box<dyn Start>, ConfigError> {
        Ok(Box::new(self.config(environment)?))
    }
}

#[async_trait]
impl Start for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn definitions(&mut self) -> Option<&mut Definitions> {
        Some(&mut self.definitions)
    }

    fn driver(&self) -> Option<&Address> {
        Some(&self.driver.address)
    }

    /// Meets the driver, and waits for the definitions. Source: snapshot.md 3.1.
    async fn start(
        self: Box<Self>,
        context: Context,
        driver: Option<Channel>,
    ) -> Result<Box<dyn Ready>, Error> {
        let options = SidecarOptions {
            name: NAME,
            lease: |driver| format!("external-snapshotter-leader-{driver}"),
            component: |driver, _| events::component(driver),
            driver: self.driver.clone(),
            // A content does not tell what its volume was made by, and upstream has no such label here.
            longest_call: None,
            tells_migrated: false,
        };
        let sidecar = Sidecar::<Driver>::prepare(options, &self.common, context, driver).await?;
        let kinds = [
            ApiResource::erase::<VolumeSnapshotContent>(&()),
            ApiResource::erase::<VolumeSnapshotClass>(&()),
        ];
        let function = sidecar.function();
        function.wait_for_crds(&kinds, &self.definitions).await?;
        let queue = function.queue(format!("{NAME}-content"), self.workers)?;
        let group_queue = if self.groups {
            Some(function.queue(format!("{NAME}-groupsnapshotcontent"), self.workers)?)
        } else {
            tracing::info!("groups of snapshots are off by the gate");
            None
        };
        Ok(Box::new(Prepared {
            config: *self,
            sidecar,
            queue,
            group_queue,
        }))
    }
}

/// The function after its start-up: the driver is known and ready, the definitions exist.
struct Prepared {
    config: Config,
    sidecar: Sidecar<Driver>,
    queue: Queue<ObjectKey>,
    /// None where groups are off by the gate.
    group_queue: Option<Queue<ObjectKey>>,
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
    /// Works until the scope is stopping and running contents are done.
    async fn work(&self, scope: Scope) -> Result<(), Error> {
        tokio::try_join!(self.snapshots(&scope), self.groups(&scope))?;
        Ok(())
    }

    async fn snapshots(&self, scope: &Scope) -> Result<(), Error> {
        let driver = self.sidecar.driver();
        let settings = Settings {
            driver: driver.name().to_owned(),
            can_take: true,
            can_look: driver.lists,
            name_prefix: self.config.name_prefix.clone(),
            name_uid_length: self.config.name_uid_length,
            extra_create_metadata: self.config.extra_create_metadata,
            retry_interval_max: self.config.common.retry_intervals.1,
        };
        self.contents::<VolumeSnapshotContent>(&self.queue, settings, None, scope)
            .await
    }

    /// The same for groups, once the API server serves their kinds: in a cluster without them that may be never. Of a driver
    /// that takes none only the contents are followed, to tell who waits for it.
    async fn groups(&self, scope: &Scope) -> Result<(), Error> {
        let Some(queue) = &self.group_queue else {
            return Ok(());
        };
        let driver = self.sidecar.driver();
        let mut kinds = vec![ApiResource::erase::<VolumeGroupSnapshotContent>(&())];
        let mut members = None;
        if driver.groups {
            kinds.push(ApiResource::erase::<VolumeGroupSnapshotClass>(&()));
            let contents = self.cache::<VolumeSnapshotContent>();
            contents.index(BY_GROUP, group_of)?;
            members = Some(contents);
        }
        tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            () = self.groups_are_known(&kinds, members.as_ref()) => {}
        }
        let settings = Settings {
            driver: driver.name().to_owned(),
            can_take: driver.groups,
            can_look: true,
            name_prefix: self.config.group_name_prefix.clone(),
            name_uid_length: self.config.group_name_uid_length,
            extra_create_metadata: self.config.extra_create_metadata,
            retry_interval_max: self.config.common.retry_intervals.1,
        };
        self.contents::<VolumeGroupSnapshotContent>(queue, settings, members, scope)
            .await
    }

    /// Waits until these kinds are served, and the contents of members are known where groups have any.
    async fn groups_are_known(&self, kinds: &[ApiResource], members: Option<&Cache<VolumeSnapshotContent>>) {
        let client = &self.sidecar.function().context().client;
        let off = |missing: &CrdsMissing| tracing::info!("groups of snapshots are off: {missing}");
        until_served(client, kinds, off).await;
        if let Some(members) = members {
            members.synced().await;
        }
    }

    /// The contents that this process serves.
    fn cache<K: Kind>(&self) -> Cache<K> {
        let selection = match &self.config.node {
            Some(node) => Selection::labels(format!("{}={node}", names::MANAGED_BY_LABEL)),
            None => Selection::default(),
        };
        self.sidecar.function().context().watches.cache(selection)
    }

    /// Works on the contents of one kind.
    async fn contents<K: Kind>(
        &self,
        queue: &Queue<ObjectKey>,
        settings: Settings,
        members: Option<Cache<VolumeSnapshotContent>>,
        scope: &Scope,
    ) -> Result<(), Error> {
        let _term = queue.term();
        let function = self.sidecar.function();
        let contents = self.cache::<K>();
        let watches = &function.context().watches;
        let classes: Option<Cache<K::Class>> = settings.can_take.then(|| watches.cache(Selection::default()));
        contents.index(BY_CLASS, class_of::<K>)?;
        let classes_are_known = async {
            if let Some(classes) = &classes {
                classes.caught_up().await;
            }
        };
        tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            _ = async { tokio::join!(contents.caught_up(), classes_are_known) } => {}
        }
        serve_by_namespace(queue, &contents, |content| content.reference().namespace.clone());
        let mut enqueue = Enqueue::new();
        let driver = settings.driver.clone();
        let of_contents = enqueue.on(&contents, queue, move |change| {
            let concerned = triggers::concerns(change, &driver);
            concerned.then(|| change.key.clone()).into_iter().collect()
        });
        of_contents.resync_every(self.config.resync_period, scope);
        if let Some(classes) = &classes {
            // A class that comes or changes may be what its contents wait for.
            let (users, driver) = (contents.clone(), settings.driver.clone());
            enqueue.on(classes, queue, move |change| {
                triggers::of_class(change, &users, &driver)
            });
        }
        let client = &function.context().client;
        let rules = Contents {
            contents: Objects::new(contents, client, NAME),
            classes,
            askers: Askers::new(client, function.context().random.fork(), NAME),
            members,
            calls: Calls {
                channel: self.sidecar.channel().clone(),
                timeout: self.config.driver.timeout,
            },
            settings,
        };
        queue.run(scope, Arc::new(function.reconciler(rules))).await;
        Ok(())
    }
}
