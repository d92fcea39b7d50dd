//! Steps to requests. This is the only file with clients, and it knows no rule.

use std::sync::Arc;
use std::time::Duration;

use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};
use runtime::objects::Claim;
use runtime::{ApiError, ApiErrorClass, Cache, Cached, Deleted, EventType, ObjectKey, Recorder, Writer};

use crate::claims::ClaimWriter;
use crate::error::Failure;
use crate::events::{self, Event, Severity};
use crate::observe::Caches;
use crate::plan::Step;
use crate::plan::patch::Change;

/// The field manager and the function's name.
pub(crate) const NAME: &str = "snapshot-controller";
/// How long the cache may take to pass a version that was refused (decision 17).
const CACHE_PATIENCE: Duration = Duration::from_secs(1);

/// The clients.
pub(crate) struct Executor {
    pub(crate) caches: Caches,
    pub(crate) snapshots: Writer<VolumeSnapshot>,
    pub(crate) contents: Writer<VolumeSnapshotContent>,
    pub(crate) claims: ClaimWriter,
    pub(crate) recorder: Recorder,
}

/// The object that a plan is for: where its events go, and what its status patches are about.
pub(crate) struct Subject {
    pub(crate) key: ObjectKey,
    pub(crate) reference: ObjectReference,
}

impl Subject {
    /// The subject of a plan for this object.
    pub(crate) fn of<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        Self {
            key: ObjectKey::of(object),
            reference: object.object_ref(&()),
        }
    }
}

/// What the answers to the reads of a plan say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// The API server knows no snapshot of the UID that the content refers to.
    pub(crate) snapshot_is_gone: bool,
}

impl Executor {
    /// Takes the steps in order, up to the first that fails. A definite refusal by the API server is told in an
    /// event, never in the status (spec snapshot Q13); conflicts and unclear outcomes are not told at all.
    pub(crate) async fn take(&self, subject: &Subject, steps: &[Step]) -> Result<Answers, Failure> {
        let mut answers = Answers::default();
        for step in steps {
            if let Step::Event(event) = step {
                self.tell(subject, event);
                continue;
            }
            if let Err(failure) = self.request(subject, step, &mut answers).await {
                if let Failure::Api(error) = &failure {
                    self.tell_refusal(subject, step, error);
                }
                return Err(failure);
            }
        }
        Ok(answers)
    }

    fn tell(&self, subject: &Subject, event: &Event) {
        let kind = match event.severity {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        };
        self.recorder
            .event(&subject.reference, kind, event.reason, event.message.clone());
    }

    fn tell_refusal(&self, subject: &Subject, step: &Step, error: &ApiError) {
        if matches!(error.class(), ApiErrorClass::Forbidden | ApiErrorClass::Invalid) {
            let event = Event::warning(refusal_reason(step), error.to_string());
            self.tell(subject, &event);
        }
    }

    async fn request(&self, subject: &Subject, step: &Step, answers: &mut Answers) -> Result<(), Failure> {
        let caches = &self.caches;
        match step {
            Step::PatchSnapshot(change) => {
                patch(
                    &self.snapshots,
                    &caches.snapshots,
                    &subject.key,
                    change,
                    Part::Main,
                )
                .await
            }
            Step::PatchSnapshotStatus(change) => {
                patch(
                    &self.snapshots,
                    &caches.snapshots,
                    &subject.key,
                    change,
                    Part::Status,
                )
                .await
            }
            Step::PatchContent { name, change } => {
                let key = ObjectKey::cluster(name.as_str());
                patch(&self.contents, &caches.contents, &key, change, Part::Main).await
            }
            Step::ChangeClaim(change) => {
                let key = ObjectKey::new(change.namespace.as_str(), change.name.as_str());
                let version = version_of::<Claim>(&caches.claims, &key);
                let outcome = self.claims.change(&key, change).await;
                settle(self.claims.writer(), &caches.claims, &key, &version, outcome).await
            }
            Step::CreateContent(content) => self.create(content).await,
            Step::DeleteContent { name, uid } => self.delete(name, uid).await,
            Step::ReadContent { name } => self.read_content(name).await,
            Step::ReadSnapshot { .. } => self.read_snapshot(subject, answers).await,
            Step::Event(_) => Ok(()),
        }
    }

    /// An unclear outcome is remembered until a read has told; "already exists" is followed by a read at once, so
    /// that the next plan can check whose content it is.
    async fn create(&self, content: &VolumeSnapshotContent) -> Result<(), Failure> {
        let name = content.name_any();
        match self.contents.create(content).await {
            Ok(created) => {
                self.caches.contents.record(created);
                Ok(())
            }
            Err(error) if error.class() == ApiErrorClass::AlreadyExists => {
                self.caches.unclear.add(&name);
                self.read_content(&name).await?;
                Err(Failure::Outdated)
            }
            Err(error) => {
                if error.class() == ApiErrorClass::Transient {
                    self.caches.unclear.add(&name);
                }
                Err(Failure::Api(error))
            }
        }
    }

    async fn delete(&self, name: &str, uid: &str) -> Result<(), Failure> {
        let key = ObjectKey::cluster(name);
        let version = version_of(&self.caches.contents, &key);
        match self.contents.delete(&key, uid, None).await {
            Ok(Deleted::Pending(content)) => {
                self.caches.contents.record(content);
                Ok(())
            }
            Ok(Deleted::Gone) => {
                self.caches.contents.record_deleted(&key, uid);
                Ok(())
            }
            Err(error) if error.class() == ApiErrorClass::NotFound => {
                self.caches.contents.record_deleted(&key, uid);
                Ok(())
            }
            Err(error) => settle(&self.contents, &self.caches.contents, &key, &version, Err(error)).await,
        }
    }

    async fn read_content(&self, name: &str) -> Result<(), Failure> {
        match self.contents.get(&ObjectKey::cluster(name)).await {
            Ok(content) => {
                self.caches.contents.record(content);
            }
            Err(error) if error.class() == ApiErrorClass::NotFound => {}
            Err(error) => return Err(Failure::Api(error)),
        }
        self.caches.unclear.clear(name);
        Ok(())
    }

    async fn read_snapshot(&self, subject: &Subject, answers: &mut Answers) -> Result<(), Failure> {
        let Some(content) = self.caches.contents.get(&subject.key) else {
            return Ok(());
        };
        let Some(key) = crate::observe::reference_key(&content) else {
            return Ok(());
        };
        match self.snapshots.get(&key).await {
            Ok(snapshot) => {
                answers.snapshot_is_gone = snapshot.metadata.uid != content.spec.volume_snapshot_ref.uid;
                self.caches.snapshots.record(snapshot);
            }
            Err(error) if error.class() == ApiErrorClass::NotFound => answers.snapshot_is_gone = true,
            Err(error) => return Err(Failure::Api(error)),
        }
        Ok(())
    }
}

/// Which part of an object a patch is about.
#[derive(Clone, Copy)]
enum Part {
    Main,
    Status,
}

async fn patch<K: Cached>(
    writer: &Writer<K>,
    cache: &Cache<K>,
    key: &ObjectKey,
    change: &Change,
    part: Part,
) -> Result<(), Failure> {
    let version = version_of(cache, key);
    let outcome = match (change, part) {
        (Change::Json(patch), Part::Main) => writer.patch_json(key, patch.clone()).await,
        (Change::Json(patch), Part::Status) => writer.patch_json_status(key, patch.clone()).await,
        (Change::Merge(body), Part::Main) => writer.patch_merge(key, body).await,
        (Change::Merge(body), Part::Status) => writer.patch_merge_status(key, body).await,
    };
    settle(writer, cache, key, &version, outcome).await
}

/// The version and UID under which an object is known, before a request about it.
#[derive(Default)]
struct Known {
    version: String,
    uid: String,
}

fn version_of<K: Cached>(cache: &Cache<K>, key: &ObjectKey) -> Known {
    cache.get(key).map(|object| known(&object)).unwrap_or_default()
}

fn known<K: Resource>(object: &Arc<K>) -> Known {
    Known {
        version: object.meta().resource_version.clone().unwrap_or_default(),
        uid: object.meta().uid.clone().unwrap_or_default(),
    }
}

/// Takes the answer into the overlay. After a lost race: waits up to 1 s for the cache to pass the known version,
/// then one GET (decision 17), so that the next plan starts from the present state.
async fn settle<K: Cached>(
    writer: &Writer<K>,
    cache: &Cache<K>,
    key: &ObjectKey,
    known: &Known,
    outcome: Result<K, ApiError>,
) -> Result<(), Failure> {
    match outcome {
        Ok(written) => {
            cache.record(written);
            Ok(())
        }
        Err(error) if matches!(error.class(), ApiErrorClass::Conflict | ApiErrorClass::NotFound) => {
            if !cache.passes(key, &known.version, CACHE_PATIENCE).await {
                match writer.get(key).await {
                    Ok(found) => {
                        cache.record(found);
                    }
                    Err(error) if error.class() == ApiErrorClass::NotFound => {
                        cache.record_deleted(key, &known.uid);
                    }
                    Err(error) => return Err(Failure::Api(error)),
                }
            }
            Err(Failure::Outdated)
        }
        Err(error) => Err(Failure::Api(error)),
    }
}

/// Under which reason a definite refusal of a step is told.
fn refusal_reason(step: &Step) -> &'static str {
    match step {
        Step::PatchSnapshot(_) | Step::ReadSnapshot { .. } | Step::Event(_) => {
            events::SNAPSHOT_FINALIZER_ERROR
        }
        Step::PatchSnapshotStatus(_) => events::SNAPSHOT_STATUS_UPDATE_FAILED,
        Step::ChangeClaim(_) => events::ERROR_PVC_FINALIZER,
        Step::CreateContent(_) | Step::ReadContent { .. } => events::CREATE_SNAPSHOT_CONTENT_FAILED,
        Step::PatchContent {
            change: Change::Json(_),
            ..
        } => events::SNAPSHOT_BIND_FAILED,
        // The only merge patch of a content is the mark of its deletion.
        Step::PatchContent {
            change: Change::Merge(_),
            ..
        }
        | Step::DeleteContent { .. } => events::SNAPSHOT_CONTENT_OBJECT_DELETE_ERROR,
    }
}
