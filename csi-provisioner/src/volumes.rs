//! The rules for volumes as the frame runs them.

use std::sync::Arc;

use async_trait::async_trait;
use controller::patch::{self, Change};
use controller::{CallFailure, Failure, Known, Next, Objects, Part, Past, Run, SecretAnswer};
use csi::Operation;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::storage::v1::StorageClass;
use runtime::objects::{Attachment, PROVISIONER_FINALIZER, Volume};
use runtime::{Cache, ObjectKey, migration};
use tokio::time::Instant;

use crate::calls::Calls;
use crate::capacity::Refresh;
use crate::deletion::{self, Answer, Memory, Observed, Plan, Step};
use crate::events;
use crate::metrics::Metrics;
use crate::observe::Settings;
use crate::triggers::BY_VOLUME;

/// Works on volumes.
pub(crate) struct Volumes {
    pub(crate) volumes: Objects<Volume>,
    pub(crate) classes: Cache<StorageClass>,
    /// None for a driver that attaches nothing.
    pub(crate) attachments: Option<Cache<Attachment>>,
    pub(crate) calls: Calls,
    /// None where no capacity is published.
    pub(crate) refresh: Option<Refresh>,
    pub(crate) metrics: Metrics,
    pub(crate) settings: Settings,
}

/// The objects of one round.
pub(crate) struct Seen {
    volume: Arc<Volume>,
    class: Option<Arc<StorageClass>>,
    attached_to: Option<String>,
}

impl Seen {
    fn class_name(&self) -> &str {
        self.volume.class.as_deref().unwrap_or_default()
    }
}

#[async_trait]
impl controller::Controller for Volumes {
    type Seen = Seen;
    type Memory = Memory;
    type Step = Step;
    type Answer = Answer;

    fn observe(&self, key: &ObjectKey) -> Option<Seen> {
        let volume = self.volumes.cache().get(key)?;
        let class = volume.class.as_deref().map(ObjectKey::cluster);
        let attachment = self
            .attachments
            .as_ref()
            .and_then(|cache| cache.find(BY_VOLUME, &key.name, |_| true));
        Some(Seen {
            class: class.and_then(|key| self.classes.get(&key)),
            attached_to: attachment.map(|attachment| attachment.node.clone()),
            volume,
        })
    }

    fn uid<'a>(&self, seen: &'a Seen) -> &'a str {
        seen.volume.metadata.uid.as_deref().unwrap_or_default()
    }

    fn reference(&self, seen: &Seen) -> ObjectReference {
        let metadata = &seen.volume.metadata;
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("PersistentVolume".to_owned()),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            ..ObjectReference::default()
        }
    }

    fn plan(&self, seen: &Seen, past: &Past<Memory>, run: &Run<Answer>, now: Timestamp) -> Plan {
        let observed = Observed {
            volume: &seen.volume,
            attached_to: seen.attached_to.as_deref(),
            class: seen.class.as_deref(),
            secret: run.secret.as_ref(),
            answer: run.answers.last(),
            memory: &past.memory,
            retries: &past.retries,
            settings: &self.settings,
        };
        let plan = deletion::plan(&observed, now);
        if matches!(plan.next, Next::Backoff(_)) {
            self.metrics.not_deleted(seen.class_name());
        }
        plan
    }

    async fn take(&self, seen: &Seen, step: &Step, run: &Run<Answer>) -> Result<Option<Answer>, Failure> {
        let (volume, known) = (&seen.volume, Known::of(&*seen.volume));
        let metadata = &volume.metadata;
        let mut operations = vec![patch::same_object(metadata.uid.as_deref())];
        match step {
            Step::Protect => {
                let seen = metadata.finalizers.as_deref();
                operations.extend(patch::add_finalizers(seen, &[PROVISIONER_FINALIZER]));
            }
            Step::Release(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                operations.extend(patch::remove_finalizers(patch::finalizers(metadata), &names));
            }
            Step::Remove => {
                self.volumes.delete(&known).await?;
                return Ok(None);
            }
            Step::Delete { handle, is_migrated } => {
                return Ok(Some(self.delete(seen, handle, *is_migrated, run).await));
            }
        }
        self.volumes
            .patch(&known, Part::Main, &Change::json(operations))
            .await?;
        Ok(None)
    }

    fn refusal_reason(&self, _step: &Step) -> &'static str {
        events::DELETE_FAILED
    }

    fn driver<'a>(&'a self, _seen: &'a Seen) -> &'a str {
        &self.settings.driver.name
    }

    fn failed_call<'a>(&self, answer: &'a Answer) -> Option<(Operation, &'a CallFailure)> {
        let failure = answer.as_ref().err()?;
        Some((Operation::DeleteVolume, failure))
    }
}

impl Volumes {
    async fn delete(&self, seen: &Seen, handle: &str, is_migrated: bool, run: &Run<Answer>) -> Answer {
        let secret = run.secret.as_ref();
        if let Some(read) = secret
            && !matches!(read.answer, SecretAnswer::Found(_))
        {
            let (namespace, name) = (&read.secret.namespace, &read.secret.name);
            tracing::warn!(
                namespace,
                name,
                "a volume is deleted without its secret, which cannot be read"
            );
        }
        let began = Instant::now();
        let outcome = self.calls.delete(handle, secret, is_migrated).await;
        if outcome.is_ok() {
            self.metrics.deleted(seen.class_name(), began.elapsed());
            if let Some(refresh) = &self.refresh {
                refresh.deleted(migration::affinity_of(&seen.volume).as_deref());
            }
        }
        outcome
    }
}
