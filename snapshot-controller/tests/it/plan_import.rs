//! Pre-provisioned snapshots, and members of groups while groups are off.

use serde_json::{Value, json};

use crate::scene::{AS_SOURCE, BOUND, CONTENT_BOUND, NOW, Scene, class_of, settled};

fn import() -> Scene {
    let mut scene = Scene::empty();
    scene.put("class", class_of("k", "d", "Delete"));
    scene.put(
        "vs",
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": "s", "namespace": "ns", "uid": "u", "resourceVersion": "10"},
            "spec": {"source": {"volumeSnapshotContentName": "c"}, "volumeSnapshotClassName": "k"},
        }),
    );
    scene.put("vsc", content());
    scene
}

fn content() -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
        "metadata": {"name": "c", "uid": "cu", "resourceVersion": "50"},
        "spec": {"deletionPolicy": "Delete", "driver": "d", "source": {"snapshotHandle": "snap"},
            "volumeSnapshotRef": {"name": "s", "namespace": "ns"}},
    })
}

fn body(line: &str) -> Value {
    serde_json::from_str(&line[line.find('[').unwrap()..]).unwrap()
}

#[test]
fn snapshot_case_76_an_import_is_bound_in_three_requests() {
    let mut scene = import();
    let lines = scene.lines("s");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("PATCH vs ["));
    assert_eq!(
        body(&lines[0])[2],
        json!({"op": "add", "path": "/metadata/finalizers", "value": [AS_SOURCE, BOUND]})
    );
    assert!(lines[1].starts_with("PATCH vsc c ["));
    assert_eq!(
        body(&lines[1]),
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "cu"},
            {"op": "test", "path": "/spec/volumeSnapshotRef/namespace", "value": "ns"},
            {"op": "test", "path": "/spec/volumeSnapshotRef/name", "value": "s"},
            {"op": "test", "path": "/spec/volumeSnapshotRef/uid", "value": null},
            {"op": "add", "path": "/spec/volumeSnapshotRef/uid", "value": "u"},
            {"op": "test", "path": "/spec/volumeSnapshotClassName", "value": null},
            {"op": "add", "path": "/spec/volumeSnapshotClassName", "value": "k"},
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": [CONTENT_BOUND]},
        ])
    );
    assert_eq!(
        body(&lines[2])[2],
        json!({"op": "add", "path": "/status", "value":
            {"boundVolumeSnapshotContentName": "c", "readyToUse": false}})
    );
    assert!(scene.settle("s", 2));
    scene.sidecar_cuts("c", true);
    assert!(scene.settle("s", 2));
    assert_eq!(scene.requests.len(), 4);
    assert_eq!(scene.events, ["Normal SnapshotCreated", "Normal SnapshotReady"]);
    assert_eq!(scene.get("vs", "s").unwrap()["status"]["restoreSize"], "5Gi");
    assert_eq!(scene.plan("s"), settled());
    assert_eq!(scene.plan_content("c", false), settled());
}

#[test]
fn snapshot_case_78_an_unknown_handle_is_shown_in_the_snapshot() {
    let mut scene = import();
    scene.settle("s", 2);
    let message = "Failed to check and update snapshot content: can not find snapshot for snapshotID snap";
    scene.set(
        "vsc",
        "c",
        json!({"status": {"readyToUse": false, "error": {"message": message, "time": NOW}}}),
    );
    assert!(scene.settle("s", 2));
    let status = &scene.get("vs", "s").unwrap()["status"];
    assert_eq!(status["error"]["message"], message);
    assert_eq!(status["readyToUse"], false);
}

#[test]
fn snapshot_case_79_a_snapshot_before_its_content_waits_for_it() {
    let mut scene = import();
    let content = scene.remove("vsc", "c").unwrap();
    assert_eq!(
        scene.refusal("s"),
        (
            "SnapshotContentMissing".to_owned(),
            "VolumeSnapshotContent is missing".to_owned()
        )
    );
    assert!(scene.settle("s", 2));
    scene.put("vsc", content);
    assert!(scene.settle("s", 2));
    let status = &scene.get("vs", "s").unwrap()["status"];
    assert_eq!(status["boundVolumeSnapshotContentName"], "c");
    assert!(status["error"].is_null());
}

#[test]
fn snapshot_case_80_a_content_of_another_or_of_the_other_kind_is_refused() {
    for (change, reason) in [
        (
            json!({"spec": {"volumeSnapshotRef": {"name": "t"}}}),
            "SnapshotContentMisbound",
        ),
        (
            json!({"spec": {"volumeSnapshotRef": {"namespace": "t"}}}),
            "SnapshotContentMisbound",
        ),
        (
            json!({"spec": {"volumeSnapshotRef": {"uid": "t"}}}),
            "SnapshotContentMisbound",
        ),
        (
            json!({"spec": {"source": {"snapshotHandle": null, "volumeHandle": "vol"}}}),
            "SnapshotContentMismatch",
        ),
    ] {
        let scene = import().with("vsc", "c", change.clone());
        assert_eq!(scene.refusal("s").0, reason, "{change}");
        let lines = scene.lines("s");
        assert!(lines[0].starts_with("PATCH vs/status") && lines[0].contains("\"readyToUse\":false"));
        assert_eq!(lines.len(), 2);
    }
}

#[test]
fn a_dynamic_snapshot_cannot_take_a_pre_provisioned_content() {
    let mut scene = Scene::new();
    let mut content = content();
    content["metadata"]["name"] = json!("snapcontent-u");
    content["spec"]["volumeSnapshotRef"]["uid"] = json!("u");
    scene.put("vsc", content);
    assert_eq!(scene.refusal("s").0, "SnapshotContentMismatch");
}

#[test]
fn snapshot_case_81_a_pair_without_class_is_bound_once() {
    let mut scene = import().with("vs", "s", json!({"spec": {"volumeSnapshotClassName": null}}));
    assert!(scene.settle("s", 2));
    for _ in 0..10 {
        scene.sidecar_cuts("c", false);
        assert!(scene.settle("s", 2));
    }
    let patches = scene
        .requests
        .iter()
        .filter(|line| line.starts_with("PATCH vsc"))
        .count();
    assert_eq!(patches, 1);
}

#[test]
fn a_content_that_is_being_deleted_is_not_bound() {
    let scene = import().with(
        "vsc",
        "c",
        json!({"metadata": {"deletionTimestamp": NOW, "finalizers": ["velero.io/x"]}}),
    );
    assert_eq!(scene.refusal("s").0, "SnapshotBindFailed");
}

#[test]
fn an_import_with_a_missing_class_is_refused_until_bound() {
    let mut scene = import().without("class", "k");
    assert_eq!(scene.refusal("s").0, "GetSnapshotClassFailed");
    scene.put("class", class_of("k", "d", "Delete"));
    scene.settle("s", 2);
    scene.remove("class", "k");
    assert_eq!(scene.plan("s"), settled());
}

#[test]
fn snapshot_case_85_a_group_handle_of_the_content_is_ignored_while_groups_are_off() {
    let mut scene = import();
    scene.settle("s", 2);
    scene.sidecar_cuts("c", true);
    scene.set("vsc", "c", json!({"status": {"volumeGroupSnapshotHandle": "g"}}));
    assert!(scene.settle("s", 2));
    let status = &scene.get("vs", "s").unwrap()["status"];
    assert_eq!(status["readyToUse"], true);
    assert!(status["volumeGroupSnapshotName"].is_null());
}

fn member(version: &str) -> Scene {
    Scene::new().with(
        "vs",
        "s",
        json!({
            "metadata": {"ownerReferences": [{"apiVersion": format!("groupsnapshot.storage.k8s.io/{version}"),
                "kind": "VolumeGroupSnapshot", "name": "g", "uid": "gu"}]},
            "spec": {"volumeSnapshotClassName": null}}),
    )
}

#[test]
fn snapshot_case_101_members_are_never_cut_alone_and_get_no_default_class() {
    for version in ["v1beta1", "v1beta2", "v1"] {
        let mut scene = member(version);
        scene.set(
            "class",
            "k",
            json!({"metadata": {"annotations": {"snapshot.storage.kubernetes.io/is-default-class": "true"}}}),
        );
        assert_eq!(scene.plan("s"), settled(), "{version}");
        let mut content = crate::scene::content_of_s("Delete");
        content["metadata"]["name"] = json!("snapcontent-hash");
        scene.put("vsc", content);
        scene.set(
            "vs",
            "s",
            json!({"status": {"boundVolumeSnapshotContentName": "snapcontent-hash"}}),
        );
        scene.sidecar_cuts("snapcontent-hash", true);
        assert!(scene.settle("s", 2));
        let snapshot = scene.get("vs", "s").unwrap();
        assert_eq!(snapshot["status"]["readyToUse"], true);
        assert!(snapshot["spec"]["volumeSnapshotClassName"].is_null());
    }
    let foreign = member("v1").with(
        "vs",
        "s",
        json!({"metadata": {"ownerReferences": [{"apiVersion": "example.org/v1",
            "kind": "VolumeGroupSnapshot", "name": "g", "uid": "gu"}]},
            "spec": {"volumeSnapshotClassName": "k"}}),
    );
    assert!(
        foreign.plan("s").steps().count() > 0,
        "another group's kind of that name makes no member"
    );
}
