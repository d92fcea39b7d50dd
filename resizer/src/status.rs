//! The one writer of the status of claims: expansions and changes by class go on side by side, and each writes what it
//! has seen (Q5).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use controller::{Failure, Known, Objects, Part};
use runtime::objects::Claim;
use runtime::{ApiError, ObjectKey};

use crate::patch;
use crate::plan::ClaimChange;

/// Writes the status of claims, of each claim one change at a time. Clones are the same writer.
#[derive(Clone)]
pub(crate) struct StatusWriter {
    claims: Objects<Claim>,
    turns: Arc<Mutex<BTreeMap<ObjectKey, Weak<tokio::sync::Mutex<()>>>>>,
}

impl StatusWriter {
    pub(crate) fn new(claims: Objects<Claim>) -> Self {
        Self {
            claims,
            turns: Arc::default(),
        }
    }

    /// What is known of claims.
    pub(crate) fn claims(&self) -> &Objects<Claim> {
        &self.claims
    }

    /// PATCH of the status of a claim as it was seen. Where the other writer was faster nothing is sent.
    ///
    /// # Errors
    /// As [`Objects::patch`].
    pub(crate) async fn write(&self, seen: &Claim, change: &ClaimChange) -> Result<(), Failure> {
        let known = Known::of(seen);
        let turn = self.turn(&known.key);
        let _mine = turn.lock().await;
        let present = self.claims.cache().get(&known.key);
        if present.is_some_and(|present| Known::of(&*present) != known) {
            let why = "the claim was written meanwhile";
            return Err(Failure::outdated(ApiError::no_answer(why)));
        }
        let patch = patch::of_claim(seen, change);
        self.claims.patch(&known, Part::Status, &patch).await
    }

    fn turn(&self, key: &ObjectKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(key.clone(), Arc::downgrade(&turn));
        turn
    }
}
