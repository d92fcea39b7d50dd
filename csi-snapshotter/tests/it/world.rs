//! A Kubernetes API, a driver, and the function between them, on paused time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::args::Environment;
use base::{Clock, Random, Scope};
use crds::v1::{VolumeSnapshotClass, VolumeSnapshotContent};
use csi::Channel;
use csi_snapshotter::{Args, Config, Error};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use prometheus::Registry;
use runtime::{Context, Watches};
use sandbox::faults::{Faults, transports};
use sandbox::kube::{ApiServer, AuditRecord};
use serde_json::{Value, json};

use crate::build::Content;
use crate::driver::Driver;

pub const USER: &str = "csi-snapshotter";
/// The user of tests, which stands for the snapshot controller and for people.
const PERSON: &str = "person";

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
    pub registry: Registry,
    pub ended: Arc<Mutex<Option<Result<(), Error>>>>,
    pub faults: Faults,
}

impl World {
    /// With the definitions, and class `k`.
    pub async fn new() -> Self {
        let world = Self::without_definitions();
        world.define().await;
        world.create_class(crate::build::class(&[("type", "fast")])).await;
        world
    }

    pub fn without_definitions() -> Self {
        let scope = Scope::new();
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let api = ApiServer::new(clock.clone(), Random::seeded(1), &scope);
        let client = kube::Client::new(api.service(PERSON), "default");
        Self {
            api,
            driver: Driver::new(),
            clock,
            flags: String::new(),
            client,
            _scope: scope,
        }
    }

    pub async fn define(&self) {
        let kind = ApiResource {
            group: "apiextensions.k8s.io".into(),
            version: "v1".into(),
            api_version: "apiextensions.k8s.io/v1".into(),
            kind: "CustomResourceDefinition".into(),
            plural: "customresourcedefinitions".into(),
        };
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind);
        for definition in crds::definitions::all() {
            let definition = serde_json::from_value(definition).unwrap();
            api.create(&PostParams::default(), &definition).await.unwrap();
        }
    }

    pub async fn create_class(&self, class: VolumeSnapshotClass) {
        let api: Api<VolumeSnapshotClass> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &class).await.unwrap();
    }

    pub async fn delete_class(&self) {
        let api: Api<VolumeSnapshotClass> = Api::all(self.client.clone());
        api.delete("k", &DeleteParams::default()).await.unwrap();
    }

    pub async fn create_secret(&self, data: &[(&str, &str)]) {
        let data: serde_json::Map<String, Value> = data
            .iter()
            .map(|(key, value)| (key.to_string(), json!(value)))
            .collect();
        let secret = json!({"metadata": {"name": "sec"}, "stringData": data});
        let api: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(self.client.clone(), "default");
        api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap())
            .await
            .unwrap();
    }

    pub fn contents(&self) -> Api<VolumeSnapshotContent> {
        Api::all(self.client.clone())
    }

    /// Creates it with its annotations and finalizers, then writes its status.
    pub async fn create(&self, content: &Content) {
        let mut object = content.0.clone();
        object.metadata.uid = None;
        object.metadata.resource_version = None;
        let status = object.status.take();
        self.contents()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        if let Some(status) = status {
            let patch = Patch::Merge(json!({ "status": status }));
            self.contents()
                .patch_status("snapcontent-u", &PatchParams::default(), &patch)
                .await
                .unwrap();
        }
    }

    pub async fn content(&self) -> Option<VolumeSnapshotContent> {
        self.contents().get_opt("snapcontent-u").await.unwrap()
    }

    pub async fn status(&self) -> crds::v1::VolumeSnapshotContentStatus {
        self.content().await.unwrap().status.unwrap_or_default()
    }

    pub async fn error(&self) -> Option<String> {
        self.status().await.error.and_then(|error| error.message)
    }

    pub async fn is_marked(&self) -> bool {
        let annotations = self
            .content()
            .await
            .unwrap()
            .metadata
            .annotations
            .unwrap_or_default();
        annotations.contains_key(crate::build::BEING_CREATED)
    }

    pub async fn patch(&self, patch: Value) {
        let patch = Patch::Merge(patch);
        self.contents()
            .patch("snapcontent-u", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// What the controller does when the VolumeSnapshot is deleted.
    pub async fn delete(&self) {
        let mark = json!({ (crate::build::BEING_DELETED): "yes" });
        self.patch(json!({"metadata": {"annotations": mark}})).await;
        self.contents()
            .delete("snapcontent-u", &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Reason, message and count of every event.
    pub async fn events(&self) -> Vec<(String, String, i32)> {
        let api: Api<Event> = Api::all(self.client.clone());
        let events = api.list(&Default::default()).await.unwrap();
        let text = |text: Option<String>| text.unwrap_or_default();
        let shown = events
            .into_iter()
            .map(|event| (text(event.reason), text(event.message), event.count.unwrap_or(1)));
        shown.collect()
    }

    pub async fn reasons(&self) -> Vec<String> {
        self.events().await.into_iter().map(|event| event.0).collect()
    }

    pub fn config(&self) -> Config {
        let words = std::iter::once("csi-snapshotter").chain(self.flags.split_whitespace());
        let args: Args = base::args::parse(words.map(Into::into)).unwrap();
        args.config(&Environment::default()).unwrap()
    }

    pub fn start(&self) -> Process {
        self.start_with(Faults::none())
    }

    /// Starts the function; its calls to the API and to the driver meet `faults`.
    pub fn start_with(&self, faults: Faults) -> Process {
        let channel = transports::csi(self.driver.routes(), &faults);
        self.start_over(channel, faults)
    }

    /// The same over another way to the driver.
    pub fn start_over(&self, channel: Channel, faults: Faults) -> Process {
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
            let outcome = csi_snapshotter::run(config, context, channel).await;
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

    /// Requests of the function, reads and writes, without watches, lists, events and leases.
    pub fn requests(&self) -> Vec<String> {
        let records = self.api.audit().into_iter();
        let worth = |record: &AuditRecord| {
            record.user == USER
                && !["list", "watch"].contains(&record.verb)
                && !["events", "leases"].contains(&record.resource.as_str())
        };
        let shown = |record: AuditRecord| {
            let slash = if record.subresource.is_empty() { "" } else { "/" };
            format!(
                "{} {}{slash}{} {}",
                record.verb, record.resource, record.subresource, record.code
            )
        };
        records.filter(worth).map(shown).collect()
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
