//! One key at a time: observe, plan, take the steps, until a plan says when to look again.

use std::sync::Arc;

use async_trait::async_trait;
use base::{Clock, Outcome, Reconcile};
use runtime::ObjectKey;

use crate::error::Failure;
use crate::execute::{Answers, Executor, Subject};
use crate::metrics::Metrics;
use crate::plan::{self, Next, Plan};

/// Rounds of one run; the longest path needs four. More would be a rule that never settles.
const MOST_ROUNDS: usize = 8;

/// What the reconcilers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) executor: Arc<Executor>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

/// Works on VolumeSnapshots.
pub(crate) struct Snapshots(pub(crate) Shared);

/// Works on VolumeSnapshotContents.
pub(crate) struct Contents(pub(crate) Shared);

/// Works on claims that carry our finalizer.
pub(crate) struct Claims(pub(crate) Shared);

#[async_trait]
impl Reconcile<ObjectKey> for Snapshots {
    async fn reconcile(&self, key: &ObjectKey) -> Outcome {
        let shared = &self.0;
        rounds(shared, |_| {
            let observed = shared.executor.caches.snapshot(key)?;
            shared.metrics.see(&observed, shared.clock.now());
            let plan = plan::plan(&observed, shared.clock.now());
            Some((Subject::of(&*observed.snapshot), plan))
        })
        .await
    }
}

#[async_trait]
impl Reconcile<ObjectKey> for Contents {
    async fn reconcile(&self, key: &ObjectKey) -> Outcome {
        let shared = &self.0;
        rounds(shared, |answers| {
            let observed = shared.executor.caches.content(key, answers.snapshot_is_gone)?;
            Some((Subject::of(&*observed.content), plan::content::plan(&observed)))
        })
        .await
    }
}

#[async_trait]
impl Reconcile<ObjectKey> for Claims {
    async fn reconcile(&self, key: &ObjectKey) -> Outcome {
        let executor = &self.0.executor;
        rounds(&self.0, |_| {
            let Some(observed) = executor.caches.claim(key) else {
                executor.claims.forget(key);
                return None;
            };
            let claim = executor.caches.claims.get(key)?;
            Some((Subject::of(&*claim), plan::protect::plan(&observed)))
        })
        .await
    }
}

/// Observes and plans with `next`, until there is nothing to do now. `next` is given the answers to the reads of
/// the round before; none means that the object is gone.
async fn rounds(shared: &Shared, next: impl Fn(Answers) -> Option<(Subject, Plan)>) -> Outcome {
    let mut answers = Answers::default();
    for _ in 0..MOST_ROUNDS {
        let Some((subject, plan)) = next(answers) else {
            return Outcome::Done;
        };
        if plan.steps.is_empty() && plan.next == Next::Await {
            return Outcome::Done;
        }
        answers = match shared.executor.take(&subject, &plan.steps).await {
            Ok(answers) => answers,
            Err(Failure::Outdated) => return Outcome::Conflict,
            Err(Failure::Api(error)) => {
                return match error.retry_after() {
                    Some(wait) => Outcome::After(wait),
                    None => Outcome::retry(error),
                };
            }
        };
        match plan.next {
            Next::Retry(refusal) => return Outcome::retry(refusal),
            Next::Again | Next::Await => {}
        }
    }
    Outcome::retry("the object does not settle")
}
