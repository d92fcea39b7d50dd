//! Claims whose CreateVolume has no final answer, or whose volume is not saved: they are worked on although they may be gone
//! (sidecars.md 2.9, Q28), and what they are made from stays protected (Q11). With the sources whose protection is on its way out:
//! a claim that comes now must not trust it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime::ObjectKey;
use runtime::objects::Claim;

use crate::plan::source::SourceKey;

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

    /// Whether it is being taken away. To be asked before the source is looked at.
    pub(crate) fn is_let_go(&self, source: &SourceKey) -> bool {
        self.lock().let_go.contains(source)
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
