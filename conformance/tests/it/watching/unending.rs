//! What was begun does not end.

use conformance::until;
use serde_json::json;

use super::refused::ON_ITS_WAY;
use super::{GIB, MANY, Watched, pictures};
use crate::journey::SNAPSHOTS;
use crate::shared::PATIENCE;

/// Of claims that ask for what there is not.
const INFEASIBLE: [&str; 2] = ["ResizeInfeasible", "ModifyInfeasible"];
const ALERTS: [&str; 9] = [
    "SnapshotNotReady",
    "SnapshotDeleteStuck",
    "EC2Throttled",
    "VolumeDeleteFailing",
    "DetachFailing",
    "DetachStuck",
    "ModifyQuotaWait",
    "ResizeWaitsForNode",
    "OrphanVolumes",
];
/// The volume of a PersistentVolume that was retained and deleted.
const OF_NOBODY: [(&str, &str); 2] = [
    ("CSIVolumeName", "pvc-retained"),
    ("kubernetes.io/cluster/watched", "owned"),
];

impl Watched {
    /// A snapshot of a large volume takes its time. EC2 throttles the deletion of snapshots, fails at that of volumes and at
    /// detachments, has an instance that hangs, and has counted as many changes of a volume as there may be in a day. Claims
    /// ask for a size and a class that there are not, nobody does the node's half of an expansion, and nobody owns a volume.
    pub(super) async fn nothing_ends(&mut self) {
        self.claims_ask_for_what_there_is_not().await;
        self.snapshot_of_large().await;
        let of_nobody = self.stage.ec2.old_volume("us-east-1a", 2, &OF_NOBODY).unwrap();
        for (action, code) in [
            ("DeleteSnapshot", "RequestLimitExceeded"),
            ("DeleteVolume", "InternalError"),
            ("DetachVolume", "InternalError"),
            ("ModifyVolume", "VolumeModificationRateExceeded"),
        ] {
            self.stage.ec2.fault(action, code, MANY).unwrap();
        }
        for number in 0..6 {
            self.remove(&format!("{SNAPSHOTS}/s-{number}")).await;
        }
        self.unclaim(&["first"]).await;
        self.detach(&[7]).await;
        self.stage.grow(&self.chosen(&[4]), GIB).await;
        self.prometheus.fires(&ALERTS).await;
        self.look().await;
        pictures::draw(&self.prometheus, "suite");
        self.stage.ec2.forget(&of_nobody).unwrap();
        self.all_ends().await;
        self.prometheus.is_silent(&ALERTS).await;
        self.prometheus.is_silent(&INFEASIBLE).await;
        self.prometheus.is_silent(&[ON_ITS_WAY]).await;
        self.no_detachment_is_pending().await;
        self.calls_bear_their_labels().await;
    }

    async fn claims_ask_for_what_there_is_not(&self) {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttributesClass",
            "metadata": { "name": "nonsense" },
            "driverName": "ebs.csi.aws.com",
            "parameters": { "type": "gp9" },
        });
        self.make("/apis/storage.k8s.io/v1/volumeattributesclasses", &class)
            .await;
        self.stage.grow(&self.chosen(&[5]), 70_000).await;
        self.ask_for_class(6, "nonsense").await;
        self.stage.grow(&self.chosen(&[9]), GIB).await;
        self.stage.waits_for_node(&self.claims[9], GIB).await;
        self.prometheus.fires(&INFEASIBLE).await;
    }

    async fn snapshot_of_large(&self) {
        let snapshot = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": { "name": "of-large" },
            "spec": {
                "source": { "persistentVolumeClaimName": "large" },
                "volumeSnapshotClassName": "csi-aws-vsc",
            },
        });
        self.make(SNAPSHOTS, &snapshot).await;
    }

    async fn all_ends(&self) {
        let ec2 = &self.stage.ec2;
        ec2.clear_faults().unwrap();
        ec2.terminate(&self.hanging).unwrap();
        ec2.detaching(1).unwrap();
        self.stage.grow(&self.chosen(&[5]), GIB).await;
        self.ask_for_class(6, "fast").await;
        self.stage.all_ready(1).await;
        self.remove(&format!("{SNAPSHOTS}/of-large")).await;
        until("the snapshots are gone", PATIENCE, async || {
            self.stage.list(SNAPSHOTS).await?.is_empty().then_some(())
        })
        .await
        .unwrap();
        self.stage.all_grown(&self.chosen(&[4, 5, 9]), GIB).await;
        self.stage.has_class(&self.claims[6], "fast", 5000).await;
        self.detach(&[8]).await;
        self.unclaim(&["large"]).await;
        self.no_volume_is_made().await;
        self.all_are_detached().await;
    }
}
