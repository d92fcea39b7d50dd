//! One claim at a time: observe, plan, take the steps, until the plan says when to look again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::{Backoff, Clock, Outcome, Random, Reconcile};
use runtime::cache::Cached;
use runtime::objects::{Claim, Quantity, ResizeStatus, Volume};
use runtime::{ApiError, ApiErrorClass, Cache, ObjectKey, Writer};

use crate::execute::{Done, Executor, Refused};
use crate::observe::{Attempt, Hold, Memory, Observed, SecretRead, Settings};
use crate::plan::{Next, Plan, Step, attempt, later, plan};
use crate::usage::Usages;

/// Rounds of one run; the longest path needs six. More would be a rule that never settles.
const MOST_ROUNDS: usize = 12;
/// How long a cache may take to pass a version that was refused (decision 17).
const CACHE_PATIENCE: Duration = Duration::from_secs(1);
/// Conflicts in a row that are planned anew at once.
const PATIENT_CONFLICTS: u32 = 2;

/// Works on claims.
pub(crate) struct Controller {
    pub(crate) executor: Executor,
    pub(crate) usages: Usages,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) settings: Settings,
    pub(crate) backoff: Backoff,
    pub(crate) memories: Mutex<BTreeMap<ObjectKey, (String, Memory)>>,
}

/// What one run has brought so far.
#[derive(Default)]
struct Run {
    secret: Option<SecretRead>,
    conflicts: u32,
}

/// The objects of one round.
struct Seen {
    claim: Arc<Claim>,
    volume: Option<Arc<Volume>>,
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
        for _ in 0..MOST_ROUNDS {
            let Some(claim) = self.executor.claims.get(key) else {
                self.memories().remove(key);
                self.usages.forget(key);
                return Outcome::Done;
            };
            let volume = claim.volume_name.as_ref();
            let volume = volume.and_then(|name| self.executor.volumes.get(&ObjectKey::cluster(name)));
            match self.round(key, &Seen { claim, volume }, &mut run).await {
                Round::Again => {}
                Round::End(outcome) => return outcome,
            }
        }
        Outcome::retry("the claim does not settle")
    }
}

impl Controller {
    async fn round(&self, key: &ObjectKey, seen: &Seen, run: &mut Run) -> Round {
        let memory = self.memory(key, &seen.claim);
        let observed = Observed {
            claim: &seen.claim,
            volume: seen.volume.as_deref(),
            secret: run.secret.as_ref(),
            usage: self.usages.of(key, &seen.claim, memory.in_use_since.is_some()),
            memory: &memory,
            settings: &self.settings,
        };
        let mut plan = plan(&observed, self.clock.now());
        for step in &plan.steps {
            if matches!(step, Step::Expand(_)) {
                // Known even if the call never returns.
                self.remember(key, &seen.claim, plan.memory.clone());
            }
            let taken = self
                .executor
                .take(&seen.claim, seen.volume.as_deref(), step, run.secret.as_ref());
            match taken.await {
                Ok(Done::Written) => {}
                Ok(Done::Secret(read)) => run.secret = Some(read),
                Ok(Done::Expanded(outcome)) => {
                    let Step::Expand(call) = step else { continue };
                    let Some(volume) = &seen.volume else { continue };
                    plan.memory.attempt = Some(Attempt {
                        outcome,
                        ..attempt::begun(&seen.claim, volume, call.target)
                    });
                }
                Err(refused) => return self.refused(key, seen, run, refused).await,
            }
        }
        if !plan.steps.is_empty() {
            run.conflicts = 0;
        }
        self.conclude(key, seen, plan)
    }

    fn conclude(&self, key: &ObjectKey, seen: &Seen, plan: Plan) -> Round {
        let Plan { mut memory, next, .. } = plan;
        let ended = match next {
            Next::Again => Round::Again,
            Next::Done => Round::End(Outcome::Done),
            Next::After(wait) => Round::End(Outcome::After(wait)),
            Next::Backoff { why, target } => {
                memory.failures = memory.failures.saturating_add(1);
                let wait = self.backoff.after(memory.failures, &self.random);
                memory.hold = Some(self.hold(target, wait));
                let failures = memory.failures;
                tracing::warn!(%key, failures, ?wait, "failed: {why}");
                Round::End(Outcome::After(wait))
            }
        };
        if memory.in_use_since.is_none() {
            self.usages.forget(key);
        }
        self.remember(key, &seen.claim, memory);
        ended
    }

    /// Whatever wakes the claim does not shorten a back-off; another size has its own, except without recovery.
    fn hold(&self, target: Quantity, wait: Duration) -> Hold {
        Hold {
            until: later(self.clock.now(), wait),
            target: Some(target).filter(|_| self.settings.recover),
        }
    }

    /// What is remembered stays, so that no call is repeated because a write was refused.
    async fn refused(&self, key: &ObjectKey, seen: &Seen, run: &mut Run, refused: Refused) -> Round {
        let (error, executor) = (refused.error(), &self.executor);
        let stale = match error.class() {
            ApiErrorClass::Conflict => true,
            // A wrong UID is answered so by some servers.
            ApiErrorClass::Invalid => run.conflicts == 0,
            ApiErrorClass::NotFound => {
                match &refused {
                    Refused::Claim(_) => gone(&executor.claims, &*seen.claim),
                    Refused::Volume(_) => {
                        seen.volume
                            .iter()
                            .for_each(|volume| gone(&executor.volumes, &**volume));
                    }
                    Refused::Other(_) => {}
                }
                return Round::Again;
            }
            _ => false,
        };
        if !stale || run.conflicts >= PATIENT_CONFLICTS {
            return Round::End(match error.retry_after() {
                Some(wait) => Outcome::After(wait),
                None => Outcome::retry(refused.error().clone()),
            });
        }
        run.conflicts += 1;
        tracing::debug!(%key, %error, "another writer was faster");
        match (&refused, &seen.volume) {
            (Refused::Volume(_), Some(volume)) => {
                catch_up(&executor.volumes, &executor.volume_writer, &**volume).await;
            }
            (Refused::Claim(_), _) => {
                catch_up(&executor.claims, &executor.claim_writer, &*seen.claim).await;
            }
            _ => {}
        }
        Round::Again
    }

    /// That of this very object: another one of the same name starts afresh. An infeasible size that somebody else
    /// tried is tried again at some time within the usual wait, not at once (Q15).
    fn memory(&self, key: &ObjectKey, claim: &Claim) -> Memory {
        if let Some((uid, memory)) = self.memories().get(key)
            && Some(uid) == claim.metadata.uid.as_ref()
        {
            return memory.clone();
        }
        if claim.resize != Some(ResizeStatus::ControllerResizeInfeasible) {
            return Memory::default();
        }
        let longest = u64::try_from(self.settings.retry_interval_max.as_millis()).unwrap_or(u64::MAX);
        let wait = Duration::from_millis(self.random.below(longest.max(1)));
        let memory = Memory {
            slow_until: Some(later(self.clock.now(), wait)),
            ..Memory::default()
        };
        self.remember(key, claim, memory.clone());
        memory
    }

    fn remember(&self, key: &ObjectKey, claim: &Claim, memory: Memory) {
        if memory == Memory::default() {
            self.memories().remove(key);
        } else {
            let uid = claim.metadata.uid.clone().unwrap_or_default();
            self.memories().insert(key.clone(), (uid, memory));
        }
    }

    fn memories(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, (String, Memory)>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refused {
    fn error(&self) -> &ApiError {
        match self {
            Self::Claim(error) | Self::Volume(error) | Self::Other(error) => error,
        }
    }
}

fn gone<K: Cached>(cache: &Cache<K>, object: &K) {
    let uid = object.meta().uid.as_deref().unwrap_or_default();
    cache.record_deleted(&ObjectKey::of(object), uid);
}

/// Waits until the cache has passed what was observed; failing that, one GET (decision 17).
async fn catch_up<K: Cached>(cache: &Cache<K>, writer: &Writer<K>, object: &K) {
    let key = ObjectKey::of(object);
    let version = object.meta().resource_version.as_deref().unwrap_or_default();
    if cache.passes(&key, version, CACHE_PATIENCE).await {
        return;
    }
    match writer.get(&key).await {
        Ok(found) => {
            cache.record(found);
        }
        Err(error) if error.class() == ApiErrorClass::NotFound => gone(cache, object),
        Err(error) => tracing::debug!(%key, %error, "cannot read the object after a conflict"),
    }
}
