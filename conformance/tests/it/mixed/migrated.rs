//! Volumes of the in-tree plugin of EBS, which kube-controller-manager hands to the resizer of our driver: what becomes of them
//! with upstream's programs and with ours.

use conformance::until;
use serde_json::{Value, json};

use super::{LAYER, Mixed, Ours, Side, Upstream};
use crate::expansion::{CLAIMS, Growable, VOLUMES};
use crate::journey::{CONTENTS, SNAPSHOTS};
use crate::shared::{self, PATIENCE};

const GIB: u32 = 12;
const SNAPSHOT: &str = "of-in-tree";

/// What both sides must leave of an expansion, without what differs from run to run.
async fn expanded(mixed: &Mixed, claim: &Growable) -> Value {
    let claims = std::slice::from_ref(claim);
    mixed.stage.grow(claims, GIB).await;
    mixed.stage.waits_for_node(claim, GIB).await;
    mixed.stage.all_grown(claims, GIB).await;
    let object = mixed
        .stage
        .find(&format!("{CLAIMS}/{}", claim.name))
        .await
        .unwrap();
    let volume = mixed
        .stage
        .find(&format!("{VOLUMES}/{}", claim.name))
        .await
        .unwrap();
    let resizer = "/metadata/annotations/volume.kubernetes.io~1storage-resizer";
    json!({
        "handedTo": object.pointer(resizer),
        "capacity": object["status"]["capacity"],
        "allocated": object["status"]["allocatedResources"],
        "volume": volume["spec"]["capacity"],
        "migratedSource": volume["spec"]["csi"],
    })
}

/// The error of the snapshot, or the source of its content once it is ready.
async fn snapshotted(mixed: &Mixed, claim: &Growable) -> Value {
    let snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": { "name": SNAPSHOT },
        "spec": {
            "source": { "persistentVolumeClaimName": claim.name },
            "volumeSnapshotClassName": "csi-aws-vsc",
        },
    });
    mixed.stage.make(SNAPSHOTS, &snapshot).await;
    until("the snapshot is ready or refused", PATIENCE, async || {
        let object = mixed.stage.find(&format!("{SNAPSHOTS}/{SNAPSHOT}")).await?;
        let status = &object["status"];
        if status["readyToUse"] == true {
            let [content] = mixed.stage.list(CONTENTS).await?.try_into().ok()?;
            return Some(content["spec"]["source"].clone());
        }
        Some(status["error"]["message"].clone()).filter(Value::is_string)
    })
    .await
    .unwrap()
}

async fn side(side: Side) -> Option<(Value, Value)> {
    let mixed = Mixed::new(&format!("migrated {side:?}")).await?;
    let (stage, plane) = (&mixed.stage, &*mixed.plane);
    // Its storage class.
    stage.growable(0).await;
    let claim = stage.in_tree("in-tree").await;
    let driver = stage.driver();
    let processes = mixed.start([side; 3]).await;
    let outcome = expanded(&mixed, &claim).await;
    let snapshot = snapshotted(&mixed, &claim).await;
    let text = snapshot.to_string();
    if side == Ours {
        assert_eq!(snapshot, json!({ "volumeHandle": claim.volume }));
        stage.fast_class(plane);
        stage.change(std::slice::from_ref(&claim), "fast").await;
        until("the claim has its class", PATIENCE, async || {
            let object = mixed.stage.find(&format!("{CLAIMS}/{}", claim.name)).await?;
            let status = &object["status"];
            let done = status["currentVolumeAttributesClassName"] == "fast"
                && status["modifyVolumeStatus"].is_null();
            done.then_some(())
        })
        .await
        .unwrap();
        let volumes = stage.ec2.state().unwrap().volumes;
        let changed = volumes.iter().find(|volume| volume.id == claim.volume).unwrap();
        assert_eq!((changed.gib, changed.iops), (GIB, Some(6_000)));
    } else {
        assert!(text.contains("cannot find CSI PersistentVolumeSource"), "{text}");
    }
    shared::say(&format!(
        "{LAYER}: an in-tree volume, {side:?}: {outcome}; snapshot: {text}"
    ));
    stage.clear(plane).await;
    mixed.end([side; 3], processes, driver).await;
    Some((outcome, snapshot))
}

#[tokio::test]
async fn an_in_tree_volume_is_expanded_alike_and_only_ours_cut_and_change_it() {
    let Some((upstream, _)) = side(Upstream).await else {
        return;
    };
    let Some((ours, _)) = side(Ours).await else {
        return;
    };
    assert_eq!(ours, upstream);
    assert_eq!(ours["handedTo"], "ebs.csi.aws.com");
}
