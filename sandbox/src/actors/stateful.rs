//! A StatefulSet makes pods with numbers, one after the other, each with claims of its own that stay when the pod goes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::affinity::selects;
use super::workloads::owner;
use super::{Actor, CLAIMS, PODS, STATEFUL_SETS, attempt, has_ended, is_deleting, is_gone, items, set, text};
use crate::kube::{Change, GroupResource, Object, QUOTAS, Store};

const REVISION: &str = "controller-revision-hash";

/// The StatefulSet controller.
pub(super) struct StatefulSets {
    store: Store,
}

/// What a set asks for.
#[derive(Clone, Debug)]
struct Wish {
    numbers: Range<u64>,
    /// All pods at once, not one after the other.
    is_parallel: bool,
    /// Pods of former templates go from this number on; none where they are deleted by hand.
    renewed_from: Option<u64>,
}

/// What is seen of a pod.
#[derive(Clone, Copy, Debug)]
struct Seen {
    is_ready: bool,
    is_going: bool,
    has_ended: bool,
    /// It was made from the present template.
    is_current: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Make(u64),
    Delete(u64),
}

impl Wish {
    fn of(set: &Value) -> Self {
        let number = |pointer: &str| super::at(set, pointer).and_then(Value::as_u64);
        let start = number("/spec/ordinals/start").unwrap_or(0);
        let by_hand = text(set, "/spec/updateStrategy/type") == "OnDelete";
        let partition = number("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
        Self {
            numbers: start..start + number("/spec/replicas").unwrap_or(1),
            is_parallel: text(set, "/spec/podManagementPolicy") == "Parallel",
            renewed_from: (!by_hand).then_some(partition),
        }
    }
}

/// What comes next: first the pods that are missing, from the lowest number on, then those that are too many, then those of a
/// former template, from the highest on. One waits for the other unless the set is parallel; renewals always do.
fn plan(wish: &Wish, pods: &BTreeMap<u64, Seen>) -> Vec<Step> {
    let mut steps = Vec::new();
    for number in wish.numbers.clone() {
        let (step, is_well) = match pods.get(&number) {
            None => (Some(Step::Make(number)), false),
            Some(pod) if pod.is_going => (None, false),
            Some(pod) if pod.has_ended => (Some(Step::Delete(number)), false),
            Some(pod) => (None, pod.is_ready),
        };
        steps.extend(step);
        if !is_well && !wish.is_parallel {
            return steps;
        }
    }
    for (number, pod) in pods
        .iter()
        .rev()
        .filter(|(number, _)| !wish.numbers.contains(number))
    {
        if !pod.is_going {
            steps.push(Step::Delete(*number));
        }
        if !wish.is_parallel {
            return steps;
        }
    }
    let renewed = |number: &u64| wish.renewed_from.is_some_and(|from| *number >= from);
    for (number, pod) in pods.iter().rev().filter(|(number, _)| renewed(number)) {
        if !steps.is_empty() || pod.is_going {
            break;
        }
        if !pod.is_current {
            steps.push(Step::Delete(*number));
        } else if !pod.is_ready {
            break;
        }
    }
    steps
}

impl StatefulSets {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    fn look(&self, namespace: &str, name: &str) {
        let Some(object) = self.store.get(STATEFUL_SETS, namespace, name) else {
            return;
        };
        let set = object.value();
        if is_deleting(set) {
            return;
        }
        let revision = revision(set);
        let pods = self.pods(set);
        let seen: BTreeMap<u64, Seen> = pods
            .iter()
            .map(|(number, pod)| (*number, seen(pod.value(), &revision)))
            .collect();
        for step in plan(&Wish::of(set), &seen) {
            match step {
                Step::Make(number) => self.make(set, number, &revision),
                Step::Delete(number) => {
                    if let Some(pod) = pods.get(&number) {
                        attempt(self.store.delete(PODS, namespace, pod.name(), Some(pod.uid())));
                    }
                }
            }
        }
        self.count(set, &revision);
    }

    /// Its pods by their numbers. One that has no owner and could be its own becomes that.
    fn pods(&self, set: &Value) -> BTreeMap<u64, Arc<Object>> {
        let (name, uid) = (text(set, "/metadata/name"), text(set, "/metadata/uid"));
        let pods = self.store.list(PODS, Some(text(set, "/metadata/namespace")));
        let own = pods.into_iter().filter_map(|pod| {
            let (of, number) = pod.name().rsplit_once('-')?;
            let number = number.parse().ok().filter(|_| of == name)?;
            let mut owners = items(pod.value(), "/metadata/ownerReferences").iter();
            match owners.find(|owner| owner["controller"] == true) {
                Some(owner) => (text(owner, "/uid") == uid).then_some((number, pod)),
                None => Some((number, self.adopt(set, &pod)?)),
            }
        });
        own.collect()
    }

    fn adopt(&self, set: &Value, pod: &Object) -> Option<Arc<Object>> {
        let labels = &pod.value()["metadata"]["labels"];
        if is_deleting(pod.value()) || !selects(&set["spec"]["selector"], labels) {
            return None;
        }
        let adopted = self.store.update(PODS, pod.namespace(), pod.name(), |pod| {
            let mut owners = items(pod, "/metadata/ownerReferences").to_vec();
            owners.push(owner("apps/v1", "StatefulSet", set));
            super::set(pod, "/metadata", "ownerReferences", Value::Array(owners));
        });
        attempt(adopted)
    }

    /// The claims of a number, which may be there from a former pod, and then its pod.
    fn make(&self, set: &Value, number: u64, revision: &str) {
        for template in items(set, "/spec/volumeClaimTemplates") {
            let claim = claim(set, template, number);
            let (namespace, name) = (
                text(&claim, "/metadata/namespace"),
                text(&claim, "/metadata/name"),
            );
            if self.store.get(CLAIMS, namespace, name).is_none()
                && attempt(self.store.create(CLAIMS, claim.clone())).is_none()
            {
                return;
            }
        }
        attempt(self.store.create(PODS, pod(set, number, revision)));
    }

    fn count(&self, of: &Value, revision: &str) {
        let pods: Vec<Seen> = self
            .pods(of)
            .values()
            .map(|pod| seen(pod.value(), revision))
            .collect();
        let count = |holds: fn(&Seen) -> bool| pods.iter().filter(|pod| holds(pod)).count();
        let (ready, updated) = (count(|pod| pod.is_ready), count(|pod| pod.is_current));
        let is_renewed = updated == pods.len();
        let former = text(of, "/status/currentRevision");
        let current = if is_renewed || former.is_empty() {
            revision
        } else {
            former
        };
        let status = [
            ("replicas", json!(pods.len())),
            ("readyReplicas", json!(ready)),
            ("availableReplicas", json!(ready)),
            ("updatedReplicas", json!(updated)),
            (
                "currentReplicas",
                json!(if is_renewed { updated } else { pods.len() - updated }),
            ),
            ("currentRevision", json!(current)),
            ("updateRevision", json!(revision)),
            ("collisionCount", json!(0)),
            ("observedGeneration", of["metadata"]["generation"].clone()),
        ];
        let (namespace, name) = (text(of, "/metadata/namespace"), text(of, "/metadata/name"));
        attempt(
            self.store
                .update_status(STATEFUL_SETS, namespace, name, |object| {
                    for (field, value) in status {
                        set(object, "/status", field, value);
                    }
                }),
        );
    }
}

fn seen(pod: &Value, revision: &str) -> Seen {
    Seen {
        is_ready: text(pod, "/status/phase") == "Running" && !is_deleting(pod),
        is_going: is_deleting(pod),
        has_ended: has_ended(pod),
        is_current: pod["metadata"]["labels"][REVISION] == *revision,
    }
}

fn revision(set: &Value) -> String {
    let digest = hex::encode(Sha256::digest(set["spec"]["template"].to_string()));
    let hash = digest.get(..10).unwrap_or_default();
    format!("{}-{hash}", text(set, "/metadata/name"))
}

fn claim(of: &Value, template: &Value, number: u64) -> Value {
    let mut claim = template.clone();
    let name = format!(
        "{}-{}-{number}",
        text(template, "/metadata/name"),
        text(of, "/metadata/name")
    );
    for (member, value) in [("apiVersion", "v1"), ("kind", "PersistentVolumeClaim")] {
        claim[member] = json!(value);
    }
    set(&mut claim, "/metadata", "name", json!(name));
    set(
        &mut claim,
        "/metadata",
        "namespace",
        of["metadata"]["namespace"].clone(),
    );
    let labels = of["spec"]["selector"]["matchLabels"].as_object();
    for (label, value) in labels.into_iter().flatten() {
        set(&mut claim, "/metadata/labels", label, value.clone());
    }
    claim
}

fn pod(of: &Value, number: u64, revision: &str) -> Value {
    let template = &of["spec"]["template"];
    let set_name = text(of, "/metadata/name");
    let name = format!("{set_name}-{number}");
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": of["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "annotations": template["metadata"].get("annotations").cloned().unwrap_or_else(|| json!({})),
            "ownerReferences": [owner("apps/v1", "StatefulSet", of)],
        },
        "spec": template["spec"],
    });
    for (label, value) in [
        (REVISION, revision),
        ("statefulset.kubernetes.io/pod-name", &name),
        ("apps.kubernetes.io/pod-index", &number.to_string()),
    ] {
        set(&mut pod, "/metadata/labels", label, json!(value));
    }
    let claims = items(of, "/spec/volumeClaimTemplates").iter();
    let made: Vec<&str> = claims.map(|template| text(template, "/metadata/name")).collect();
    let mut volumes = items(template, "/spec/volumes").to_vec();
    volumes.retain(|volume| !made.contains(&text(volume, "/name")));
    volumes.extend(made.iter().map(
        |volume| json!({"name": volume, "persistentVolumeClaim": {"claimName": format!("{volume}-{name}")}}),
    ));
    set(&mut pod, "/spec", "volumes", Value::Array(volumes));
    set(&mut pod, "/spec", "hostname", json!(name));
    if !text(of, "/spec/serviceName").is_empty() {
        set(&mut pod, "/spec", "subdomain", of["spec"]["serviceName"].clone());
    }
    pod
}

impl Actor for StatefulSets {
    fn interests(&self) -> Vec<GroupResource<'static>> {
        vec![STATEFUL_SETS, PODS, QUOTAS]
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn changed(&mut self, change: &Change) {
        let (namespace, object) = (change.object.namespace(), change.object.value());
        match text(object, "/kind") {
            "StatefulSet" if !is_gone(change) => self.look(namespace, change.object.name()),
            "Pod" => {
                for owner in items(object, "/metadata/ownerReferences") {
                    if text(owner, "/kind") == "StatefulSet" {
                        self.look(namespace, text(owner, "/name"));
                    }
                }
            }
            // There may be room for what it refused.
            "ResourceQuota" => {
                for set in self.store.list(STATEFUL_SETS, Some(namespace)) {
                    self.look(namespace, set.name());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Seen = Seen {
        is_ready: true,
        is_going: false,
        has_ended: false,
        is_current: true,
    };
    const YOUNG: Seen = Seen {
        is_ready: false,
        ..READY
    };
    const GOING: Seen = Seen {
        is_going: true,
        ..YOUNG
    };
    const ENDED: Seen = Seen {
        has_ended: true,
        ..YOUNG
    };
    const FORMER: Seen = Seen {
        is_current: false,
        ..READY
    };

    /// Replicas, whether all come at once, the pods that there are, what is done.
    type Row = (u64, bool, &'static [(u64, Seen)], &'static [Step]);

    #[test]
    fn one_pod_comes_after_the_other_and_goes_before_it() {
        use Step::{Delete, Make};
        let wish = |replicas: u64, is_parallel| Wish {
            numbers: 0..replicas,
            is_parallel,
            renewed_from: Some(0),
        };
        let table: [Row; 13] = [
            (2, false, &[], &[Make(0)]),
            (2, true, &[], &[Make(0), Make(1)]),
            (2, false, &[(0, YOUNG)], &[]),
            (2, false, &[(0, READY)], &[Make(1)]),
            (2, false, &[(0, GOING), (1, READY)], &[]),
            (2, false, &[(0, ENDED), (1, READY)], &[Delete(0)]),
            (1, false, &[(0, READY), (1, READY), (2, READY)], &[Delete(2)]),
            (1, false, &[(0, READY), (1, READY), (2, GOING)], &[]),
            (
                1,
                true,
                &[(0, READY), (1, READY), (2, READY)],
                &[Delete(2), Delete(1)],
            ),
            (1, false, &[(0, YOUNG), (1, READY)], &[]),
            (2, false, &[(0, FORMER), (1, FORMER)], &[Delete(1)]),
            (2, true, &[(0, FORMER), (1, GOING)], &[]),
            (2, false, &[(0, FORMER), (1, READY)], &[Delete(0)]),
        ];
        for (replicas, is_parallel, pods, expected) in table {
            let seen = pods.iter().copied().collect();
            assert_eq!(
                plan(&wish(replicas, is_parallel), &seen),
                expected,
                "{replicas} {pods:?}"
            );
        }
        let both = [(0, FORMER), (1, FORMER)].into_iter().collect();
        for (renewed_from, expected) in [(Some(1), vec![Delete(1)]), (Some(2), vec![]), (None, vec![])] {
            let wish = Wish {
                renewed_from,
                ..wish(2, false)
            };
            assert_eq!(plan(&wish, &both), expected, "{renewed_from:?}");
        }
    }
}
