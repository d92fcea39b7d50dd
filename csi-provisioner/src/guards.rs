//! Takes the protection away from what volumes of our driver were made from, once nobody uses it: from a snapshot at once, from a
//! claim when it is being deleted (sidecars.md 2.7, 2.8, Q11, Q19). All provisioners share the names of the finalizers, and which
//! calls of another one still run only that one knows.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use controller::{Edit, Editor, Failure, Known, Next, Past, Plan, Run};
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::storage::v1::StorageClass;
use runtime::objects::{Claim, ClaimPhase, Volume};
use runtime::{ApiError, ApiErrorClass, Cache, Cached, ObjectKey, migration};

use crate::busy::Busy;
use crate::driver::Driver;
use crate::events;
use crate::grants::Grants;
use crate::local::LocalNode;
use crate::lookups::{Asker, Found, Lookups};
use crate::observe::Settings;
use crate::plan::source::{self, CLONE_FINALIZER, Kind, SNAPSHOT_FINALIZER, SourceKey};
use crate::plan::{is_ours, later, parameters};
use crate::triggers::BY_SOURCE;

const TOO_MANY_REQUESTS: u16 = 429;

/// A kind that volumes are made from.
pub(crate) trait Guarded: Cached {
    const KIND: Kind;
    const FINALIZER: &'static str;
    /// It keeps the finalizer for the rest of its life `[K]`.
    const FOR_LIFE: bool;

    /// Whether this driver makes volumes from it.
    fn is_taken_by(driver: &Driver) -> bool;

    /// Whether it is on this node, and what is made from it with it.
    fn is_on(&self, node: &LocalNode, origins: &Origins) -> bool;

    /// Whose it is: only volumes of the same driver can be made from it.
    fn owner(&self, asker: &Asker, driver: &Driver, origins: &Origins) -> Owner;
}

/// Sources, and what tells whose they are. Claims and guards share them: what one has written the other sees.
#[derive(Clone)]
pub(crate) struct Origins {
    pub(crate) claims: Arc<Lookups<Claim>>,
    pub(crate) volumes: Cache<Volume>,
    pub(crate) snapshots: Arc<Lookups<VolumeSnapshot>>,
    pub(crate) contents: Arc<Lookups<VolumeSnapshotContent>>,
}

/// Whose a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Us,
    /// Nothing is behind it from which anybody could make a volume.
    Nobody,
    Other,
    /// This content tells it, which must be asked for.
    Unread(ObjectKey),
}

impl Guarded for VolumeSnapshot {
    const KIND: Kind = Kind::Snapshot;
    const FINALIZER: &'static str = SNAPSHOT_FINALIZER;
    const FOR_LIFE: bool = false;

    fn is_taken_by(driver: &Driver) -> bool {
        driver.snapshots
    }

    /// No object says where a snapshot is.
    fn is_on(&self, _: &LocalNode, _: &Origins) -> bool {
        false
    }

    fn owner(&self, asker: &Asker, driver: &Driver, origins: &Origins) -> Owner {
        let status = self.status.as_ref();
        let name = status.and_then(|status| status.bound_volume_snapshot_content_name.as_ref());
        let Some(key) = name.map(ObjectKey::cluster) else {
            return Owner::Nobody;
        };
        match origins.contents.recall(asker, &key) {
            Found::Unread => Owner::Unread(key),
            Found::Unserved | Found::Absent => Owner::Nobody,
            Found::Here(content) if content.spec.driver == driver.name => Owner::Us,
            Found::Here(_) => Owner::Other,
        }
    }
}

impl Guarded for Claim {
    const KIND: Kind = Kind::Claim;
    const FINALIZER: &'static str = CLONE_FINALIZER;
    const FOR_LIFE: bool = true;

    fn is_taken_by(driver: &Driver) -> bool {
        driver.clones
    }

    fn is_on(&self, node: &LocalNode, origins: &Origins) -> bool {
        let name = self.volume_name.as_ref().map(ObjectKey::cluster);
        let volume = name.and_then(|name| origins.volumes.get(&name));
        let affinity = volume.as_deref().and_then(migration::affinity_of);
        affinity.is_some_and(|affinity| node.reaches(Some(&affinity)))
    }

    fn owner(&self, _: &Asker, driver: &Driver, origins: &Origins) -> Owner {
        if self.phase != ClaimPhase::Bound {
            return Owner::Nobody;
        }
        let name = self.volume_name.as_ref().map(ObjectKey::cluster);
        let volume = name.and_then(|name| origins.volumes.get(&name));
        match volume.as_deref().and_then(migration::driver_of) == Some(&*driver.name) {
            true => Owner::Us,
            false => Owner::Other,
        }
    }
}

/// Whether there may be something to take away from an object.
pub(crate) fn is_due<K: Guarded>(object: &K) -> bool {
    let metadata = object.meta();
    let has_it = metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == K::FINALIZER);
    has_it && (!K::FOR_LIFE || metadata.deletion_timestamp.is_some())
}

/// Works on sources of one kind.
pub(crate) struct Guards<K: Cached> {
    pub(crate) sources: Arc<Lookups<K>>,
    pub(crate) origins: Origins,
    pub(crate) editor: Arc<Editor<K>>,
    pub(crate) claims: Cache<Claim>,
    pub(crate) classes: Cache<StorageClass>,
    /// None with the gate off.
    pub(crate) grants: Option<Grants>,
    pub(crate) busy: Busy,
    pub(crate) settings: Settings,
    /// `--snapshot-orphan-sweep-interval`.
    pub(crate) sweep_interval: Duration,
}

/// Since when a source that is not for this node to let go is seen protected and unused.
type Memory = Option<Timestamp>;

/// A source, whose it is, and whether anybody uses it.
pub(crate) struct Seen<K> {
    key: ObjectKey,
    /// None until it was asked for.
    source: Option<(Arc<K>, Owner)>,
    is_used: bool,
    /// It may have been let go: nobody knows what became of the request.
    is_unclear: bool,
    /// So long it must be unused before this node lets it go, zero for ever; none where that is for us to do at once.
    patience: Option<Duration>,
}

impl<K> Seen<K> {
    fn object(&self) -> Option<&Arc<K>> {
        self.source.as_ref().map(|(object, _)| object)
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// GET, where the kind is not followed.
    Read,
    /// The same of a snapshot's content.
    ReadContent(ObjectKey),
    /// The protection goes.
    Release,
}

#[async_trait]
impl<K: Guarded> controller::Controller for Guards<K> {
    type Seen = Seen<K>;
    type Memory = Memory;
    type Step = Step;
    type Answer = ();

    fn observe(&self, key: &ObjectKey) -> Option<Seen<K>> {
        let driver = &self.settings.driver;
        let (named, asker) = (named::<K>(key), asker::<K>(key));
        if !K::is_taken_by(driver) {
            self.busy.settle_end(&named);
            return None;
        }
        let is_unclear = self.busy.is_unclear(&named);
        let source = match self.sources.find(&asker, key) {
            Found::Here(source) => {
                let owner = source.owner(&asker, driver, &self.origins);
                Some((source, owner))
            }
            Found::Unserved | Found::Absent => {
                self.forget(&asker);
                self.busy.settle_end(&named);
                self.busy.settle_unclear(&named);
                return None;
            }
            Found::Unread => None,
        };
        Some(Seen {
            key: key.clone(),
            is_used: self.is_used(&named),
            is_unclear,
            patience: self.patience(&named, source.as_ref().map(|(source, _)| &**source)),
            source,
        })
    }

    fn uid<'a>(&self, seen: &'a Seen<K>) -> &'a str {
        let uid = seen.object().and_then(|source| source.meta().uid.as_deref());
        uid.unwrap_or_default()
    }

    fn reference(&self, seen: &Seen<K>) -> ObjectReference {
        let metadata = seen.object().map(|source| source.meta());
        ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            namespace: Some(seen.key.namespace.clone()),
            name: Some(seen.key.name.clone()),
            uid: metadata.and_then(|metadata| metadata.uid.clone()),
            resource_version: metadata.and_then(|metadata| metadata.resource_version.clone()),
            ..ObjectReference::default()
        }
    }

    fn plan(&self, seen: &Seen<K>, past: &Past<Memory>, _: &Run<()>, now: Timestamp) -> Plan<Step, Memory> {
        let plan = plan(seen, past.memory, now);
        if plan.steps().next().is_none() {
            self.forget(&asker::<K>(&seen.key));
        }
        if plan.actions.is_empty() && plan.next == Next::Await {
            self.busy.settle_end(&named::<K>(&seen.key));
        }
        plan
    }

    async fn take(&self, seen: &Seen<K>, step: &Step, _: &Run<()>) -> Result<Option<()>, Failure> {
        let asker = asker::<K>(&seen.key);
        let taken = match (step, seen.object()) {
            (Step::Release, Some(source)) => self.release(&asker, &seen.key, source).await,
            (Step::ReadContent(key), _) => self.origins.contents.read(&asker, key).await,
            _ => {
                let read = self.sources.read(&asker, &seen.key).await;
                if read.is_ok() {
                    self.busy.settle_unclear(&named::<K>(&seen.key));
                }
                read
            }
        };
        if taken.is_err() || *step == Step::Release {
            self.forget(&asker);
        }
        taken.map(|()| None)
    }

    fn refusal_reason(&self, _: &Step) -> &'static str {
        events::FAILED
    }

    fn driver<'a>(&'a self, _: &'a Seen<K>) -> &'a str {
        &self.settings.driver.name
    }
}

fn named<K: Guarded>(key: &ObjectKey) -> SourceKey {
    SourceKey {
        kind: K::KIND,
        key: key.clone(),
    }
}

fn asker<K: Guarded>(key: &ObjectKey) -> Asker {
    Asker::Guard(named::<K>(key))
}

fn plan<K: Guarded>(seen: &Seen<K>, memory: Memory, now: Timestamp) -> Plan<Step, Memory> {
    let (settled, reading) = (Plan::resting(None), Plan::resting(memory).then(Next::Again));
    let (source, owner) = match &seen.source {
        // Used or not: whoever makes a volume from it waits for that.
        _ if seen.is_unclear => return reading.step(Step::Read),
        _ if seen.is_used => return settled,
        // There is no sweep of what is not followed.
        None if seen.patience.is_some() => return settled,
        None => return reading.step(Step::Read),
        Some(source) => source,
    };
    if !is_due(&**source) || *owner == Owner::Other {
        return settled;
    }
    if seen.patience.is_some_and(|patience| patience.is_zero()) {
        return settled;
    }
    let since = memory.unwrap_or(now);
    let until = seen.patience.map(|patience| later(since, patience));
    if let Some(until) = until.filter(|until| now < *until) {
        return Plan::resting(Some(since)).then(Next::Held(until));
    }
    match owner {
        Owner::Unread(content) => reading.step(Step::ReadContent(content.clone())),
        Owner::Us | Owner::Nobody | Owner::Other => settled.step(Step::Release),
    }
}

/// Whether a request that failed may have been carried out.
pub(crate) fn may_be_done(error: &ApiError) -> bool {
    error.class() == ApiErrorClass::Transient && error.code() != TOO_MANY_REQUESTS
}

/// By node and source, less than the whole: of many nodes one is the first, and the others see what it did.
fn share(whole: Duration, node: &str, source: &SourceKey) -> Duration {
    let mut hasher = DefaultHasher::new();
    (node, source.to_string()).hash(&mut hasher);
    let part = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
    whole.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

impl<K: Guarded> Guards<K> {
    async fn release(&self, asker: &Asker, key: &ObjectKey, source: &Arc<K>) -> Result<(), Failure> {
        let named = named::<K>(key);
        let _going = self.busy.let_go(&named);
        if self.is_used(&named) {
            // Since it was looked at.
            self.busy.settle_end(&named);
            return Ok(());
        }
        let known = Known::of(&**source);
        let finalizers = source.meta().finalizers.as_deref();
        let edit = Edit::RemoveFinalizer(K::FINALIZER);
        let written = self.editor.edit(&known, finalizers, edit).await;
        if matches!(&written, Err(error) if may_be_done(error)) {
            self.busy.note_unclear(&named);
        }
        self.sources.settle(asker, &known, written)?;
        self.busy.settle_end(&named);
        Ok(())
    }

    /// Where each node has a process of its own, another node's CreateVolume may still run from a source that looks unused. A
    /// source of which no node takes the protection, since that one is gone, is found by the sweep.
    fn patience(&self, named: &SourceKey, source: Option<&K>) -> Option<Duration> {
        let node = self.settings.local.as_ref()?;
        let is_here = source.is_some_and(|source| source.is_on(node, &self.origins));
        if is_here || self.busy.has_ended(named) {
            return None;
        }
        let interval = self.sweep_interval;
        Some(interval + share(interval, &node.name, named))
    }

    /// What a run has asked for is not for the next one.
    fn forget(&self, asker: &Asker) {
        self.sources.forget(asker);
        self.origins.contents.forget(asker);
    }

    fn is_used(&self, source: &SourceKey) -> bool {
        self.busy.uses(source) || self.is_wanted(source)
    }

    /// A claim without a volume names it. For clones only those that may be of our classes count: no other driver clones a volume of
    /// ours.
    fn is_wanted(&self, source: &SourceKey) -> bool {
        let users = self.claims.indexed(BY_SOURCE, &source.to_string());
        users.iter().any(|claim| {
            self.may_use(claim, source) && (source.kind == Kind::Snapshot || self.may_be_cloned_for(claim))
        })
    }

    /// Nobody keeps a source of another namespace by naming it: what was begun counts as busy.
    fn may_use(&self, claim: &Claim, source: &SourceKey) -> bool {
        let (namespace, there) = (&claim.metadata.namespace, &source.key.namespace);
        let own = namespace.as_deref().unwrap_or_default();
        let reference = source::reference(claim);
        let allows = |grants: &Grants| reference.is_some_and(|it| grants.allow(own, it, there));
        own == there || self.grants.as_ref().is_some_and(allows)
    }

    /// Whether the class of a claim is ours, or may be: it may not be known yet, or be gone after the driver was called for it.
    fn may_be_cloned_for(&self, claim: &Claim) -> bool {
        let (Some(class), Some(wish)) = (claim.class_of_new_volume(), &claim.wish) else {
            return false;
        };
        match self.classes.get(&ObjectKey::cluster(class)) {
            Some(class) => parameters::class(&class, &self.settings).is_some(),
            None => wish.provisioner().is_none() || is_ours(wish, &self.settings),
        }
    }
}
