//! Group snapshots by our driver with upstream's snapshot-controller and csi-snapshotter, and with our controller: two
//! volumes of one node, a group of them by selector, and the deletion of the group.

use std::time::Duration;

use conformance::{Process, until};
use serde_json::{Value, json};

use super::{Cast, LAYER, Mixed, Ours, Side, Upstream};
use crate::expansion::CLAIMS;
use crate::journey::SNAPSHOTS;
use crate::shared::{self, PATIENCE};
use crate::volumes::{ATTACHMENTS, claim};

const GROUP_CLASSES: &str = "/apis/groupsnapshot.storage.k8s.io/v1/volumegroupsnapshotclasses";
const GROUPS: &str = "/apis/groupsnapshot.storage.k8s.io/v1/namespaces/default/volumegroupsnapshots";
const CLAIM_NAMES: [&str; 2] = ["data", "log"];

impl Mixed {
    /// A claim of the database, on its way to the node; its EBS volume.
    async fn attached(&self, name: &str) -> String {
        let mut claim = claim(name, None);
        claim["metadata"]["labels"] = json!({ "app": "database" });
        // Of which EC2 takes a snapshot in some seconds.
        claim["spec"]["resources"]["requests"]["storage"] = json!("10Gi");
        self.stage.make(CLAIMS, &claim).await;
        let (volume, persistent_volume) = self.stage.bound(name).await;
        self.stage.ask_to_attach(name, &persistent_volume).await;
        volume
    }

    async fn group_is_ready(&self) -> Value {
        until("the group is ready", PATIENCE, async || {
            let group = self.stage.find(&format!("{GROUPS}/nightly")).await?;
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

    /// Two claims of the database, attached to the node; their EBS volumes.
    async fn database(&self) -> Vec<String> {
        self.stage.storage_class(&json!({})).await;
        let mut volumes = Vec::new();
        for name in CLAIM_NAMES {
            volumes.push(self.attached(name).await);
        }
        self.stage.all_attached(CLAIM_NAMES.len()).await;
        volumes.sort_unstable();
        volumes
    }

    async fn ask_for_group(&self) {
        let class = json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": "VolumeGroupSnapshotClass",
            "metadata": { "name": "groups" },
            "driver": "ebs.csi.aws.com",
            "deletionPolicy": "Delete",
        });
        self.stage.make(GROUP_CLASSES, &class).await;
        let group = json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": "VolumeGroupSnapshot",
            "metadata": { "name": "nightly" },
            "spec": {
                "volumeGroupSnapshotClassName": "groups",
                "source": { "selector": { "matchLabels": { "app": "database" } } },
            },
        });
        self.stage.make(GROUPS, &group).await;
    }

    /// The group and its members are ready: one EBS snapshot a volume, by one call.
    async fn group_is_whole(&self, volumes: &[String]) {
        let group = self.group_is_ready().await;
        assert!(group["status"]["error"].is_null(), "{group}");
        self.members().await;
        let snapshots = self.stage.ec2.state().unwrap().snapshots.into_iter();
        let mut taken: Vec<String> = snapshots.map(|one| one.volume).collect();
        taken.sort_unstable();
        assert_eq!(taken, volumes, "one EBS snapshot a volume");
        let counts = self.stage.ec2.counts().unwrap();
        let calls = (counts.get("CreateSnapshots"), counts.get("CreateSnapshot"));
        assert_eq!(calls, (Some(&1), None), "{counts:?}");
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

/// Upstream's snapshot-controller may take the readiness of a group's members back, which it writes from a list that stays as
/// it was at the creation; upstream's csi-snapshotter sees that at its next resync only, after 15 minutes by default.
fn looks_again(name: &str, side: Side) -> Option<String> {
    let is_it = name == "csi-snapshotter" && side == Upstream;
    is_it.then(|| "--resync-period=10s".to_owned())
}

/// A group by these programs and our driver, from its claims to its deletion.
async fn group_story(title: &str, cast: Cast) {
    let Some(mixed) = Mixed::new(title).await else {
        return;
    };
    let driver = mixed.stage.driver();
    mixed.stage.node().await;
    let sidecars = mixed.start_pair([Upstream; 2]).await;
    let controllers = mixed.start_with(cast, looks_again).await;
    let volumes = mixed.database().await;

    mixed.ask_for_group().await;
    mixed.group_is_whole(&volumes).await;
    mixed.delete_group().await;
    mixed.clear_database().await;
    let counts = mixed.stage.ec2.counts().unwrap();
    mixed
        .end_volumes((cast, controllers), ([Upstream; 2], sidecars), driver)
        .await;
    shared::say(&format!("{LAYER}: {title}: EC2 {counts:?}"));
}

/// The controllers of one side are ended as soon as EC2 takes the snapshots, and the other side's go on; the same for the
/// deletion of the group.
async fn group_take_over(title: &str, from: Side, to: Side) {
    let Some(mixed) = Mixed::new(title).await else {
        return;
    };
    let driver = mixed.stage.driver();
    mixed.stage.node().await;
    let sidecars = mixed.start_pair([Upstream; 2]).await;
    let first = mixed.start_with([from; 3], looks_again).await;
    let volumes = mixed.database().await;

    mixed.ask_for_group().await;
    mixed.stage.is_called("CreateSnapshots", 1).await;
    let second = mixed.exchange(first, [to; 3]).await;
    mixed.group_is_whole(&volumes).await;

    let deleted = mixed
        .stage
        .hand
        .delete(&format!("{GROUPS}/nightly"))
        .await
        .unwrap();
    deleted.ok("delete").unwrap();
    mixed.stage.is_called("DeleteSnapshot", 1).await;
    let third = mixed.exchange(second, [from; 3]).await;
    mixed.delete_group().await;
    mixed.clear_database().await;
    mixed
        .end_volumes(([from; 3], third), ([Upstream; 2], sidecars), driver)
        .await;
}

impl Mixed {
    /// These controllers end, and those of a cast come instead.
    async fn exchange(&self, running: Vec<Process>, cast: Cast) -> Vec<Process> {
        for mut process in running {
            process.terminate(Duration::from_secs(90)).await.unwrap();
        }
        self.start_with(cast, looks_again).await
    }

    /// The claims, their attachments and the class go.
    async fn clear_database(&self) {
        for name in CLAIM_NAMES {
            self.stage.remove(&format!("{ATTACHMENTS}/{name}")).await;
        }
        let kubectl = self.plane.kubectl();
        kubectl
            .ok(&["delete", "volumegroupsnapshotclass", "--all", "--timeout=60s"])
            .unwrap();
    }
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

#[tokio::test]
async fn ours_take_a_group_over_from_upstream_and_upstream_its_deletion() {
    group_take_over("groups taken over by ours", Upstream, Ours).await;
}

#[tokio::test]
async fn upstream_takes_a_group_over_from_ours_and_ours_its_deletion() {
    group_take_over("groups taken over by upstream", Ours, Upstream).await;
}
