//! The rules for claims as the frame runs them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use async_trait::async_trait;
use controller::{CallFailure, Failure, Known, Objects, Part, Past, Run, SecretRead};
use csi::Operation;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::objects::{AttributesClass, Claim, ResizeStatus, Volume};
use runtime::{Cache, ObjectKey};

use crate::calls::Calls;
use crate::observe::{Attempt, Memory, Observed, Settings, Usage};
use crate::plan::{Plan, Step, attempt, later, modify, plan};
use crate::status::StatusWriter;
use crate::usage::Usages;
use crate::{events, patch};

/// Works on claims.
pub(crate) struct Claims {
    pub(crate) statuses: StatusWriter,
    /// None where classes are not applied.
    pub(crate) classes: Option<Cache<AttributesClass>>,
    pub(crate) volumes: Objects<Volume>,
    pub(crate) usages: Usages,
    pub(crate) calls: Calls,
    pub(crate) settings: Settings,
}

/// The objects of one round.
pub(crate) struct Seen {
    key: ObjectKey,
    claim: Arc<Claim>,
    volume: Option<Arc<Volume>>,
}

#[async_trait]
impl controller::Controller for Claims {
    type Seen = Seen;
    type Memory = Memory;
    type Step = Step;
    type Answer = Attempt;

    fn observe(&self, key: &ObjectKey) -> Option<Seen> {
        let Some(claim) = self.statuses.claims().cache().get(key) else {
            self.usages.forget(key);
            return None;
        };
        let volume = claim.volume_name.as_ref();
        let volume = volume.and_then(|name| self.volumes.cache().get(&ObjectKey::cluster(name)));
        Some(Seen {
            key: key.clone(),
            claim,
            volume,
        })
    }

    fn uid<'a>(&self, seen: &'a Seen) -> &'a str {
        seen.claim.metadata.uid.as_deref().unwrap_or_default()
    }

    fn reference(&self, seen: &Seen) -> ObjectReference {
        reference(&seen.claim)
    }

    fn plan(&self, seen: &Seen, past: &Past<Memory>, run: &Run<Attempt>, now: Timestamp) -> Plan {
        let mut memory = self.remembered(seen, past, now);
        let answered = run.answers.last();
        if let Some(attempt) = answered {
            memory.attempt = Some(attempt.clone());
        }
        let wanted = seen.claim.wanted_class().map(ObjectKey::cluster);
        let class = wanted.and_then(|key| self.classes.as_ref()?.get(&key));
        let observed = Observed {
            begins_class: modify::begins(
                &seen.claim,
                seen.volume.as_deref(),
                class.as_deref(),
                &self.settings,
            ),
            claim: &seen.claim,
            volume: seen.volume.as_deref(),
            secret: run.secret.as_ref(),
            usage: self.usage(seen, &memory),
            memory: &memory,
            retries: &past.retries,
            settings: &self.settings,
        };
        let plan = plan(&observed, now);
        if plan.memory.in_use_since.is_none() {
            self.usages.forget(&seen.key);
        }
        match plan.at_once {
            // A good answer outlives a write that is refused (decision 26).
            None if memory != past.memory => plan.remembering_at_once(memory),
            _ => plan,
        }
    }

    async fn take(&self, seen: &Seen, step: &Step, run: &Run<Attempt>) -> Result<Option<Attempt>, Failure> {
        match (step, &seen.volume) {
            (Step::Claim(change), _) => self.statuses.write(&seen.claim, change).await?,
            (Step::Volume(change), Some(volume)) => {
                let patch = patch::of_volume(volume, *change);
                let known = Known::of(&**volume);
                self.volumes.patch(&known, Part::Main, &patch).await?;
            }
            (Step::Expand(call), Some(volume)) => {
                let secrets = SecretRead::data(run.secret.as_ref());
                let outcome = self.calls.expand(call, secrets).await;
                return Ok(Some(Attempt {
                    outcome,
                    ..attempt::begun(&seen.claim, volume, call.target)
                }));
            }
            // A plan without a volume neither writes nor grows one.
            (Step::Volume(_) | Step::Expand(_), None) => {}
        }
        Ok(None)
    }

    fn refusal_reason(&self, _step: &Step) -> &'static str {
        events::FAILED
    }

    fn driver<'a>(&'a self, _seen: &'a Seen) -> &'a str {
        &self.settings.driver
    }

    fn failed_call<'a>(&self, answer: &'a Attempt) -> Option<(Operation, &'a CallFailure)> {
        let failure = answer.outcome.as_ref().err()?;
        Some((Operation::ExpandVolume, failure))
    }
}

impl Claims {
    /// An infeasible size that somebody else tried is tried again at some time within the usual wait, not at once, and
    /// not by all claims at once (Q15).
    fn remembered(&self, seen: &Seen, past: &Past<Memory>, now: Timestamp) -> Memory {
        let infeasible = seen.claim.resize == Some(ResizeStatus::ControllerResizeInfeasible);
        if !infeasible || *past != Past::default() {
            return past.memory.clone();
        }
        let longest = self.settings.retry_interval_max;
        Memory {
            slow_until: Some(later(now, longest.mul_f64(share_of(&seen.claim)))),
            ..Memory::default()
        }
    }

    /// What is watched follows what is remembered.
    fn usage(&self, seen: &Seen, memory: &Memory) -> Usage {
        self.usages
            .of(&seen.key, &seen.claim, memory.in_use_since.is_some())
    }
}

/// The claim, for the events about it.
pub(crate) fn reference(claim: &Claim) -> ObjectReference {
    let metadata = &claim.metadata;
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

/// From 0 to 1, the same for a claim each time.
pub(crate) fn share_of(claim: &Claim) -> f64 {
    let mut hasher = DefaultHasher::new();
    claim.metadata.uid.hash(&mut hasher);
    f64::from(u16::try_from(hasher.finish() % 1_000).unwrap_or_default()) / 1_000.0
}
