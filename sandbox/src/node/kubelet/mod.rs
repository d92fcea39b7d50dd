//! Kubelet, as far as volumes go: waits until the volumes of its pods are attached, stages, publishes and
//! expands them through the drivers of the node, lets the pods run, and takes all of it back
//! (spec resize 4.4, ebs-driver 4.1).

mod calls;
mod expansion;
mod plan;
mod pods;
mod registration;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::queue::{Backoff, QueueKey};
use base::{Clock, Random, Scope};
use serde_json::Value;

use self::plan::Mounted;
use self::registration::Driver;
use super::Node;
use crate::actors::events::Events;
use crate::actors::users::Users;
use crate::actors::worker::{self, Worker};
use crate::actors::{ATTACHMENTS, CLAIMS, PODS, VOLUMES, text};
use crate::kube::{ApiServer, Change, GroupResource, Store};

/// How operations on a volume are repeated after errors.
const BACKOFF: Backoff = Backoff {
    start: Duration::from_millis(500),
    max: Duration::from_secs(122),
    jitter: 0.0,
};

/// The kubelet of one node.
pub struct Kubelet {
    node: Node,
    store: Store,
    clock: Clock,
    random: Random,
    events: Events,
    /// Drivers whose volumes must be attached before they can be mounted.
    attached: BTreeSet<String>,
    state: Mutex<State>,
}

/// What the kubelet remembers.
#[derive(Default)]
struct State {
    drivers: BTreeMap<String, Driver>,
    users: Users,
    /// What is mounted, by PersistentVolume.
    volumes: BTreeMap<String, Mounted>,
}

/// What the kubelet looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// A driver that is to be registered.
    Driver(String),
    /// A PersistentVolume.
    Volume(String),
    /// A pod: namespace and name.
    Pod(String, String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(name) | Self::Volume(name) => f.write_str(name),
            Self::Pod(namespace, name) => write!(f, "{namespace}/{name}"),
        }
    }
}

impl QueueKey for Key {
    fn fairness_key(&self) -> String {
        String::new()
    }
}

impl Kubelet {
    /// Starts the kubelet of a node as tasks of the scope; it makes the Node and the CSINode. Volumes of the
    /// `attached` drivers are mounted only once their VolumeAttachment says that they are attached.
    pub fn start(
        server: &ApiServer,
        node: Node,
        attached: BTreeSet<String>,
        scope: &Scope,
        clock: Clock,
        random: Random,
    ) {
        let store = server.store(&format!("system:node:{}", node.name));
        let name = format!("kubelet-{}", node.name);
        let kubelet = Arc::new(Self {
            events: Events::new(store.clone(), clock.clone(), "kubelet", &node.name),
            node,
            store,
            clock: clock.clone(),
            random: random.fork(),
            attached,
            state: Mutex::default(),
        });
        kubelet.register_node();
        let drivers: Vec<String> = kubelet.node.drivers.keys().cloned().collect();
        if let Some(queue) = worker::start(kubelet, &name, scope, clock, random) {
            for driver in drivers {
                queue.add(Key::Driver(driver));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> String {
        self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    fn is_here(&self, pod: &Value) -> bool {
        text(pod, "/spec/nodeName") == self.node.name
    }

    fn object(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Option<Value> {
        let object = self.store.get(resource, namespace, name)?;
        Some(object.value().clone())
    }

    /// The volume that a claim is bound to.
    fn volume_of(&self, namespace: &str, claim: &str) -> Option<String> {
        let claim = self.store.get(CLAIMS, namespace, claim)?;
        let volume = text(claim.value(), "/spec/volumeName");
        let bound = text(claim.value(), "/status/phase") == "Bound" && !volume.is_empty();
        bound.then(|| volume.to_owned())
    }

    fn pod_changed(&self, change: &Change) -> Vec<Key> {
        let (namespace, name) = (change.object.namespace(), change.object.name());
        if !self.is_here(change.object.value()) {
            return Vec::new();
        }
        let claims = self.state().users.note(change);
        let volumes = claims.iter().filter_map(|claim| self.volume_of(namespace, claim));
        let mut keys: Vec<Key> = volumes.map(Key::Volume).collect();
        keys.extend(self.volumes_of_pod(change.object.uid()));
        keys.push(Key::Pod(namespace.to_owned(), name.to_owned()));
        keys
    }

    /// The volumes that are mounted for a pod, whatever became of its claims.
    fn volumes_of_pod(&self, uid: &str) -> Vec<Key> {
        let state = self.state();
        let mounted = state
            .volumes
            .iter()
            .filter(|(_, volume)| volume.pods.contains_key(uid));
        mounted.map(|(name, _)| Key::Volume(name.clone())).collect()
    }

    fn claim_changed(&self, change: &Change) -> Vec<Key> {
        let namespace = change.object.namespace();
        let users = self.state().users.of(namespace, change.object.name());
        if users.is_empty() {
            return Vec::new();
        }
        let volume = text(change.object.value(), "/spec/volumeName").to_owned();
        let pods = users.into_iter().map(|name| Key::Pod(namespace.to_owned(), name));
        pods.chain([Key::Volume(volume)]).collect()
    }

    /// Volumes that are mounted here or that pods of this node wait for.
    fn concerns(&self, volume: &Value) -> bool {
        let state = self.state();
        let about = &volume["spec"]["claimRef"];
        let users = state.users.of(text(about, "/namespace"), text(about, "/name"));
        !users.is_empty() || state.volumes.contains_key(text(volume, "/metadata/name"))
    }
}

#[async_trait]
impl Worker for Kubelet {
    type Key = Key;

    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![VOLUMES, CLAIMS, ATTACHMENTS, PODS]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&self, change: &Change) -> Vec<Key> {
        let object = change.object.value();
        match text(object, "/kind") {
            "Pod" => self.pod_changed(change),
            "PersistentVolumeClaim" => self.claim_changed(change),
            "PersistentVolume" if self.concerns(object) => {
                vec![Key::Volume(change.object.name().to_owned())]
            }
            "VolumeAttachment" if text(object, "/spec/nodeName") == self.node.name => {
                let volume = text(object, "/spec/source/persistentVolumeName");
                vec![Key::Volume(volume.to_owned())]
            }
            _ => Vec::new(),
        }
    }

    async fn work(&self, key: &Key) -> Option<Duration> {
        match key {
            Key::Driver(name) => self.register_driver(name).await,
            Key::Volume(name) => self.volume(name).await,
            Key::Pod(namespace, name) => self.pod(namespace, name),
        }
    }
}
