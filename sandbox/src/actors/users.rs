//! Which pods mount which claims.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{claims_of, is_gone};
use crate::kube::Change;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// The pods of each claim, kept from the changes of the pods.
#[derive(Debug, Default)]
pub(crate) struct Users {
    pods: BTreeMap<Key, BTreeSet<String>>,
    claims: BTreeMap<Key, BTreeSet<String>>,
}

impl Users {
    /// Takes in a change of a pod; the names of the claims that it mounts now or did before.
    pub(crate) fn note(&mut self, change: &Change) -> BTreeSet<String> {
        let (namespace, name) = (change.object.namespace(), change.object.name());
        let key = (namespace.to_owned(), name.to_owned());
        let mut touched = self.pods.remove(&key).unwrap_or_default();
        for claim in &touched {
            let of = (namespace.to_owned(), claim.clone());
            if let Some(users) = self.claims.get_mut(&of) {
                users.remove(name);
                if users.is_empty() {
                    self.claims.remove(&of);
                }
            }
        }
        let claims: BTreeSet<String> = claims_of(change.object.value()).map(Cow::into_owned).collect();
        touched.extend(claims.iter().cloned());
        if !is_gone(change) && !claims.is_empty() {
            for claim in &claims {
                let users = self.claims.entry((namespace.to_owned(), claim.clone()));
                users.or_default().insert(name.to_owned());
            }
            self.pods.insert(key, claims);
        }
        touched
    }

    /// The names of the pods in this namespace that mount the claim, in order.
    pub(crate) fn of(&self, namespace: &str, claim: &str) -> Vec<String> {
        let users = self.claims.get(&(namespace.to_owned(), claim.to_owned()));
        users.into_iter().flatten().cloned().collect()
    }
}
