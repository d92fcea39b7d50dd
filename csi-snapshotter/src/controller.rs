//! One content at a time: observe, plan, take the steps, until the plan says when to look again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::{Clock, Outcome, Reconcile};
use crds::v1::{VolumeSnapshotClass, VolumeSnapshotContent};
use runtime::{ApiError, ApiErrorClass, Cache, EventType, ObjectKey, Recorder};

use crate::execute::{Done, Executor, reference};
use crate::observe::{ClassLookup, Memory, Observed, Reply, SecretRead, Settings};
use crate::plan::{Next, Plan, Step, plan};

/// Rounds of one run; the longest path needs four. More would be a rule that never settles.
const MOST_ROUNDS: usize = 8;
/// How long the cache may take to pass a version that was refused (decision 17).
const CACHE_PATIENCE: Duration = Duration::from_secs(1);
/// Conflicts in a row that are planned anew at once.
const PATIENT_CONFLICTS: u32 = 2;

/// Works on contents.
pub(crate) struct Controller {
    pub(crate) classes: Cache<VolumeSnapshotClass>,
    pub(crate) executor: Executor,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) memories: Mutex<BTreeMap<ObjectKey, (String, Memory)>>,
}

/// What one run has brought so far.
#[derive(Default)]
struct Run {
    secret: Option<SecretRead>,
    reply: Option<Reply>,
    conflicts: u32,
}

/// How a round went on.
enum Round {
    Again,
    End(Outcome),
}

#[async_trait]
impl Reconcile<ObjectKey> for Controller {
    async fn reconcile(&self, key: &ObjectKey) -> Outcome {
        let mut run = Run::default();
        let mut uid = None;
        for _ in 0..MOST_ROUNDS {
            let Some(content) = self.executor.contents.get(key) else {
                self.forget(key);
                return Outcome::Done;
            };
            if uid.is_some() && uid != content.metadata.uid {
                // Answers for a deleted content say nothing of its successor.
                run = Run::default();
            }
            uid.clone_from(&content.metadata.uid);
            match self.round(key, &content, &mut run).await {
                Round::Again => {}
                Round::End(outcome) => return outcome,
            }
        }
        Outcome::retry("the content does not settle")
    }
}

impl Controller {
    async fn round(&self, key: &ObjectKey, content: &Arc<VolumeSnapshotContent>, run: &mut Run) -> Round {
        let plan = self.plan(key, content, run);
        if let Some(deleted) = plan.memory.deleted.clone() {
            // Known even when the write that follows fails: DeleteSnapshot is not repeated for it.
            let memory = Memory {
                deleted: Some(deleted),
                ..self.memory(key, content)
            };
            self.remember(key, content, memory);
        }
        for step in &plan.steps {
            match self.executor.take(content, step, run.secret.as_ref()).await {
                Ok(Done::Written) => {}
                Ok(Done::Secret(read)) => run.secret = Some(read),
                Ok(Done::Reply(reply)) => run.reply = Some(reply),
                Err(error) => return self.refused(key, content, run, error).await,
            }
        }
        if !plan.steps.iter().any(|step| matches!(step, Step::Call(_))) {
            // What it led to is written.
            run.reply = None;
        }
        run.conflicts = 0;
        for notice in plan.events {
            self.recorder.event(
                &reference(content),
                EventType::Warning,
                notice.reason,
                notice.message,
            );
        }
        self.remember(key, content, plan.memory);
        match plan.next {
            Next::Again => Round::Again,
            Next::Done => Round::End(Outcome::Done),
            Next::After(wait) => Round::End(Outcome::After(wait)),
            Next::Backoff(why) => Round::End(Outcome::retry(why)),
        }
    }

    fn plan(&self, key: &ObjectKey, content: &VolumeSnapshotContent, run: &Run) -> Plan {
        let memory = self.memory(key, content);
        let name = content
            .spec
            .volume_snapshot_class_name
            .as_deref()
            .filter(|name| !name.is_empty());
        let class = name.map(|name| self.classes.get(&ObjectKey::cluster(name)));
        let class = match (name, &class) {
            (Some(_), Some(Some(class))) => ClassLookup::Found(class),
            (Some(name), _) => ClassLookup::Absent(name),
            (None, _) => ClassLookup::NotNamed,
        };
        let observed = Observed {
            content,
            class,
            secret: run.secret.as_ref(),
            reply: run.reply.as_ref(),
            memory: &memory,
            settings: &self.settings,
        };
        plan(&observed, self.clock.now())
    }

    /// The reply stays with the run, so that no call is repeated because a write of its answer was refused.
    async fn refused(
        &self,
        key: &ObjectKey,
        content: &VolumeSnapshotContent,
        run: &mut Run,
        error: ApiError,
    ) -> Round {
        match error.class() {
            ApiErrorClass::NotFound => {
                let uid = content.metadata.uid.as_deref().unwrap_or_default();
                self.executor.contents.record_deleted(key, uid);
                Round::Again
            }
            ApiErrorClass::Conflict => {
                run.conflicts += 1;
                if run.conflicts > PATIENT_CONFLICTS {
                    return Round::End(Outcome::retry(error));
                }
                self.catch_up(key, content).await;
                Round::Again
            }
            _ => match error.retry_after() {
                Some(wait) => Round::End(Outcome::After(wait)),
                None => Round::End(Outcome::retry(error)),
            },
        }
    }

    /// Waits until the cache has passed what was observed; failing that, one GET (decision 17).
    async fn catch_up(&self, key: &ObjectKey, content: &VolumeSnapshotContent) {
        let version = content.metadata.resource_version.as_deref().unwrap_or_default();
        if self.executor.contents.passes(key, version, CACHE_PATIENCE).await {
            return;
        }
        match self.executor.writer.get(key).await {
            Ok(found) => {
                self.executor.contents.record(found);
            }
            Err(error) if error.class() == ApiErrorClass::NotFound => {
                let uid = content.metadata.uid.as_deref().unwrap_or_default();
                self.executor.contents.record_deleted(key, uid);
            }
            Err(error) => tracing::debug!(%key, %error, "cannot read the content after a conflict"),
        }
    }

    /// That of this very object: another one of the same name starts afresh.
    fn memory(&self, key: &ObjectKey, content: &VolumeSnapshotContent) -> Memory {
        let memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        match memories.get(key) {
            Some((uid, memory)) if Some(uid) == content.metadata.uid.as_ref() => memory.clone(),
            _ => Memory::default(),
        }
    }

    fn remember(&self, key: &ObjectKey, content: &VolumeSnapshotContent, memory: Memory) {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        if memory == Memory::default() || content_is_settled(content) {
            memories.remove(key);
        } else {
            memories.insert(
                key.clone(),
                (content.metadata.uid.clone().unwrap_or_default(), memory),
            );
        }
    }

    fn forget(&self, key: &ObjectKey) {
        self.memories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

/// A ready snapshot needs no memory, so memory does not grow with their number.
fn content_is_settled(content: &VolumeSnapshotContent) -> bool {
    let ready = content.status.as_ref().and_then(|status| status.ready_to_use);
    ready == Some(true) && content.metadata.deletion_timestamp.is_none()
}
