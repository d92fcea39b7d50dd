//! A Kubernetes API with the actors around it, a stand-in for the csi-snapshotter, and the controller between
//! them, on paused time.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use controller::testing::resources::{CLAIMS, CLASSES, CONTENTS, SNAPSHOTS, VOLUMES};
pub use controller::testing::seconds;
use controller::testing::{self, Driver};
use sandbox::kube::Store;
use serde_json::{Value, json};
use snapshot_controller::ENTRY;

use crate::scene::{BEING_DELETED, CONTENT_BOUND};

const GROUP_HANDLE: &str = "groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle";
pub const USER: &str = "snapshot-controller";

pub struct World {
    cluster: testing::World,
    pub sidecar: Sidecar,
}

impl Deref for World {
    type Target = testing::World;

    fn deref(&self) -> &testing::World {
        &self.cluster
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut testing::World {
        &mut self.cluster
    }
}

/// What the stand-in for the csi-snapshotter has done.
#[derive(Clone, Default)]
pub struct Sidecar {
    /// Until ready after the cut; none cuts and is ready at once.
    pub ready_after: Option<Duration>,
    pub deleted: Arc<Mutex<Vec<String>>>,
}

impl World {
    /// Definitions, class `k`, claim `p` bound to volume `pv`, and a sidecar that is ready at once.
    pub async fn new() -> Self {
        Self::with_sidecar(Sidecar::default()).await
    }

    pub async fn with_sidecar(sidecar: Sidecar) -> Self {
        let world = Self::without_sidecar(sidecar);
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

    /// The same, where nothing attends to the contents.
    pub fn without_sidecar(sidecar: Sidecar) -> Self {
        let world = Self::without_definitions(sidecar);
        world.define();
        world.create(CLASSES, class("k", "Delete"));
        world.create_volume("p", "pv");
        world
    }

    pub fn without_definitions(sidecar: Sidecar) -> Self {
        // There is a driver, but only sidecars call it.
        let cluster = testing::World::new(ENTRY, Driver::new("d", &[]));
        sandbox::actors::run(&cluster.api, &cluster.scope, cluster.clock.clone());
        Self { cluster, sidecar }
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

    pub fn snapshot(&self, name: &str) -> Value {
        self.get(SNAPSHOTS, "default", name).unwrap_or_default()
    }

    pub fn contents(&self) -> Vec<Value> {
        self.list(CONTENTS)
    }

    pub fn claim_finalizers(&self) -> Value {
        self.get(CLAIMS, "default", "p").unwrap()["metadata"]["finalizers"].clone()
    }

    /// Reason and count of every event of the controller, in the order in which they were last written.
    pub fn reasons(&self) -> Vec<String> {
        let events = self.events().into_iter();
        let own = events.filter(|event| event.component == USER);
        own.map(|event| format!("{} x{}", event.reason, event.count))
            .collect()
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
            let in_group = content["status"]["volumeGroupSnapshotHandle"].is_string();
            if content["spec"]["deletionPolicy"] == "Delete" && !in_group {
                sidecar.deleted.lock().unwrap().push(name.to_owned());
            }
            let _ = store.update(CONTENTS, "", name, |object| {
                let list = object["metadata"]["finalizers"].as_array_mut().unwrap();
                list.retain(|finalizer| finalizer != CONTENT_BOUND);
            });
        }
        return;
    }
    if metadata["annotations"][GROUP_HANDLE].is_string() {
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
