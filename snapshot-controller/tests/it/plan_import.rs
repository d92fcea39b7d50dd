//! Pre-provisioned snapshots, and members of groups while groups are off.

use controller::Next;
use serde_json::{Value, json};

use crate::scene::{AS_SOURCE, BEING_DELETED, BOUND, CONTENT_BOUND, NOW, Scene, class_of, settled};

const SECRET_NAME: &str = "snapshot.storage.kubernetes.io/deletion-secret-name";

pub(crate) fn import() -> Scene {
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
fn snapshot_case_107_a_content_that_names_nothing_is_told_on_the_snapshot_also_on_a_ready_one() {
    for scene in [import(), imported("Delete")] {
        let mut scene = scene.with("vsc", "c", json!({"spec": {"source": {"snapshotHandle": " "}}}));
        let (reason, text) = scene.refusal("s");
        assert_eq!(reason, "SnapshotContentMismatch");
        assert!(text.contains("spec.source.snapshotHandle is blank"), "{text}");
        assert!(scene.settle("s", 2));
        assert_eq!(scene.get("vs", "s").unwrap()["status"]["readyToUse"], false);
        scene.delete("vs", "s");
        scene.settle("s", 3);
        scene.remove("vsc", "c");
        scene.settle("s", 3);
        assert!(scene.get("vs", "s").is_none());
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

/// Import, bound and ready; the content under this policy.
fn imported(policy: &str) -> Scene {
    let mut scene = import().with("vsc", "c", json!({"spec": {"deletionPolicy": policy}}));
    assert!(scene.settle("s", 2));
    scene.sidecar_cuts("c", true);
    assert!(scene.settle("s", 2));
    scene
}

/// Retain keeps the content with its mark; its UID is cleared by hand and a new snapshot of the name is made.
#[test]
fn snapshot_case_103_a_content_that_is_bound_anew_loses_the_marks_of_its_former_life() {
    let being_created = "snapshot.storage.kubernetes.io/volumesnapshot-being-created";
    let mut scene = imported("Retain");
    scene.delete("vs", "s");
    assert!(scene.settle("s", 3));
    assert_eq!(
        scene.get("vsc", "c").unwrap()["metadata"]["annotations"],
        json!({BEING_DELETED: "yes"})
    );
    scene.set(
        "vsc",
        "c",
        json!({"metadata": {"annotations": {being_created: "yes", "theirs": "1", SECRET_NAME: "sec"}},
            "spec": {"volumeSnapshotRef": {"uid": null}}}),
    );
    scene.put("vs", new_of_s());
    assert!(scene.settle("s", 3));
    let content = scene.get("vsc", "c").unwrap();
    assert_eq!(content["spec"]["volumeSnapshotRef"]["uid"], "new");
    assert_eq!(
        content["metadata"]["annotations"],
        json!({"theirs": "1", SECRET_NAME: "sec"}),
        "the Secret belongs to the handle"
    );
    // Deleted under Delete, it waits for its snapshot.
    scene.set("vsc", "c", json!({"spec": {"deletionPolicy": "Delete"}}));
    scene.delete("vsc", "c");
    assert_eq!(scene.plan_content("c", true).steps().count(), 0);
    assert_eq!(
        scene.plan("s").steps().count(),
        1,
        "the finalizer that Delete calls for"
    );
}

fn new_of_s() -> Value {
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": "s", "namespace": "ns", "uid": "new", "resourceVersion": "90"},
        "spec": {"source": {"volumeSnapshotContentName": "c"}},
    })
}

#[test]
fn snapshot_case_103_a_mark_under_a_living_snapshot_is_taken_away_whoever_left_it() {
    for scene in [imported("Delete"), crate::scene::ready("Delete")] {
        let name = scene.names("vsc")[0].clone();
        let mut scene = scene.with(
            "vsc",
            &name,
            json!({"metadata": {"annotations": {BEING_DELETED: "yes"}}}),
        );
        assert!(scene.settle("s", 2));
        assert_eq!(
            scene.get("vsc", &name).unwrap()["metadata"]["annotations"],
            json!({})
        );
        scene.delete("vs", "s");
        assert!(
            scene.lines("s")[0].contains(BEING_DELETED),
            "it is set when the snapshot goes"
        );
    }
}

/// Server-side apply of the manifest replaces the whole reference.
#[test]
fn snapshot_case_104_a_content_that_has_lost_its_uid_stays_bound_and_gets_it_back() {
    for (scene, terminating) in [
        (imported("Delete"), false),
        (imported("Delete"), true),
        (crate::scene::ready("Delete"), false),
        (crate::scene::ready("Delete"), true),
    ] {
        let name = scene.names("vsc")[0].clone();
        let mut scene = scene.with(
            "vsc",
            &name,
            json!({"spec": {"volumeSnapshotRef": {"uid": null}}}),
        );
        // A bound snapshot needs no class.
        scene.remove("class", "k");
        if terminating {
            scene.delete("vsc", &name);
            assert_eq!(scene.plan_content(&name, true).steps().count(), 0, "it waits");
        }
        let lines = scene.lines("s");
        assert!(lines[0].starts_with(&format!("PATCH vsc {name} [")), "{lines:#?}");
        assert!(scene.settle("s", 2));
        assert_eq!(
            scene.get("vsc", &name).unwrap()["spec"]["volumeSnapshotRef"]["uid"],
            "u"
        );
        let status = &scene.get("vs", "s").unwrap()["status"];
        assert_eq!(status["readyToUse"], true);
        assert!(status["error"].is_null());
    }
    // Deleted while the UID is lost, the snapshot takes its content with it.
    let mut scene =
        imported("Delete").with("vsc", "c", json!({"spec": {"volumeSnapshotRef": {"uid": null}}}));
    scene.delete("vs", "s");
    assert_eq!(scene.lines("s")[1], "DELETE vsc c cu");
}

#[test]
fn snapshot_case_109_an_import_under_a_class_of_another_driver_is_refused_and_nothing_is_bound() {
    let scene = import().with("class", "k", json!({"driver": "other"}));
    let (reason, text) = scene.refusal("s");
    assert_eq!(reason, "SnapshotBindFailed");
    assert_eq!(
        text,
        "Snapshot failed to bind VolumeSnapshotContent c: VolumeSnapshotClass k is of driver other, but the content is of \
         driver d"
    );
    let told = scene.plan_content("c", false).actions;
    assert_eq!(
        told.iter().map(crate::scene::show).collect::<Vec<_>>(),
        [format!("Warning SnapshotBindFailed: {text}")],
        "on the content too"
    );
    assert_eq!(import().plan_content("c", false), settled());
    let lines = scene.lines("s");
    assert!(
        lines[0].starts_with("PATCH vs/status") && lines.len() == 2,
        "{lines:#?}"
    );
    // Once bound it needs no class.
    let bound = imported("Delete").with("class", "k", json!({"driver": "other"}));
    assert_eq!(bound.plan("s"), settled());
}

/// The content has none, and the snapshot is told one once both are bound.
#[test]
fn snapshot_case_170_a_bound_import_takes_no_class_that_is_missing_or_of_another_driver() {
    let rows = [
        (None, Some("GetSnapshotClassFailed")),
        (Some("other"), Some("SnapshotBindFailed")),
        (Some("d"), None),
    ];
    for (driver, told) in rows {
        let mut scene = import().with("vs", "s", json!({"spec": {"volumeSnapshotClassName": null}}));
        assert!(scene.settle("s", 2));
        scene.sidecar_cuts("c", true);
        assert!(scene.settle("s", 2));
        scene.set("vs", "s", json!({"spec": {"volumeSnapshotClassName": "late"}}));
        if let Some(driver) = driver {
            scene.put("class", class_of("late", driver, "Delete"));
        }
        let lines = scene.lines("s");
        assert_eq!(lines.len(), 1, "{lines:#?}");
        let Some(reason) = told else {
            assert!(lines[0].starts_with("PATCH vsc c ["), "{lines:#?}");
            continue;
        };
        assert!(lines[0].starts_with(&format!("Warning {reason}: ")), "{lines:#?}");
        assert_eq!(scene.get("vs", "s").unwrap()["status"]["readyToUse"], true);
        scene.is_lost = true;
        assert!(scene.lines("s").is_empty(), "it may only not be known yet");
    }
}

#[test]
fn snapshot_case_112_nothing_is_refused_while_what_is_missing_may_only_not_be_known_yet() {
    let mut scene = import().without("vsc", "c");
    scene.is_lost = true;
    let mut dynamic = Scene::new().without("class", "k");
    dynamic.is_lost = true;
    for mut scene in [scene, dynamic] {
        let plan = scene.plan("s");
        assert!(plan.actions.is_empty());
        assert_eq!(plan.next, Next::After(std::time::Duration::from_secs(1)));
        scene.is_lost = false;
        assert_eq!(scene.lines("s").len(), 2, "told once all is known");
    }
}

#[test]
fn snapshot_case_116_nothing_is_refused_of_a_snapshot_that_was_just_made() {
    for missing in [import().without("vsc", "c"), Scene::new().without("class", "k")] {
        let made = |time| json!({"metadata": {"creationTimestamp": time}});
        let young = missing.clone().with("vs", "s", made(NOW));
        let plan = young.plan("s");
        assert!(plan.actions.is_empty());
        assert_eq!(plan.next, Next::After(std::time::Duration::from_secs(1)));
        let older = missing.with("vs", "s", made("2026-01-01T00:00:00Z"));
        assert_eq!(older.lines("s").len(), 2, "told a moment later");
    }
}
