//! The story of a volume in the layers drop-in and manifests: made for a claim, attached for a pod, detached, restored, cloned
//! and deleted, with what each of it costs.

use conformance::{ControlPlane, until};

use crate::expansion::Growable;
use crate::journey::Stage;
use crate::requests::Cost;
use crate::shared::PATIENCE;
use crate::volumes::ATTACHMENTS;

/// What it cost.
pub struct VolumeCosts {
    volume: Cost,
    attachment: Cost,
    detachment: Cost,
    foreign: Cost,
    restore: Cost,
    clone: Cost,
    deletion: Cost,
}

impl VolumeCosts {
    /// A restore costs so many requests under these roles, and a clone.
    pub fn must_be(&self, restore: usize, clone: usize) {
        // docs/requests.md.
        self.volume.must_be("a volume", 1, 1, &[("CreateVolume", 1)]);
        self.attachment
            .must_be("an attachment", 2, 0, &[("AttachVolume", 1)]);
        self.detachment
            .must_be("a detachment", 1, 0, &[("DetachVolume", 1)]);
        // The finalizer on a volume that our provisioner did not make.
        self.foreign
            .must_be("an attachment of a foreign volume", 3, 0, &[("AttachVolume", 1)]);
        self.restore
            .must_be("a restore", restore, 1, &[("CreateVolume", 1)]);
        self.clone.must_be("a clone", clone, 1, &[("CopyVolumes", 1)]);
        self.deletion
            .must_be("the deletion of a volume", 2, 0, &[("DeleteVolume", 1)]);
        for cost in [&self.volume, &self.attachment, &self.detachment, &self.deletion] {
            let gets = cost.requests.keys().filter(|action| action.starts_with("get "));
            assert_eq!(gets.count(), 0, "{cost:#?}");
        }
    }
}

/// Examples 02, 06 and 09, with kube-controller-manager's attach-detach controller; kube-scheduler and the kubelet are the test.
pub async fn story(stage: &Stage, plane: &ControlPlane) -> VolumeCosts {
    stage.node().await;
    let snapshots_before = stage.snapshots_in_ec2();
    let begin = stage.begin();
    let files = stage.example(plane, "02-dynamic", "");
    stage.choose_node("ebs-claim").await;
    let (ebs_volume, _) = stage.bound("ebs-claim").await;
    let volume = stage.cost(&begin).await;
    let (attachment, detachment) = attach_for_pod(stage, &ebs_volume).await;
    let (restore, clone, deletion) = serve_as_source(stage, plane).await;
    // Its pod has gone already.
    plane
        .kubectl()
        .ok(&["delete", "-k", &files, "--ignore-not-found", "--timeout=120s"])
        .unwrap();
    stage.nothing_made().await;
    let left = stage.snapshots_in_ec2();
    assert_eq!(left, snapshots_before, "its EC2 snapshot goes with the object");
    let foreign = attach_foreign(stage).await;
    stage.clear_claims(plane);
    stage.clear_node().await;
    VolumeCosts {
        volume,
        attachment,
        detachment,
        foreign,
        restore,
        clone,
        deletion,
    }
}

/// The pod of the claim comes and goes.
async fn attach_for_pod(stage: &Stage, ebs_volume: &str) -> (Cost, Cost) {
    let begin = stage.begin();
    stage.bind_pod("app").await;
    stage.all_attached(1).await;
    stage.until_ec2("EC2 has attached it", ebs_volume, "in-use").await;
    stage.told_attached().await;
    let attachment = stage.cost(&begin).await;

    let begin = stage.begin();
    stage.end_pod("app").await;
    stage.all_detached().await;
    stage
        .until_ec2("EC2 has detached it", ebs_volume, "available")
        .await;
    (attachment, stage.cost(&begin).await)
}

/// A snapshot of the volume is restored, the volume is cloned; then both go, the clone alone first.
async fn serve_as_source(stage: &Stage, plane: &ControlPlane) -> (Cost, Cost, Cost) {
    let kubectl = plane.kubectl();
    let begin = stage.begin();
    let snapshot = stage.example(plane, "05-snapshot", "");
    stage.all_ready(1).await;
    stage.cost(&begin).await;

    let begin = stage.begin();
    let restored = stage.example(plane, "06-restore", "");
    stage.choose_node("ebs-snapshot-restored-claim").await;
    stage.bound("ebs-snapshot-restored-claim").await;
    let restore = stage.cost(&begin).await;

    let begin = stage.begin();
    let cloned = stage.example(plane, "09-clone", "");
    stage.choose_node("ebs-clone-claim").await;
    stage.bound("ebs-clone-claim").await;
    let clone = stage.cost(&begin).await;
    assert_eq!(stage.made().len(), 3, "one EBS volume a claim");

    let begin = stage.begin();
    kubectl.ok(&["delete", "-k", &cloned, "--timeout=120s"]).unwrap();
    until("its EBS volume is gone", PATIENCE, async || {
        (stage.made().len() == 2).then_some(())
    })
    .await
    .unwrap();
    let deletion = stage.cost(&begin).await;
    for files in [restored, snapshot] {
        kubectl.ok(&["delete", "-k", &files, "--timeout=120s"]).unwrap();
    }
    (restore, clone, deletion)
}

/// Attaches and detaches a volume that somebody made by hand.
async fn attach_foreign(stage: &Stage) -> Cost {
    let [Growable { name, volume }] = &stage.growable(1).await[..] else {
        unreachable!("one was asked for");
    };
    let begin = stage.begin();
    stage.ask_to_attach("by-hand", name).await;
    stage.all_attached(1).await;
    let cost = stage.cost(&begin).await;
    stage.remove(&format!("{ATTACHMENTS}/by-hand")).await;
    stage.all_detached().await;
    stage.until_ec2("EC2 has detached it", volume, "available").await;
    cost
}
