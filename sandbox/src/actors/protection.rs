//! PVC and PV protection: an object in use keeps its finalizer until its use ends.

use serde_json::{Value, json};

use super::{
    Actor, Agenda, CLAIMS, PODS, VOLUMES, attempt, claims_of, has_ended, has_finalizer, is_deleting, is_gone,
    remove_finalizer, set, text,
};
use crate::kube::{Change, GroupResource, Store};

const OF_CLAIMS: &str = "kubernetes.io/pvc-protection";
const OF_VOLUMES: &str = "kubernetes.io/pv-protection";

/// Both protection controllers.
pub(super) struct Protection {
    store: Store,
}

impl Protection {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// A scheduled pod that has not ended uses the claims that it mounts.
    fn is_used(&self, namespace: &str, claim: &str) -> bool {
        self.store.list(PODS, Some(namespace)).iter().any(|pod| {
            let pod = pod.value();
            !text(pod, "/spec/nodeName").is_empty()
                && !has_ended(pod)
                && claims_of(pod).any(|name| name == claim)
        })
    }

    fn claim(&self, namespace: &str, name: &str) {
        let Some(claim) = self.store.get(CLAIMS, namespace, name) else {
            return;
        };
        let needed = !is_deleting(claim.value()) || self.is_used(namespace, name);
        self.keep(CLAIMS, claim.value(), OF_CLAIMS, needed);
    }

    fn volume(&self, volume: &Value) {
        let needed = !is_deleting(volume) || text(volume, "/status/phase") == "Bound";
        self.keep(VOLUMES, volume, OF_VOLUMES, needed);
    }

    /// Adds the finalizer to an object that is not being deleted, removes it from one that is not in use.
    fn keep(&self, resource: GroupResource<'_>, object: &Value, finalizer: &str, needed: bool) {
        let present = has_finalizer(object, finalizer);
        if present == needed || needed && is_deleting(object) {
            return;
        }
        let (namespace, name) = (
            text(object, "/metadata/namespace"),
            text(object, "/metadata/name"),
        );
        attempt(self.store.update(resource, namespace, name, |object| {
            if needed {
                let mut finalizers = super::items(object, "/metadata/finalizers").to_vec();
                finalizers.push(json!(finalizer));
                set(object, "/metadata", "finalizers", Value::Array(finalizers));
            } else {
                remove_finalizer(object, finalizer);
            }
        }));
    }
}

impl Actor for Protection {
    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![CLAIMS, VOLUMES, PODS]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&mut self, change: &Change) {
        let (object, namespace) = (change.object.value(), change.object.namespace());
        match text(object, "/kind") {
            "PersistentVolumeClaim" if !is_gone(change) => self.claim(namespace, change.object.name()),
            "PersistentVolume" if !is_gone(change) => {
                if let Some(volume) = self.store.get(VOLUMES, "", change.object.name()) {
                    self.volume(volume.value());
                }
            }
            "Pod" => {
                let mut agenda = Agenda::default();
                claims_of(object).for_each(|claim| agenda.note(namespace, claim));
                while let Some((namespace, name)) = agenda.next() {
                    self.claim(&namespace, &name);
                }
            }
            _ => {}
        }
    }
}
