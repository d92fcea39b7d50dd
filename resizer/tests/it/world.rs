//! A Kubernetes API, a driver, and the function between them, on paused time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::args::Environment;
use base::{Clock, Random, Scope};
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Secret};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use prometheus::Registry;
use resizer::{Args, Config, Error};
use runtime::{Context, Watches};
use sandbox::faults::{Faults, transports};
use sandbox::kube::{ApiServer, AuditRecord};
use serde_json::{Value, json};

use crate::driver::{DRIVER, Driver};

pub const USER: &str = "csi-resizer";
/// The user of tests, which stands for people, kubelet and the binder.
const PERSON: &str = "person";

pub const MARK: &str = "patch persistentvolumeclaims/status 200";
pub const VOLUME: &str = "patch persistentvolumes 200";

pub struct World {
    pub api: ApiServer,
    pub driver: Driver,
    pub clock: Clock,
    pub flags: String,
    client: kube::Client,
    _scope: Scope,
}

/// A running process.
pub struct Process {
    pub scope: Scope,
    pub ended: Arc<Mutex<Option<Result<(), Error>>>>,
    pub faults: Faults,
}

/// Volume `v` of 10Gi, bound to claim `default/c`.
pub fn volume() -> Value {
    json!({
        "metadata": {"name": "v"},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": DRIVER, "volumeHandle": "vol", "fsType": "ext4"},
        },
    })
}

impl World {
    /// With class `s`.
    pub async fn new() -> Self {
        let scope = Scope::new();
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let api = ApiServer::new(clock.clone(), Random::seeded(1), &scope);
        let client = kube::Client::new(api.service(PERSON), "default");
        let world = Self {
            api,
            driver: Driver::new(),
            clock,
            flags: String::new(),
            client,
            _scope: scope,
        };
        let class = json!({"metadata": {"name": "s"}, "provisioner": DRIVER, "allowVolumeExpansion": true});
        let classes: Api<k8s_openapi::api::storage::v1::StorageClass> = Api::all(world.client.clone());
        let class = serde_json::from_value(class).unwrap();
        classes.create(&PostParams::default(), &class).await.unwrap();
        world
    }

    /// With claim `default/c` of 10Gi, bound to volume `v`.
    pub async fn bound() -> Self {
        let world = Self::new().await;
        world.bind("c", volume()).await;
        world
    }

    /// Creates the claim and its volume, each naming the other.
    pub async fn bind(&self, name: &str, mut volume: Value) {
        let uid = self
            .claim_of(name, volume["metadata"]["name"].as_str().unwrap())
            .await;
        let reference =
            json!({"kind": "PersistentVolumeClaim", "namespace": "default", "name": name, "uid": uid});
        volume["spec"]["claimRef"] = reference;
        self.create_volume(volume).await;
    }

    /// Creates the claim, bound to the volume, and returns its UID.
    pub async fn claim_of(&self, name: &str, volume: &str) -> String {
        let claim = json!({
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "s", "volumeName": volume,
                "resources": {"requests": {"storage": "10Gi"}},
            },
        });
        let claim = serde_json::from_value(claim).unwrap();
        let made = self
            .claims()
            .create(&PostParams::default(), &claim)
            .await
            .unwrap();
        self.status_of(name, json!({"phase": "Bound", "capacity": {"storage": "10Gi"}}))
            .await;
        made.metadata.uid.unwrap()
    }

    pub async fn create_volume(&self, volume: Value) {
        let volume = serde_json::from_value(volume).unwrap();
        self.volumes()
            .create(&PostParams::default(), &volume)
            .await
            .unwrap();
    }

    pub fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    /// Any other kind, by its path.
    pub async fn post(&self, path: &str, object: Value) {
        let request = http::Request::post(path).header("content-type", "application/json");
        let request = request.body(object.to_string().into_bytes()).unwrap();
        self.client.request::<Value>(request).await.unwrap();
    }

    pub async fn delete(&self, path: &str) {
        let request = http::Request::delete(path).body(Vec::new()).unwrap();
        self.client.request::<Value>(request).await.unwrap();
    }

    pub async fn create_secret(&self, value: &str) {
        let secret = json!({"metadata": {"name": "sec"}, "stringData": {"password": value}});
        let api: Api<Secret> = Api::namespaced(self.client.clone(), "default");
        let secret = serde_json::from_value(secret).unwrap();
        api.create(&PostParams::default(), &secret).await.unwrap();
    }

    /// Edits the size of `c`.
    pub async fn ask(&self, size: &str) {
        self.ask_of("c", size).await;
    }

    pub async fn ask_of(&self, name: &str, size: &str) {
        let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
        let params = PatchParams::default();
        self.claims()
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Writes a part of the status of `c`.
    pub async fn status(&self, status: Value) {
        self.status_of("c", status).await;
    }

    async fn status_of(&self, name: &str, status: Value) {
        let patch = Patch::Merge(json!({ "status": status }));
        let params = PatchParams::default();
        self.claims().patch_status(name, &params, &patch).await.unwrap();
    }

    /// What kubelet writes when the file system has grown.
    pub async fn node_finishes(&self) {
        let allocated = self.claim().await["status"]["allocatedResources"]["storage"].clone();
        self.status(json!({
            "capacity": {"storage": allocated}, "allocatedResourceStatuses": null, "conditions": [],
        }))
        .await;
    }

    pub async fn claim(&self) -> Value {
        serde_json::to_value(self.claims().get("c").await.unwrap()).unwrap()
    }

    pub async fn volume(&self) -> Value {
        serde_json::to_value(self.volumes().get("v").await.unwrap()).unwrap()
    }

    /// Capacity, allocated, stage, and conditions of `c`, in words.
    pub async fn shown(&self) -> String {
        let status = self.claim().await["status"].clone();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let conditions: Vec<String> = conditions.map(|condition| text(&condition["type"])).collect();
        format!(
            "{} {} {} [{}]",
            text(&status["capacity"]["storage"]),
            text(&status["allocatedResources"]["storage"]),
            text(&status["allocatedResourceStatuses"]["storage"]),
            conditions.join(" ")
        )
    }

    /// Capacity and annotation of `v`.
    pub async fn grown(&self) -> String {
        let volume = self.volume().await;
        let before = &volume["metadata"]["annotations"]["volume.alpha.kubernetes.io/pre-resize-capacity"];
        let size = volume["spec"]["capacity"]["storage"].as_str().unwrap().to_owned();
        format!("{size} {}", before.as_str().unwrap_or("-"))
    }

    /// Deletes the volume past its protection.
    pub async fn delete_volume(&self) {
        let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        self.volumes()
            .patch("v", &PatchParams::default(), &bare)
            .await
            .unwrap();
        self.volumes()
            .delete("v", &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Deletes the claim past its protection.
    pub async fn delete_claim(&self) {
        let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        self.claims()
            .patch("c", &PatchParams::default(), &bare)
            .await
            .unwrap();
        self.claims().delete("c", &DeleteParams::default()).await.unwrap();
    }

    /// Reason and message of every event.
    pub async fn events(&self) -> Vec<(String, String)> {
        let api: Api<Event> = Api::all(self.client.clone());
        let events = api.list(&Default::default()).await.unwrap();
        let text = |text: Option<String>| text.unwrap_or_default();
        let shown = events
            .into_iter()
            .map(|event| (text(event.reason), text(event.message)));
        shown.collect()
    }

    pub async fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<_> = self.events().await.into_iter().map(|event| event.0).collect();
        reasons.sort();
        reasons
    }

    pub fn config(&self) -> Config {
        let words = std::iter::once("csi-resizer").chain(self.flags.split_whitespace());
        let args: Args = base::args::parse(words.map(Into::into)).unwrap();
        args.config(&Environment::default()).unwrap()
    }

    pub fn start(&self) -> Process {
        self.start_with(Faults::none())
    }

    /// Starts the function; its calls to the API and to the driver meet `faults`.
    pub fn start_with(&self, faults: Faults) -> Process {
        let channel = transports::csi(self.driver.routes(), &faults);
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
            identity: "pod-1".into(),
            namespace: "kube-system".into(),
        };
        let ended = Arc::new(Mutex::new(None));
        let (config, result) = (self.config(), ended.clone());
        let inner = context.scope.clone();
        scope.spawn(async move {
            let outcome = resizer::run(config, context, channel).await;
            *result.lock().unwrap() = Some(outcome);
            drop(inner);
        });
        Process { scope, ended, faults }
    }

    /// Requests of the function, reads and writes, without those that follow kinds, events and leases.
    pub fn requests(&self) -> Vec<String> {
        let worth = |record: &AuditRecord| {
            record.user == USER
                && !["list", "watch"].contains(&record.verb)
                && !["events", "leases"].contains(&record.resource.as_str())
        };
        let shown = |record: AuditRecord| {
            let slash = if record.subresource.is_empty() { "" } else { "/" };
            let (resource, part) = (record.resource, record.subresource);
            format!("{} {resource}{slash}{part} {}", record.verb, record.code)
        };
        self.api.audit().into_iter().filter(worth).map(shown).collect()
    }

    /// Whether the function has listed or watched the kind.
    pub fn followed(&self, resource: &str) -> bool {
        let follows = |record: &AuditRecord| {
            record.user == USER && record.resource == resource && ["list", "watch"].contains(&record.verb)
        };
        self.api.audit().iter().any(follows)
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

    /// The text with which it ended by itself.
    pub fn failure(&self) -> Option<String> {
        let ended = self.ended.lock().unwrap();
        ended
            .as_ref()
            .and_then(|ended| ended.as_ref().err())
            .map(ToString::to_string)
    }
}

pub async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
