//! Writing a claim's finalizers: PATCH where the role grants it, else GET and PUT (decision 7).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use controller::{Failure, Known, Objects, Part};
use crds::names;
use runtime::objects::Claim;
use runtime::{ApiError, ObjectKey};
use serde_json::{Value, json};

use crate::plan::{ClaimChange, ClaimIntent};

/// How claims may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimVerb {
    /// Our own role: one PATCH.
    Patch,
    /// Upstream's role has `update` only.
    Put,
}

/// Writes claims.
pub(crate) struct ClaimWriter {
    claims: Objects<Claim>,
    verb: ClaimVerb,
    /// Claims that were protected by PUT, whole, so that their release needs no second GET. Empty with PATCH.
    kept: Mutex<BTreeMap<ObjectKey, Value>>,
}

impl ClaimWriter {
    pub(crate) fn new(claims: Objects<Claim>, verb: ClaimVerb) -> Self {
        Self {
            claims,
            verb,
            kept: Mutex::default(),
        }
    }

    /// Sends the change: PATCH, or PUT with at most one GET before it.
    pub(crate) async fn change(&self, change: &ClaimChange) -> Result<(), Failure> {
        let key = &change.key;
        let known = self.claims.cache().get(key).map(|claim| Known::of(&*claim));
        let known = known.unwrap_or_else(|| Known {
            key: key.clone(),
            uid: change.uid.clone(),
            version: String::new(),
        });
        match self.verb {
            ClaimVerb::Patch => self.claims.patch(&known, Part::Main, &change.change).await,
            ClaimVerb::Put => self.claims.settle(&known, self.put(key, change).await),
        }
    }

    async fn put(&self, key: &ObjectKey, change: &ClaimChange) -> Result<Claim, ApiError> {
        let kept = self.kept().remove(key);
        let mut object = match kept.filter(|kept| kept["metadata"]["uid"] == json!(change.uid)) {
            Some(kept) => kept,
            None => self.claims.writer().get_raw(key).await?,
        };
        // A stale list of field managers must not be sent back; without one the API server keeps its own.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        // Another claim of that name is refused by its UID.
        object["metadata"]["uid"] = json!(change.uid);
        set_finalizer(&mut object, change.intent);
        let written = self.claims.writer().replace_raw(key, &object).await?;
        if change.intent == ClaimIntent::Protect {
            object["metadata"]["resourceVersion"] = json!(written.metadata.resource_version);
            self.kept().insert(key.clone(), object);
        }
        Ok(written)
    }

    /// Drops what was kept of a claim that is gone.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.kept().remove(key);
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Value>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_finalizer(claim: &mut Value, intent: ClaimIntent) {
    let ours = json!(names::CLAIM_FINALIZER);
    let mut finalizers = claim["metadata"]["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    match intent {
        ClaimIntent::Protect if finalizers.contains(&ours) => {}
        ClaimIntent::Protect => finalizers.push(ours),
        ClaimIntent::Release => finalizers.retain(|name| *name != ours),
    }
    claim["metadata"]["finalizers"] = Value::Array(finalizers);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_finalizer_is_changed() {
        let mut claim = json!({"metadata": {"name": "p", "finalizers": ["theirs"]}});
        set_finalizer(&mut claim, ClaimIntent::Protect);
        set_finalizer(&mut claim, ClaimIntent::Protect);
        assert_eq!(
            claim["metadata"]["finalizers"],
            json!(["theirs", names::CLAIM_FINALIZER])
        );
        set_finalizer(&mut claim, ClaimIntent::Release);
        assert_eq!(claim["metadata"]["finalizers"], json!(["theirs"]));
        let mut bare = json!({"metadata": {"name": "p"}});
        set_finalizer(&mut bare, ClaimIntent::Protect);
        assert_eq!(bare["metadata"]["finalizers"], json!([names::CLAIM_FINALIZER]));
    }
}
