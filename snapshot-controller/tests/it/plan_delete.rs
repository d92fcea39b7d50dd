//! Deletion of snapshots and contents.

use controller::Next;
use runtime::ObjectKey;
use serde_json::{Value, json};
use snapshot_controller::plan::Step;

use crate::scene::{
    AS_SOURCE, BEING_DELETED, BOUND, IN_GROUP, NOW, Scene, content_of_s, ready, settled, show, snapshot,
};

fn deleted(policy: &str) -> Scene {
    let mut scene = ready(policy);
    scene.delete("vs", "s");
    scene
}

fn body(line: &str) -> Value {
    serde_json::from_str(&line[line.find(['[', '{']).unwrap()..]).unwrap()
}

#[test]
fn snapshot_case_58_deletion_under_delete_is_three_requests_of_ours() {
    let mut scene = deleted("Delete");
    let lines = scene.lines("s");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with("PATCH vsc snapcontent-u "));
    assert_eq!(
        body(&lines[0]),
        json!({"metadata": {"uid": "cu", "annotations": {BEING_DELETED: "yes"}}})
    );
    assert_eq!(lines[1], "DELETE vsc snapcontent-u cu");
    assert!(scene.settle("s", 2));
    assert_eq!(scene.plan("s"), settled(), "waits for the sidecar");
    scene.set("vsc", "snapcontent-u", json!({"metadata": {"finalizers": []}}));
    scene.remove("vsc", "snapcontent-u");
    let lines = scene.lines("s");
    assert_eq!(lines.len(), 1);
    assert_eq!(
        body(&lines[0]),
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "test", "path": "/metadata/finalizers/1", "value": BOUND},
            {"op": "remove", "path": "/metadata/finalizers/1"},
            {"op": "test", "path": "/metadata/finalizers/0", "value": AS_SOURCE},
            {"op": "remove", "path": "/metadata/finalizers/0"},
        ])
    );
    assert!(scene.settle("s", 2));
    assert_eq!(scene.requests.len(), 3);
    assert!(scene.get("vs", "s").is_none());
}

#[test]
fn snapshot_case_58_deletion_resumes_after_any_cut() {
    for cut in 0..=2 {
        let mut scene = deleted("Delete");
        for step in scene.plan("s").actions.iter().take(cut) {
            scene.apply("s", step).unwrap();
        }
        assert!(scene.settle("s", 2));
        assert_eq!(scene.requests.len(), 2, "cut after {cut}: {:#?}", scene.requests);
    }
}

#[test]
fn snapshot_case_59_under_retain_the_snapshot_goes_and_the_content_stays_marked() {
    let mut scene = deleted("Retain");
    assert!(scene.settle("s", 2));
    assert_eq!(scene.requests.len(), 2, "{:#?}", scene.requests);
    assert!(scene.get("vs", "s").is_none());
    let content = scene.get("vsc", "snapcontent-u").unwrap();
    assert_eq!(content["metadata"]["annotations"][BEING_DELETED], "yes");
    assert!(content["metadata"]["deletionTimestamp"].is_null());
}

#[test]
fn snapshot_case_61_the_policy_of_the_content_wins_over_the_class() {
    let scene = deleted("Delete").with(
        "vsc",
        "snapcontent-u",
        json!({"spec": {"deletionPolicy": "Retain"}}),
    );
    let plan = scene.plan("s");
    assert!(
        !plan
            .steps()
            .any(|step| matches!(step, Step::DeleteContent { .. }))
    );
    assert!(matches!(plan.steps().last(), Some(Step::PatchSnapshot(_))));
}

#[test]
fn snapshot_case_64_65_foreign_annotations_and_finalizers_survive() {
    let mut scene = deleted("Delete").with(
        "vsc",
        "snapcontent-u",
        json!({"metadata": {"annotations": {"theirs": "1"}}}),
    );
    let steps = scene.plan("s").actions;
    scene.set(
        "vsc",
        "snapcontent-u",
        json!({"metadata": {"annotations": {"late": "2"}}}),
    );
    for step in &steps {
        scene.apply("s", step).unwrap();
    }
    assert_eq!(
        scene.get("vsc", "snapcontent-u").unwrap()["metadata"]["annotations"],
        json!({"theirs": "1", "late": "2", BEING_DELETED: "yes"})
    );
}

#[test]
fn snapshot_case_66_the_mark_is_planned_until_it_stands() {
    let scene = deleted("Delete");
    assert_eq!(
        scene.lines("s"),
        scene.lines("s"),
        "a failed write changes nothing that is observed"
    );
    let marked = scene.with(
        "vsc",
        "snapcontent-u",
        json!({"metadata": {"annotations": {BEING_DELETED: "yes"}}}),
    );
    assert_eq!(marked.lines("s"), ["DELETE vsc snapcontent-u cu"]);
}

#[test]
fn snapshot_case_67_a_pending_restore_holds_the_deletion() {
    let mut scene = deleted("Delete");
    scene.restores = vec![ObjectKey::new("ns", "restored")];
    let plan = scene.plan("s");
    assert_eq!(
        plan.actions.iter().map(show).collect::<Vec<_>>(),
        ["Warning SnapshotDeletePending: Snapshot is being used to restore a PVC: ns/restored"]
    );
    assert!(matches!(plan.next, Next::Backoff(_)));
    scene.restores.clear();
    assert_eq!(scene.plan("s").steps().count(), 2);
}

#[test]
fn snapshot_case_68_the_finalizer_of_the_provisioner_stays() {
    let theirs = "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection";
    let mut scene = deleted("Retain").with(
        "vs",
        "s",
        json!({"metadata": {"finalizers": [AS_SOURCE, theirs, BOUND]}}),
    );
    assert!(scene.settle("s", 3));
    assert_eq!(
        scene.get("vs", "s").unwrap()["metadata"]["finalizers"],
        json!([theirs])
    );
    assert_eq!(scene.plan("s"), settled());
}

#[test]
fn snapshot_case_69_a_content_deleted_under_a_living_snapshot_waits_for_it() {
    let mut scene = ready("Delete");
    scene.delete("vsc", "snapcontent-u");
    // Told on both; what is there can still be restored from, so readiness stays.
    assert_eq!(
        scene.lines("s"),
        [
            "Warning SnapshotContentBeingDeleted: VolumeSnapshotContent snapcontent-u was deleted before its VolumeSnapshot: \
          the snapshot in the storage system is kept until this VolumeSnapshot is deleted, and goes with it"
        ]
    );
    let plan = scene.plan_content("snapcontent-u", false);
    assert_eq!(
        plan.actions.iter().map(show).collect::<Vec<_>>(),
        ["Warning SnapshotContentBeingDeleted: VolumeSnapshot ns/s uses it; it goes once that is deleted"]
    );
    assert_eq!(plan.next, Next::Await);
    scene.delete("vs", "s");
    assert_eq!(scene.plan_content("snapcontent-u", false), settled());
    let lines = scene.lines("s");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains(BEING_DELETED));
}

#[test]
fn snapshot_case_70_71_a_content_without_its_snapshot_goes_only_when_it_is_deleted() {
    let mut scene = ready("Delete").without("vs", "s");
    assert_eq!(scene.plan_content("snapcontent-u", false), settled());
    scene.delete("vsc", "snapcontent-u");
    let plan = scene.plan_content("snapcontent-u", false);
    assert_eq!(plan.actions.iter().map(show).collect::<Vec<_>>(), ["GET vs ns/s"]);
    assert_eq!(plan.next, Next::Again);
    let plan = scene.plan_content("snapcontent-u", true);
    assert_eq!(plan.steps().count(), 1);
    assert!(show(&plan.actions[0]).contains(BEING_DELETED));
    scene.apply("s", &plan.actions[0]).unwrap();
    assert_eq!(scene.plan_content("snapcontent-u", true), settled());
}

#[test]
fn snapshot_case_105_106_a_content_without_uid_whose_snapshot_is_gone_goes() {
    let lost = json!({"spec": {"volumeSnapshotRef": {"uid": null}}});
    let mut scene = ready("Delete")
        .without("vs", "s")
        .with("vsc", "snapcontent-u", lost.clone());
    assert_eq!(
        scene.plan_content("snapcontent-u", false),
        settled(),
        "until somebody deletes it"
    );
    scene.delete("vsc", "snapcontent-u");
    let plan = scene.plan_content("snapcontent-u", false);
    assert_eq!(plan.actions.iter().map(show).collect::<Vec<_>>(), ["GET vs ns/s"]);
    let plan = scene.plan_content("snapcontent-u", true);
    assert!(
        show(&plan.actions[0]).contains("/metadata/finalizers/0"),
        "{plan:?}"
    );
    scene.apply("s", &plan.actions[0]).unwrap();
    assert!(
        scene.get("vsc", "snapcontent-u").is_none(),
        "without the mark that would delete the snapshot"
    );

    // A pre-provisioned one follows its policy, as backup tools expect; also under a snapshot that never was bound to it.
    for living in [false, true] {
        let mut scene = ready("Delete").with("vsc", "snapcontent-u", lost.clone());
        let source = json!({"spec": {"source": {"volumeHandle": null, "snapshotHandle": "snap"}}});
        scene.set("vsc", "snapcontent-u", source);
        scene.remove("vs", "s");
        if living {
            let mut wish = snapshot("s", "u", "p", None);
            wish["spec"]["source"] = json!({"volumeSnapshotContentName": "snapcontent-u"});
            scene.put("vs", wish);
        }
        scene.delete("vsc", "snapcontent-u");
        assert_eq!(scene.plan_content("snapcontent-u", false).next, Next::Again);
        let plan = scene.plan_content("snapcontent-u", true);
        assert!(show(&plan.actions[0]).contains(BEING_DELETED), "{plan:?}");
    }
}

#[test]
fn what_can_be_no_name_is_not_asked_for() {
    for (namespace, name) in [
        ("ns", "../../../api/v1/secrets"),
        ("ns", "a?b"),
        ("n/s", "s"),
        ("ns", ""),
        ("", "s"),
    ] {
        let mut scene = ready("Delete").without("vs", "s");
        let reference = json!({"spec": {"volumeSnapshotRef": {"namespace": namespace, "name": name}}});
        scene.set("vsc", "snapcontent-u", reference);
        scene.delete("vsc", "snapcontent-u");
        let plan = scene.plan_content("snapcontent-u", false);
        assert!(show(&plan.actions[0]).contains(BEING_DELETED), "{plan:?}");
    }
}

#[test]
fn snapshot_case_113_a_claim_of_another_namespace_holds_the_deletion_only_while_a_provisioner_works_on_it() {
    let mut scene = deleted("Delete");
    scene.restores = vec![ObjectKey::new("other", "restored")];
    assert_eq!(
        scene.plan("s").steps().count(),
        2,
        "anybody can make such a claim"
    );
    let theirs = "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection";
    let held = json!({"metadata": {"finalizers": [AS_SOURCE, BOUND, theirs]}});
    let plan = scene.with("vs", "s", held).plan("s");
    assert_eq!(
        plan.actions.iter().map(show).collect::<Vec<_>>(),
        ["Warning SnapshotDeletePending: Snapshot is being used to restore a PVC: other/restored"]
    );
}

#[test]
fn snapshot_case_72_a_new_snapshot_of_the_same_name_does_not_hold_the_old_content() {
    let mut scene = ready("Delete").without("vs", "s");
    scene.put("vs", snapshot("s", "new", "p", Some("k")));
    scene.delete("vsc", "snapcontent-u");
    assert_eq!(scene.plan_content("snapcontent-u", false).next, Next::Again);
    assert_eq!(scene.plan_content("snapcontent-u", true).steps().count(), 1);
    scene.settle("s", 2);
    assert_eq!(scene.names("vsc"), ["snapcontent-new", "snapcontent-u"]);
}

#[test]
fn snapshot_case_82_a_pair_deleted_right_after_binding_follows_its_policy() {
    let mut scene = Scene::empty();
    scene.put(
        "vs",
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": "s", "namespace": "ns", "uid": "u", "resourceVersion": "10",
                "finalizers": [AS_SOURCE, BOUND], "deletionTimestamp": NOW},
            "spec": {"source": {"volumeSnapshotContentName": "snapcontent-u"}},
        }),
    );
    let mut content = content_of_s("Delete");
    content["spec"]["source"] = json!({"snapshotHandle": "snap"});
    scene.put("vsc", content.clone());
    let lines = scene.lines("s");
    assert!(lines[0].contains(BEING_DELETED), "{lines:#?}");
    assert_eq!(lines[1], "DELETE vsc snapcontent-u cu");
    content["spec"]["volumeSnapshotRef"]["uid"] = Value::Null;
    scene.put("vsc", content);
    let lines = scene.lines("s");
    assert_eq!(
        lines.len(),
        1,
        "a content that was never bound is left alone: {lines:#?}"
    );
    assert!(lines[0].starts_with("PATCH vs ["));
}

#[test]
fn snapshot_case_89_no_deletion_takes_more_than_three_writes_of_ours() {
    for policy in ["Delete", "Retain"] {
        let mut scene = deleted(policy);
        scene.settle("s", 3);
        scene.remove("vsc", "snapcontent-u");
        scene.settle("s", 3);
        assert!(scene.requests.len() <= 3, "{policy}: {:#?}", scene.requests);
        assert!(scene.get("vs", "s").is_none());
    }
}

#[test]
fn snapshot_case_102_members_are_released_while_groups_are_off() {
    let mut scene = ready("Delete").with(
        "vs",
        "s",
        json!({
            "metadata": {
                "finalizers": [IN_GROUP],
                "ownerReferences": [{"apiVersion": "groupsnapshot.storage.k8s.io/v1beta1",
                    "kind": "VolumeGroupSnapshot", "name": "g", "uid": "gu"}]},
            "status": {"volumeGroupSnapshotName": "g"}}),
    );
    scene.remove("vsc", "snapcontent-u");
    scene.delete("vs", "s");
    assert!(scene.settle("s", 2));
    assert!(scene.get("vs", "s").is_none());
}

#[test]
fn an_unknown_outcome_of_the_post_is_cleared_up_before_a_finalizer_goes() {
    let mut scene = Scene::new().with("vs", "s", json!({"metadata": {"finalizers": [AS_SOURCE, BOUND]}}));
    scene.delete("vs", "s");
    scene.content_unknown = true;
    assert_eq!(scene.lines("s"), ["GET vsc snapcontent-u"]);
    scene.content_unknown = false;
    assert!(scene.settle("s", 2));
    assert!(scene.get("vs", "s").is_none());
}

#[test]
fn a_snapshot_without_our_finalizers_is_left_alone() {
    let mut scene = ready("Delete").with("vs", "s", json!({"metadata": {"finalizers": ["theirs"]}}));
    scene.delete("vs", "s");
    assert_eq!(scene.plan("s"), settled());
}

#[test]
fn a_content_with_both_sources_or_none_is_reported() {
    for source in [json!({"snapshotHandle": "snap"}), json!({"volumeHandle": null})] {
        let scene = ready("Delete").with("vsc", "snapcontent-u", json!({"spec": {"source": source}}));
        let plan = scene.plan_content("snapcontent-u", false);
        assert!(show(&plan.actions[0]).starts_with("Warning ContentValidationError"));
    }
}

#[test]
fn a_bound_content_without_finalizer_gets_it_and_an_unbound_one_does_not() {
    let scene = ready("Delete").with("vsc", "snapcontent-u", json!({"metadata": {"finalizers": null}}));
    assert_eq!(scene.plan_content("snapcontent-u", false).steps().count(), 1);
    let unbound = scene.with(
        "vsc",
        "snapcontent-u",
        json!({"spec": {"volumeSnapshotRef": {"uid": null}}}),
    );
    assert_eq!(unbound.plan_content("snapcontent-u", false), settled());
}

#[test]
fn snapshot_case_175_nothing_goes_while_its_users_may_only_not_be_known_yet() {
    let mut unbound = crate::plan_import::import();
    unbound.set("vs", "s", json!({"metadata": {"finalizers": [BOUND]}}));
    unbound.delete("vs", "s");
    for mut scene in [deleted("Delete"), deleted("Retain"), unbound] {
        scene.is_lost = true;
        let plan = scene.plan("s");
        assert!(plan.actions.is_empty(), "{plan:?}");
        assert_eq!(plan.next, Next::After(std::time::Duration::from_secs(1)));
        scene.is_lost = false;
        assert!(!scene.lines("s").is_empty());
    }
}
