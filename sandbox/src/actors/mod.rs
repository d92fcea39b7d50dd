//! The parts of a cluster that stand around the API server: what kube-controller-manager does with
//! volumes, claims, owners and service accounts (decision 31).
//!
//! | Module | Plays |
//! |---|---|
//! | [`binder`] | the persistent volume controller |
//! | [`protection`] | PVC and PV protection, and that of attributes classes |
//! | [`collector`] | the garbage collector |
//! | [`accounts`] | the `default` ServiceAccount of each namespace |
//! | [`quotas`] | the quota controller |
//! | [`workloads`] | Deployment, ReplicaSet, and kubelet for nodes that have none |
//! | [`stateful`] | StatefulSet |
//! | [`ephemeral`] | claims of ephemeral volumes |
//! | [`scheduler`] | the scheduler, as far as volumes go |
//! | [`expansion`] | the event of the expand controller |
//! | [`attachments`] | the attach-detach controller |
//! | [`attacher`] | external-attacher |
//!
//! Each actor is one task with one subscription: it looks at one change at a time, in the order of the
//! changes, and writes through the store at once. So the same seed gives the same writes. Those that call a
//! driver ([`attacher`], [`crate::node::Kubelet`]) or wait ([`scheduler`]) work on several objects at a time ([`worker`]).
//! Their simplifications are listed in `docs/sandbox.md`.

mod accounts;
mod affinity;
mod attacher;
mod attachments;
mod binder;
mod collector;
pub(crate) mod csi_volume;
mod ephemeral;
pub(crate) mod events;
mod expansion;
pub(crate) mod nodes;
mod options;
mod protection;
mod quotas;
mod scheduler;
mod spread;
mod stateful;
pub(crate) mod users;
pub(crate) mod worker;
pub(crate) mod workloads;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use base::{Clock, Random, Scope};
use serde_json::Value;

pub use self::options::Options;
pub(crate) use crate::kube::has_ended;
use crate::kube::{ApiError, ApiServer, Change, GroupResource, Object, Store, Subscription};
use crate::node::Kubelet;

pub(crate) const CLAIMS: GroupResource<'static> = GroupResource::new("", "persistentvolumeclaims");
pub(crate) const VOLUMES: GroupResource<'static> = GroupResource::new("", "persistentvolumes");
pub(crate) const PODS: GroupResource<'static> = GroupResource::new("", "pods");
pub(crate) const NODES: GroupResource<'static> = GroupResource::new("", "nodes");
const NAMESPACES: GroupResource<'static> = GroupResource::new("", "namespaces");
const SERVICES: GroupResource<'static> = GroupResource::new("", "services");
const SERVICE_ACCOUNTS: GroupResource<'static> = GroupResource::new("", "serviceaccounts");
const ATTRIBUTES_CLASSES: GroupResource<'static> =
    GroupResource::new("storage.k8s.io", "volumeattributesclasses");
const STORAGE_CLASSES: GroupResource<'static> = GroupResource::new("storage.k8s.io", "storageclasses");
pub(crate) const SECRETS: GroupResource<'static> = GroupResource::new("", "secrets");
pub(crate) const EVENTS: GroupResource<'static> = GroupResource::new("", "events");
pub(crate) const DRIVERS: GroupResource<'static> = GroupResource::new("storage.k8s.io", "csidrivers");
pub(crate) const DRIVER_NODES: GroupResource<'static> = GroupResource::new("storage.k8s.io", "csinodes");
pub(crate) const ATTACHMENTS: GroupResource<'static> =
    GroupResource::new("storage.k8s.io", "volumeattachments");
const DEFINITIONS: GroupResource<'static> =
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");
const DEPLOYMENTS: GroupResource<'static> = GroupResource::new("apps", "deployments");
const REPLICA_SETS: GroupResource<'static> = GroupResource::new("apps", "replicasets");
const STATEFUL_SETS: GroupResource<'static> = GroupResource::new("apps", "statefulsets");

/// Starts the actors as tasks of the scope; they end with it or when it stops. Pods run without their volumes
/// being attached or mounted: that takes drivers ([`run_with`]).
pub fn run(server: &ApiServer, scope: &Scope, clock: Clock) {
    run_with(server, scope, clock, Options::default());
}

/// Starts the actors, and with them what the options name: nodes with their kubelets, attachers.
pub fn run_with(server: &ApiServer, scope: &Scope, clock: Clock, options: Options) {
    let account = |name: &str| server.store(&format!("system:serviceaccount:kube-system:{name}"));
    controllers(account, scope, &clock, &options);
    let random = options.random.unwrap_or_else(|| Random::seeded(0));
    scheduler::Scheduler::start(
        server.store("system:kube-scheduler"),
        &options.nodes,
        scope,
        clock.clone(),
        random.fork(),
    );
    let mut attached: BTreeSet<String> = options.attachers.keys().cloned().collect();
    attached.extend(options.attached);
    if !attached.is_empty() {
        let store = account("attachdetach-controller");
        start(
            attachments::Attachments::new(store, clock.clone(), attached.clone()),
            scope,
        );
    }
    for (driver, channel) in options.attachers {
        let store = account(&format!("{}-attacher", driver.replace('.', "-")));
        attacher::Attacher::start(store, driver, channel, scope, clock.clone(), random.fork());
    }
    for node in options.nodes {
        Kubelet::start(
            server,
            node,
            attached.clone(),
            scope,
            clock.clone(),
            random.fork(),
        );
    }
}

/// Those that call nobody.
fn controllers(account: impl Fn(&str) -> Store, scope: &Scope, clock: &Clock, options: &Options) {
    start(
        binder::Binder::new(
            account("persistent-volume-binder"),
            clock.clone(),
            !options.marked_by_hand,
        ),
        scope,
    );
    start(
        protection::Protection::new(account("pvc-protection-controller")),
        scope,
    );
    start(
        collector::Collector::new(account("generic-garbage-collector")),
        scope,
    );
    start(
        accounts::Accounts::new(account("service-account-controller")),
        scope,
    );
    quotas::start(account("resourcequota-controller"), scope);
    start(
        workloads::Workloads::new(account("deployment-controller"), clock.clone(), &options.nodes),
        scope,
    );
    start(
        stateful::StatefulSets::new(account("statefulset-controller")),
        scope,
    );
    start(
        ephemeral::Ephemeral::new(account("ephemeral-volume-controller")),
        scope,
    );
    start(
        expansion::Expansion::new(account("expand-controller"), clock.clone()),
        scope,
    );
}

/// Something that reacts to changes of objects.
trait Actor: Send + 'static {
    /// The types whose changes it sees.
    fn interests(&self) -> Vec<GroupResource<'static>>;

    /// Its access to the objects.
    fn store(&self) -> &Store;

    /// Reacts to one change.
    fn changed(&mut self, change: &Change);
}

fn start(mut actor: impl Actor, scope: &Scope) {
    let (store, interests) = (actor.store().clone(), actor.interests());
    follow(&store, &interests, scope, move |change| actor.changed(change));
}

/// Shows every change of these types from now on, until the scope stops.
fn follow(
    store: &Store,
    interests: &[GroupResource<'static>],
    scope: &Scope,
    changed: impl FnMut(&Change) + Send + 'static,
) {
    follow_all(store.subscribe(interests), scope, changed);
}

/// Shows every change of a subscription until the scope stops.
fn follow_all(mut changes: Subscription, scope: &Scope, mut changed: impl FnMut(&Change) + Send + 'static) {
    let stopping = scope.stopping_token();
    scope.spawn(async move {
        loop {
            let change = tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                change = changes.next() => change,
            };
            match change {
                Some(change) => changed(&change),
                None => return,
            }
        }
    });
}

/// A refused write is no reason to stop: the next change of the object leads here again.
pub(crate) fn attempt(result: Result<Arc<Object>, ApiError>) -> Option<Arc<Object>> {
    match result {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::debug!(%error, "an actor's write was refused");
            None
        }
    }
}

/// The member at a JSON pointer whose steps are plain names; unlike [`Value::pointer`] it copies none of them.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    let mut steps = pointer.split('/').skip(1);
    steps.try_fold(value, |value, step| value.get(step))
}

/// A text at a JSON pointer; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list at a JSON pointer.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

pub(crate) fn is_deleting(value: &Value) -> bool {
    !text(value, "/metadata/deletionTimestamp").is_empty()
}

pub(crate) fn is_gone(change: &Change) -> bool {
    change.kind == crate::kube::ChangeKind::Deleted
}

pub(crate) fn has_finalizer(value: &Value, name: &str) -> bool {
    items(value, "/metadata/finalizers")
        .iter()
        .any(|finalizer| finalizer == name)
}

pub(crate) fn remove_finalizer(value: &mut Value, name: &str) {
    if let Some(Value::Array(finalizers)) = value.pointer_mut("/metadata/finalizers") {
        finalizers.retain(|finalizer| finalizer != name);
    }
}

/// Puts a member into the object at a pointer, making that object where its parent has none.
pub(crate) fn set(value: &mut Value, pointer: &str, name: &str, member: Value) {
    if let Some((parent, own)) = pointer.rsplit_once('/')
        && let Some(Value::Object(parent)) = value.pointer_mut(parent)
    {
        parent
            .entry(own)
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    if let Some(Value::Object(object)) = value.pointer_mut(pointer) {
        object.insert(name.to_owned(), member);
    }
}

/// The names of the claims that a pod mounts, those that are made for it among them.
pub(crate) fn claims_of(pod: &Value) -> impl Iterator<Item = Cow<'_, str>> {
    let volumes = items(pod, "/spec/volumes").iter();
    volumes.filter_map(|volume| ephemeral::claim_name(pod, volume))
}

/// Objects to look at, each once, in the order in which they were noted.
#[derive(Debug, Default)]
struct Agenda {
    keys: VecDeque<(String, String)>,
}

impl Agenda {
    fn note(&mut self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        if !name.is_empty() && !self.keys.contains(&key) {
            self.keys.push_back(key);
        }
    }

    fn next(&mut self) -> Option<(String, String)> {
        self.keys.pop_front()
    }
}

#[cfg(test)]
mod tests;
