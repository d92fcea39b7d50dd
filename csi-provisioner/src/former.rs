//! Claims for which somebody may have had a volume made before: the process before this one, whose requests nobody remembers, or
//! this one by another request (sidecars.md Q4). The driver is asked what there is before it is asked for another volume.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime::Cache;
use runtime::objects::Claim;

use crate::observe::Settings;
use crate::plan::is_ours;

/// Those claims, by UID. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Former(Option<Arc<Mutex<BTreeSet<String>>>>);

impl Former {
    /// For a driver that can be asked.
    pub(crate) fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// A term begins: whatever waits now somebody else may have begun. What comes later is new.
    pub(crate) fn begin(&self, claims: &Cache<Claim>, settings: &Settings) {
        if self.0.is_none() {
            return;
        }
        claims.each(|claim| {
            let is_ours = claim.wish.as_deref().is_some_and(|wish| is_ours(wish, settings));
            if let (true, Some(uid)) = (is_ours, &claim.metadata.uid) {
                self.add(uid);
            }
        });
    }

    /// A volume of its name is there, and not by the request that is known.
    pub(crate) fn add(&self, uid: &str) {
        if let Some(mut known) = self.lock() {
            known.insert(uid.to_owned());
        }
    }

    /// It has its volume, or there is none.
    pub(crate) fn settle(&self, uid: &str) {
        if let Some(mut known) = self.lock() {
            known.remove(uid);
        }
    }

    pub(crate) fn has(&self, uid: &str) -> bool {
        self.lock().is_some_and(|known| known.contains(uid))
    }

    fn lock(&self) -> Option<MutexGuard<'_, BTreeSet<String>>> {
        let known = self.0.as_ref()?;
        Some(known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
