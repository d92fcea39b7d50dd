//! EC2 refuses whatever begins something: snapshots, volumes, changes, attachments. Before it the API server refuses something.

use conformance::Patch;
use serde_json::{Value, json};

use super::volumes::HANGING;
use super::{GIB, MANY, Watched};
use crate::expansion::Growable;
use crate::journey::SNAPSHOTS;

const ALERTS: [&str; 12] = [
    "EC2Denied",
    "EC2Errors",
    "SnapshotError",
    "SnapshotCreateFailing",
    "SnapshotNoSuccess",
    "SnapshotOperationsPiling",
    "RetryStorm",
    "ResizeFailing",
    "ModifyFailing",
    "ProvisionFailing",
    "ClaimPending",
    "AttachFailing",
];
/// The volume that hangs keeps it firing.
pub(super) const ON_ITS_WAY: &str = "AttachmentStuck";

/// A role of a sidecar, and what it loses.
const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/slackwater-csi-provisioner";
const LOST: [&str; 2] = ["persistentvolumes", "create"];

impl Watched {
    /// Somebody takes a verb out of a role that is in use, and gives it back: the alert names it, and nothing is restarted.
    pub(super) async fn a_right_is_missing(&self) {
        let role = self.stage.hand.find(ROLE).await.unwrap().unwrap();
        self.rules(&without(&role["rules"], LOST)).await;
        self.claim("denied", 10).await;
        self.prometheus.fires(&["KubernetesDenied"]).await;
        let [resource, verb] = LOST;
        let denied = format!(
            r#"ALERTS{{alertname="KubernetesDenied",component="csi-provisioner",verb="{verb}",resource="{resource}"}}"#
        );
        assert!(!self.prometheus.query(&denied).await.unwrap().is_empty());
        self.rules(&role["rules"]).await;
        self.is_bound("denied").await;
        self.unclaim(&["denied"]).await;
        self.no_volume_is_made().await;
        self.prometheus.is_silent(&["KubernetesDenied"]).await;
    }

    async fn rules(&self, rules: &Value) {
        let role = json!({ "rules": rules });
        let answer = self.stage.hand.patch(ROLE, Patch::Merge, &role).await.unwrap();
        answer.ok(ROLE).unwrap();
    }

    /// The role of the driver may not take snapshots; the quota of volumes is reached; volumes cannot be changed for the time
    /// being; the instance has no room.
    pub(super) async fn all_is_refused(&mut self) {
        // It will not come off the instance, which hangs: that shows after a minute.
        self.attach_to(HANGING, 11).await;
        self.are_attached(&[11]).await;
        self.stage.ec2.detaching(3600).unwrap();
        self.detach(&[11]).await;
        for (action, code) in [
            ("CreateSnapshot", "UnauthorizedOperation"),
            ("CreateVolume", "VolumeLimitExceeded"),
            ("ModifyVolume", "Unavailable"),
            ("AttachVolume", "AttachmentLimitExceeded"),
        ] {
            self.stage.ec2.fault(action, code, MANY).unwrap();
        }
        self.stage.snapshots(0..7).await;
        self.claim("first", 10).await;
        self.claim("large", 60).await;
        self.stage.grow(&self.claims[..2], GIB).await;
        self.stage.grow(std::slice::from_ref(&self.in_tree), GIB).await;
        for claim in [2, 3] {
            self.ask_for_class(claim, "fast").await;
        }
        self.attach(&[7, 8]).await;
        self.prometheus.fires(&ALERTS).await;
        self.prometheus.fires(&[ON_ITS_WAY]).await;
        self.look().await;
        // Nobody wants to wait for the last one.
        self.remove(&format!("{SNAPSHOTS}/s-6")).await;
        self.all_is_granted().await;
        self.prometheus.is_silent(&ALERTS).await;
    }

    async fn all_is_granted(&self) {
        self.stage.ec2.clear_faults().unwrap();
        self.stage.all_ready(6).await;
        for claim in ["first", "large"] {
            self.is_bound(claim).await;
        }
        self.stage.all_grown(&self.claims[..2], GIB).await;
        self.stage
            .all_grown(std::slice::from_ref(&self.in_tree), GIB)
            .await;
        for claim in [2, 3] {
            // EC2 gives at most 500 for each of its 10 GiB.
            self.stage.has_class(&self.claims[claim], "fast", 5000).await;
        }
        self.are_attached(&[7, 8]).await;
    }

    /// The claims of these numbers.
    pub(super) fn chosen(&self, numbers: &[usize]) -> Vec<Growable> {
        numbers
            .iter()
            .map(|number| self.claims[*number].clone())
            .collect()
    }
}

/// Rules that do not grant the verb on the resource.
fn without(rules: &Value, [resource, verb]: [&str; 2]) -> Value {
    let mut rules = rules.clone();
    for rule in rules.as_array_mut().unwrap() {
        if rule["resources"] == json!([resource]) {
            rule["verbs"].as_array_mut().unwrap().retain(|one| one != verb);
        }
    }
    rules
}
