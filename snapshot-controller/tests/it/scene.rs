//! A tiny cluster of JSON objects: what the decisions read is taken from it, and their steps change it.
//!
//! It starts with the objects of the spec's case table: snapshot `ns/s` with UID `u`, claim `p` bound to
//! volume `pv` (driver `d`, handle `vol`), class `k` of the same driver with policy Delete.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::patch::Change;
use controller::testing::objects;
use controller::{Action, Next};
use crds::group::v1::VolumeGroupSnapshot;
use jiff::Timestamp;
use json_patch::merge;
use runtime::ObjectKey;
use runtime::objects::Claim;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use snapshot_controller::plan::content::ObservedContent;
use snapshot_controller::plan::protect::ObservedClaim;
use snapshot_controller::plan::topology::NodeFacts;
use snapshot_controller::plan::{
    ClaimChange, Lookup, Observed, Options, Plan, Step, class, content, content_name, plan, protect,
};

pub const AS_SOURCE: &str = "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection";
pub const BOUND: &str = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";
pub const IN_GROUP: &str = "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection";
pub const CONTENT_BOUND: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";
pub const CLAIM_SOURCE: &str = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
pub const BEING_DELETED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";
/// Nothing to do until something changes.
pub fn settled() -> Plan {
    Plan::resting(())
}

pub const NOW: &str = "2026-01-02T03:04:05Z";

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    /// By kind (`vs`, `vsc`, `class`, `pvc`, `pv`), then name.
    pub objects: BTreeMap<(&'static str, String), Value>,
    pub version: u64,
    pub events: Vec<String>,
    pub requests: Vec<String>,
    pub restores: Vec<ObjectKey>,
    pub nodes: Vec<Arc<NodeFacts>>,
    pub distributed: bool,
    pub ignore_mode: bool,
    pub content_unknown: bool,
    /// The POST of the content was refused.
    pub content_refused: bool,
    /// Not all kinds are followed.
    pub is_lost: bool,
    /// The group that the snapshot is a member of.
    pub group: Lookup<Arc<VolumeGroupSnapshot>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Conflict,
    Exists,
    Missing,
}

impl Scene {
    pub fn empty() -> Self {
        Self {
            version: 100,
            ..Self::default()
        }
    }

    pub fn new() -> Self {
        let mut scene = Self::empty();
        scene.put("class", class_of("k", "d", "Delete"));
        scene.put(
            "pvc",
            json!({
                "metadata": {"name": "p", "namespace": "ns", "uid": "pu", "resourceVersion": "20",
                    "finalizers": ["kubernetes.io/pvc-protection"]},
                "spec": {"volumeName": "pv"},
                "status": {"phase": "Bound"},
            }),
        );
        scene.put(
            "pv",
            json!({
                "metadata": {"name": "pv", "uid": "pvu", "resourceVersion": "30"},
                "spec": {
                    "csi": {"driver": "d", "volumeHandle": "vol"},
                    "claimRef": {"namespace": "ns", "name": "p", "uid": "pu"},
                },
            }),
        );
        scene.put("vs", snapshot("s", "u", "p", Some("k")));
        scene
    }

    pub fn put(&mut self, kind: &'static str, object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.objects.insert((kind, name), object);
    }

    pub fn get(&self, kind: &'static str, name: &str) -> Option<&Value> {
        self.objects.get(&(kind, name.to_owned()))
    }

    pub fn remove(&mut self, kind: &'static str, name: &str) -> Option<Value> {
        self.objects.remove(&(kind, name.to_owned()))
    }

    /// Merges JSON into an object.
    pub fn set(&mut self, kind: &'static str, name: &str, change: Value) {
        let version = self.next_version();
        let object = self.objects.get_mut(&(kind, name.to_owned())).unwrap();
        merge(object, &change);
        object["metadata"]["resourceVersion"] = json!(version);
    }

    pub fn with(mut self, kind: &'static str, name: &str, change: Value) -> Self {
        self.set(kind, name, change);
        self
    }

    pub fn without(mut self, kind: &'static str, name: &str) -> Self {
        self.remove(kind, name);
        self
    }

    /// What DELETE by a user does.
    pub fn delete(&mut self, kind: &'static str, name: &str) {
        let finalizers = self
            .get(kind, name)
            .map(|object| object["metadata"]["finalizers"].clone());
        match finalizers {
            Some(Value::Array(list)) if !list.is_empty() => {
                self.set(kind, name, json!({"metadata": {"deletionTimestamp": NOW}}));
            }
            _ => {
                self.remove(kind, name);
            }
        }
    }

    pub fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    pub fn typed<T: DeserializeOwned>(&self, kind: &'static str, name: &str) -> Option<Arc<T>> {
        self.get(kind, name)
            .map(|object| Arc::new(serde_json::from_value(object.clone()).unwrap()))
    }

    pub fn look<T: DeserializeOwned>(&self, kind: &'static str, name: Option<&str>) -> Lookup<Arc<T>> {
        match name {
            None => Lookup::NotReferenced,
            Some(name) => self.typed(kind, name).map_or(Lookup::Absent, Lookup::Found),
        }
    }

    pub fn observe(&self, name: &str) -> Observed {
        let snapshot: Arc<crds::v1::VolumeSnapshot> = self.typed("vs", name).unwrap();
        let claim = self.look::<Claim>(
            "pvc",
            snapshot.spec.source.persistent_volume_claim_name.as_deref(),
        );
        let volume = self.look("pv", claim.found().and_then(|claim| claim.volume_name.as_deref()));
        let content = match self.look("vsc", content_name(&snapshot).as_deref()) {
            Lookup::Absent if self.content_unknown => Lookup::Unknown,
            content => content,
        };
        Observed {
            content,
            is_content_refused: self.content_refused,
            class: self.look("class", snapshot.spec.volume_snapshot_class_name.as_deref()),
            default_classes: self.default_classes(),
            claim,
            volume,
            restores: self.restores.clone(),
            nodes: self.nodes.clone(),
            is_live: !self.is_lost,
            sees_users: !self.is_lost,
            group: self.group.clone(),
            options: Options {
                record_volume_mode: !self.ignore_mode,
                distributed: self.distributed,
            },
            snapshot,
        }
    }

    fn default_classes(&self) -> Vec<Arc<crds::v1::VolumeSnapshotClass>> {
        self.objects
            .iter()
            .filter(|((kind, _), _)| *kind == "class")
            .map(|(_, object)| Arc::new(serde_json::from_value(object.clone()).unwrap()))
            .filter(|candidate| class::is_default(candidate))
            .collect()
    }

    pub fn plan(&self, name: &str) -> Plan {
        plan(&self.observe(name), now())
    }

    pub fn plan_claim(&self, name: &str) -> Plan {
        let snapshots = self
            .names("vs")
            .into_iter()
            .filter(|snapshot| {
                self.get("vs", snapshot).unwrap()["spec"]["source"]["persistentVolumeClaimName"] == name
            })
            .map(|snapshot| self.observe(&snapshot))
            .collect();
        protect::plan(&ObservedClaim {
            claim: self.typed("pvc", name).unwrap(),
            snapshots,
        })
    }

    pub fn plan_content(&self, name: &str, is_read: bool) -> Plan {
        let content: Arc<crds::v1::VolumeSnapshotContent> = self.typed("vsc", name).unwrap();
        let reference = content.spec.volume_snapshot_ref.name.clone();
        let snapshot: Lookup<Arc<crds::v1::VolumeSnapshot>> = self.look("vs", reference.as_deref());
        let class = snapshot
            .found()
            .and_then(|snapshot| snapshot.spec.volume_snapshot_class_name.clone());
        content::plan(&ObservedContent {
            class: self.look("class", class.as_deref()),
            snapshot,
            content,
            is_read,
        })
    }

    pub fn names(&self, kind: &'static str) -> Vec<String> {
        self.objects
            .keys()
            .filter(|(other, _)| *other == kind)
            .map(|(_, name)| name.clone())
            .collect()
    }

    /// Carries out an action of the plan for snapshot `name`.
    pub fn apply(&mut self, name: &str, action: &Action<Step>) -> Result<(), Refused> {
        match action {
            Action::Event(event) => {
                self.events.push(format!("{:?} {}", event.kind, event.reason));
                Ok(())
            }
            Action::ReadSecret(secret) => panic!("no plan reads a Secret: {secret:?}"),
            Action::Step(step) => {
                self.requests.push(show(action));
                self.take(name, step)
            }
        }
    }

    fn take(&mut self, name: &str, step: &Step) -> Result<(), Refused> {
        match step {
            Step::PatchSnapshot(change) => self.patch("vs", name, change),
            Step::PatchSnapshotStatus(change) => self.patch("vs", name, change),
            Step::PatchContent { name, change, .. } => self.patch("vsc", name, change),
            Step::ChangeClaim(ClaimChange { key, change, .. }) => self.patch("pvc", &key.name, change),
            Step::CreateContent(content) => {
                if self
                    .get("vsc", content.metadata.name.as_deref().unwrap())
                    .is_some()
                {
                    return Err(Refused::Exists);
                }
                let mut object = serde_json::to_value(content).unwrap();
                object["metadata"]["uid"] = json!(format!("uid-of-{}", object["metadata"]["name"]));
                object["metadata"]["resourceVersion"] = json!(self.next_version());
                self.put("vsc", object);
                Ok(())
            }
            Step::DeleteContent { name, .. } => {
                self.delete("vsc", name);
                Ok(())
            }
            Step::ReadContent { .. } => {
                self.content_unknown = false;
                Ok(())
            }
            Step::ReadSnapshot { .. } => Ok(()),
        }
    }

    pub fn patch(&mut self, kind: &'static str, name: &str, change: &Change) -> Result<(), Refused> {
        let version = self.next_version();
        let key = (kind, name.to_owned());
        let object = self.objects.get_mut(&key).ok_or(Refused::Missing)?;
        objects::change(object, change, &version).map_err(|objects::Refused| Refused::Conflict)?;
        if objects::is_gone(object) {
            self.objects.remove(&key);
        }
        Ok(())
    }

    /// Plans and carries out until a plan has no request, at most `rounds` times; true if it came to rest.
    pub fn settle(&mut self, name: &str, rounds: usize) -> bool {
        for _ in 0..rounds {
            if self.get("vs", name).is_none() {
                return true;
            }
            let plan = self.plan(name);
            if plan.steps().count() == 0 {
                return true;
            }
            for step in &plan.actions {
                if self.apply(name, step).is_err() {
                    break;
                }
            }
        }
        false
    }

    /// What the csi-snapshotter would write about content `name`.
    pub fn sidecar_cuts(&mut self, name: &str, ready: bool) {
        self.set(
            "vsc",
            name,
            json!({"status": {"snapshotHandle": "snap", "creationTime": 1_767_323_045_999_999_999_i64,
                "readyToUse": ready, "restoreSize": 5_368_709_120_i64}}),
        );
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        self.plan(name).actions.iter().map(show).collect()
    }

    /// Reason and text of what stops the snapshot.
    pub fn refusal(&self, name: &str) -> (String, String) {
        match self.plan(name).next {
            Next::Backoff(trouble) => {
                let (reason, message) = trouble.why.split_once(": ").unwrap();
                (reason.to_owned(), message.to_owned())
            }
            next => panic!("not refused: {next:?}"),
        }
    }
}

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub fn snapshot(name: &str, uid: &str, claim: &str, class: Option<&str>) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": "10"},
        "spec": {"source": {"persistentVolumeClaimName": claim}, "volumeSnapshotClassName": class},
    })
}

pub fn class_of(name: &str, driver: &str, policy: &str) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass",
        "metadata": {"name": name, "uid": format!("uid-of-{name}"), "resourceVersion": "40"},
        "driver": driver, "deletionPolicy": policy,
    })
}

/// The content of snapshot `s`, as the controller makes it.
pub fn content_of_s(policy: &str) -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
        "metadata": {"name": "snapcontent-u", "uid": "cu", "resourceVersion": "50", "finalizers": [CONTENT_BOUND]},
        "spec": {"deletionPolicy": policy, "driver": "d", "source": {"volumeHandle": "vol"},
            "volumeSnapshotClassName": "k",
            "volumeSnapshotRef": {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
                "name": "s", "namespace": "ns", "uid": "u", "resourceVersion": "10"}},
    })
}

/// S bound and ready, C with a handle.
pub fn ready(policy: &str) -> Scene {
    let mut scene = Scene::new();
    scene.put("vsc", content_of_s(policy));
    scene.sidecar_cuts("snapcontent-u", true);
    let finalizers = if policy == "Delete" {
        json!([AS_SOURCE, BOUND])
    } else {
        json!([AS_SOURCE])
    };
    scene.with(
        "vs",
        "s",
        json!({"metadata": {"finalizers": finalizers}, "status": {
            "boundVolumeSnapshotContentName": "snapcontent-u", "creationTime": "2026-01-02T03:04:05Z",
            "readyToUse": true, "restoreSize": "5Gi"}}),
    )
}

/// A step as one line: the request with its body, or the event.
pub fn show(action: &Action<Step>) -> String {
    let body = |change: &Change| match change {
        Change::Json(patch) => serde_json::to_string(patch).unwrap(),
        Change::Merge(body) => body.to_string(),
    };
    let step = match action {
        Action::Event(event) => return format!("{:?} {}: {}", event.kind, event.reason, event.message),
        Action::ReadSecret(secret) => panic!("no plan reads a Secret: {secret:?}"),
        Action::Step(step) => step,
    };
    match step {
        Step::PatchSnapshot(change) => format!("PATCH vs {}", body(change)),
        Step::PatchSnapshotStatus(change) => format!("PATCH vs/status {}", body(change)),
        Step::ChangeClaim(change) => {
            format!(
                "{:?} pvc {} {}",
                change.intent,
                change.key.name,
                body(&change.change)
            )
        }
        Step::CreateContent(content) => format!("POST vsc {}", serde_json::to_string(content).unwrap()),
        Step::PatchContent { name, change, .. } => format!("PATCH vsc {name} {}", body(change)),
        Step::DeleteContent { name, uid } => format!("DELETE vsc {name} {uid}"),
        Step::ReadContent { name } => format!("GET vsc {name}"),
        Step::ReadSnapshot { namespace, name } => format!("GET vs {namespace}/{name}"),
    }
}
