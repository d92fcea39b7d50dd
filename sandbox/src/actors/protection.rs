//! PVC and PV protection, and that of attributes classes: an object in use keeps its finalizer until its use ends.

use serde_json::{Value, json};

use super::ephemeral::{claim_name, is_for};
use super::{
    ATTRIBUTES_CLASSES, Actor, Agenda, CLAIMS, PODS, VOLUMES, attempt, claims_of, has_finalizer, is_deleting,
    is_gone, items, remove_finalizer, set, text,
};
use crate::kube::{Change, GroupResource, Store};

const OF_CLAIMS: &str = "kubernetes.io/pvc-protection";
const OF_VOLUMES: &str = "kubernetes.io/pv-protection";
const OF_CLASSES: &str = "kubernetes.io/vac-protection";

const VOLUME_CLASS: &str = "/spec/volumeAttributesClassName";
const CLAIM_CLASSES: [&str; 3] = [
    "/spec/volumeAttributesClassName",
    "/status/currentVolumeAttributesClassName",
    "/status/modifyVolumeStatus/targetVolumeAttributesClassName",
];

/// The protection controllers.
pub(super) struct Protection {
    store: Store,
}

impl Protection {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    fn is_used(&self, claim: &Value) -> bool {
        let pods = self.store.list(PODS, Some(text(claim, "/metadata/namespace")));
        pods.iter().any(|pod| uses(pod.value(), claim))
    }

    fn claim(&self, namespace: &str, name: &str) {
        let Some(claim) = self.store.get(CLAIMS, namespace, name) else {
            return;
        };
        let needed = !is_deleting(claim.value()) || self.is_used(claim.value());
        self.keep(CLAIMS, claim.value(), OF_CLAIMS, needed);
    }

    fn volume(&self, volume: &Value) {
        let needed = !is_deleting(volume) || text(volume, "/status/phase") == "Bound";
        self.keep(VOLUMES, volume, OF_VOLUMES, needed);
    }

    /// A class is used by the volumes that have it and the claims that want it, have it or are changed to it.
    fn class(&self, name: &str) {
        let Some(class) = self.store.get(ATTRIBUTES_CLASSES, "", name) else {
            return;
        };
        let needed = !is_deleting(class.value()) || self.is_class_used(name);
        self.keep(ATTRIBUTES_CLASSES, class.value(), OF_CLASSES, needed);
    }

    fn is_class_used(&self, name: &str) -> bool {
        let volumes = self.store.list(VOLUMES, None);
        let claims = self.store.list(CLAIMS, None);
        volumes
            .iter()
            .any(|volume| text(volume.value(), VOLUME_CLASS) == name)
            || claims.iter().any(|claim| {
                let claim = claim.value();
                CLAIM_CLASSES.iter().any(|path| text(claim, path) == name)
            })
    }

    /// The classes that are being deleted: a use of them may have ended.
    fn deleted_classes(&self) {
        for class in self.store.list(ATTRIBUTES_CLASSES, None) {
            if is_deleting(class.value()) {
                self.class(text(class.value(), "/metadata/name"));
            }
        }
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
                let mut finalizers = items(object, "/metadata/finalizers").to_vec();
                finalizers.push(json!(finalizer));
                set(object, "/metadata", "finalizers", Value::Array(finalizers));
            } else {
                remove_finalizer(object, finalizer);
            }
        }));
    }
}

/// A scheduled pod uses the claims that it mounts until it is gone, whether it has ended or not. One that the node is done
/// with, and that a finalizer keeps, lets go of the claims that were made for it: they may be what it waits for.
fn uses(pod: &Value, claim: &Value) -> bool {
    let is_done = is_deleting(pod) && pod["metadata"]["deletionGracePeriodSeconds"] == 0;
    let mounts = |volume: &Value| {
        let name = claim_name(pod, volume);
        name.is_some_and(|name| name == text(claim, "/metadata/name")) && is_for(pod, volume, claim)
    };
    let mut volumes = items(pod, "/spec/volumes").iter();
    !text(pod, "/spec/nodeName").is_empty()
        && volumes.any(|volume| mounts(volume) && !(is_done && volume.get("ephemeral").is_some()))
}

impl Actor for Protection {
    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![CLAIMS, VOLUMES, PODS, ATTRIBUTES_CLASSES]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&mut self, change: &Change) {
        let (object, namespace) = (change.object.value(), change.object.namespace());
        let kind = text(object, "/kind");
        if kind.starts_with("PersistentVolume") {
            self.deleted_classes();
        }
        match kind {
            "VolumeAttributesClass" if !is_gone(change) => self.class(change.object.name()),
            "PersistentVolumeClaim" if !is_gone(change) => self.claim(namespace, change.object.name()),
            "PersistentVolume" if !is_gone(change) => {
                if let Some(volume) = self.store.get(VOLUMES, "", change.object.name()) {
                    self.volume(volume.value());
                }
            }
            "Pod" => {
                let mut agenda = Agenda::default();
                claims_of(object).for_each(|claim| agenda.note(namespace, &claim));
                while let Some((namespace, name)) = agenda.next() {
                    self.claim(&namespace, &name);
                }
            }
            _ => {}
        }
    }
}
