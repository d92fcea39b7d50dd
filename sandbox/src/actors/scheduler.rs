//! The scheduler, as far as volumes go: a pod gets a node from which its volumes can be reached; volumes whose class waits for
//! that are bound or asked for at this node first.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::queue::{Backoff, QueueKey};
use base::{Clock, Random, Scope};
use serde_json::{Value, json};

use super::affinity::{allows, reaches};
use super::binder::{self, COMPLETED, SELECTED_NODE};
use super::ephemeral::{claim_name, is_for};
use super::spread::{is_spread, spreads};
use super::users::Users;
use super::worker::{self, Patience, Worker};
use super::{
    CLAIMS, NODES, PODS, STORAGE_CLASSES, VOLUMES, attempt, has_ended, is_deleting, is_gone, items, set, text,
};
use crate::kube::validation::class_of;
use crate::kube::{Change, GroupResource, Store};
use crate::node::Node;

/// The node of a cluster without kubelets.
const NODE: &str = "sandbox";
/// How long a pod waits whose volumes could not be had at its node.
const BACKOFF: Backoff = Backoff {
    start: Duration::from_secs(1),
    max: Duration::from_secs(10),
    jitter: 0.0,
};

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    namespace: String,
    name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl QueueKey for Key {
    fn fairness_key(&self) -> String {
        String::new()
    }
}

/// The scheduler.
pub(super) struct Scheduler {
    store: Store,
    clock: Clock,
    random: Random,
    /// The nodes with a kubelet.
    nodes: Vec<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    users: Users,
    /// Pods without a node.
    pending: BTreeMap<Key, Try>,
}

/// How a pod is being placed.
#[derive(Default)]
struct Try {
    patience: Patience,
    /// Nodes that were tried in vain.
    failures: usize,
    /// The node at which its volumes are asked for.
    node: Option<String>,
    /// Where it may go depends on where others are.
    is_spread: bool,
}

/// What becomes of a pod.
enum Place {
    /// All that it needs is there.
    Bound(String),
    /// Its volumes are asked for at this node.
    Asked(String),
    /// Nothing suits as things are.
    Nowhere,
}

impl Scheduler {
    pub(super) fn start(store: Store, nodes: &[Node], scope: &Scope, clock: Clock, random: Random) {
        let scheduler = Self {
            store,
            clock: clock.clone(),
            random: random.fork(),
            nodes: nodes.iter().map(|node| node.name.clone()).collect(),
            state: Mutex::default(),
        };
        worker::start(Arc::new(scheduler), "scheduler", scope, clock, random);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod that has no node yet.
    fn pod(&self, key: &Key) -> Option<Value> {
        let pod = self.store.get(PODS, &key.namespace, &key.name)?.value().clone();
        let is_unplaced = text(&pod, "/spec/nodeName").is_empty() && text(&pod, "/status/phase") == "Pending";
        (is_unplaced && !is_deleting(&pod)).then_some(pod)
    }

    /// Its claims; none where one is not there.
    fn claims(&self, pod: &Value) -> Option<Vec<Value>> {
        let namespace = text(pod, "/metadata/namespace");
        let volumes = items(pod, "/spec/volumes").iter();
        let claim = |volume| {
            let name = claim_name(pod, volume)?;
            let claim = self.store.get(CLAIMS, namespace, &name);
            let claim = claim.map(|claim| claim.value().clone());
            Some(claim.filter(|claim| is_for(pod, volume, claim)))
        };
        let claims: Option<Vec<Value>> = volumes.filter_map(claim).collect();
        claims.filter(|claims| !claims.iter().any(is_deleting))
    }

    /// Whether a pod that has a node uses one of the claims that are for one pod alone. As the real scheduler it looks at
    /// claims that pods name, not at those that are made for them.
    fn is_taken(&self, pod: &Value, claims: &[Value]) -> bool {
        let is_alone = |claim: &&Value| {
            let mut modes = items(claim, "/spec/accessModes").iter();
            modes.any(|mode| mode == "ReadWriteOncePod")
        };
        let alone = claims.iter().filter(is_alone);
        let alone: Vec<&str> = alone.map(|claim| text(claim, "/metadata/name")).collect();
        if alone.is_empty() {
            return false;
        }
        let others = self.store.list(PODS, Some(text(pod, "/metadata/namespace")));
        others.iter().any(|other| {
            let other = other.value();
            let mut volumes = items(other, "/spec/volumes").iter();
            !text(other, "/spec/nodeName").is_empty()
                && !has_ended(other)
                && volumes.any(|volume| alone.contains(&text(volume, "/persistentVolumeClaim/claimName")))
        })
    }

    /// Gives a pod its node; one at a time, so that no two get a claim that is for one alone.
    fn bind(&self, pod: &Value, claims: &[Value], node: &str) {
        let _alone = self.state();
        if self.is_taken(pod, claims) {
            return;
        }
        let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        attempt(self.store.update(PODS, namespace, name, |pod| {
            set(pod, "/spec", "nodeName", json!(node))
        }));
    }

    /// The volumes that were asked for at a node: whether they are there, or will not be.
    fn follow(&self, key: &Key, node: String, claims: &[Value]) -> Result<Place, Duration> {
        let mut unbound = claims.iter().filter(|claim| !is_bound(claim)).peekable();
        if unbound.peek().is_none() {
            return Ok(Place::Bound(node));
        }
        if unbound.all(|claim| is_asked_at(claim, &node)) {
            return Ok(Place::Asked(node));
        }
        // Whoever makes volumes has given up at this node.
        let mut state = self.state();
        let tried = state.pending.entry(key.clone()).or_default();
        tried.node = None;
        tried.failures += 1;
        Err(tried.patience.failed(&BACKOFF, &self.random))
    }

    /// Chooses a node and asks for what is missing there.
    fn place(&self, pod: &Value, claims: &[Value], failures: usize) -> Place {
        let nodes = self.nodes(pod);
        let others = match is_spread(pod) {
            true => self.store.list(PODS, Some(text(pod, "/metadata/namespace"))),
            false => Vec::new(),
        };
        let others: Vec<&Value> = others.iter().map(|other| other.value()).collect();
        let mut suitable: Vec<&Value> = nodes.iter().collect();
        suitable.retain(|node| claims.iter().all(|claim| self.suits(claim, node)));
        suitable.retain(|node| spreads(pod, node, &nodes, &others));
        if suitable.is_empty() {
            return Place::Nowhere;
        }
        let node = suitable[failures % suitable.len()];
        let name = text(node, "/metadata/name").to_owned();
        let mut is_asked = false;
        for claim in claims.iter().filter(|claim| !is_bound(claim)) {
            is_asked = true;
            self.ask(claim, node);
        }
        if is_asked {
            Place::Asked(name)
        } else {
            Place::Bound(name)
        }
    }

    /// The nodes that the pod may go to but for its volumes.
    fn nodes(&self, pod: &Value) -> Vec<Value> {
        if self.nodes.is_empty() {
            self.ensure_node();
        }
        let wanted = pod["spec"]["nodeSelector"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let own = [NODE.to_owned()];
        let names = if self.nodes.is_empty() {
            &own[..]
        } else {
            &self.nodes
        };
        let nodes = names.iter().filter_map(|name| self.store.get(NODES, "", name));
        let mut nodes: Vec<Value> = nodes.map(|node| node.value().clone()).collect();
        nodes.retain(|node| {
            let labels = &node["metadata"]["labels"];
            wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        });
        nodes
    }

    /// Whether the volume of a claim can be had at a node.
    fn suits(&self, claim: &Value, node: &Value) -> bool {
        if is_bound(claim) {
            let volume = self.store.get(VOLUMES, "", text(claim, "/spec/volumeName"));
            return volume.is_some_and(|volume| reaches(volume.value(), node));
        }
        let Some(class) = self.late_class(claim) else {
            // Its volume comes first.
            return false;
        };
        match selected_node(claim) {
            Some(selected) => selected == text(node, "/metadata/name"),
            None => self.matching(claim, node).is_some() || is_made(&class) && allows(&class, node),
        }
    }

    /// The class of a claim, where it waits for a pod.
    fn late_class(&self, claim: &Value) -> Option<Value> {
        let class = self.store.get(STORAGE_CLASSES, "", class_of(claim)?)?;
        let class = class.value().clone();
        (text(&class, "/volumeBindingMode") == "WaitForFirstConsumer").then_some(class)
    }

    /// A volume that is there and suits the claim at this node.
    fn matching(&self, claim: &Value, node: &Value) -> Option<Value> {
        let mut volumes = self.store.list(VOLUMES, None);
        volumes.retain(|volume| reaches(volume.value(), node));
        binder::smallest(&volumes, claim).map(|volume| volume.value().clone())
    }

    /// Reserves a volume for a claim, or lets one be made.
    fn ask(&self, claim: &Value, node: &Value) {
        if selected_node(claim).is_some() {
            return;
        }
        if let Some(volume) = self.matching(claim, node) {
            let name = text(&volume, "/metadata/name");
            let reserved = self
                .store
                .update(VOLUMES, "", name, |volume| binder::refer(volume, claim));
            attempt(reserved);
            return;
        }
        let (namespace, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
        let node = text(node, "/metadata/name");
        attempt(self.store.update(CLAIMS, namespace, name, |claim| {
            set(claim, "/metadata/annotations", SELECTED_NODE, json!(node));
        }));
    }

    fn ensure_node(&self) {
        if self.store.get(NODES, "", NODE).is_some() {
            return;
        }
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}},
            "spec": {},
        });
        attempt(self.store.create(NODES, node));
        let now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        attempt(
            self.store
                .update_status(NODES, "", NODE, |node| super::nodes::ready(node, NODE, &now)),
        );
    }

    /// A reserved volume is bound by the volume controller, so that a claim of it needs no annotation.
    fn is_reserved(&self, claim: &Value) -> bool {
        let volumes = self.store.list(VOLUMES, None);
        volumes
            .iter()
            .any(|volume| binder::is_reserved_for(volume.value(), claim))
    }
}

fn is_bound(claim: &Value) -> bool {
    !text(claim, "/spec/volumeName").is_empty()
        && claim["metadata"]["annotations"].get(COMPLETED).is_some()
        && text(claim, "/status/phase") == "Bound"
}

fn selected_node(claim: &Value) -> Option<&str> {
    claim["metadata"]["annotations"].get(SELECTED_NODE)?.as_str()
}

fn is_asked_at(claim: &Value, node: &str) -> bool {
    selected_node(claim) == Some(node)
}

/// Whether anybody makes volumes of the class.
fn is_made(class: &Value) -> bool {
    text(class, "/provisioner") != "kubernetes.io/no-provisioner"
}

#[async_trait]
impl Worker for Scheduler {
    type Key = Key;

    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![NODES, STORAGE_CLASSES, VOLUMES, CLAIMS, PODS]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&self, change: &Change) -> Vec<Key> {
        let object = change.object.value();
        let (namespace, name) = (change.object.namespace(), change.object.name());
        let key = |name: &str| Key {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let mut state = self.state();
        let all = || state.pending.keys().cloned().collect();
        match text(object, "/kind") {
            "Pod" => {
                let mounted = state.users.note(change);
                let mut keys = vec![key(name)];
                if is_gone(change) || has_ended(object) {
                    // They may wait for a claim that is for one pod alone.
                    let users = mounted.iter().flat_map(|claim| state.users.of(namespace, claim));
                    keys.extend(users.map(|name| key(&name)));
                }
                let node = |object: &crate::kube::Object| text(object.value(), "/spec/nodeName").to_owned();
                let former = change.previous.as_ref().map(|former| node(former));
                if is_gone(change) || former.is_some_and(|former| former != node(&change.object)) {
                    let waiting = state.pending.iter().filter(|(_, tried)| tried.is_spread);
                    keys.extend(waiting.map(|(key, _)| key.clone()));
                }
                keys
            }
            "PersistentVolumeClaim" => {
                let users = state.users.of(namespace, name);
                users.iter().map(|name| key(name)).collect()
            }
            // What a pod may wait for: a node, its labels, a class, a volume that is free.
            "Node" => match &change.previous {
                Some(former) if former.value()["metadata"]["labels"] == object["metadata"]["labels"] => {
                    Vec::new()
                }
                _ => all(),
            },
            "PersistentVolume" => match &change.previous {
                Some(former) if former.value()["spec"] == object["spec"] => Vec::new(),
                _ => all(),
            },
            _ => all(),
        }
    }

    async fn work(&self, key: &Key) -> Option<Duration> {
        let Some(pod) = self.pod(key) else {
            self.state().pending.remove(key);
            return None;
        };
        let (left, failures, node) = {
            let mut state = self.state();
            let tried = state.pending.entry(key.clone()).or_default();
            tried.is_spread = is_spread(&pod);
            (tried.patience.left(), tried.failures, tried.node.clone())
        };
        if left.is_some() {
            return left;
        }
        let claims = self.claims(&pod)?;
        if self.is_taken(&pod, &claims) {
            return None;
        }
        let place = match node {
            Some(node)
                if claims
                    .iter()
                    .any(|claim| !is_bound(claim) && self.is_reserved(claim)) =>
            {
                Place::Asked(node)
            }
            Some(node) => match self.follow(key, node, &claims) {
                Ok(place) => place,
                Err(wait) => return Some(wait),
            },
            None => self.place(&pod, &claims, failures),
        };
        match place {
            Place::Bound(node) => self.bind(&pod, &claims, &node),
            Place::Asked(node) => {
                self.state().pending.entry(key.clone()).or_default().node = Some(node);
            }
            Place::Nowhere => {}
        }
        None
    }
}
