//! The garbage collector: objects go with their owners.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{
    Actor, CLAIMS, DEPLOYMENTS, NAMESPACES, NODES, PODS, REPLICA_SETS, SERVICE_ACCOUNTS, STATEFUL_SETS,
    STORAGE_CLASSES, VOLUMES, attempt, has_finalizer, is_deleting, is_gone, items, remove_finalizer, set,
    text,
};
use crate::kube::{Change, GroupResource, Object, Store};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
const SNAPSHOTS: &str = "snapshot.storage.k8s.io";
const GROUP_SNAPSHOTS: &str = "groupsnapshot.storage.k8s.io";

/// The kinds that are watched: API group, kind, plural name and scope are those of the real ones.
const KINDS: [(&str, GroupResource<'static>); 21] = [
    ("ConfigMap", GroupResource::new("", "configmaps")),
    ("Namespace", NAMESPACES),
    ("Node", NODES),
    ("PersistentVolume", VOLUMES),
    ("PersistentVolumeClaim", CLAIMS),
    ("Pod", PODS),
    ("Secret", GroupResource::new("", "secrets")),
    ("Service", GroupResource::new("", "services")),
    ("ServiceAccount", SERVICE_ACCOUNTS),
    ("DaemonSet", GroupResource::new("apps", "daemonsets")),
    ("Deployment", DEPLOYMENTS),
    ("ReplicaSet", REPLICA_SETS),
    ("StatefulSet", STATEFUL_SETS),
    ("Lease", GroupResource::new("coordination.k8s.io", "leases")),
    ("StorageClass", STORAGE_CLASSES),
    (
        "CSIStorageCapacity",
        GroupResource::new("storage.k8s.io", "csistoragecapacities"),
    ),
    (
        "VolumeAttachment",
        GroupResource::new("storage.k8s.io", "volumeattachments"),
    ),
    ("VolumeSnapshot", GroupResource::new(SNAPSHOTS, "volumesnapshots")),
    (
        "VolumeSnapshotContent",
        GroupResource::new(SNAPSHOTS, "volumesnapshotcontents"),
    ),
    (
        "VolumeGroupSnapshot",
        GroupResource::new(GROUP_SNAPSHOTS, "volumegroupsnapshots"),
    ),
    (
        "VolumeGroupSnapshotContent",
        GroupResource::new(GROUP_SNAPSHOTS, "volumegroupsnapshotcontents"),
    ),
];

fn resource(api_version: &str, kind: &str) -> Option<GroupResource<'static>> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    KINDS
        .iter()
        .find(|(name, resource)| *name == kind && resource.group == group)
        .map(|(_, resource)| *resource)
}

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Address {
    resource: GroupResource<'static>,
    namespace: String,
    name: String,
}

/// The garbage collector.
pub(super) struct Collector {
    store: Store,
    /// The objects that name an owner, by its UID.
    dependents: BTreeMap<String, BTreeSet<Address>>,
    /// UIDs of objects whose deletion was seen to begin: by then all that came before it was seen too.
    ending: BTreeSet<String>,
}

impl Collector {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            dependents: BTreeMap::new(),
            ending: BTreeSet::new(),
        }
    }

    fn get(&self, address: &Address) -> Option<Arc<Object>> {
        self.store
            .get(address.resource, &address.namespace, &address.name)
    }

    fn remember(&mut self, address: &Address, previous: Option<&Value>, present: Option<&Value>) {
        for owner in previous.into_iter().flat_map(owners) {
            let uid = text(owner, "/uid");
            if let Some(dependents) = self.dependents.get_mut(uid) {
                dependents.remove(address);
                if dependents.is_empty() {
                    self.dependents.remove(uid);
                }
            }
        }
        for owner in present.into_iter().flat_map(owners) {
            self.dependents
                .entry(text(owner, "/uid").to_owned())
                .or_default()
                .insert(address.clone());
        }
    }

    fn dependents(&self, uid: &str) -> Vec<Address> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// An owner that is there with the UID of the reference. Owners of unknown kinds count as there.
    fn is_there(&self, owner: &Value, namespace: &str) -> bool {
        let Some(resource) = resource(text(owner, "/apiVersion"), text(owner, "/kind")) else {
            return true;
        };
        let found = ["", namespace]
            .iter()
            .find_map(|namespace| self.store.get(resource, namespace, text(owner, "/name")));
        found.is_some_and(|found| found.uid() == text(owner, "/uid"))
    }

    /// Deletes an object whose owners are all gone; otherwise forgets those that are.
    fn judge(&self, address: &Address) {
        let Some(object) = self.get(address) else { return };
        let (there, gone): (Vec<&Value>, Vec<&Value>) =
            owners(object.value()).partition(|owner| self.is_there(owner, &address.namespace));
        if gone.is_empty() || is_deleting(object.value()) {
            return;
        }
        if there.is_empty() {
            let uid = Some(object.uid());
            attempt(
                self.store
                    .delete(address.resource, &address.namespace, &address.name, uid),
            );
        } else {
            let left = Value::Array(there.into_iter().cloned().collect());
            self.update(address, |object| {
                set(object, "/metadata", "ownerReferences", left)
            });
        }
    }

    fn update(&self, address: &Address, change: impl FnOnce(&mut Value)) {
        attempt(
            self.store
                .update(address.resource, &address.namespace, &address.name, change),
        );
    }

    /// An owner that is being deleted and waits for its dependents, or for being forgotten by them.
    fn release(&self, address: &Address) {
        let Some(owner) = self.get(address) else { return };
        let (owner, uid) = (owner.value(), owner.uid());
        if !self.ending.contains(uid) {
            return;
        }
        if has_finalizer(owner, ORPHAN) {
            for dependent in self.dependents(uid) {
                self.update(&dependent, |object| forget(object, uid));
            }
            self.update(address, |object| remove_finalizer(object, ORPHAN));
        } else if has_finalizer(owner, FOREGROUND) {
            let dependents = self.dependents(uid);
            for dependent in &dependents {
                attempt(
                    self.store
                        .delete(dependent.resource, &dependent.namespace, &dependent.name, None),
                );
            }
            let left = dependents.iter().filter_map(|dependent| self.get(dependent));
            if left.filter(|object| blocks(object.value(), uid)).count() == 0 {
                self.update(address, |object| remove_finalizer(object, FOREGROUND));
            }
        }
    }
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    items(object, "/metadata/ownerReferences").iter()
}

fn blocks(object: &Value, uid: &str) -> bool {
    owners(object).any(|owner| text(owner, "/uid") == uid && owner["blockOwnerDeletion"] == true)
}

fn forget(object: &mut Value, uid: &str) {
    if let Some(Value::Array(owners)) = object.pointer_mut("/metadata/ownerReferences") {
        owners.retain(|owner| text(owner, "/uid") != uid);
    }
}

impl Actor for Collector {
    fn interests(&self) -> Vec<GroupResource<'static>> {
        KINDS.iter().map(|(_, resource)| *resource).collect()
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&mut self, change: &Change) {
        let object = change.object.value();
        let Some(resource) = resource(text(object, "/apiVersion"), text(object, "/kind")) else {
            return;
        };
        let address = Address {
            resource,
            namespace: change.object.namespace().to_owned(),
            name: change.object.name().to_owned(),
        };
        let present = (!is_gone(change)).then_some(object);
        self.remember(
            &address,
            change.previous.as_ref().map(|previous| previous.value()),
            present,
        );
        if present.is_some() {
            if is_deleting(object) {
                self.ending.insert(change.object.uid().to_owned());
            }
            self.judge(&address);
            self.release(&address);
            return;
        }
        self.ending.remove(change.object.uid());
        for dependent in self.dependents(change.object.uid()) {
            self.judge(&dependent);
        }
        // An owner may have waited for this one.
        for owner in owners(object) {
            if let Some(resource) = self::resource(text(owner, "/apiVersion"), text(owner, "/kind")) {
                for namespace in ["", change.object.namespace()] {
                    let (namespace, name) = (namespace.to_owned(), text(owner, "/name").to_owned());
                    self.release(&Address {
                        resource,
                        namespace,
                        name,
                    });
                }
            }
        }
    }
}
