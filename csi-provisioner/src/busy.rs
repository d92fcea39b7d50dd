//! Claims whose CreateVolume has no final answer, or whose volume is not saved: they are worked on although they may be gone
//! (sidecars.md 2.9, Q28), and what they are made from stays protected (Q11). With the sources whose protection is on its way out:
//! a claim that comes now must not trust it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::Shared;
use runtime::ObjectKey;
use runtime::objects::Claim;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::plan::source::SourceKey;

/// Between two looks at a source for which claims wait.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Those claims and sources. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Busy(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By their keys in the queue.
    claims: BTreeMap<ObjectKey, Entry>,
    /// Sources of which a use has ended here, until it is settled whether they are let go.
    ended: BTreeSet<SourceKey>,
    let_go: BTreeSet<SourceKey>,
    /// Sources that are being protected, with how that has ended.
    protecting: BTreeMap<SourceKey, Ending>,
    /// Sources of which nobody knows whether they were let go, or protected, and when their guard was last woken for it.
    unclear: BTreeMap<SourceKey, Option<Instant>>,
}

struct Entry {
    claim: Arc<Claim>,
    source: Option<SourceKey>,
}

impl Busy {
    /// The claim as it was when something was begun for it.
    pub(crate) fn claim(&self, key: &ObjectKey) -> Option<Arc<Claim>> {
        self.lock().claims.get(key).map(|entry| entry.claim.clone())
    }

    /// Something is under way for the claim.
    pub(crate) fn begin(&self, key: &ObjectKey, claim: &Arc<Claim>, source: Option<&SourceKey>) {
        self.lock().claims.entry(key.clone()).or_insert_with(|| Entry {
            claim: claim.clone(),
            source: source.cloned(),
        });
    }

    /// Nothing is any more; what its volume was made from, if it was under way.
    pub(crate) fn end(&self, key: &ObjectKey) -> Option<SourceKey> {
        self.lock().claims.remove(key)?.source
    }

    /// The UIDs of the claims.
    pub(crate) fn uids(&self) -> Vec<String> {
        self.lock().claims.keys().map(|key| key.name.clone()).collect()
    }

    /// Whether a volume is being made from it.
    pub(crate) fn uses(&self, source: &SourceKey) -> bool {
        self.lock()
            .claims
            .values()
            .any(|entry| entry.source.as_ref() == Some(source))
    }

    /// A use of the source has ended here.
    pub(crate) fn note_end(&self, source: &SourceKey) {
        self.lock().ended.insert(source.clone());
    }

    /// Whether it is for us to let the source go: one has ended here and not on another node.
    pub(crate) fn has_ended(&self, source: &SourceKey) -> bool {
        self.lock().ended.contains(source)
    }

    /// It is let go, or used again.
    pub(crate) fn settle_end(&self, source: &SourceKey) {
        self.lock().ended.remove(source);
    }

    /// The protection of this source is being taken away until what is answered is dropped. Who uses the source is to be asked
    /// after that: a claim that is not seen then sees this.
    pub(crate) fn let_go(&self, source: &SourceKey) -> LettingGo {
        self.lock().let_go.insert(source.clone());
        LettingGo {
            busy: self.clone(),
            source: source.clone(),
        }
    }

    /// Whether it is being taken away, or may have been without anybody having seen the source since. To be asked before the source is
    /// looked at.
    pub(crate) fn is_let_go(&self, source: &SourceKey) -> bool {
        let state = self.lock();
        state.let_go.contains(source) || state.unclear.contains_key(source)
    }

    /// The protection may have been taken away, or put there: the answer is lost, and the watch may show it late.
    pub(crate) fn note_unclear(&self, source: &SourceKey) {
        self.lock().unclear.insert(source.clone(), None);
    }

    pub(crate) fn is_unclear(&self, source: &SourceKey) -> bool {
        self.lock().unclear.contains_key(source)
    }

    /// Whether the guard of an unclear source is to be woken, since a claim waits for it to be seen: true each few seconds, since the
    /// guard's look may have failed.
    pub(crate) fn is_to_be_seen(&self, source: &SourceKey) -> bool {
        let mut state = self.lock();
        let Some(woken) = state.unclear.get_mut(source) else {
            return false;
        };
        let is_due = woken.is_none_or(|woken| woken.elapsed() >= LOOK_AGAIN);
        if is_due {
            *woken = Some(Instant::now());
        }
        is_due
    }

    /// The source was seen since.
    pub(crate) fn settle_unclear(&self, source: &SourceKey) {
        self.lock().unclear.remove(source);
    }

    /// A claim wants the source protected.
    pub(crate) fn protect(&self, source: &SourceKey) -> Turn {
        let mut state = self.lock();
        if let Some(ending) = state.protecting.get(source) {
            return Turn::Theirs(ending.clone());
        }
        let (end, ending) = oneshot::channel();
        state.protecting.insert(source.clone(), Ending(ending.shared()));
        Turn::Ours(Protecting {
            busy: self.clone(),
            source: source.clone(),
            end: Some(end),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source whose protection is being taken away.
pub(crate) struct LettingGo {
    busy: Busy,
    source: SourceKey,
}

impl Drop for LettingGo {
    fn drop(&mut self) {
        self.busy.lock().let_go.remove(&self.source);
    }
}

/// How a protection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protected {
    Done,
    /// Our role does not let us.
    Denied,
}

/// Whose it is to protect a source.
pub(crate) enum Turn {
    /// Ours, until this is dropped.
    Ours(Protecting),
    /// Another claim's, which has begun.
    Theirs(Ending),
}

/// A source that is being protected.
pub(crate) struct Protecting {
    busy: Busy,
    source: SourceKey,
    end: Option<oneshot::Sender<Protected>>,
}

impl Protecting {
    /// Tells those who wait; those of one that was only dropped are told that it failed.
    pub(crate) fn end(mut self, how: Protected) {
        if let Some(end) = self.end.take() {
            // Nobody need wait.
            let _ = end.send(how);
        }
    }
}

impl Drop for Protecting {
    fn drop(&mut self) {
        self.busy.lock().protecting.remove(&self.source);
    }
}

/// The end of a protection that another claim has begun. Those who wait are woken in one order, so that schedules can be
/// replayed.
#[derive(Clone)]
pub(crate) struct Ending(Shared<oneshot::Receiver<Protected>>);

impl Ending {
    /// None where it failed.
    pub(crate) async fn wait(self) -> Option<Protected> {
        self.0.await.ok()
    }
}
