//! Group snapshots by our driver with upstream's snapshot-controller and csi-snapshotter, and with our controller: two
//! volumes of one node, a group of them by selector, and the deletion of the group.

use conformance::until;
use serde_json::{Value, json};

use super::volumes::claim;
use super::{Cast, LAYER, Mixed, Ours, Upstream};
use crate::expansion::CLAIMS;
use crate::journey::SNAPSHOTS;
use crate::shared::{self, PATIENCE};

const GROUP_CLASSES: &str = "/apis/groupsnapshot.storage.k8s.io/v1/volumegroupsnapshotclasses";
const GROUPS: &str = "/apis/groupsnapshot.storage.k8s.io/v1/namespaces/default/volumegroupsnapshots";
const CLAIM_NAMES: [&str; 2] = ["data", "log"];

impl Mixed {
    /// A claim of the database, attached to the node; its EBS volume, and the path of the attachment.
    async fn attached(&self, name: &str) -> (String, String) {
        let mut claim = claim(name, None);
        claim["metadata"]["labels"] = json!({ "app": "database" });
        self.make(CLAIMS, &claim).await;
        let (volume, persistent_volume) = self.bound(name).await;
        (volume, self.attach(name, &persistent_volume).await)
    }

    async fn group_is_ready(&self) -> Value {
        until("the group is ready", PATIENCE, async || {
            let group = self.find(&format!("{GROUPS}/nightly")).await?;
            (group["status"]["readyToUse"] == true).then_some(group)
        })
        .await
        .unwrap()
    }

    /// The members of the group that are ready.
    async fn members(&self) -> Vec<Value> {
        until("the members are ready", PATIENCE, async || {
            let members = self.stage.list(SNAPSHOTS).await?;
            let ready = members.iter().filter(|member| {
                member["status"]["readyToUse"] == true
                    && member["status"]["volumeGroupSnapshotName"] == "nightly"
            });
            (ready.count() == CLAIM_NAMES.len()).then_some(members)
        })
        .await
        .unwrap()
    }

    /// Two claims of the database, attached to the node; their EBS volumes, and the paths of the attachments.
    async fn database(&self) -> (Vec<String>, Vec<String>) {
        self.storage_class(&json!({})).await;
        let mut volumes = Vec::new();
        let mut attachments = Vec::new();
        for name in CLAIM_NAMES {
            let (volume, attachment) = self.attached(name).await;
            volumes.push(volume);
            attachments.push(attachment);
        }
        volumes.sort_unstable();
        (volumes, attachments)
    }

    async fn take_group(&self) {
        let class = json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": "VolumeGroupSnapshotClass",
            "metadata": { "name": "groups" },
            "driver": "ebs.csi.aws.com",
            "deletionPolicy": "Delete",
        });
        self.make(GROUP_CLASSES, &class).await;
        let group = json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": "VolumeGroupSnapshot",
            "metadata": { "name": "nightly" },
            "spec": {
                "volumeGroupSnapshotClassName": "groups",
                "source": { "selector": { "matchLabels": { "app": "database" } } },
            },
        });
        self.make(GROUPS, &group).await;
        let group = self.group_is_ready().await;
        assert!(group["status"]["error"].is_null(), "{group}");
        self.members().await;
    }

    async fn delete_group(&self) {
        let kubectl = self.plane.kubectl();
        let delete = ["delete", "volumegroupsnapshot", "--all", "--timeout=120s"];
        kubectl.ok(&delete).unwrap();
        until("no snapshot is left", PATIENCE, async || {
            let members = self.stage.list(SNAPSHOTS).await?;
            (members.is_empty() && self.stage.snapshots_in_ec2().is_empty()).then_some(())
        })
        .await
        .unwrap();
    }
}

/// A group by these programs and our driver, from its claims to its deletion.
async fn group_story(title: &str, cast: Cast) {
    let Some(mut mixed) = Mixed::new(title).await else {
        return;
    };
    let driver = mixed.stage.driver();
    mixed.node().await;
    let sidecars = mixed.start_sidecars().await;
    let controllers = mixed.start(cast).await;
    let (volumes, attachments) = mixed.database().await;

    mixed.take_group().await;
    let snapshots = mixed.stage.ec2.state().unwrap().snapshots.into_iter();
    let mut taken: Vec<String> = snapshots.map(|one| one.volume).collect();
    taken.sort_unstable();
    assert_eq!(taken, volumes, "one EBS snapshot a volume");
    let counts = mixed.stage.ec2.counts().unwrap();
    let calls = (counts.get("CreateSnapshots"), counts.get("CreateSnapshot"));
    assert_eq!(calls, (Some(&1), None), "{counts:?}");
    mixed.delete_group().await;

    for attachment in attachments {
        let deleted = mixed.stage.hand.delete(&attachment).await.unwrap();
        deleted.ok(&attachment).unwrap();
    }
    let kubectl = mixed.plane.kubectl();
    kubectl.ok(&["delete", "pvc", "--all", "--timeout=120s"]).unwrap();
    kubectl
        .ok(&["delete", "volumegroupsnapshotclass", "--all", "--timeout=60s"])
        .unwrap();
    mixed.end_volumes(cast, sidecars, controllers, driver).await;
    shared::say(&format!("{LAYER}: {title}: EC2 {counts:?}"));
}

#[tokio::test]
async fn our_driver_takes_groups_for_upstreams_controllers() {
    group_story("groups", [Upstream; 3]).await;
}

#[tokio::test]
async fn our_snapshot_controller_takes_groups_with_upstreams_csi_snapshotter() {
    group_story("groups of ours", [Ours, Upstream, Upstream]).await;
}

#[tokio::test]
async fn our_csi_snapshotter_takes_groups_with_upstreams_snapshot_controller() {
    group_story("groups by our csi-snapshotter", [Upstream, Ours, Upstream]).await;
}

#[tokio::test]
async fn all_of_ours_take_groups() {
    group_story("groups by all of ours", [Ours; 3]).await;
}
