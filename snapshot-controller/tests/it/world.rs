//! A Kubernetes API with the actors around it, a stand-in for the csi-snapshotter, and the controller between
//! them, on paused time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Clock, Random, Scope};
use prometheus::Registry;
use runtime::{Context, Watches};
use sandbox::faults::{Faults, transports};
use sandbox::kube::{ApiServer, AuditRecord, GroupResource, Store};
use serde_json::{Value, json};
use snapshot_controller::{Args, Config, Error};

use crate::scene::{BEING_DELETED, CONTENT_BOUND};

pub const USER: &str = "snapshot-controller";
pub const SNAPSHOTS: GroupResource<'static> =
    GroupResource::new("snapshot.storage.k8s.io", "volumesnapshots");
pub const CONTENTS: GroupResource<'static> =
    GroupResource::new("snapshot.storage.k8s.io", "volumesnapshotcontents");
pub const CLASSES: GroupResource<'static> =
    GroupResource::new("snapshot.storage.k8s.io", "volumesnapshotclasses");
pub const CLAIMS: GroupResource<'static> = GroupResource::new("", "persistentvolumeclaims");
pub const VOLUMES: GroupResource<'static> = GroupResource::new("", "persistentvolumes");
const EVENTS: GroupResource<'static> = GroupResource::new("", "events");
const DEFINITIONS: GroupResource<'static> =
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions");

pub struct World {
    pub api: ApiServer,
    pub person: Store,
    pub clock: Clock,
    pub flags: String,
    pub sidecar: Sidecar,
    started: AtomicU32,
    scope: Scope,
}

/// What the stand-in for the csi-snapshotter has done.
#[derive(Clone, Default)]
pub struct Sidecar {
    /// Until ready after the cut; none cuts and is ready at once.
    pub ready_after: Option<Duration>,
    pub deleted: Arc<Mutex<Vec<String>>>,
}

/// A running process.
pub struct Process {
    pub scope: Scope,
    pub registry: Registry,
    pub ended: Arc<Mutex<Option<Result<(), Error>>>>,
    pub faults: Faults,
}

impl World {
    /// Definitions, class `k`, claim `p` bound to volume `pv`, and a sidecar that is ready at once.
    pub async fn new() -> Self {
        Self::with_sidecar(Sidecar::default()).await
    }

    pub async fn with_sidecar(sidecar: Sidecar) -> Self {
        let world = Self::without_definitions(sidecar);
        world.define();
        world.create(CLASSES, class("k", "Delete"));
        world.create_volume("p", "pv");
        world
            .scope
            .spawn(attend(world.api.store("csi-snapshotter"), world.sidecar.clone()));
        seconds(1).await;
        assert_eq!(
            world.get(CLAIMS, "default", "p").unwrap()["status"]["phase"],
            "Bound"
        );
        world
    }

    pub fn without_definitions(sidecar: Sidecar) -> Self {
        let scope = Scope::new();
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let api = ApiServer::new(clock.clone(), Random::seeded(1), &scope);
        sandbox::actors::run(&api, &scope, clock.clone());
        Self {
            person: api.store("person"),
            api,
            clock,
            flags: String::new(),
            sidecar,
            started: AtomicU32::new(0),
            scope,
        }
    }

    pub fn define(&self) {
        for definition in crds::definitions::all() {
            self.create(DEFINITIONS, definition);
        }
    }

    pub fn create(&self, resource: GroupResource<'_>, object: Value) {
        self.person.create(resource, object).unwrap();
    }

    /// A CSI volume of driver `d` with handle `vol-<volume>`, bound to a claim of `default`.
    pub fn create_volume(&self, claim: &str, volume: &str) {
        self.create(
            VOLUMES,
            json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
                "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem",
                    "csi": {"driver": "d", "volumeHandle": format!("vol-{volume}")},
                    "claimRef": {"namespace": "default", "name": claim}},
            }),
        );
        self.create(
            CLAIMS,
            json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": claim, "namespace": "default"},
                "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": volume,
                    "resources": {"requests": {"storage": "1Gi"}}},
            }),
        );
    }

    pub fn create_snapshot(&self, name: &str) {
        self.create(SNAPSHOTS, snapshot(name, "p", Some("k")));
    }

    pub fn get(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Option<Value> {
        self.person
            .get(resource, namespace, name)
            .map(|object| object.value().clone())
    }

    pub fn snapshot(&self, name: &str) -> Value {
        self.get(SNAPSHOTS, "default", name).unwrap_or_default()
    }

    pub fn contents(&self) -> Vec<Value> {
        let all = self.person.list(CONTENTS, None);
        all.iter().map(|object| object.value().clone()).collect()
    }

    pub fn claim_finalizers(&self) -> Value {
        self.get(CLAIMS, "default", "p").unwrap()["metadata"]["finalizers"].clone()
    }

    pub fn delete(&self, resource: GroupResource<'_>, namespace: &str, name: &str) {
        self.person.delete(resource, namespace, name, None).unwrap();
    }

    pub fn change(
        &self,
        resource: GroupResource<'_>,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) {
        self.person.update(resource, namespace, name, change).unwrap();
    }

    /// Takes an object away whatever its finalizers say.
    pub fn remove_by_force(&self, resource: GroupResource<'_>, namespace: &str, name: &str) {
        self.change(resource, namespace, name, |object| {
            object["metadata"]["finalizers"] = json!([]);
        });
        self.delete(resource, namespace, name);
    }

    /// Reason of every event of the controller, by the order of their names.
    pub fn reasons(&self) -> Vec<String> {
        let mut events: Vec<_> = self
            .person
            .list(EVENTS, None)
            .iter()
            .map(|event| event.value().clone())
            .filter(|event| event["source"]["component"] == "snapshot-controller")
            .collect();
        events.sort_by_key(|event| {
            event["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        });
        events
            .iter()
            .map(|event| format!("{} x{}", event["reason"].as_str().unwrap(), event["count"]))
            .collect()
    }

    fn config(&self) -> Config {
        let words = std::iter::once("snapshot-controller").chain(self.flags.split_whitespace());
        let args: Args = base::args::parse(words.map(Into::into)).unwrap();
        args.config().unwrap()
    }

    pub fn start(&self) -> Process {
        self.start_with(Faults::none())
    }

    /// Starts the controller; its requests meet `faults`.
    pub fn start_with(&self, faults: Faults) -> Process {
        let (scope, registry) = (Scope::new(), Registry::new());
        let (random, clock) = (Random::seeded(2), self.clock.clone());
        let client = kube::Client::new(transports::kubernetes(&self.api, USER, &faults), "default");
        let context = Context {
            client: client.clone(),
            lease_client: client.clone(),
            clock: clock.clone(),
            random: random.clone(),
            registry: registry.clone(),
            scope: scope.child(),
            watches: Watches::new(client, clock, random, &scope, &registry),
            identity: format!("pod-{}", self.started.fetch_add(1, Ordering::Relaxed)),
            namespace: "kube-system".into(),
        };
        let ended = Arc::new(Mutex::new(None));
        let (config, result) = (self.config(), ended.clone());
        let inner = context.scope.clone();
        scope.spawn(async move {
            let outcome = snapshot_controller::run(config, context).await;
            *result.lock().unwrap() = Some(outcome);
            drop(inner);
        });
        Process {
            scope,
            registry,
            ended,
            faults,
        }
    }

    /// Requests of the controller after record `number`, without watches, lists, events, leases and reviews.
    pub fn requests_since(&self, number: u64) -> Vec<String> {
        let worth = |record: &AuditRecord| {
            record.user == USER
                && !["list", "watch"].contains(&record.verb)
                && !["events", "leases", "selfsubjectaccessreviews"].contains(&record.resource.as_str())
        };
        let shown = |record: AuditRecord| {
            let slash = if record.subresource.is_empty() { "" } else { "/" };
            format!(
                "{} {}{slash}{} {}",
                record.verb, record.resource, record.subresource, record.code
            )
        };
        self.api
            .audit_since(number)
            .into_iter()
            .filter(worth)
            .map(shown)
            .collect()
    }

    pub fn mark(&self) -> u64 {
        self.api.audit().last().map_or(0, |record| record.number)
    }
}

impl Process {
    /// Kills it: nothing that runs goes on.
    pub async fn kill(self) {
        self.scope.abort();
        self.scope.finished().await;
    }

    pub async fn stop(self) -> Option<Result<(), Error>> {
        self.scope.stop();
        self.scope.finished().await;
        self.ended.lock().unwrap().take()
    }

    /// Value of a metric with these labels; 0 if it is not there. Of a histogram its count.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.registry.gather();
        let of_family = families.iter().find(|family| family.name() == name);
        let metrics = of_family.map(|family| family.get_metric()).unwrap_or_default();
        let found = metrics.iter().find(|metric| {
            labels.iter().all(|(name, value)| {
                metric
                    .get_label()
                    .iter()
                    .any(|label| label.name() == *name && label.value() == *value)
            })
        });
        found.map_or(0.0, |metric| {
            if metric.get_histogram().get_sample_count() > 0 {
                metric.get_histogram().get_sample_count() as f64
            } else {
                metric.get_gauge().get_value()
            }
        })
    }
}

pub fn class(name: &str, policy: &str) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass",
        "metadata": {"name": name}, "driver": "d", "deletionPolicy": policy,
    })
}

pub fn snapshot(name: &str, claim: &str, class: Option<&str>) -> Value {
    let mut spec = json!({"source": {"persistentVolumeClaimName": claim}});
    if let Some(class) = class {
        spec["volumeSnapshotClassName"] = json!(class);
    }
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}

pub async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Cuts contents and lets go of those that are being deleted, as the csi-snapshotter would.
async fn attend(store: Store, sidecar: Sidecar) {
    let mut changes = store.subscribe(&[CONTENTS]);
    while changes.next().await.is_some() {
        for content in store.list(CONTENTS, None) {
            attend_one(&store, &sidecar, content.value()).await;
        }
    }
}

async fn attend_one(store: &Store, sidecar: &Sidecar, content: &Value) {
    let name = content["metadata"]["name"].as_str().unwrap();
    let metadata = &content["metadata"];
    let held = metadata["finalizers"]
        .as_array()
        .is_some_and(|list| list.contains(&json!(CONTENT_BOUND)));
    if metadata["deletionTimestamp"].is_string() {
        if held && metadata["annotations"][BEING_DELETED].is_string() {
            if content["spec"]["deletionPolicy"] == "Delete" {
                sidecar.deleted.lock().unwrap().push(name.to_owned());
            }
            let _ = store.update(CONTENTS, "", name, |object| {
                let list = object["metadata"]["finalizers"].as_array_mut().unwrap();
                list.retain(|finalizer| finalizer != CONTENT_BOUND);
            });
        }
        return;
    }
    if content["status"]["snapshotHandle"].is_null() {
        let ready = sidecar.ready_after.is_none();
        let _ = store.update_status(CONTENTS, "", name, |object| {
            object["status"] = json!({"snapshotHandle": format!("snap-of-{name}"), "readyToUse": ready,
                "creationTime": 1_767_225_600_000_000_000_i64, "restoreSize": 1_073_741_824});
        });
    } else if let (Some(wait), false) = (sidecar.ready_after, content["status"]["readyToUse"] == true) {
        tokio::time::sleep(wait).await;
        let _ = store.update_status(CONTENTS, "", name, |object| {
            object["status"]["readyToUse"] = json!(true);
        });
    }
}
