//! Layer 1: VolumeSnapshots and contents that people, GitOps and backup tools apply, edit and delete by hand, with the
//! snapshot-controller, the csi-snapshotter and the driver as processes of their own under our roles.

use std::time::Duration;

use conformance::{Answer, Patch, Process, until};
use serde_json::{Value, json};

use crate::journey::{CONTENTS, LEASES, OURS, SNAPSHOTS, Stage};
use crate::processes::terminate;
use crate::shared::{self, Guard, PATIENCE};

const LAYER: &str = "1 pairs";
const CLASSES: &str = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses";
const BEING_DELETED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";
/// So long nothing may happen to what is to stay.
const STAYS: Duration = Duration::from_secs(8);

/// A cluster with our programs, and a snapshot in EC2 that was there before.
struct Scene {
    stage: Stage,
    processes: Vec<Process>,
    plane: Guard,
    handle: String,
}

impl Scene {
    async fn new(name: &str) -> Option<Self> {
        let plane = shared::control_plane(LAYER).await?;
        let stage = Stage::with_ec2(&plane, LAYER, name, OURS, true).await?;
        let processes = vec![
            stage.snapshot_controller(&[]),
            stage.csi_snapshotter(&[]),
            stage.driver(),
        ];
        for lease in &LEASES[..2] {
            stage.has_leader(lease).await;
        }
        let handle = stage.ec2.snapshot(&stage.volume).unwrap();
        Some(Self {
            stage,
            processes,
            plane,
            handle,
        })
    }

    fn content(&self, policy: &str) -> Value {
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent", "metadata": {"name": "c"},
            "spec": {"deletionPolicy": policy, "driver": "ebs.csi.aws.com", "source": {"snapshotHandle": self.handle},
                "volumeSnapshotRef": {"name": "s", "namespace": "default"}},
        })
    }

    async fn create(&self, path: &str, object: &Value) -> Value {
        self.stage
            .hand
            .create(path, object)
            .await
            .unwrap()
            .ok(path)
            .unwrap()
    }

    /// Server-side apply of the content, as a GitOps tool does it.
    async fn apply(&self, content: &Value, force: bool) -> Answer {
        let path = format!("{CONTENTS}/c?fieldManager=gitops&force={force}");
        self.stage.hand.patch(&path, Patch::Apply, content).await.unwrap()
    }

    async fn patch(&self, path: &str, change: &Value) {
        let answer = self.stage.hand.patch(path, Patch::Merge, change).await.unwrap();
        answer.ok(path).unwrap();
    }

    async fn delete(&self, path: &str) {
        self.stage.hand.delete(path).await.unwrap().ok(path).unwrap();
    }

    async fn get(&self, path: &str) -> Value {
        self.stage.hand.find(path).await.unwrap().unwrap_or_default()
    }

    async fn until(&self, what: &str, path: &str, so: impl Fn(&Value) -> bool) {
        until(what, PATIENCE, async || so(&self.get(path).await).then_some(()))
            .await
            .unwrap();
    }

    async fn gone(&self, path: &str) {
        self.until(&format!("{path} is gone"), path, Value::is_null).await;
    }

    /// An event of this reason about this object tells it.
    async fn told(&self, about: &str, reason: &str, text: &str) {
        until(&format!("{about} is told {text}"), PATIENCE, async || {
            let events = self.stage.list("/api/v1/namespaces/default/events").await?;
            let is_it = |event: &Value| {
                event["involvedObject"]["name"] == about
                    && event["reason"] == reason
                    && event["message"]
                        .as_str()
                        .is_some_and(|message| message.contains(text))
            };
            events.iter().any(is_it).then_some(())
        })
        .await
        .unwrap();
    }

    async fn bound(&self) {
        self.create(SNAPSHOTS, &wish()).await;
        self.until("the snapshot is ready", &snapshot(), ready).await;
    }

    fn in_ec2(&self) -> bool {
        self.stage.snapshots_in_ec2().contains(&self.handle)
    }

    async fn end(self) {
        terminate(self.processes).await;
        self.stage.nothing_denied();
        for (path, name) in [
            (SNAPSHOTS, "volumesnapshots"),
            (CONTENTS, "volumesnapshotcontents"),
        ] {
            assert_eq!(self.stage.list(path).await.unwrap().len(), 0, "{name} are left");
        }
        self.plane
            .kubectl()
            .ok(&["delete", "volumesnapshotclasses", "--all"])
            .unwrap();
    }
}

fn wish() -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": "s"},
        "spec": {"source": {"volumeSnapshotContentName": "c"}},
    })
}

fn snapshot() -> String {
    format!("{SNAPSHOTS}/s")
}

fn content() -> String {
    format!("{CONTENTS}/c")
}

fn ready(object: &Value) -> bool {
    object["status"]["readyToUse"] == true && object["status"]["error"].is_null()
}

fn has_uid(content: &Value) -> bool {
    content["spec"]["volumeSnapshotRef"]["uid"].is_string()
}

/// Server-side apply replaces the reference whole, since the definition makes it an atomic map: whoever writes one member
/// owns all of it. So a manifest without the UID conflicts, and by force takes the UID away.
#[tokio::test]
async fn snapshot_case_104_a_pair_that_is_applied_again_stays_bound_also_while_its_content_is_deleted() {
    let Some(scene) = Scene::new("applied-again").await else {
        return;
    };
    let manifest = scene.content("Delete");
    scene.apply(&manifest, false).await.ok("apply").unwrap();
    scene.bound().await;
    let refused = scene.apply(&manifest, false).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let text = refused.message();
    assert!(
        text.contains("snapshot-controller") && text.contains(".spec.volumeSnapshotRef"),
        "{text}"
    );
    scene.apply(&manifest, true).await.ok("apply").unwrap();
    scene.until("the UID is back", &content(), has_uid).await;
    assert!(ready(&scene.get(&snapshot()).await));
    scene
        .told("s", "SnapshotContentRebound", "volumeSnapshotRef")
        .await;
    // The fields of the user's that nobody else writes are the user's still.
    let mut labelled = scene.get(&content()).await;
    let reference = labelled["spec"]["volumeSnapshotRef"].take();
    labelled = scene.content("Delete");
    labelled["spec"]["volumeSnapshotRef"] = reference;
    labelled["metadata"]["labels"] = json!({"applied": "again"});
    scene
        .apply(&labelled, false)
        .await
        .ok("apply with the reference as it is")
        .unwrap();

    scene.delete(&content()).await;
    scene.apply(&manifest, true).await.ok("apply").unwrap();
    scene.until("the UID is back", &content(), has_uid).await;
    scene
        .told(
            "s",
            "SnapshotContentBeingDeleted",
            "was deleted before its VolumeSnapshot",
        )
        .await;
    tokio::time::sleep(STAYS).await;
    assert!(scene.in_ec2() && ready(&scene.get(&snapshot()).await));
    scene.delete(&snapshot()).await;
    scene.gone(&content()).await;
    scene.gone(&snapshot()).await;
    assert!(!scene.in_ec2(), "Delete takes it along");
    scene.end().await;
}

#[tokio::test]
async fn snapshot_case_103_a_content_that_is_bound_anew_is_not_deleted_under_its_new_snapshot() {
    let Some(scene) = Scene::new("bound-anew").await else {
        return;
    };
    scene.create(CONTENTS, &scene.content("Retain")).await;
    scene.bound().await;
    scene.delete(&snapshot()).await;
    scene.gone(&snapshot()).await;
    assert!(scene.get(&content()).await["metadata"]["annotations"][BEING_DELETED].is_string());
    scene
        .patch(&content(), &json!({"spec": {"volumeSnapshotRef": {"uid": null}}}))
        .await;
    scene.bound().await;
    scene
        .patch(&content(), &json!({"spec": {"deletionPolicy": "Delete"}}))
        .await;
    scene.delete(&content()).await;
    tokio::time::sleep(STAYS).await;
    assert!(scene.in_ec2() && ready(&scene.get(&snapshot()).await));
    scene.delete(&snapshot()).await;
    scene.gone(&content()).await;
    scene.gone(&snapshot()).await;
    assert!(!scene.in_ec2());
    scene.end().await;
}

/// What a backup tool makes and deletes at once, to have a snapshot deleted; and a content that was put back.
#[tokio::test]
async fn snapshot_case_105_106_110_contents_of_backup_tools_go_and_make_nothing() {
    let Some(scene) = Scene::new("backup-tools").await else {
        return;
    };
    let mut temporary = scene.content("Delete");
    temporary["metadata"]["finalizers"] =
        json!(["snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"]);
    scene.create(CONTENTS, &temporary).await;
    scene.delete(&content()).await;
    scene.gone(&content()).await;
    assert!(!scene.in_ec2(), "its handle is deleted with it");

    scene.stage.class().await;
    let mut exported = temporary.clone();
    exported["spec"]["source"] = json!({"volumeHandle": scene.stage.volume});
    exported["spec"]["volumeSnapshotClassName"] = json!("csi-aws-vsc");
    exported["spec"]["volumeSnapshotRef"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    scene.create(CONTENTS, &exported).await;
    scene
        .told("c", "SnapshotCreationFailed", "no VolumeSnapshot stands behind")
        .await;
    tokio::time::sleep(STAYS).await;
    assert_eq!(scene.stage.snapshots_in_ec2(), Vec::<String>::new());
    // Without its UID too it can be deleted.
    scene
        .patch(&content(), &json!({"spec": {"volumeSnapshotRef": {"uid": null}}}))
        .await;
    scene.delete(&content()).await;
    scene.gone(&content()).await;
    scene.end().await;
}

#[tokio::test]
async fn snapshot_case_107_109_111_what_cannot_be_right_is_told_and_can_be_deleted() {
    let Some(scene) = Scene::new("cannot-be").await else {
        return;
    };
    let foreign = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass", "metadata": {"name": "foreign"},
        "driver": "other.example.com", "deletionPolicy": "Delete",
    });
    scene.create(CLASSES, &foreign).await;
    let mut empty = scene.content("Delete");
    empty["spec"]["source"]["snapshotHandle"] = json!("");
    let mut classed = scene.content("Retain");
    classed["spec"]["volumeSnapshotClassName"] = json!("foreign");
    for (object, text) in [
        (empty, "spec.source.snapshotHandle is blank"),
        (classed, "is of driver other.example.com"),
    ] {
        scene.create(CONTENTS, &object).await;
        scene.create(SNAPSHOTS, &wish()).await;
        scene.told("c", "SnapshotContentCheckandUpdateFailed", text).await;
        scene
            .until("told on the snapshot", &snapshot(), |snapshot| {
                let message = snapshot["status"]["error"]["message"].as_str();
                message.is_some_and(|message| message.contains(text))
                    && snapshot["status"]["readyToUse"] == false
            })
            .await;
        scene.delete(&snapshot()).await;
        scene.gone(&snapshot()).await;
        // Retain keeps the content.
        scene.stage.hand.delete(&content()).await.unwrap();
        scene.gone(&content()).await;
    }
    let mut secret = scene.content("Delete");
    secret["metadata"]["annotations"] = json!({
        "snapshot.storage.kubernetes.io/deletion-secret-name": "a#b",
        "snapshot.storage.kubernetes.io/deletion-secret-namespace": "..",
    });
    scene.create(CONTENTS, &secret).await;
    scene.bound().await;
    scene.delete(&snapshot()).await;
    scene.gone(&content()).await;
    assert!(!scene.in_ec2());
    scene.end().await;
}
