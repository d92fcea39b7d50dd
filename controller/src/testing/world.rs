//! A Kubernetes API, a driver, and one function between them, on paused time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use base::args::Environment;
use base::{Clock, Random, Scope};
use csi::Channel;
use prometheus::Registry;
use runtime::{Context, Watches};
use sandbox::faults::{Faults, transports};
use sandbox::kube::{ApiServer, AuditRecord, GroupResource, Store};
use serde::Serialize;
use serde_json::{Value, json};

use super::resources::{DEFINITIONS, EVENTS};
use super::{Driver, Process};
use crate::entry::{Entry, Start, prepare};

/// A cluster that one function works in. Its user in the API server has the function's name.
pub struct World {
    /// The API server.
    pub api: ApiServer,
    /// The objects as the user of the test reaches them: it stands for people and for the other controllers.
    pub person: Store,
    /// The CSI driver, for a function that drives one.
    pub driver: Driver,
    /// The clock of the cluster and of the function.
    pub clock: Clock,
    /// Flags of the processes that are started, separated by blanks.
    pub flags: String,
    /// What their surroundings say.
    pub environment: Environment,
    /// What runs beside the function.
    pub scope: Scope,
    entry: Entry,
    started: AtomicU32,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who tells it.
    pub component: String,
    /// Its reason.
    pub reason: String,
    /// Its text.
    pub message: String,
    /// How often it was told.
    pub count: u64,
}

impl World {
    /// An empty cluster for this function.
    #[must_use]
    pub fn new(entry: Entry, driver: Driver) -> Self {
        let scope = Scope::new();
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let api = ApiServer::new(clock.clone(), Random::seeded(1), &scope);
        Self {
            person: api.store("person"),
            api,
            driver,
            clock,
            flags: String::new(),
            environment: Environment::default(),
            scope,
            entry,
            started: AtomicU32::new(0),
        }
    }

    /// Creates the definitions of the snapshot kinds, without those of groups.
    pub fn define(&self) {
        for definition in crds::definitions::snapshots() {
            self.create(DEFINITIONS, definition);
        }
    }

    /// Creates the definitions of the group kinds.
    pub fn define_groups(&self) {
        for definition in crds::definitions::groups() {
            self.create(DEFINITIONS, definition);
        }
    }

    /// Creates an object; answers it as it was stored.
    pub fn create(&self, resource: GroupResource<'_>, object: impl Serialize) -> Value {
        let object = serde_json::to_value(object).unwrap();
        self.person.create(resource, object).unwrap().value().clone()
    }

    /// The object, if it is there.
    #[must_use]
    pub fn get(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Option<Value> {
        let found = self.person.get(resource, namespace, name);
        found.map(|object| object.value().clone())
    }

    /// All objects of a kind, in the order of their keys.
    #[must_use]
    pub fn list(&self, resource: GroupResource<'_>) -> Vec<Value> {
        let all = self.person.list(resource, None);
        all.iter().map(|object| object.value().clone()).collect()
    }

    /// Changes an object, but for its status.
    pub fn change(
        &self,
        resource: GroupResource<'_>,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) {
        self.person.update(resource, namespace, name, change).unwrap();
    }

    /// Writes these members of the status of an object; null takes one away.
    pub fn change_status(&self, resource: GroupResource<'_>, namespace: &str, name: &str, members: &Value) {
        let merge = |object: &mut Value| {
            for (name, value) in members.as_object().unwrap() {
                object["status"][name] = value.clone();
            }
            let status = object["status"].as_object_mut().unwrap();
            status.retain(|_, value| !value.is_null());
        };
        self.person
            .update_status(resource, namespace, name, merge)
            .unwrap();
    }

    /// Deletes an object, or begins to where finalizers keep it.
    pub fn delete(&self, resource: GroupResource<'_>, namespace: &str, name: &str) {
        self.person.delete(resource, namespace, name, None).unwrap();
    }

    /// Takes an object away whatever its finalizers say.
    pub fn remove_by_force(&self, resource: GroupResource<'_>, namespace: &str, name: &str) {
        self.change(resource, namespace, name, |object| {
            object["metadata"]["finalizers"] = json!([]);
        });
        self.delete(resource, namespace, name);
    }

    /// All events, in the order in which they were last written.
    #[must_use]
    pub fn events(&self) -> Vec<Told> {
        let mut events = self.list(EVENTS);
        let version = |event: &Value| event["metadata"]["resourceVersion"].as_str()?.parse::<u64>().ok();
        events.sort_by_key(version);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let told = |event: &Value| Told {
            component: text(&event["source"]["component"]),
            reason: text(&event["reason"]),
            message: text(&event["message"]),
            count: event["count"].as_u64().unwrap_or(1),
        };
        events.iter().map(told).collect()
    }

    /// The reasons of all events.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.events().into_iter().map(|event| event.reason).collect()
    }

    /// Starts the function.
    #[must_use]
    pub fn start(&self) -> Process {
        self.start_with(Faults::none())
    }

    /// The same; its calls to the API server and to the driver meet `faults`.
    #[must_use]
    pub fn start_with(&self, faults: Faults) -> Process {
        let driver = transports::csi(self.driver.routes(), &faults);
        self.start_over(driver, faults)
    }

    /// The same over another way to the driver.
    #[must_use]
    pub fn start_over(&self, driver: Channel, faults: Faults) -> Process {
        let (scope, registry) = (Scope::new(), Registry::new());
        let (start, context) = (self.parse(), self.context(&scope, &registry, &faults));
        let driver = start.driver().is_some().then_some(driver);
        let ended = Arc::new(Mutex::new(None));
        let (result, inner) = (ended.clone(), context.scope.clone());
        scope.spawn(async move {
            let outcome = match prepare(start, context, driver).await {
                Ok(Some(ready)) => ready.run().await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
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

    fn parse(&self) -> Box<dyn Start> {
        let words = std::iter::once(self.entry.name).chain(self.flags.split_whitespace());
        let command = (self.entry.parse)(words.map(Into::into).collect()).unwrap();
        command.check(&self.environment).unwrap()
    }

    fn context(&self, scope: &Scope, registry: &Registry, faults: &Faults) -> Context {
        let (random, clock) = (Random::seeded(2), self.clock.clone());
        let service = transports::kubernetes(&self.api, self.entry.name, faults);
        let client = kube::Client::new(service, "default");
        Context {
            client: client.clone(),
            lease_client: client.clone(),
            clock: clock.clone(),
            random: random.clone(),
            registry: registry.clone(),
            scope: scope.child(),
            watches: Watches::new(client, clock, random, scope, registry),
            identity: format!("pod-{}", self.started.fetch_add(1, Ordering::Relaxed)),
            namespace: "kube-system".into(),
        }
    }

    /// The number of the latest request of anyone.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.api.audit().last().map_or(0, |record| record.number)
    }

    /// Requests of the function after that number, without watches, lists, events and leases.
    #[must_use]
    pub fn requests_since(&self, number: u64) -> Vec<String> {
        let worth = |record: &AuditRecord| {
            record.user == self.entry.name
                && !["list", "watch"].contains(&record.verb)
                && !["events", "leases"].contains(&record.resource.as_str())
        };
        let shown = |record: AuditRecord| {
            let slash = if record.subresource.is_empty() { "" } else { "/" };
            let (resource, part) = (record.resource, record.subresource);
            format!("{} {resource}{slash}{part} {}", record.verb, record.code)
        };
        let records = self.api.audit_since(number).into_iter();
        records.filter(worth).map(shown).collect()
    }

    /// All requests of the function.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests_since(0)
    }

    /// Whether the function has listed or watched the kind.
    #[must_use]
    pub fn followed(&self, resource: &str) -> bool {
        let follows = |record: &AuditRecord| {
            record.user == self.entry.name
                && record.resource == resource
                && ["list", "watch"].contains(&record.verb)
        };
        self.api.audit().iter().any(follows)
    }
}
