//! The ephemeral volume controller: a claim for each volume that a pod brings along (`ephemeral` of its volumes). The claim
//! goes with the pod, which is its owner.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::workloads::owner;
use super::{Actor, CLAIMS, PODS, attempt, is_deleting, is_gone, items, text};
use crate::kube::{Change, GroupResource, QUOTAS, Store};

/// The ephemeral volume controller.
pub(super) struct Ephemeral {
    store: Store,
}

impl Ephemeral {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    fn pod(&self, namespace: &str, name: &str) {
        let Some(pod) = self.store.get(PODS, namespace, name) else {
            return;
        };
        let pod = pod.value();
        if is_deleting(pod) {
            return;
        }
        for volume in items(pod, "/spec/volumes") {
            // Another one of that name is left alone, and the pod waits for it to go.
            if let Some(claim) = made_for(pod, volume)
                && self.store.get(CLAIMS, namespace, &claim).is_none()
            {
                attempt(self.store.create(CLAIMS, claim_of(pod, volume, &claim)));
            }
        }
    }
}

/// The name of the claim behind a volume of a pod, if there is one.
pub(super) fn claim_name<'a>(pod: &'a Value, volume: &'a Value) -> Option<Cow<'a, str>> {
    let named = text(volume, "/persistentVolumeClaim/claimName");
    match named.is_empty() {
        false => Some(Cow::Borrowed(named)),
        true => made_for(pod, volume).map(Cow::Owned),
    }
}

/// Whether a pod may have this claim for this volume: one that is to be made for it must be its own.
pub(super) fn is_for(pod: &Value, volume: &Value, claim: &Value) -> bool {
    let uid = text(pod, "/metadata/uid");
    let mut owners = items(claim, "/metadata/ownerReferences").iter();
    made_for(pod, volume).is_none()
        || owners.any(|owner| text(owner, "/uid") == uid && owner["controller"] == true)
}

fn made_for(pod: &Value, volume: &Value) -> Option<String> {
    let is_made = volume.get("ephemeral").is_some_and(Value::is_object);
    is_made.then(|| format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name")))
}

fn claim_of(pod: &Value, volume: &Value, name: &str) -> Value {
    let template = &volume["ephemeral"]["volumeClaimTemplate"];
    let of_template = |member: &str| {
        let member = template["metadata"].get(member).cloned();
        member.unwrap_or_else(|| json!({}))
    };
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name, "namespace": text(pod, "/metadata/namespace"),
            "labels": of_template("labels"), "annotations": of_template("annotations"),
            "ownerReferences": [owner("v1", "Pod", pod)],
        },
        "spec": template["spec"],
    })
}

impl Actor for Ephemeral {
    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![PODS, CLAIMS, QUOTAS]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&mut self, change: &Change) {
        let namespace = change.object.namespace();
        match text(change.object.value(), "/kind") {
            "Pod" if !is_gone(change) => self.pod(namespace, change.object.name()),
            // It is made again for a pod that is still there; one of another may have stood in the way.
            "PersistentVolumeClaim" if is_gone(change) => {
                for pod in self.store.list(PODS, Some(namespace)) {
                    let volumes = items(pod.value(), "/spec/volumes").iter();
                    let mut names = volumes.filter_map(|volume| made_for(pod.value(), volume));
                    if names.any(|name| name == change.object.name()) {
                        self.pod(namespace, pod.name());
                    }
                }
            }
            // There may be room for what it refused.
            "ResourceQuota" => {
                for pod in self.store.list(PODS, Some(namespace)) {
                    self.pod(namespace, pod.name());
                }
            }
            _ => {}
        }
    }
}
