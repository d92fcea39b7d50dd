//! Start-up and work.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base::args::Environment;
use base::http::LeaderHealth;
use base::{Queue, Scope};
use controller::{
    Command, ConfigError, Driver as _, Editor, Enqueue, Entry, Error, Objects, Ready, Sidecar,
    SidecarOptions, Start,
};
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use csi::{Address, Channel};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use runtime::access::{PATCH_CLAIMS, Permission, is_served, may_follow, served_version};
use runtime::args::{CommonArgs, CommonConfig};
use runtime::objects::{Attachment, AttributesClass, Claim, NodeLabels, Volume};
use runtime::{ApiError, Cache, Cached, Context, ObjectKey, Selection, migration};

use crate::args::{Args, Config};
use crate::busy::Busy;
use crate::calls::Calls;
use crate::capacity::{self, Publishing, Refresh, Whereabouts};
use crate::claims::{Claims, Ended, Nodes};
use crate::driver::Driver;
use crate::former::Former;
use crate::grants::{self, Grants, ReferenceGrant};
use crate::guards::{self, Guarded, Guards};
use crate::local::LocalNode;
use crate::lookups::Lookups;
use crate::metrics::Metrics;
use crate::observe::Settings;
use crate::orphans::{Orphans, Owners, Search};
use crate::pending::Pending;
use crate::plan::source::Kind;
use crate::volumes::Volumes;
use crate::{events, kept, triggers};

/// The function's name.
const NAME: &str = "csi-provisioner";

/// The function, for the registry of the binary.
pub const ENTRY: Entry = Entry {
    name: NAME,
    summary: "make and delete volumes as PersistentVolumeClaims and PersistentVolumes ask for",
    address: ":3302",
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
            lease: |driver| driver.replace('/', "-"),
            component: events::component,
            driver: self.driver.clone(),
            tells_migrated: true,
        };
        let sidecar = Sidecar::<Driver>::prepare(options, &self.common, context, driver).await?;
        let function = sidecar.function();
        let local = self.local(&sidecar).await?;
        let publishing = Publishing::prepare(self.capacity.clone(), &sidecar, local.as_ref()).await?;
        let queues = Queues {
            claims: function.queue("claims".into(), self.workers)?,
            volumes: function.queue("volumes".into(), self.workers)?,
            // Upstream has two queues of the name `claims` (Q3).
            clones: function.queue("claims-clone-protection".into(), self.protection_workers)?,
            snapshots: function.queue("snapshots-source-protection".into(), self.protection_workers)?,
        };
        let context = function.context();
        let metrics = Metrics::new(&context.registry)?;
        let orphans = Orphans::new(&context.registry)?;
        let pending = Pending::new(&context.registry, &context.clock, sidecar.driver().name())?;
        let began = context.clock.now().as_millisecond();
        let mut identity = format!(
            "{began}-{}-{}",
            context.random.below(10_000),
            sidecar.driver().name()
        );
        if let Some(local) = &local {
            identity = format!("{identity}-{}", local.name);
        }
        Ok(Box::new(Prepared {
            config: *self,
            sidecar,
            queues,
            metrics,
            pending,
            orphans,
            identity,
            local,
            publishing,
        }))
    }
}

impl Config {
    /// Asks the driver where it is.
    async fn local(&self, sidecar: &Sidecar<Driver>) -> Result<Option<LocalNode>, Error> {
        let Some(node) = &self.node else {
            return Ok(None);
        };
        let local = LocalNode::ask(sidecar.channel(), self.driver.timeout, node).await;
        let local = local.map_err(|status| {
            let text = csi::status::error_text(&status);
            Error::Surroundings(format!(
                "--node-deployment: the driver does not say where it is: {text}"
            ))
        })?;
        tracing::info!(node = local.name, topology = ?local.labels, "serving this node alone");
        Ok(Some(local))
    }
}

/// The function after its start-up: the driver is known and ready.
struct Prepared {
    config: Config,
    sidecar: Sidecar<Driver>,
    queues: Queues,
    metrics: Metrics,
    pending: Pending,
    orphans: Orphans,
    /// Says in volumes which process made them.
    identity: String,
    /// The one node that is served.
    local: Option<LocalNode>,
    publishing: Option<Publishing>,
}

struct Queues {
    claims: Queue<ObjectKey>,
    volumes: Queue<ObjectKey>,
    clones: Queue<ObjectKey>,
    snapshots: Queue<ObjectKey>,
}

/// What a term of leadership works on.
struct Term {
    claims: Cache<Claim>,
    volumes: Cache<Volume>,
    classes: Cache<StorageClass>,
    /// None where they are not followed: the driver needs none of them, the API server has none, or our role does not show them.
    attributes: Option<Cache<AttributesClass>>,
    /// The attributes classes as the API server has them.
    all_attributes: Selection,
    snapshots: Option<Cache<VolumeSnapshot>>,
    contents: Option<Cache<VolumeSnapshotContent>>,
    grants: Option<Cache<ReferenceGrant>>,
    attachments: Option<Cache<Attachment>>,
    nodes: Option<(Cache<NodeLabels>, Cache<CSINode>)>,
    /// None where no capacity is published.
    capacity: Option<capacity::Term>,
    claim_editor: Arc<Editor<Claim>>,
    snapshot_editor: Arc<Editor<VolumeSnapshot>>,
    busy: Busy,
    former: Former,
    settings: Settings,
}

/// Which kinds there are in this term.
struct Kinds {
    /// All attributes classes, where the API server serves them.
    attributes: Option<Selection>,
    /// Our role and the driver let us follow them.
    follows_attributes: bool,
    /// The same for snapshots.
    follows_snapshots: bool,
    /// The same for their contents.
    follows_contents: bool,
}

impl Term {
    /// Waits for the caches. Grants are not waited for: where their kind does not exist nothing is granted.
    async fn caught_up(&self) {
        let nodes = async {
            if let Some((labels, drivers)) = &self.nodes {
                tokio::join!(labels.caught_up(), drivers.caught_up());
            }
        };
        tokio::join!(
            self.claims.caught_up(),
            self.classes.caught_up(),
            caught_up(self.attachments.as_ref()),
            caught_up(self.attributes.as_ref()),
            caught_up(self.snapshots.as_ref()),
            caught_up(self.contents.as_ref()),
            nodes,
        );
    }
}

const STORAGE: &str = "storage.k8s.io";
const ATTRIBUTES: &str = "volumeattributesclasses";
const SNAPSHOT_V1: &str = "snapshot.storage.k8s.io/v1";
const SNAPSHOTS: &str = "volumesnapshots";
const CONTENTS: &str = "volumesnapshotcontents";
const PATCH_SNAPSHOTS: Permission = Permission {
    verb: "patch",
    group: crds::names::GROUP,
    resource: SNAPSHOTS,
};
/// An attributes class does not change; it may be replaced.
const ATTRIBUTES_GOOD_FOR: Duration = Duration::from_secs(30);
/// Long enough for one attempt.
const SNAPSHOT_GOOD_FOR: Duration = Duration::from_secs(2);

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
    /// Works until the scope is stopping and what runs is done.
    async fn work(&self, scope: Scope) -> Result<(), Error> {
        let queues = &self.queues;
        let _terms = (
            queues.claims.term(),
            queues.volumes.term(),
            queues.clones.term(),
            queues.snapshots.term(),
            self.publishing.as_ref().map(Publishing::queues),
            self.pending.term(),
            self.orphans.term(),
        );
        let term = tokio::select! {
            biased;
            () = scope.stopping() => return Ok(()),
            term = self.begin() => term?,
        };
        let mut enqueue = Enqueue::new();
        self.follow_claims(&term, &mut enqueue, &scope);
        self.follow_sources(&term, &mut enqueue, &scope);
        self.follow_volumes(&term, &mut enqueue, &scope);
        let function = self.sidecar.function();
        let snapshots = self.guards(&term, term.snapshots.clone(), &term.snapshot_editor);
        let clones = self.guards(&term, Some(term.claims.clone()), &term.claim_editor);
        tokio::join!(
            biased;
            queues.claims.run(&scope, Arc::new(function.reconciler(self.claim_rules(&term)))),
            queues.volumes.run(&scope, Arc::new(function.reconciler(self.volume_rules(&term)))),
            queues.clones.run(&scope, Arc::new(function.reconciler(clones))),
            queues.snapshots.run(&scope, Arc::new(function.reconciler(snapshots))),
            self.publish(&term, &scope),
            self.look_for_orphans(&term, &scope),
        );
        Ok(())
    }

    /// The caches, up to date.
    async fn begin(&self) -> Result<Term, Error> {
        let watches = &self.sidecar.function().context().watches;
        let driver = self.sidecar.driver();
        let kinds = self.kinds().await;
        let volumes: Cache<Volume> = watches.cache_keeping(kept::volumes(driver.name()));
        // Which claims are kept is seen from the volumes.
        volumes.caught_up().await;
        // From here on nothing is waited for: a list that is in before its cache is asked to catch up is made once more.
        let claims = self.claims(&volumes)?;
        let all = Selection::default;
        let attributes = kinds.attributes.as_ref().filter(|_| kinds.follows_attributes);
        let attributes = attributes.map(|served| watches.cache(served.clone()));
        let snapshots = kinds.follows_snapshots.then(|| watches.cache(all()));
        let contents = kinds.follows_contents.then(|| watches.cache(all()));
        let has_topology = driver.has_topology && self.config.topology;
        let is_alone = self.local.is_some();
        let needs_nodes = !is_alone && (has_topology || self.publishing.is_some());
        let nodes = needs_nodes.then(|| (watches.cache(all()), watches.cache(all())));
        let classes: Cache<StorageClass> = watches.cache(all());
        let capacity = self.capacity(&classes, nodes.as_ref())?;
        let attachments = self.attachments()?;
        let grants = self.grants()?;
        let term = Term {
            settings: self.settings(kinds.attributes.is_some(), has_topology),
            claims,
            volumes,
            classes,
            attributes,
            all_attributes: kinds.attributes.unwrap_or_default(),
            snapshots,
            contents,
            grants,
            attachments,
            nodes,
            capacity,
            claim_editor: self.editor(PATCH_CLAIMS),
            snapshot_editor: self.editor(PATCH_SNAPSHOTS),
            busy: Busy::default(),
            former: self.former(),
        };
        term.caught_up().await;
        term.former.begin(&term.claims, &term.settings);
        Ok(term)
    }

    /// The claims that matter beside these volumes, with their indexes.
    fn claims(&self, volumes: &Cache<Volume>) -> Result<Cache<Claim>, Error> {
        let watches = &self.sidecar.function().context().watches;
        let driver = self.sidecar.driver().name();
        let claims: Cache<Claim> = watches.cache_keeping(kept::claims(driver, volumes.clone()));
        claims.index(triggers::BY_UID, triggers::uid_of)?;
        claims.index(triggers::BY_SOURCE, triggers::sources_of)?;
        claims.index(triggers::BY_CLASS, triggers::class_of)?;
        claims.index(triggers::BY_ATTRIBUTES, triggers::attributes_of)?;
        claims.index(triggers::BY_NODE, triggers::node_of)?;
        Ok(claims)
    }

    async fn kinds(&self) -> Kinds {
        let driver = self.sidecar.driver();
        let attributes = self.served_attributes().await;
        let has_snapshots = driver.snapshots && self.serves(SNAPSHOT_V1, SNAPSHOTS).await;
        Kinds {
            follows_attributes: attributes.is_some()
                && driver.modifies
                && self.may_follow(STORAGE, ATTRIBUTES).await,
            attributes,
            follows_snapshots: has_snapshots && self.may_follow(crds::names::GROUP, SNAPSHOTS).await,
            follows_contents: has_snapshots && self.may_follow(crds::names::GROUP, CONTENTS).await,
        }
    }

    fn attachments(&self) -> Result<Option<Cache<Attachment>>, Error> {
        if !self.sidecar.driver().attaches {
            return Ok(None);
        }
        let watches = &self.sidecar.function().context().watches;
        let attachments: Cache<Attachment> = watches.cache(Selection::default());
        attachments.index(triggers::BY_VOLUME, triggers::volume_of)?;
        Ok(Some(attachments))
    }

    fn grants(&self) -> Result<Option<Cache<ReferenceGrant>>, Error> {
        if !self.config.cross_namespace {
            return Ok(None);
        }
        let watches = &self.sidecar.function().context().watches;
        let grants: Cache<ReferenceGrant> = watches.cache(Selection::default());
        grants.index(grants::BY_NAMESPACE, grants::namespace_of)?;
        Ok(Some(grants))
    }

    /// Whether our role lets us follow a kind.
    async fn may_follow(&self, group: &'static str, resource: &'static str) -> bool {
        let context = self.sidecar.function().context();
        let may = may_follow(&context.client, &context.random.fork(), group, resource).await;
        if !may {
            tracing::info!(
                resource,
                "our role does not let us list and watch these: each is asked for when it is named"
            );
        }
        may
    }

    /// All attributes classes as the API server has them; none where it has none, or they are off.
    async fn served_attributes(&self) -> Option<Selection> {
        if !self.config.attributes_classes {
            return None;
        }
        let versions = AttributesClass::versions(self.config.attributes_fallback);
        let context = self.sidecar.function().context();
        let random = context.random.fork();
        let served = served_version(&context.client, &random, STORAGE, versions, ATTRIBUTES).await;
        let version = served.unwrap_or_else(|error| unsaid(&error, ATTRIBUTES))?;
        Some(Selection::default().in_version::<AttributesClass>(version))
    }

    async fn serves(&self, group_version: &str, resource: &'static str) -> bool {
        let context = self.sidecar.function().context();
        let served = is_served(&context.client, &context.random.fork(), group_version, resource).await;
        served.unwrap_or_else(|error| unsaid(&error, resource))
    }

    fn settings(&self, attributes_classes: bool, topology: bool) -> Settings {
        let (config, driver) = (&self.config, self.sidecar.driver());
        Settings {
            driver: driver.clone(),
            in_tree: migration::in_tree_plugin(driver.name()),
            name_prefix: config.volume_name_prefix.clone(),
            uid_length: config.uid_length,
            extra_create_metadata: config.extra_create_metadata,
            default_fs_type: config.default_fs_type.clone(),
            publish_read_only: config.publish_read_only,
            prevent_mode_conversion: config.prevent_mode_conversion,
            attributes_classes,
            cross_namespace: config.cross_namespace,
            topology,
            identity: self.identity.clone(),
            timeout: config.driver.timeout,
            retry_interval_max: config.common.retry_intervals.1,
            local: self.local.clone(),
        }
    }

    fn follow_claims(&self, term: &Term, enqueue: &mut Enqueue, scope: &Scope) {
        let queue = &self.queues.claims;
        let settings = term.settings.clone();
        let of_claims = enqueue.on(&term.claims, queue, move |change| {
            triggers::of_claim(change, &settings)
        });
        of_claims.resync_every(self.config.resync_period, scope);
        let (pending, classes) = (self.pending.clone(), term.classes.clone());
        let settings = term.settings.clone();
        enqueue.tell(&term.claims, move |change| {
            pending.count(change, &classes, &settings)
        });
        let claims = term.claims.clone();
        enqueue.on(&term.classes, queue, move |change| {
            triggers::of_class(change, &claims)
        });
        if let Some(attributes) = &term.attributes {
            let claims = term.claims.clone();
            enqueue.on(attributes, queue, move |change| {
                triggers::of_attributes(change, &claims)
            });
        }
        if let Some((_, drivers)) = &term.nodes {
            let (claims, driver) = (term.claims.clone(), term.settings.driver.name.clone());
            enqueue.on(drivers, queue, move |change| {
                triggers::of_driver(change, &claims, &driver)
            });
        }
    }

    /// Claims wait for their sources, and sources for the end of their use.
    fn follow_sources(&self, term: &Term, enqueue: &mut Enqueue, scope: &Scope) {
        let (queues, ended) = (&self.queues, self.ended());
        enqueue.tell(&term.claims, move |change| {
            for source in triggers::ended_sources(change) {
                ended.tell(source);
            }
        });
        let claims = term.claims.clone();
        enqueue.on(&term.claims, &queues.claims, move |change| {
            triggers::of_source(&claims, Kind::Claim, change.key)
        });
        enqueue.on(&term.claims, &queues.clones, |change| {
            let is_due = change.new.is_some_and(guards::is_due);
            is_due.then(|| change.key.clone()).into_iter().collect()
        });
        let Some(snapshots) = &term.snapshots else {
            return;
        };
        let claims = term.claims.clone();
        enqueue.on(snapshots, &queues.claims, move |change| {
            triggers::of_source(&claims, Kind::Snapshot, change.key)
        });
        if !self.config.sweep_interval.is_zero() {
            let swept = enqueue.on(snapshots, &queues.snapshots, |change| {
                let is_due = change.new.is_some_and(guards::is_due);
                is_due.then(|| change.key.clone()).into_iter().collect()
            });
            swept.resync_every(self.config.sweep_interval, scope);
        }
    }

    fn follow_volumes(&self, term: &Term, enqueue: &mut Enqueue, scope: &Scope) {
        let queue = &self.queues.volumes;
        let of_volumes = enqueue.on(&term.volumes, queue, |change| {
            let concerns = triggers::concerns_volume(change);
            concerns.then(|| change.key.clone()).into_iter().collect()
        });
        of_volumes.resync_every(self.config.resync_period, scope);
        if let Some(attachments) = &term.attachments {
            enqueue.on(attachments, queue, triggers::of_attachment);
        }
    }

    fn ended(&self) -> Ended {
        Ended {
            snapshots: self.queues.snapshots.clone(),
            clones: self.queues.clones.clone(),
        }
    }

    fn claim_rules(&self, term: &Term) -> Claims {
        let client = &self.sidecar.function().context().client;
        let (attributes, good_for) = (term.attributes.clone(), SNAPSHOT_GOOD_FOR);
        Claims {
            claims: Objects::new(term.claims.clone(), client, NAME),
            claim_editor: term.claim_editor.clone(),
            volumes: Objects::new(term.volumes.clone(), client, NAME),
            classes: term.classes.clone(),
            attributes: Lookups::new(attributes, client, NAME, ATTRIBUTES_GOOD_FOR)
                .in_version_of(&term.all_attributes),
            snapshots: Lookups::new(term.snapshots.clone(), client, NAME, good_for),
            snapshot_editor: term.snapshot_editor.clone(),
            snapshots_are_locked: AtomicBool::new(false),
            contents: Lookups::new(term.contents.clone(), client, NAME, good_for),
            grants: term.grants.clone().map(Grants),
            nodes: self.nodes(term),
            refresh: refresh_of(term),
            busy: term.busy.clone(),
            former: term.former.clone(),
            ended: self.ended(),
            calls: self.calls(),
            metrics: self.metrics.clone(),
            settings: term.settings.clone(),
            is_strict: self.config.strict_topology,
            is_immediate: self.config.immediate_topology,
        }
    }

    /// None where no capacity is published.
    fn capacity(
        &self,
        classes: &Cache<StorageClass>,
        nodes: Option<&(Cache<NodeLabels>, Cache<CSINode>)>,
    ) -> Result<Option<capacity::Term>, Error> {
        let Some(publishing) = &self.publishing else {
            return Ok(None);
        };
        let whereabouts = match (&self.local, nodes) {
            (Some(local), _) => Whereabouts::Node(local.labels.clone()),
            (None, Some((labels, drivers))) => Whereabouts::Cluster {
                labels: labels.clone(),
                drivers: drivers.clone(),
            },
            (None, None) => return Ok(None),
        };
        let watches = &self.sidecar.function().context().watches;
        publishing.begin(watches, classes, whereabouts).map(Some)
    }

    async fn publish(&self, term: &Term, scope: &Scope) {
        if let (Some(publishing), Some(term)) = (&self.publishing, &term.capacity) {
            publishing.run(term, &self.sidecar, self.calls(), scope).await;
        }
    }

    /// A driver of another process cannot be asked what it has made.
    fn former(&self) -> Former {
        match self.sidecar.channel().inventory() {
            Some(_) => Former::kept(),
            None => Former::default(),
        }
    }

    async fn look_for_orphans(&self, term: &Term, scope: &Scope) {
        let Some(inventory) = self.sidecar.channel().inventory() else {
            return;
        };
        let search = Search {
            inventory: inventory.clone(),
            owners: Owners {
                volumes: term.volumes.clone(),
                claims: term.claims.clone(),
                busy: term.busy.clone(),
                settings: term.settings.clone(),
            },
            orphans: self.orphans.clone(),
            clock: self.sidecar.function().context().clock.clone(),
            interval: self.config.orphans_interval,
        };
        search.run(scope).await;
    }

    /// None for a driver without topology.
    fn nodes(&self, term: &Term) -> Option<Nodes> {
        match (term.settings.topology, &self.local, &term.nodes) {
            (false, _, _) | (true, None, None) => None,
            (true, Some(local), _) => Some(Nodes::Local(local.clone())),
            (true, None, Some((labels, drivers))) => Some(Nodes::Cluster {
                labels: labels.clone(),
                drivers: drivers.clone(),
            }),
        }
    }

    fn volume_rules(&self, term: &Term) -> Volumes {
        let client = &self.sidecar.function().context().client;
        Volumes {
            volumes: Objects::new(term.volumes.clone(), client, NAME),
            classes: term.classes.clone(),
            attachments: term.attachments.clone(),
            calls: self.calls(),
            refresh: refresh_of(term),
            metrics: self.metrics.clone(),
            settings: term.settings.clone(),
        }
    }

    fn guards<K: Guarded>(
        &self,
        term: &Term,
        sources: Option<Cache<K>>,
        editor: &Arc<Editor<K>>,
    ) -> Guards<K> {
        let client = &self.sidecar.function().context().client;
        Guards {
            sources: Lookups::new(sources, client, NAME, SNAPSHOT_GOOD_FOR),
            editor: editor.clone(),
            claims: term.claims.clone(),
            classes: term.classes.clone(),
            busy: term.busy.clone(),
            settings: term.settings.clone(),
        }
    }

    fn editor<K: Cached>(&self, permission: Permission) -> Arc<Editor<K>> {
        let context = self.sidecar.function().context();
        let (client, random) = (&context.client, context.random.fork());
        Arc::new(Editor::new(client, NAME, random, permission))
    }

    fn calls(&self) -> Calls {
        Calls {
            channel: self.sidecar.channel().clone(),
            timeout: self.config.driver.timeout,
            running: Mutex::new(BTreeMap::new()),
        }
    }
}

/// What is taken as served where the API server does not say: nothing.
fn unsaid<T: Default>(error: &ApiError, resource: &str) -> T {
    tracing::warn!(%error, resource, "the API server does not say whether it serves these; taken as no");
    T::default()
}

fn refresh_of(term: &Term) -> Option<Refresh> {
    term.capacity.as_ref().map(capacity::Term::refresh)
}

async fn caught_up<K: Cached>(cache: Option<&Cache<K>>) {
    if let Some(cache) = cache {
        cache.caught_up().await;
    }
}
