//! Claims whose CreateVolume has no final answer, or whose volume is not saved: they are worked on although they may be gone
//! (sidecars.md 2.9, Q28), and what they are made from stays protected (Q11).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime::ObjectKey;
use runtime::objects::Claim;

use crate::plan::source::SourceKey;

/// Those claims, by their keys in the queue. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Busy(Arc<Mutex<BTreeMap<ObjectKey, Entry>>>);

struct Entry {
    claim: Arc<Claim>,
    source: Option<SourceKey>,
}

impl Busy {
    /// The claim as it was when something was begun for it.
    pub(crate) fn claim(&self, key: &ObjectKey) -> Option<Arc<Claim>> {
        self.lock().get(key).map(|entry| entry.claim.clone())
    }

    /// Something is under way for the claim.
    pub(crate) fn begin(&self, key: &ObjectKey, claim: &Arc<Claim>, source: Option<&SourceKey>) {
        self.lock().entry(key.clone()).or_insert_with(|| Entry {
            claim: claim.clone(),
            source: source.cloned(),
        });
    }

    /// Nothing is any more; what its volume was made from, if it was under way.
    pub(crate) fn end(&self, key: &ObjectKey) -> Option<SourceKey> {
        self.lock().remove(key)?.source
    }

    /// The UIDs of the claims.
    pub(crate) fn uids(&self) -> Vec<String> {
        self.lock().keys().map(|key| key.name.clone()).collect()
    }

    /// Whether a volume is being made from it.
    pub(crate) fn uses(&self, source: &SourceKey) -> bool {
        self.lock()
            .values()
            .any(|entry| entry.source.as_ref() == Some(source))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
