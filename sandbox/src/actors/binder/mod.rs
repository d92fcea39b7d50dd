//! Binds claims to volumes. Volumes are made by no one here: a claim that needs one is marked for the provisioner of its class,
//! and one that comes is bound as any other. A volume that is no longer wanted is Released, and its provisioner's to delete.

mod matching;
mod provisioning;

use std::collections::BTreeSet;
use std::sync::Arc;

use base::Clock;
use serde_json::{Value, json};

use self::matching::{Wish, can_be, is_claimed_by, satisfies};
pub(super) use self::matching::{is_reserved_for, smallest};
use self::provisioning::Provisioning;
use super::{Actor, CLAIMS, STORAGE_CLASSES, VOLUMES, attempt, is_deleting, is_gone, set, text};
use crate::kube::validation::class_of;
use crate::kube::{Change, GroupResource, Object, Store};

pub(super) const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// The persistent volume controller.
pub(super) struct Binder {
    store: Store,
    /// Claims without a volume, by namespace and name: looked at again when a volume or class changes.
    waiting: BTreeSet<(String, String)>,
    provisioning: Provisioning,
    /// Whether claims are marked for their provisioners.
    marks: bool,
}

impl Binder {
    pub(super) fn new(store: Store, clock: Clock, marks: bool) -> Self {
        Self {
            marks,
            provisioning: Provisioning::new(store.clone(), clock),
            store,
            waiting: BTreeSet::new(),
        }
    }

    fn claim(&self, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.store.get(CLAIMS, namespace, name)
    }

    fn volume(&self, name: &str) -> Option<Arc<Object>> {
        self.store.get(VOLUMES, "", name)
    }

    fn sync_waiting(&mut self) {
        for (namespace, name) in self.waiting.clone() {
            self.sync_claim(&namespace, &name);
        }
    }

    fn sync_claim(&mut self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.waiting.remove(&key);
        let Some(claim) = self.claim(namespace, name) else {
            return;
        };
        let claim = claim.value();
        if claim["metadata"]["annotations"].get(COMPLETED).is_some() {
            self.sync_bound(claim);
        } else if !is_deleting(claim) {
            match self.choose(claim) {
                Some(volume) => self.bind(claim, volume.value()),
                None => {
                    self.waiting.insert(key);
                    if self.marks && text(claim, "/spec/volumeName").is_empty() {
                        self.provisioning.ask(claim);
                    }
                }
            }
        }
    }

    /// A claim that was bound: its volume must still be there and be its own.
    fn sync_bound(&self, claim: &Value) {
        let volume = self.volume(text(claim, "/spec/volumeName"));
        let own = volume.filter(|volume| {
            let about = volume.value()["spec"].get("claimRef");
            about.is_none_or(|about| is_claimed_by(about, claim))
        });
        match own {
            Some(volume) if is_bound(claim, volume.value()) => {}
            Some(volume) => self.bind(claim, volume.value()),
            None => self.set_claim_status(claim, &json!({"phase": "Lost"})),
        }
    }

    /// The volume for a claim without one: the one that it names, or the best free one.
    fn choose(&self, claim: &Value) -> Option<Arc<Object>> {
        let wish = Wish::of(claim);
        let named = text(claim, "/spec/volumeName");
        if !named.is_empty() {
            let found = self.volume(named)?;
            let volume = found.value();
            let free = match volume["spec"].get("claimRef") {
                None => satisfies(volume, &wish),
                Some(about) => is_claimed_by(about, claim),
            };
            return (free && !is_deleting(volume)).then_some(found);
        }
        let volumes = self.store.list(VOLUMES, None);
        let reserved = volumes
            .iter()
            .find(|volume| is_reserved_for(volume.value(), claim) && can_be(volume.value(), &wish));
        if reserved.is_some() || self.waits_for_a_pod(claim) {
            return reserved.cloned();
        }
        smallest(&volumes, claim).cloned()
    }

    /// Of such a class the scheduler chooses the volume.
    fn waits_for_a_pod(&self, claim: &Value) -> bool {
        let class = class_of(claim).and_then(|name| self.store.get(STORAGE_CLASSES, "", name));
        class.is_some_and(|class| text(class.value(), "/volumeBindingMode") == "WaitForFirstConsumer")
    }

    /// The four writes of a binding: reference, volume phase, volume name, claim phase. Each is left out
    /// where it was done before.
    fn bind(&self, claim: &Value, volume: &Value) {
        let volume_name = text(volume, "/metadata/name");
        let written = attempt(
            self.store
                .update(VOLUMES, "", volume_name, |volume| refer(volume, claim)),
        );
        if written.is_none() || self.set_volume_phase(volume_name, "Bound").is_none() {
            return;
        }
        let (namespace, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
        let named = self.store.update(CLAIMS, namespace, name, |claim| {
            if text(claim, "/spec/volumeName").is_empty() {
                set(claim, "/spec", "volumeName", json!(volume_name));
                set(claim, "/metadata/annotations", BY_CONTROLLER, json!("yes"));
            }
            set(claim, "/metadata/annotations", COMPLETED, json!("yes"));
        });
        if attempt(named).is_some() {
            self.complete(claim, volume);
        }
    }

    fn complete(&self, claim: &Value, volume: &Value) {
        let mut status = json!({"phase": "Bound"});
        // The capacity of a bound claim belongs to the resizer and kubelet.
        if text(claim, "/status/phase") != "Bound" {
            status["accessModes"] = volume["spec"]["accessModes"].clone();
            status["capacity"] = volume["spec"]["capacity"].clone();
            if let Some(class) = volume["spec"].get("volumeAttributesClassName") {
                status["currentVolumeAttributesClassName"] = class.clone();
            }
        }
        self.set_claim_status(claim, &status);
    }

    fn set_claim_status(&self, claim: &Value, status: &Value) {
        let (namespace, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
        let members = status.as_object().into_iter().flatten();
        attempt(self.store.update_status(CLAIMS, namespace, name, |claim| {
            for (member, value) in members {
                set(claim, "/status", member, value.clone());
            }
        }));
    }

    fn set_volume_phase(&self, name: &str, phase: &str) -> Option<()> {
        let written = self.store.update_status(VOLUMES, "", name, |volume| {
            set(volume, "/status", "phase", json!(phase))
        });
        attempt(written).map(|_| ())
    }

    /// A volume's phase follows its reference: none is Available, one to a claim that is gone Released.
    fn sync_volume(&self, volume: &Value) {
        let name = text(volume, "/metadata/name");
        let Some(about) = volume["spec"].get("claimRef") else {
            self.set_volume_phase(name, "Available");
            return;
        };
        if text(about, "/uid").is_empty() {
            self.set_volume_phase(name, "Available");
            return;
        }
        let claim = self.claim(text(about, "/namespace"), text(about, "/name"));
        match claim {
            Some(claim) if claim.uid() == text(about, "/uid") => {
                let bound_to = text(claim.value(), "/spec/volumeName");
                if !bound_to.is_empty() && bound_to != name {
                    self.give_up(volume);
                }
            }
            _ => {
                self.set_volume_phase(name, "Released");
            }
        }
    }

    /// A volume whose claim is bound elsewhere: one that was made for it is not needed, one that was found for it is free again.
    fn give_up(&self, volume: &Value) {
        let (name, annotations) = (text(volume, "/metadata/name"), &volume["metadata"]["annotations"]);
        let is_made = annotations.get(PROVISIONED_BY).is_some();
        if is_made && text(volume, "/spec/persistentVolumeReclaimPolicy") == "Delete" {
            self.set_volume_phase(name, "Released");
        } else if annotations.get(BY_CONTROLLER).is_some() {
            attempt(self.store.update(VOLUMES, "", name, |volume| {
                if let Some(spec) = volume["spec"].as_object_mut() {
                    spec.remove("claimRef");
                }
                if let Some(annotations) = volume["metadata"]["annotations"].as_object_mut() {
                    annotations.remove(BY_CONTROLLER);
                }
            }));
        }
    }

    fn volume_changed(&mut self, change: &Change) {
        let volume = change.object.value();
        if !is_gone(change) {
            self.provisioning.hand_over(volume);
            self.sync_volume(volume);
        }
        let about = &volume["spec"]["claimRef"];
        let (namespace, name) = (
            text(about, "/namespace").to_owned(),
            text(about, "/name").to_owned(),
        );
        if !name.is_empty() {
            self.sync_claim(&namespace, &name);
        }
        self.sync_waiting();
    }

    fn claim_changed(&mut self, change: &Change) {
        let (namespace, name) = (
            change.object.namespace().to_owned(),
            change.object.name().to_owned(),
        );
        if is_gone(change) {
            self.provisioning.forget(&namespace, &name);
            self.waiting.remove(&(namespace, name));
            if let Some(volume) = self.volume(text(change.object.value(), "/spec/volumeName")) {
                self.sync_volume(volume.value());
            }
        } else {
            self.sync_claim(&namespace, &name);
        }
    }
}

/// Nothing is left to be written of a binding.
fn is_bound(claim: &Value, volume: &Value) -> bool {
    text(volume, "/spec/claimRef/uid") == text(claim, "/metadata/uid")
        && text(volume, "/status/phase") == "Bound"
        && text(claim, "/status/phase") == "Bound"
}

/// Makes a volume refer to a claim.
pub(super) fn refer(volume: &mut Value, claim: &Value) {
    let metadata = &claim["metadata"];
    let reserved = volume["spec"]
        .get("claimRef")
        .is_some_and(|about| is_claimed_by(about, claim));
    if reserved && text(volume, "/spec/claimRef/uid") == text(claim, "/metadata/uid") {
        return;
    }
    let about = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    });
    set(volume, "/spec", "claimRef", about);
    if !reserved {
        set(volume, "/metadata/annotations", BY_CONTROLLER, json!("yes"));
    }
}

impl Actor for Binder {
    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![STORAGE_CLASSES, VOLUMES, CLAIMS]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&mut self, change: &Change) {
        match text(change.object.value(), "/kind") {
            "PersistentVolume" => self.volume_changed(change),
            "PersistentVolumeClaim" => self.claim_changed(change),
            _ => self.sync_waiting(),
        }
    }
}
