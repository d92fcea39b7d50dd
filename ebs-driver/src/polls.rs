//! Readiness of all pending snapshots in one DescribeSnapshots. Source: spec 1.7 (6), decision 15.
//!
//! The snapshotter asks for each pending snapshot by itself, at its own pace. A call to EC2 that one of them
//! causes asks for all of them, and a question that comes while such a call is outstanding, or shortly
//! after, is answered from it: for a snapshot that has been pending for a time, an answer counts for a tenth of
//! that time, at most five seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::ec2::Ec2;
use crate::ec2::batch::{Batcher, Batching};
use crate::ec2::errors::{Action, Ec2Error, Lost};
use crate::ec2::lookups::{MAX_SNAPSHOT_IDS, snapshots_by_id};
use crate::ec2::types::{Snapshot, SnapshotState};
use crate::metrics::Metrics;

/// A snapshot that nobody asked for in this time is no longer asked for with the others; the snapshotter
/// asks at least once a minute while its back-off is at the default.
const IDLE: Duration = Duration::from_secs(150);
/// The longest that an answer counts.
const MAX_FRESH: Duration = Duration::from_secs(5);

type Answer = Arc<Result<BTreeMap<String, Snapshot>, Ec2Error>>;
type Call = Shared<BoxFuture<'static, Answer>>;

/// The pending snapshots and their latest states.
#[derive(Clone)]
pub struct Polls {
    batcher: Batcher<Snapshot>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    pending: BTreeMap<String, Pending>,
    call: Option<(BTreeSet<String>, WeakShared<BoxFuture<'static, Answer>>)>,
}

struct Pending {
    since: Instant,
    asked: Instant,
    answer: Option<(Snapshot, Instant)>,
}

impl std::fmt::Debug for Polls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Polls").finish_non_exhaustive()
    }
}

impl Polls {
    /// No snapshot is pending yet.
    #[must_use]
    pub fn new(ec2: Arc<dyn Ec2>, metrics: Metrics) -> Self {
        let lookup = Arc::new(move |ids, deadline| {
            let ec2 = ec2.clone();
            async move { snapshots_by_id(ec2, ids, deadline).await }.boxed()
        });
        let (name, action) = ("snapshot_readiness", Action::DescribeSnapshots);
        Self {
            // What nobody asked for lately is not known here: such questions gather behind an outstanding call.
            batcher: Batcher::new(name, action, Batching::On, MAX_SNAPSHOT_IDS, lookup, metrics),
            state: Arc::default(),
        }
    }

    /// From now on this snapshot is asked for with the others, if it is pending.
    pub fn watch(&self, snapshot: &Snapshot) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if snapshot.state == SnapshotState::Pending {
            state.asked(&snapshot.id);
        }
    }

    /// The present state of a snapshot; `None` when EC2 does not know it.
    ///
    /// # Errors
    /// When EC2 cannot be asked before the deadline.
    pub async fn get(&self, id: &str, deadline: Deadline) -> Result<Option<Snapshot>, Ec2Error> {
        let call = match self.fresh_or_call(id) {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(call) => call,
        };
        match deadline.limit(call).await {
            Some(answer) => Ok(answer.as_ref().as_ref().map_err(Clone::clone)?.get(id).cloned()),
            None => Err(Ec2Error::lost(Action::DescribeSnapshots, Lost::Timeout, "")),
        }
    }

    /// An answer that still counts, the outstanding call that asks for this snapshot, or a new one for all.
    fn fresh_or_call(&self, id: &str) -> Result<Snapshot, Call> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(snapshot) = state.asked(id).fresh(now) {
            return Ok(snapshot);
        }
        if let Some((ids, call)) = &state.call
            && ids.contains(id)
            && let Some(call) = call.upgrade()
        {
            return Err(call);
        }
        state
            .pending
            .retain(|_, pending| now.duration_since(pending.asked) <= IDLE);
        let others = state.pending.keys().filter(|other| *other != id);
        let ids: BTreeSet<String> = others
            .take(MAX_SNAPSHOT_IDS - 1)
            .cloned()
            .chain([id.to_owned()])
            .collect();
        let call = ask(self.batcher.clone(), self.state.clone(), ids.clone())
            .boxed()
            .shared();
        if let Some(weak) = call.downgrade() {
            state.call = Some((ids, weak));
        }
        Err(call)
    }
}

impl State {
    fn asked(&mut self, id: &str) -> &mut Pending {
        let now = Instant::now();
        let pending = self.pending.entry(id.to_owned()).or_insert(Pending {
            since: now,
            asked: now,
            answer: None,
        });
        pending.asked = now;
        pending
    }
}

impl Pending {
    fn fresh(&self, now: Instant) -> Option<Snapshot> {
        let (snapshot, at) = self.answer.as_ref()?;
        let counts = (now.duration_since(self.since) / 10).min(MAX_FRESH);
        (now.duration_since(*at) <= counts).then(|| snapshot.clone())
    }
}

async fn ask(batcher: Batcher<Snapshot>, state: Arc<Mutex<State>>, ids: BTreeSet<String>) -> Answer {
    let answer = batcher.get_all(ids.clone(), Deadline::NONE).await;
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.call = state.call.take().filter(|(of_call, _)| *of_call != ids);
    if let Ok(found) = &answer {
        let now = Instant::now();
        for id in &ids {
            match found.get(id) {
                Some(snapshot) if snapshot.state == SnapshotState::Pending => {
                    if let Some(pending) = state.pending.get_mut(id) {
                        pending.answer = Some((snapshot.clone(), now));
                    }
                }
                _ => drop(state.pending.remove(id)),
            }
        }
    }
    Arc::new(answer)
}
