//! Events as the recorder of a component writes them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base::Clock;
use serde_json::{Value, json};

use super::{EVENTS, attempt, set, text};
use crate::kube::Store;

/// How many events are remembered for counting repetitions.
const REMEMBERED: usize = 4096;

/// UID of the object, reason and message.
type Likeness = (String, String, String);

/// Writes events. Equal ones are counted in one object.
#[derive(Clone)]
pub(crate) struct Events {
    store: Store,
    clock: Clock,
    component: String,
    host: String,
    written: Arc<Mutex<BTreeMap<Likeness, String>>>,
}

impl Events {
    /// A recorder with this `source.component` and, on a node, `source.host`.
    pub(crate) fn new(store: Store, clock: Clock, component: &str, host: &str) -> Self {
        Self {
            store,
            clock,
            component: component.to_owned(),
            host: host.to_owned(),
            written: Arc::default(),
        }
    }

    pub(crate) fn normal(&self, about: &Value, reason: &str, message: &str) {
        self.record(about, "Normal", reason, message);
    }

    pub(crate) fn warning(&self, about: &Value, reason: &str, message: &str) {
        self.record(about, "Warning", reason, message);
    }

    fn record(&self, about: &Value, kind: &str, reason: &str, message: &str) {
        let likeness = (
            text(about, "/metadata/uid").to_owned(),
            reason.to_owned(),
            message.to_owned(),
        );
        let now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let namespace = match text(about, "/metadata/namespace") {
            "" => "default",
            namespace => namespace,
        };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = written.get(&likeness) {
            let again = self.store.update(EVENTS, namespace, name, |event| {
                let count = event["count"].as_u64().unwrap_or(1) + 1;
                set(event, "", "count", json!(count));
                set(event, "", "lastTimestamp", json!(now));
            });
            if again.is_ok() {
                return;
            }
        }
        if let Some(name) = self.create(about, namespace, kind, (reason, message), &now) {
            if written.len() >= REMEMBERED {
                written.clear();
            }
            written.insert(likeness, name);
        }
    }

    fn create(
        &self,
        about: &Value,
        namespace: &str,
        kind: &str,
        (reason, message): (&str, &str),
        now: &str,
    ) -> Option<String> {
        let name = self.free_name(namespace, text(about, "/metadata/name"));
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"], "kind": about["kind"],
                "name": about["metadata"]["name"], "namespace": text(about, "/metadata/namespace"),
                "uid": about["metadata"]["uid"], "resourceVersion": about["metadata"]["resourceVersion"],
            },
            "type": kind, "reason": reason, "message": message, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now, "eventTime": null,
            "source": source(&self.component, &self.host),
            "reportingComponent": self.component, "reportingInstance": self.host,
        });
        attempt(self.store.create(EVENTS, event)).map(|event| event.name().to_owned())
    }

    /// The object's name and the moment, as recorders name events. Where simulated time stands still, others
    /// count on from the moment; actors count back, and take no name of theirs.
    fn free_name(&self, namespace: &str, about: &str) -> String {
        let moment = self.clock.now().as_nanosecond();
        let names = (1..).map(|back| format!("{about}.{:016x}", moment - back));
        let mut free = names.filter(|name| self.store.get(EVENTS, namespace, name).is_none());
        free.next().unwrap_or_default()
    }
}

fn source(component: &str, host: &str) -> Value {
    if host.is_empty() {
        json!({"component": component})
    } else {
        json!({"component": component, "host": host})
    }
}
