//! A Deployment makes a ReplicaSet, which makes pods; a pod that has a node without a kubelet runs at once.

use base::Clock;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Actor, DEPLOYMENTS, PODS, REPLICA_SETS, attempt, is_deleting, is_gone, items, set, text};
use crate::kube::{Change, GroupResource, Object, QUOTAS, Store};
use crate::node::Node;

/// Deployment and ReplicaSet controllers, and kubelet for nodes that have none.
pub(super) struct Workloads {
    store: Store,
    clock: Clock,
    /// The nodes with a kubelet, which sees to its pods itself.
    nodes: Vec<String>,
}

impl Workloads {
    pub(super) fn new(store: Store, clock: Clock, nodes: &[Node]) -> Self {
        let nodes = nodes.iter().map(|node| node.name.clone()).collect();
        Self { store, clock, nodes }
    }

    fn now(&self) -> String {
        let now: Timestamp = self.clock.now();
        now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// One ReplicaSet for the present template; those of former templates go.
    fn deployment(&self, deployment: &Value) {
        if is_deleting(deployment) {
            return;
        }
        let namespace = text(deployment, "/metadata/namespace");
        let template = &deployment["spec"]["template"];
        let digest = hex::encode(Sha256::digest(template.to_string()));
        let hash = digest.get(..10).unwrap_or_default();
        let wanted = format!("{}-{hash}", text(deployment, "/metadata/name"));
        for set in self.owned(REPLICA_SETS, deployment) {
            if set.name() != wanted {
                attempt(
                    self.store
                        .delete(REPLICA_SETS, namespace, set.name(), Some(set.uid())),
                );
            }
        }
        let replicas = deployment["spec"]["replicas"].clone();
        if self.store.get(REPLICA_SETS, namespace, &wanted).is_some() {
            attempt(self.store.update(REPLICA_SETS, namespace, &wanted, |set_| {
                set(set_, "/spec", "replicas", replicas);
            }));
            return;
        }
        let mut template = template.clone();
        set(
            &mut template,
            "/metadata/labels",
            "pod-template-hash",
            json!(hash),
        );
        let mut selector = deployment["spec"]["selector"].clone();
        set(&mut selector, "/matchLabels", "pod-template-hash", json!(hash));
        let made = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": wanted, "namespace": namespace, "labels": template["metadata"]["labels"],
                "ownerReferences": [owner("apps/v1", "Deployment", deployment)],
            },
            "spec": {"replicas": replicas, "selector": selector, "template": template},
        });
        attempt(self.store.create(REPLICA_SETS, made));
    }

    /// As many pods as wanted; the last by name go first.
    fn replica_set(&self, set: &Value) {
        if is_deleting(set) {
            return;
        }
        let namespace = text(set, "/metadata/namespace");
        let wanted = set["spec"]["replicas"]
            .as_u64()
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(1);
        let pods = self.owned(PODS, set);
        let living: Vec<_> = pods
            .iter()
            .filter(|pod| !is_deleting(pod.value()) && !super::has_ended(pod.value()))
            .collect();
        for pod in living.iter().skip(wanted) {
            attempt(self.store.delete(PODS, namespace, pod.name(), Some(pod.uid())));
        }
        for _ in living.len()..wanted {
            let template = &set["spec"]["template"];
            let made = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "generateName": format!("{}-", text(set, "/metadata/name")), "namespace": namespace,
                    "labels": template["metadata"]["labels"],
                    "annotations": template["metadata"].get("annotations").cloned().unwrap_or_else(|| json!({})),
                    "ownerReferences": [owner("apps/v1", "ReplicaSet", set)],
                },
                "spec": template["spec"],
            });
            if attempt(self.store.create(PODS, made)).is_none() {
                return;
            }
        }
        self.count(set);
    }

    /// Status of the set and of the Deployment above it.
    fn count(&self, replica_set: &Value) {
        let pods = self.owned(PODS, replica_set);
        let ready = pods
            .iter()
            .filter(|pod| text(pod.value(), "/status/phase") == "Running")
            .count();
        let namespace = text(replica_set, "/metadata/namespace");
        let counts = [
            ("replicas", pods.len()),
            ("readyReplicas", ready),
            ("availableReplicas", ready),
        ];
        let note = |object: &mut Value| {
            for (field, count) in counts {
                set(object, "/status", field, json!(count));
            }
            let generation = object["metadata"]["generation"].clone();
            set(object, "/status", "observedGeneration", generation);
        };
        attempt(
            self.store
                .update_status(REPLICA_SETS, namespace, text(replica_set, "/metadata/name"), note),
        );
        for owner in items(replica_set, "/metadata/ownerReferences") {
            if text(owner, "/kind") == "Deployment" {
                attempt(
                    self.store
                        .update_status(DEPLOYMENTS, namespace, text(owner, "/name"), |object| {
                            note(object);
                            set(object, "/status", "updatedReplicas", json!(counts[0].1));
                        }),
                );
            }
        }
    }

    fn owned(&self, resource: GroupResource<'_>, owner: &Value) -> Vec<std::sync::Arc<Object>> {
        let uid = text(owner, "/metadata/uid");
        let mut objects = self
            .store
            .list(resource, Some(text(owner, "/metadata/namespace")));
        objects.retain(|object| {
            items(object.value(), "/metadata/ownerReferences")
                .iter()
                .any(|owner| text(owner, "/uid") == uid)
        });
        objects
    }

    /// Lets a pod run that has a node, where no kubelet sees to that. A pod that is being deleted ends.
    fn pod(&self, pod: &Value) {
        let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        if self.nodes.iter().any(|node| node == text(pod, "/spec/nodeName")) {
            return;
        }
        if is_deleting(pod) {
            attempt(
                self.store
                    .delete(PODS, namespace, name, Some(text(pod, "/metadata/uid"))),
            );
            return;
        }
        if text(pod, "/status/phase") != "Pending" || text(pod, "/spec/nodeName").is_empty() {
            return;
        }
        let now = self.now();
        attempt(
            self.store
                .update_status(PODS, namespace, name, |pod| run(pod, &now)),
        );
    }

    /// There may be room for what a quota refused.
    fn try_again(&self, namespace: &str) {
        for deployment in self.store.list(DEPLOYMENTS, Some(namespace)) {
            self.deployment(deployment.value());
        }
        for set in self.store.list(REPLICA_SETS, Some(namespace)) {
            self.replica_set(set.value());
        }
    }

    fn pod_changed(&self, change: &Change) {
        let pod = change.object.value();
        if !is_gone(change)
            && let Some(pod) = self
                .store
                .get(PODS, change.object.namespace(), change.object.name())
        {
            self.pod(pod.value());
        }
        for owner in items(pod, "/metadata/ownerReferences") {
            if let Some(set) = self
                .store
                .get(REPLICA_SETS, change.object.namespace(), text(owner, "/name"))
            {
                self.replica_set(set.value());
            }
        }
    }
}

/// The status of a pod whose containers run.
pub(crate) fn run(pod: &mut Value, now: &str) {
    let condition = |name: &str| json!({"type": name, "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let conditions = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ];
    let containers = items(pod, "/spec/containers").iter().map(|container| {
        json!({
            "name": container["name"], "image": container["image"], "imageID": "", "ready": true,
            "started": true, "restartCount": 0, "state": {"running": {"startedAt": now}},
        })
    });
    let containers = Value::Array(containers.collect());
    set(pod, "/status", "phase", json!("Running"));
    set(pod, "/status", "startTime", json!(now));
    set(
        pod,
        "/status",
        "conditions",
        Value::Array(conditions.map(condition).into()),
    );
    set(pod, "/status", "containerStatuses", containers);
}

pub(super) fn owner(api_version: &str, kind: &str, object: &Value) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

impl Actor for Workloads {
    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![DEPLOYMENTS, REPLICA_SETS, PODS, QUOTAS]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&mut self, change: &Change) {
        let (namespace, name) = (change.object.namespace(), change.object.name());
        let present = |resource| {
            self.store
                .get(resource, namespace, name)
                .filter(|_| !is_gone(change))
        };
        match text(change.object.value(), "/kind") {
            "Deployment" => present(DEPLOYMENTS)
                .iter()
                .for_each(|object| self.deployment(object.value())),
            "ReplicaSet" => present(REPLICA_SETS)
                .iter()
                .for_each(|object| self.replica_set(object.value())),
            "Pod" => self.pod_changed(change),
            "ResourceQuota" => self.try_again(namespace),
            _ => {}
        }
    }
}
