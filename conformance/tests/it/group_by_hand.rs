//! A group whose driver and csi-snapshotter are a hand: what the snapshot-controller does of it on the real API server,
//! under the roles of the stage.

use conformance::until;
use serde_json::{Value, json};

use crate::expansion::{CLAIMS, VOLUMES};
use crate::journey::{CONTENTS, SNAPSHOTS, Stage};
use crate::shared::PATIENCE;

const CLASSES: &str = "/apis/groupsnapshot.storage.k8s.io/v1/volumegroupsnapshotclasses";
const GROUP_CONTENTS: &str = "/apis/groupsnapshot.storage.k8s.io/v1/volumegroupsnapshotcontents";
const GROUPS: &str = "/apis/groupsnapshot.storage.k8s.io/v1/namespaces/default/volumegroupsnapshots";
const DRIVER: &str = "groups.example.com";
const VOLUME: &str = "by-hand";

impl Stage {
    /// Takes a group of one claim and deletes it.
    pub async fn group_by_hand(&self) {
        self.furnish_group().await;
        let content = until("the group has a content", PATIENCE, async || {
            self.list(GROUP_CONTENTS).await?.into_iter().next()
        })
        .await
        .unwrap();
        let handles = &content["spec"]["source"]["volumeHandles"];
        assert_eq!(*handles, json!([VOLUME]));
        let path = of(GROUP_CONTENTS, &content);
        let status = json!({"status": {"volumeGroupSnapshotHandle": "group-1", "readyToUse": true,
            "creationTime": "2026-01-01T00:00:00Z", "volumeSnapshotInfoList": [
                {"volumeHandle": VOLUME, "snapshotHandle": "snap-1", "readyToUse": true}]}});
        self.merge(&format!("{path}/status"), &status).await;
        until("the group is ready", PATIENCE, async || {
            let group = self.hand.find(&format!("{GROUPS}/by-hand")).await.unwrap()?;
            let members = self.list(SNAPSHOTS).await?;
            let is_ready = |object: &Value| object["status"]["readyToUse"] == true;
            let named = |member: &Value| member["status"]["volumeGroupSnapshotName"] == "by-hand";
            let all = members.len() == 1 && members.iter().all(|member| is_ready(member) && named(member));
            (is_ready(&group) && all).then_some(())
        })
        .await
        .unwrap();
        self.delete_group().await;
        self.group_that_nobody_knows().await;
    }

    /// A group that was given by a handle which our driver does not know: told, and gone when it is deleted.
    async fn group_that_nobody_knows(&self) {
        let name = json!({"name": "unknown", "namespace": "default"});
        let content = json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshotContent",
            "metadata": {"name": "unknown"},
            "spec": {"deletionPolicy": "Delete", "driver": "ebs.csi.aws.com", "volumeGroupSnapshotRef": name,
                "source": {"groupSnapshotHandles": {"volumeGroupSnapshotHandle": "unknown",
                    "volumeSnapshotHandles": ["snap-0123456789abcdef0"]}}},
        });
        let group = json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot", "metadata": name,
            "spec": {"source": {"volumeGroupSnapshotContentName": "unknown"}},
        });
        for (path, object) in [(GROUP_CONTENTS, content), (GROUPS, group)] {
            self.hand.create(path, &object).await.unwrap().ok(path).unwrap();
        }
        let path = format!("{GROUPS}/unknown");
        until("the group tells that nobody knows it", PATIENCE, async || {
            let group = self.hand.find(&path).await.unwrap()?;
            group["status"]["error"]["message"].is_string().then_some(())
        })
        .await
        .unwrap();
        self.hand.delete(&path).await.unwrap().ok(&path).unwrap();
        until("it is gone", PATIENCE, async || {
            let left = self.list(GROUPS).await?.len() + self.list(GROUP_CONTENTS).await?.len();
            (left == 0).then_some(())
        })
        .await
        .unwrap();
    }

    async fn furnish_group(&self) {
        let size = json!({"storage": "1Gi"});
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": VOLUME},
            "spec": {"capacity": size, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
                "csi": {"driver": DRIVER, "volumeHandle": VOLUME},
                "claimRef": {"namespace": "default", "name": VOLUME}},
        });
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": VOLUME, "labels": {"app": "by-hand"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": VOLUME,
                "resources": {"requests": size}},
        });
        let class = json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshotClass",
            "metadata": {"name": "by-hand"}, "driver": DRIVER, "deletionPolicy": "Delete",
        });
        let group = json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
            "metadata": {"name": "by-hand"},
            "spec": {"volumeGroupSnapshotClassName": "by-hand", "source": {"selector": {"matchExpressions": [
                {"key": "app", "operator": "In", "values": ["by-hand"]}]}}},
        });
        for (path, object) in [
            (VOLUMES, volume),
            (CLAIMS, claim),
            (CLASSES, class),
            (GROUPS, group),
        ] {
            self.hand.create(path, &object).await.unwrap().ok(path).unwrap();
        }
    }

    /// Lets go of what the csi-snapshotter would, once it is marked and on its way.
    async fn delete_group(&self) {
        let path = format!("{GROUPS}/by-hand");
        self.hand.delete(&path).await.unwrap().ok(&path).unwrap();
        until("the group and its members are gone", PATIENCE, async || {
            for collection in [GROUP_CONTENTS, CONTENTS] {
                for content in self.list(collection).await? {
                    let marks = content["metadata"]["annotations"].as_object();
                    let is_marked = |marks: &serde_json::Map<String, Value>| {
                        marks.keys().any(|key| key.ends_with("being-deleted"))
                    };
                    if content["metadata"]["deletionTimestamp"].is_string() && marks.is_some_and(is_marked) {
                        let free = json!({"metadata": {"finalizers": null}});
                        self.merge(&of(collection, &content), &free).await;
                    }
                }
            }
            let left = [GROUPS, GROUP_CONTENTS, SNAPSHOTS, CONTENTS];
            for collection in left {
                if !self.list(collection).await?.is_empty() {
                    return None;
                }
            }
            Some(())
        })
        .await
        .unwrap();
        let class = format!("{CLASSES}/by-hand");
        self.hand.delete(&class).await.unwrap().ok(&class).unwrap();
    }
}

fn of(collection: &str, object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap();
    format!("{collection}/{name}")
}
