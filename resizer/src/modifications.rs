//! The rules for attributes classes of claims as the frame runs them.

use std::sync::Arc;

use async_trait::async_trait;
use controller::{CallFailure, Controller, Failure, Known, Objects, Part, Past, Run, SecretRead};
use csi::Operation;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::objects::{AttributesClass, Claim, ModifyStatus, Volume};
use runtime::{Cache, ObjectKey};

use crate::calls::Calls;
use crate::claims::{reference, share_of};
use crate::observe::Settings;
use crate::plan::later;
use crate::plan::modify::{Attempt, Memory, Observed, Plan, Slow, Step, attempt, plan};
use crate::status::StatusWriter;
use crate::{events, patch};

/// Works on the classes of claims.
pub(crate) struct Modifications {
    pub(crate) statuses: StatusWriter,
    pub(crate) volumes: Objects<Volume>,
    /// None where classes are not applied.
    pub(crate) classes: Option<Cache<AttributesClass>>,
    pub(crate) calls: Calls,
    pub(crate) settings: Settings,
}

/// The objects of one round.
pub(crate) struct Seen {
    claim: Arc<Claim>,
    volume: Option<Arc<Volume>>,
    wanted: Option<Arc<AttributesClass>>,
    target: Option<Arc<AttributesClass>>,
}

#[async_trait]
impl Controller for Modifications {
    type Seen = Seen;
    type Memory = Memory;
    type Step = Step;
    type Answer = Attempt;

    fn observe(&self, key: &ObjectKey) -> Option<Seen> {
        let claim = self.statuses.claims().cache().get(key)?;
        let volume = claim.volume_name.as_ref();
        let target = claim.modify().and_then(|modify| modify.target.as_deref());
        Some(Seen {
            volume: volume.and_then(|name| self.volumes.cache().get(&ObjectKey::cluster(name))),
            wanted: self.class(claim.wanted_class()),
            target: self.class(target),
            claim,
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
        if let Some(attempt) = run.answers.last() {
            memory.attempt = Some(attempt.clone());
        }
        let classes = self.classes.as_ref();
        let observed = Observed {
            claim: &seen.claim,
            volume: seen.volume.as_deref(),
            wanted: seen.wanted.as_deref(),
            target: seen.target.as_deref(),
            classes_followed: classes.is_some_and(Cache::is_followed),
            secret: run.secret.as_ref(),
            memory: &memory,
            retries: &past.retries,
            settings: &self.settings,
        };
        let plan = plan(&observed, now);
        match plan.at_once {
            // A good answer outlives a write that is refused (decision 26).
            None if memory != past.memory => plan.remembering_at_once(memory),
            _ => plan,
        }
    }

    async fn take(&self, seen: &Seen, step: &Step, run: &Run<Attempt>) -> Result<Option<Attempt>, Failure> {
        match (step, &seen.volume) {
            (Step::Claim(change), _) => self.statuses.write(&seen.claim, change).await?,
            (Step::Volume(class), Some(volume)) => {
                let patch = patch::of_class(volume, class);
                let known = Known::of(&**volume);
                self.volumes.patch(&known, Part::Main, &patch).await?;
            }
            (Step::Modify(call), Some(volume)) => {
                let secrets = SecretRead::data(run.secret.as_ref());
                let outcome = self.calls.modify(call, secrets).await;
                return Ok(Some(Attempt {
                    outcome,
                    ..attempt::begun(volume, &call.class)
                }));
            }
            // A plan without a volume neither writes nor changes one.
            (Step::Volume(_) | Step::Modify(_), None) => {}
        }
        Ok(None)
    }

    fn refusal_reason(&self, _step: &Step) -> &'static str {
        events::MODIFY_FAILED
    }

    fn driver<'a>(&'a self, _seen: &'a Seen) -> &'a str {
        &self.settings.driver
    }

    fn failed_call<'a>(&self, answer: &'a Attempt) -> Option<(Operation, &'a CallFailure)> {
        let failure = answer.outcome.as_ref().err()?;
        Some((Operation::ModifyVolume, failure))
    }
}

impl Modifications {
    fn class(&self, name: Option<&str>) -> Option<Arc<AttributesClass>> {
        self.classes.as_ref()?.get(&ObjectKey::cluster(name?))
    }

    /// An infeasible class that somebody else tried is tried again at some time within the usual wait, not at once, and
    /// not for all claims at once (Q15).
    fn remembered(&self, seen: &Seen, past: &Past<Memory>, now: Timestamp) -> Memory {
        let modify = seen.claim.modify();
        let infeasible = modify.filter(|modify| modify.status == ModifyStatus::Infeasible);
        let target = infeasible.and_then(|modify| modify.target.clone());
        let Some(class) = target.filter(|_| *past == Past::default()) else {
            return past.memory.clone();
        };
        let longest = self.settings.retry_interval_max;
        Memory {
            slow: Some(Slow {
                class,
                until: later(now, longest.mul_f64(share_of(&seen.claim))),
            }),
            ..Memory::default()
        }
    }
}
