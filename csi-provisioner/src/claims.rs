//! The rules for claims as the frame runs them.

use std::sync::Arc;

use async_trait::async_trait;
use base::Queue;
use controller::{CallFailure, Edit, Editor, Failure, Known, Next, Objects, Past, Run};
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use csi::Operation;
use csi::v1::TopologyRequirement;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::storage::v1::StorageClass;
use runtime::objects::{AttributesClass, Claim, Volume};
use runtime::{ApiError, ApiErrorClass, Cache, ObjectKey, migration};
use tonic::Code;

use crate::busy::{Busy, Protected, Turn};
use crate::calls::Calls;
use crate::capacity::Refresh;
use crate::events;
use crate::former::Former;
use crate::grants::Grants;
use crate::guards;
use crate::lookups::{Asker, Found, Lookups};
use crate::metrics::Metrics;
use crate::observe::{Answer, Memory, Observed, Settings, Stage};
use crate::places::Nodes;
use crate::plan::source::{self, CLONE_FINALIZER, Kind, SNAPSHOT_FINALIZER, Source, SourceKey};
use crate::plan::{self, Plan, Step, parameters, request};
use crate::topology::{self, Trouble};
use crate::triggers::BY_UID;

/// Works on claims.
pub(crate) struct Claims {
    pub(crate) claims: Objects<Claim>,
    pub(crate) claim_editor: Arc<Editor<Claim>>,
    pub(crate) volumes: Objects<Volume>,
    pub(crate) classes: Cache<StorageClass>,
    pub(crate) attributes: Lookups<AttributesClass>,
    pub(crate) snapshots: Arc<Lookups<VolumeSnapshot>>,
    pub(crate) snapshot_editor: Arc<Editor<VolumeSnapshot>>,
    pub(crate) contents: Arc<Lookups<VolumeSnapshotContent>>,
    /// Claims to be cloned, and their volumes.
    pub(crate) origins: Lookups<Claim>,
    pub(crate) origin_volumes: Lookups<Volume>,
    /// None with the gate off.
    pub(crate) grants: Option<Grants>,
    /// None for a driver without topology.
    pub(crate) nodes: Option<Nodes>,
    /// None where no capacity is published.
    pub(crate) refresh: Option<Refresh>,
    pub(crate) busy: Busy,
    pub(crate) former: Former,
    pub(crate) ended: Ended,
    pub(crate) calls: Calls,
    pub(crate) metrics: Metrics,
    pub(crate) settings: Settings,
    pub(crate) is_strict: bool,
    pub(crate) is_immediate: bool,
}

/// Who looks at a source that is no longer used.
#[derive(Clone)]
pub(crate) struct Ended {
    pub(crate) snapshots: Queue<ObjectKey>,
    pub(crate) clones: Queue<ObjectKey>,
    pub(crate) busy: Busy,
}

impl Ended {
    /// A use of it has ended here.
    pub(crate) fn tell(&self, source: SourceKey) {
        self.busy.note_end(&source);
        self.look_at(source);
    }

    pub(crate) fn look_at(&self, source: SourceKey) {
        match source.kind {
            Kind::Snapshot => self.snapshots.add(source.key),
            Kind::Claim => self.clones.add(source.key),
        }
    }
}

/// The objects of one round.
pub(crate) struct Seen {
    key: ObjectKey,
    claim: Arc<Claim>,
    is_present: bool,
    class: Option<Arc<StorageClass>>,
    has_volume: bool,
    snapshot: Found<VolumeSnapshot>,
    content: Found<VolumeSnapshotContent>,
    origin: Found<Claim>,
    origin_volume: Found<Volume>,
    is_granted: bool,
    is_let_go: bool,
    attributes: Found<AttributesClass>,
    topology: Result<Option<TopologyRequirement>, Trouble>,
    /// Something is under way, so that nothing around the claim was looked at.
    is_busy: bool,
}

impl Seen {
    /// The claim alone.
    fn of(key: &ObjectKey, claim: Arc<Claim>, is_present: bool) -> Self {
        Self {
            key: key.clone(),
            claim,
            is_present,
            class: None,
            has_volume: false,
            snapshot: Found::Absent,
            content: Found::Absent,
            origin: Found::Absent,
            origin_volume: Found::Absent,
            is_granted: false,
            is_let_go: false,
            attributes: Found::Absent,
            topology: Ok(None),
            is_busy: false,
        }
    }

    fn asker(&self) -> Asker {
        Asker::Claim(self.key.clone())
    }

    fn uid(&self) -> &str {
        self.claim.metadata.uid.as_deref().unwrap_or_default()
    }
}

#[async_trait]
impl controller::Controller for Claims {
    type Seen = Seen;
    type Memory = Memory;
    type Step = Step;
    type Answer = Answer;

    /// Keys are namespace and UID: what is under way for a claim goes on beside another one of its name.
    fn observe(&self, key: &ObjectKey) -> Option<Seen> {
        let busy = self.busy.claim(key);
        let waiting = self.claims.cache().find(BY_UID, &key.name, |_| true);
        // One that is bound meanwhile is not in the index.
        let present = waiting.or_else(|| self.claims.cache().get(&ObjectKey::of(&**busy.as_ref()?)));
        let present = present.filter(|claim| claim.metadata.uid.as_deref() == Some(&key.name));
        let is_present = present.is_some();
        let is_busy = busy.is_some();
        let Some(claim) = present.or(busy) else {
            self.forget(key);
            return None;
        };
        let mut seen = Seen::of(key, claim, is_present);
        seen.class = self.class_of(&seen.claim);
        seen.is_busy = is_busy;
        if !is_busy {
            self.look_around(&mut seen);
        }
        Some(seen)
    }

    fn uid<'a>(&self, seen: &'a Seen) -> &'a str {
        seen.uid()
    }

    fn reference(&self, seen: &Seen) -> ObjectReference {
        let metadata = &seen.claim.metadata;
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("PersistentVolumeClaim".to_owned()),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            ..ObjectReference::default()
        }
    }

    fn plan(&self, seen: &Seen, past: &Past<Memory>, run: &Run<Answer>, now: Timestamp) -> Plan {
        if seen.is_busy && !past.memory.is_busy() {
            // It has ended since.
            self.end(&seen.key);
            return Plan::resting(past.memory.clone()).then(Next::Again);
        }
        let answer = run.answers.last();
        let owner = plan::to_be_discarded(&past.memory, answer).and_then(|handle| self.owner(handle));
        let observed = Observed {
            claim: &seen.claim,
            is_present: seen.is_present,
            class: seen.class.as_deref(),
            has_volume: seen.has_volume,
            may_be_made: self.former.has(seen.uid()),
            snapshot: seen.snapshot.lookup(),
            content: seen.content.lookup(),
            origin: seen.origin.lookup(),
            origin_volume: seen.origin_volume.lookup(),
            is_granted: seen.is_granted,
            is_let_go: seen.is_let_go,
            attributes: seen.attributes.lookup(),
            topology: &seen.topology,
            secret: run.secret.as_ref(),
            answer,
            owner: owner.as_deref(),
            memory: &past.memory,
            retries: &past.retries,
            settings: &self.settings,
        };
        let plan = plan::plan(&observed, now);
        if plan::is_failure(&plan) {
            self.metrics.not_made(&plan::labels(&observed));
        }
        if past.memory.begun().is_some() && run.answers.is_empty() && !plan.memory.is_busy() {
            // Its request is given up without an answer.
            self.former.add(seen.uid());
        }
        self.keep(seen, &plan);
        if plan.next != Next::Again {
            self.forget(&seen.key);
        }
        plan
    }

    async fn take(&self, seen: &Seen, step: &Step, _run: &Run<Answer>) -> Result<Option<Answer>, Failure> {
        let taken = self.carry_out(seen, step).await;
        if taken.is_err() {
            self.forget(&seen.key);
        }
        taken
    }

    fn refusal_reason(&self, _step: &Step) -> &'static str {
        events::FAILED
    }

    fn driver<'a>(&'a self, _seen: &'a Seen) -> &'a str {
        &self.settings.driver.name
    }

    fn failed_call<'a>(&self, answer: &'a Answer) -> Option<(Operation, &'a CallFailure)> {
        match answer {
            Answer::Created(Err(failure), _) => Some((Operation::CreateVolume, failure)),
            Answer::Discarded(Err(failure)) => Some((Operation::DeleteVolume, failure)),
            Answer::Created(Ok(_), _)
            | Answer::Discarded(Ok(()))
            | Answer::Running
            | Answer::Unprotected
            | Answer::Room(_)
            | Answer::Looked(..) => None,
        }
    }
}

impl Claims {
    async fn carry_out(&self, seen: &Seen, step: &Step) -> Result<Option<Answer>, Failure> {
        match step {
            Step::Protect(source) => return self.protect(seen, source).await,
            Step::Create(begun) => {
                let answer = self.calls.create(&seen.key, begun).await;
                self.learn(seen, &answer);
                return Ok(Some(answer));
            }
            Step::Look(begun) => {
                let answer = self.calls.look(begun).await;
                self.learn(seen, &answer);
                return Ok(Some(answer));
            }
            Step::Wait => {
                let answer = self.calls.wait(&seen.key).await;
                answer.iter().for_each(|answer| self.learn(seen, answer));
                return Ok(answer);
            }
            Step::Measure(measure) => return Ok(Some(Answer::Room(self.calls.has_room(measure).await))),
            Step::Select(node) => {
                let (key, value) = (Claim::SELECTED_NODE, node);
                self.annotate(&seen.claim, Edit::AddAnnotation { key, value })
                    .await?;
            }
            Step::Save(made) => {
                match self.volumes.create_raw(&made.volume).await {
                    Ok(()) => {}
                    // An earlier POST whose answer was lost, or one of another leader.
                    Err(error) if error.class() == ApiErrorClass::AlreadyExists => {}
                    Err(error) => return Err(Failure::Refused(error)),
                }
                self.metrics.made(&made.labels, made.took);
                self.former.settle(seen.uid());
                self.end(&seen.key);
            }
            Step::Discard(unwanted) => {
                let (secret, is_migrated) = (unwanted.secret.as_ref(), unwanted.is_migrated);
                let outcome = self.calls.delete(&unwanted.handle, secret, is_migrated).await;
                return Ok(Some(Answer::Discarded(outcome)));
            }
            Step::Unselect(node) => {
                let (key, value) = (Claim::SELECTED_NODE, node);
                self.annotate(&seen.claim, Edit::RemoveAnnotation { key, value })
                    .await?;
            }
            Step::ReadSnapshot(_)
            | Step::ReadContent(_)
            | Step::ReadAttributes(_)
            | Step::ReadOrigin(_)
            | Step::ReadOriginVolume(_) => self.read(&seen.asker(), step).await?,
        }
        Ok(None)
    }

    async fn annotate(&self, claim: &Claim, edit: Edit<'_>) -> Result<(), Failure> {
        let (known, finalizers) = (Known::of(claim), claim.metadata.finalizers.as_deref());
        let written = self.claim_editor.edit(&known, finalizers, edit).await;
        self.claims.settle(&known, written)
    }

    /// GET of what the claim names.
    async fn read(&self, asker: &Asker, step: &Step) -> Result<(), Failure> {
        match step {
            Step::ReadSnapshot(key) => self.snapshots.read(asker, key).await,
            Step::ReadContent(name) => self.contents.read(asker, &ObjectKey::cluster(name)).await,
            Step::ReadAttributes(name) => self.attributes.read(asker, &ObjectKey::cluster(name)).await,
            Step::ReadOrigin(key) => self.origins.read(asker, key).await,
            Step::ReadOriginVolume(name) => self.origin_volumes.read(asker, &ObjectKey::cluster(name)).await,
            _ => Ok(()),
        }
    }

    /// What a run has asked for is not for the next one.
    fn forget(&self, key: &ObjectKey) {
        let asker = Asker::Claim(key.clone());
        self.attributes.forget(&asker);
        self.snapshots.forget(&asker);
        self.contents.forget(&asker);
        self.origins.forget(&asker);
        self.origin_volumes.forget(&asker);
    }

    fn class_of(&self, claim: &Claim) -> Option<Arc<StorageClass>> {
        self.classes
            .get(&ObjectKey::cluster(claim.class_of_new_volume()?))
    }

    /// What a claim of ours names; nothing for others.
    fn look_around(&self, seen: &mut Seen) {
        let Some(wish) = seen.claim.wish.as_deref() else {
            return;
        };
        if !plan::is_ours(wish, &self.settings) {
            return;
        }
        let (claim, asker) = (&*seen.claim, seen.asker());
        let name = request::volume_name(&self.settings, claim.metadata.uid.as_deref().unwrap_or_default());
        seen.has_volume = self.volumes.cache().get(&ObjectKey::cluster(name)).is_some();
        if seen.has_volume {
            // It is looked at once more when it is bound, and nothing else matters then.
            return;
        }
        if let Some(name) = claim.wanted_class() {
            seen.attributes = self.attributes.find(&asker, &ObjectKey::cluster(name));
        }
        if let Some(class) = &seen.class
            && (wish.selected_node().is_some() || !plan::is_for_first_consumer(class))
        {
            let local = self.settings.local.as_ref().map(|local| local.name.as_str());
            seen.topology = self.topology(claim, class, wish.selected_node().or(local));
        }
        let Some(reference) = source::reference(claim) else {
            return;
        };
        if let (Some(grants), Some(there)) = (&self.grants, source::elsewhere(claim, reference)) {
            let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
            seen.is_granted = grants.allow(namespace, reference, there);
        }
        let Source::Known(source) = source::meaning(claim, reference) else {
            return;
        };
        seen.is_let_go = self.busy.is_let_go(&source);
        if self.busy.is_to_be_seen(&source) {
            self.ended.look_at(source.clone());
        }
        match source.kind {
            Kind::Snapshot => {
                seen.snapshot = self.snapshots.find(&asker, &source.key);
                let Found::Here(snapshot) = &seen.snapshot else {
                    return;
                };
                let status = snapshot.status.as_ref();
                if let Some(name) =
                    status.and_then(|status| status.bound_volume_snapshot_content_name.as_ref())
                {
                    seen.content = self.contents.find(&asker, &ObjectKey::cluster(name));
                }
            }
            Kind::Claim => {
                seen.origin = self.origins.find(&asker, &source.key);
                if let Found::Here(origin) = &seen.origin
                    && let Some(name) = &origin.volume_name
                {
                    seen.origin_volume = self.origin_volumes.find(&asker, &ObjectKey::cluster(name));
                }
            }
        }
    }

    /// For this node, where one is chosen.
    fn topology(
        &self,
        claim: &Claim,
        class: &StorageClass,
        node: Option<&str>,
    ) -> Result<Option<TopologyRequirement>, Trouble> {
        let (Some(nodes), Some(Ok(class))) = (&self.nodes, parameters::class(class, &self.settings)) else {
            return Ok(None);
        };
        let wish = topology::Wish {
            claim: claim.metadata.name.as_deref().unwrap_or_default(),
            allowed: &class.allowed,
            node,
            strict: self.is_strict,
            immediate: self.is_immediate,
        };
        nodes.requirement(&wish, &self.settings.driver.name)
    }

    /// The name of a volume that is the one of this handle.
    fn owner(&self, handle: &str) -> Option<String> {
        let mut owner = None;
        self.volumes.cache().each(|volume| {
            let source = migration::source_of(volume).ok();
            let is_it = source.is_some_and(|source| {
                source.volume_handle == handle && source.driver == self.settings.driver.name
            });
            if is_it {
                owner.clone_from(&volume.metadata.name);
            }
        });
        owner
    }

    /// What an answer says beside what becomes of the claim.
    fn learn(&self, seen: &Seen, answer: &Answer) {
        let uid = seen.uid();
        match answer {
            Answer::Created(Err(failure), _) if failure.code == Some(Code::AlreadyExists) => {
                self.former.add(uid);
            }
            Answer::Looked(Ok(None), _) => self.former.settle(uid),
            Answer::Looked(Ok(Some(volume)), _) => {
                let (claim, volume) = (ObjectKey::of(&*seen.claim), &volume.volume_id);
                tracing::info!(%claim, volume, "a volume was made for the claim before");
            }
            _ => {}
        }
        // A volume that was made takes room; one that was not may say that there is less than was told.
        let class = seen.claim.class_of_new_volume().unwrap_or_default();
        match (&self.refresh, answer) {
            (Some(refresh), Answer::Created(Ok(volume), _)) => {
                refresh.made(class, &volume.accessible_topology)
            }
            (Some(refresh), Answer::Created(Err(_), _)) => refresh.class(class),
            _ => {}
        }
    }

    /// What the plan may leave remembered decides whether the claim is worked on when it is gone.
    fn keep(&self, seen: &Seen, plan: &Plan) {
        let memories = plan.at_once.iter().chain([&plan.memory]);
        let mut busy = memories.filter(|memory| memory.is_busy());
        match busy.next().map(|memory| &memory.stage) {
            Some(Stage::Begun(begun)) => self.busy.begin(&seen.key, &seen.claim, begun.source.as_ref()),
            Some(_) => self.busy.begin(&seen.key, &seen.claim, None),
            None => self.end(&seen.key),
        }
    }

    fn end(&self, key: &ObjectKey) {
        if let Some(source) = self.busy.end(key) {
            self.ended.tell(source);
        }
    }

    /// Many claims may see one source unprotected at once: one of them writes, for all.
    async fn protect(&self, seen: &Seen, source: &SourceKey) -> Result<Option<Answer>, Failure> {
        let turn = match self.busy.protect(source) {
            Turn::Ours(turn) => Some(turn),
            Turn::Theirs(ending) => match ending.wait().await {
                Some(Protected::Done) => {
                    // What was asked for is older.
                    let asker = seen.asker();
                    self.snapshots.forget(&asker);
                    self.origins.forget(&asker);
                    return Ok(None);
                }
                Some(Protected::Denied) => return Ok(Some(Answer::Unprotected)),
                None => None,
            },
        };
        let answer = self.write_protection(seen, source).await?;
        if let Some(turn) = turn {
            turn.end(match answer {
                Some(_) => Protected::Denied,
                None => Protected::Done,
            });
        }
        Ok(answer)
    }

    /// An older role may not let us: then the volume is made all the same (2.7).
    async fn write_protection(&self, seen: &Seen, source: &SourceKey) -> Result<Option<Answer>, Failure> {
        match (source.kind, &seen.snapshot, &seen.origin) {
            (Kind::Snapshot, Found::Here(snapshot), _) => {
                let (known, finalizers) = (Known::of(&**snapshot), snapshot.metadata.finalizers.as_deref());
                let edit = Edit::AddFinalizer(SNAPSHOT_FINALIZER);
                match self.snapshot_editor.edit(&known, finalizers, edit).await {
                    Err(error) if error.class() == ApiErrorClass::Forbidden => {
                        let snapshot = &source.key;
                        tracing::warn!(%error, %snapshot, "it cannot be protected while a volume is restored from it");
                        return Ok(Some(Answer::Unprotected));
                    }
                    written => {
                        self.was_protected(source, written.as_ref().err());
                        self.snapshots.settle(&seen.asker(), &known, written)?;
                    }
                }
            }
            (Kind::Claim, _, Found::Here(origin)) => {
                let (known, finalizers) = (Known::of(&**origin), origin.metadata.finalizers.as_deref());
                let written = self
                    .claim_editor
                    .edit(&known, finalizers, Edit::AddFinalizer(CLONE_FINALIZER))
                    .await;
                self.was_protected(source, written.as_ref().err());
                self.origins.settle(&seen.asker(), &known, written)?;
            }
            // A plan from a source that was not seen protects none.
            _ => {}
        }
        Ok(None)
    }

    /// Or may have been. The claim may have gone meanwhile: then nobody else lets the source go.
    fn was_protected(&self, source: &SourceKey, error: Option<&ApiError>) {
        if error.is_some_and(guards::may_be_done) {
            self.busy.note_unclear(source);
        }
        if error.is_none_or(guards::may_be_done) {
            self.ended.tell(source.clone());
        }
    }
}
