//! The world with group kinds, and a stand-in for the csi-snapshotter's half of groups.

use std::time::Duration;

use controller::testing::resources::{GROUP_CLASSES, GROUP_CONTENTS, GROUPS};
use sandbox::kube::Store;
use serde_json::{Value, json};

use crate::world::{CLAIMS, CONTENTS, SNAPSHOTS, World, seconds};

pub const GROUP_FINALIZER: &str = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection";
pub const GROUP_CONTENT_FINALIZER: &str =
    "groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection";
pub const GROUP_BEING_DELETED: &str = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-deleted";
const CUT: i64 = 1_767_225_600_000_000_000;

/// Definitions, class `gk`, and claims `p` and `q` with the label `app=db`. The groups are cut at once and ready at once,
/// or so long after the cut.
pub async fn with_groups(ready_after: Option<Duration>) -> World {
    let world = World::new().await;
    furnish(&world, ready_after);
    seconds(1).await;
    world
}

/// The same for a world that is there.
pub fn furnish(world: &World, ready_after: Option<Duration>) {
    world.define_groups();
    world.create_volume("q", "qv");
    for claim in ["p", "q"] {
        label(world, claim, "app", "db");
    }
    world.create(GROUP_CLASSES, class("gk", "d", "Delete"));
    world
        .scope
        .spawn(attend(world.api.store("csi-snapshotter"), ready_after));
}

pub fn label(world: &World, claim: &str, key: &str, value: &str) {
    world.change(CLAIMS, "default", claim, |object| {
        object["metadata"]["labels"][key] = json!(value);
    });
}

pub fn class(name: &str, driver: &str, policy: &str) -> Value {
    json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1beta2", "kind": "VolumeGroupSnapshotClass",
        "metadata": {"name": name}, "driver": driver, "deletionPolicy": policy,
    })
}

pub fn group(name: &str, selector: &Value, class: Option<&str>) -> Value {
    let mut spec = json!({"source": {"selector": selector}});
    if let Some(class) = class {
        spec["volumeGroupSnapshotClassName"] = json!(class);
    }
    json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1beta2", "kind": "VolumeGroupSnapshot",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}

pub fn of_database() -> Value {
    json!({"matchLabels": {"app": "db"}})
}

pub fn take(world: &World, name: &str) {
    world.create(GROUPS, group(name, &of_database(), Some("gk")));
}

pub fn status(world: &World, name: &str) -> Value {
    world.get(GROUPS, "default", name).unwrap_or_default()["status"].clone()
}

/// VolumeSnapshots that a group owns.
pub fn members(world: &World) -> Vec<Value> {
    let mut all = world.list(SNAPSHOTS);
    all.retain(|snapshot| snapshot["metadata"]["ownerReferences"][0]["kind"] == "VolumeGroupSnapshot");
    all
}

async fn attend(store: Store, ready_after: Option<Duration>) {
    let mut changes = store.subscribe(&[GROUP_CONTENTS, CONTENTS]);
    while changes.next().await.is_some() {
        for content in store.list(GROUP_CONTENTS, None) {
            attend_group(&store, content.value(), ready_after).await;
        }
    }
}

async fn attend_group(store: &Store, content: &Value, ready_after: Option<Duration>) {
    let name = content["metadata"]["name"].as_str().unwrap();
    if content["metadata"]["deletionTimestamp"].is_string() {
        if content["metadata"]["annotations"][GROUP_BEING_DELETED].is_string() {
            let _ = store.update(GROUP_CONTENTS, "", name, |object| {
                let list = object["metadata"]["finalizers"].as_array_mut();
                if let Some(list) = list {
                    list.retain(|finalizer| finalizer != GROUP_CONTENT_FINALIZER);
                }
            });
        }
        return;
    }
    if content["status"]["volumeGroupSnapshotHandle"].is_null() {
        let new = made(content, ready_after.is_none());
        let _ = store.update_status(GROUP_CONTENTS, "", name, |object| object["status"] = new);
    } else if let (Some(wait), false) = (ready_after, content["status"]["readyToUse"] == true) {
        tokio::time::sleep(wait).await;
        let _ = store.update_status(GROUP_CONTENTS, "", name, |object| {
            object["status"]["readyToUse"] = json!(true);
            for info in object["status"]["volumeSnapshotInfoList"].as_array_mut().unwrap() {
                info["readyToUse"] = json!(true);
            }
        });
    } else if content["status"]["readyToUse"] == true {
        look_at_members(store, &content["status"]["volumeGroupSnapshotHandle"]);
    }
}

/// What ListSnapshots would tell of the members of a group that is ready.
fn look_at_members(store: &Store, handle: &Value) {
    for member in store.list(CONTENTS, None) {
        let (name, status) = (&member.value()["metadata"]["name"], &member.value()["status"]);
        if status["volumeGroupSnapshotHandle"] == *handle && status["readyToUse"] == false {
            let _ = store.update_status(CONTENTS, "", name.as_str().unwrap(), |object| {
                object["status"]["readyToUse"] = json!(true);
            });
        }
    }
}

/// What the driver would say of a group.
fn made(content: &Value, ready: bool) -> Value {
    if let Some(handles) = content["spec"]["source"]["groupSnapshotHandles"].as_object() {
        return json!({"volumeGroupSnapshotHandle": handles["volumeGroupSnapshotHandle"],
            "readyToUse": ready, "creationTime": "2026-01-01T00:00:00Z"});
    }
    let volumes = content["spec"]["source"]["volumeHandles"].as_array().unwrap();
    let infos: Vec<Value> = volumes
        .iter()
        .map(|volume| {
            json!({"volumeHandle": volume, "snapshotHandle": format!("snap-of-{}", volume.as_str().unwrap()),
                "creationTime": CUT, "readyToUse": ready, "restoreSize": 1_073_741_824})
        })
        .collect();
    json!({"volumeGroupSnapshotHandle": format!("group-of-{}", content["metadata"]["name"].as_str().unwrap()),
        "readyToUse": ready, "creationTime": "2026-01-01T00:00:00Z", "volumeSnapshotInfoList": infos})
}
