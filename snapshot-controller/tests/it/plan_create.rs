//! Dynamic snapshots: from the claim to ready.

use std::sync::Arc;

use serde_json::{Value, json};
use snapshot_controller::plan::facts::NodeFacts;
use snapshot_controller::plan::{Next, Plan, Step};

use crate::scene::{
    AS_SOURCE, BOUND, CLAIM_SOURCE, NOW, Scene, class_of, content_of_s, ready, show, snapshot,
};

fn body(line: &str) -> Value {
    serde_json::from_str(&line[line.find(['{', '[']).unwrap()..]).unwrap()
}

#[test]
fn snapshot_case_19_a_dynamic_snapshot_is_planned_in_crash_safe_order() {
    let scene = Scene::new();
    let lines = scene.lines("s");
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert_eq!(
        body(&lines[0]),
        json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "10"},
            {"op": "add", "path": "/metadata/finalizers", "value": [AS_SOURCE, BOUND]},
        ])
    );
    assert!(lines[0].starts_with("PATCH vs ["));
    assert!(lines[1].starts_with("Protect pvc p "));
    assert_eq!(
        body(&lines[1]),
        json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "20"},
            {"op": "add", "path": "/metadata/finalizers/-", "value": CLAIM_SOURCE},
        ])
    );
    assert!(lines[2].starts_with("POST vsc "));
    let mut expected = content_of_s("Delete");
    expected["metadata"].as_object_mut().unwrap().remove("uid");
    expected["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("resourceVersion");
    assert_eq!(body(&lines[2]), expected);
    assert!(lines[3].starts_with("PATCH vs/status "));
    assert_eq!(
        body(&lines[3]),
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "add", "path": "/status", "value":
                {"boundVolumeSnapshotContentName": "snapcontent-u", "readyToUse": false}},
        ])
    );
    assert_eq!(
        lines[4],
        "Normal CreatingSnapshot: Waiting for a snapshot ns/s to be created by the CSI driver."
    );
}

#[test]
fn snapshot_case_19_20_controller_share_is_six_requests_and_three_events() {
    let mut scene = Scene::new();
    assert!(scene.settle("s", 2));
    scene.sidecar_cuts("snapcontent-u", true);
    assert!(scene.settle("s", 2));
    for step in scene.plan_claim("p").steps {
        scene.apply("s", &step).unwrap();
    }
    let requests: Vec<_> = scene
        .requests
        .iter()
        .map(|line| line.split(['[', '{']).next().unwrap().trim())
        .collect();
    assert_eq!(
        requests,
        [
            "PATCH vs",
            "Protect pvc p",
            "POST vsc",
            "PATCH vs/status",
            "PATCH vs/status",
            "Release pvc p"
        ]
    );
    assert_eq!(
        scene.events,
        [
            "Normal CreatingSnapshot",
            "Normal SnapshotCreated",
            "Normal SnapshotReady"
        ]
    );
    let status = &scene.get("vs", "s").unwrap()["status"];
    assert_eq!(
        *status,
        json!({"boundVolumeSnapshotContentName": "snapcontent-u", "readyToUse": true,
            "creationTime": "2026-01-02T03:04:05Z", "restoreSize": "5Gi"})
    );
    assert_eq!(scene.plan("s"), Plan::settled());
    assert_eq!(scene.plan_claim("p"), Plan::settled());
    assert_eq!(scene.plan_content("snapcontent-u", false), Plan::settled());
}

#[test]
fn snapshot_case_26_ready_later_costs_one_more_status_write_of_the_controller() {
    let mut scene = Scene::new();
    scene.settle("s", 2);
    scene.sidecar_cuts("snapcontent-u", false);
    scene.requests.clear();
    scene.settle("s", 2);
    assert_eq!(scene.requests.len(), 1, "{:#?}", scene.requests);
    let status = &scene.get("vs", "s").unwrap()["status"];
    assert_eq!(status["readyToUse"], false);
    assert_eq!(status["creationTime"], "2026-01-02T03:04:05Z");
    assert_eq!(
        scene.plan("s"),
        Plan::settled(),
        "a poll that changes nothing costs nothing"
    );
    scene.sidecar_cuts("snapcontent-u", true);
    scene.settle("s", 2);
    assert_eq!(
        body(&scene.requests[1]),
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "add", "path": "/status/readyToUse", "value": true},
        ])
    );
    assert_eq!(scene.requests.len(), 2);
}

#[test]
fn snapshot_case_30_31_the_driver_error_is_copied_and_cleared_by_the_first_good_answer() {
    let mut scene = Scene::new();
    scene.settle("s", 2);
    scene.set(
        "vsc",
        "snapcontent-u",
        json!({"status": {"readyToUse": false, "error": {"message": "no", "time": NOW}}}),
    );
    scene.settle("s", 2);
    assert_eq!(
        scene.get("vs", "s").unwrap()["status"]["error"],
        json!({"message": "no", "time": NOW})
    );
    assert_eq!(scene.plan("s"), Plan::settled());
    scene.set("vsc", "snapcontent-u", json!({"status": {"error": null}}));
    scene.settle("s", 2);
    assert!(scene.get("vs", "s").unwrap()["status"]["error"].is_null());
}

#[test]
fn snapshot_case_34_a_missing_class_is_named_and_its_coming_ends_the_error() {
    let mut scene = Scene::new().without("class", "k");
    assert_eq!(
        scene.refusal("s"),
        (
            "GetSnapshotClassFailed",
            "Failed to get snapshot class with error volumesnapshotclass.snapshot.storage.k8s.io \"k\" not found"
                .to_owned()
        )
    );
    assert_eq!(
        body(&scene.lines("s")[0]),
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "add", "path": "/status", "value": {"error": {
                "message": "Failed to get snapshot class with error volumesnapshotclass.snapshot.storage.k8s.io \"k\" not found",
                "time": NOW}}},
        ])
    );
    assert!(scene.settle("s", 2));
    let repeated = scene.plan("s");
    assert_eq!(repeated.steps, [], "neither status nor event repeat");
    assert!(matches!(repeated.next, Next::Retry(_)));
    scene.put("class", class_of("k", "d", "Delete"));
    assert!(scene.settle("s", 3));
    let status = &scene.get("vs", "s").unwrap()["status"];
    assert_eq!(status["boundVolumeSnapshotContentName"], "snapcontent-u");
    assert!(status["error"].is_null());
}

#[test]
fn snapshot_case_35_a_bound_snapshot_needs_no_class_and_loses_class_errors() {
    let scene = ready("Delete").without("class", "k");
    assert_eq!(scene.plan("s"), Plan::settled());
    let scene = scene.with(
        "vs",
        "s",
        json!({"status": {"error": {"message": "class gone", "time": NOW}}}),
    );
    assert_eq!(
        body(&scene.lines("s")[0]),
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "remove", "path": "/status/error"},
        ])
    );
}

fn default_class(name: &str, driver: &str, value: &str) -> Value {
    let mut class = class_of(name, driver, "Delete");
    class["metadata"]["annotations"] = json!({"snapshot.storage.kubernetes.io/is-default-class": value});
    class
}

fn without_class() -> Scene {
    Scene::new().with("vs", "s", json!({"spec": {"volumeSnapshotClassName": null}}))
}

#[test]
fn snapshot_case_36_the_default_class_of_the_driver_is_stored_with_the_finalizers() {
    let mut scene = without_class();
    scene.put("class", default_class("mine", "d", "true"));
    scene.put("class", default_class("other", "e", "true"));
    let lines = scene.lines("s");
    assert_eq!(
        body(&lines[0])[2],
        json!({"op": "add", "path": "/spec/volumeSnapshotClassName", "value": "mine"})
    );
    assert!(lines[0].contains(AS_SOURCE));
    assert_eq!(body(&lines[2])["spec"]["volumeSnapshotClassName"], "mine");
    assert!(scene.settle("s", 2));
    assert_eq!(scene.requests.len(), 4, "the class costs no request of its own");
}

#[test]
fn snapshot_case_37_38_no_or_several_default_classes_are_refused_until_there_is_one() {
    let mut scene = without_class();
    scene.put("class", default_class("true", "d", "True"));
    let none = "Failed to set default snapshot class with error cannot find default snapshot class";
    assert_eq!(
        scene.refusal("s"),
        ("SetDefaultSnapshotClassFailed", none.to_owned())
    );
    scene.put("class", default_class("a", "d", "true"));
    scene.put("class", default_class("b", "d", "true"));
    let two = "Failed to set default snapshot class with error 2 default snapshot classes were found";
    assert_eq!(
        scene.refusal("s"),
        ("SetDefaultSnapshotClassFailed", two.to_owned())
    );
    assert!(scene.lines("s")[0].contains(two));
    scene.remove("class", "b");
    assert!(scene.settle("s", 2));
    assert_eq!(
        scene.get("vs", "s").unwrap()["spec"]["volumeSnapshotClassName"],
        "a"
    );
}

type RefusedInput = (&'static str, Scene, &'static str);

/// Scenes in which nothing may be created, and a part of the text that says why: claim and volume.
fn refused_sources() -> Vec<RefusedInput> {
    let claim = |change| Scene::new().with("pvc", "p", change);
    let volume = |change| Scene::new().with("pv", "pv", change);
    let unbound = "the PVC p is not yet bound to a PV, will not attempt to take a snapshot";
    let invalid = "claim in dataSource not bound or invalid";
    vec![
        (
            "39 claim missing",
            Scene::new().without("pvc", "p"),
            "\"p\" does not exist in namespace \"ns\"",
        ),
        (
            "39 volume missing",
            Scene::new().without("pv", "pv"),
            "the PersistentVolume \"pv\" of claim \"p\" does not exist",
        ),
        (
            "40 claim pending",
            claim(json!({"status": {"phase": "Pending"}})),
            unbound,
        ),
        (
            "40 claim without volume",
            claim(json!({"spec": {"volumeName": null}})),
            unbound,
        ),
        (
            "41 in-tree volume",
            volume(json!({"spec": {"csi": null}})),
            "cannot find CSI PersistentVolumeSource for volume pv",
        ),
        (
            "41 volume of another claim",
            volume(json!({"spec": {"claimRef": {"uid": "other"}}})),
            invalid,
        ),
        (
            "41 volume of no claim",
            volume(json!({"spec": {"claimRef": null}})),
            invalid,
        ),
        (
            "46 claim terminating",
            claim(json!({"metadata": {"deletionTimestamp": NOW}})),
            "cannot add finalizer on claim p because it is being deleted",
        ),
    ]
}

/// The same for the class.
fn refused_classes() -> Vec<RefusedInput> {
    let class = |change| Scene::new().with("class", "k", change);
    vec![
        (
            "42 class of another driver",
            class(json!({"driver": "e"})),
            "VolumeSnapshotClass k is of driver e, but the volume of claim p is of driver d",
        ),
        (
            "43 half a secret",
            class(json!({"parameters": {"csi.storage.k8s.io/snapshotter-secret-name": "x"}})),
            "either name and namespace for Snapshotter secrets specified, Both must be specified",
        ),
        (
            "43 snapshot name in the namespace",
            class(json!({"parameters": {
                "csi.storage.k8s.io/snapshotter-secret-name": "x",
                "csi.storage.k8s.io/snapshotter-secret-namespace": "${volumesnapshot.name}"}})),
            "invalid tokens: [\"volumesnapshot.name\"]",
        ),
    ]
}

#[test]
fn snapshot_cases_39_to_43_and_46_wrong_inputs_are_refused_before_anything_is_written() {
    for (case, scene, text) in refused_sources().into_iter().chain(refused_classes()) {
        let (reason, message) = scene.refusal("s");
        assert_eq!(reason, "SnapshotContentCreationFailed", "{case}");
        assert!(
            message.starts_with("Failed to create snapshot content with error ") && message.contains(text),
            "{case}: {message}"
        );
        let lines = scene.lines("s");
        assert!(lines[0].starts_with("PATCH vs/status"), "{case}: {lines:?}");
        assert!(lines[0].contains("\"readyToUse\":false"), "{case}: {lines:?}");
        assert!(
            lines[1].starts_with("Warning SnapshotContentCreationFailed"),
            "{case}: {lines:?}"
        );
        assert_eq!(lines.len(), 2, "{case}: {lines:?}");
    }
}

#[test]
fn snapshot_case_39_the_snapshot_proceeds_when_the_claim_appears() {
    let mut scene = Scene::new();
    let claim = scene.remove("pvc", "p").unwrap();
    assert!(scene.settle("s", 2));
    scene.put("pvc", claim);
    assert!(scene.settle("s", 2));
    assert!(scene.get("vsc", "snapcontent-u").is_some());
    assert!(scene.get("vs", "s").unwrap()["status"]["error"].is_null());
}

#[test]
fn snapshot_case_44_secret_templates_become_annotations() {
    let scene = Scene::new().with(
        "class",
        "k",
        json!({"parameters": {
            "csi.storage.k8s.io/snapshotter-secret-name": "key-${volumesnapshot.name}",
            "csi.storage.k8s.io/snapshotter-secret-namespace": "${volumesnapshot.namespace}"}}),
    );
    assert_eq!(
        body(&scene.lines("s")[2])["metadata"]["annotations"],
        json!({
            "snapshot.storage.kubernetes.io/deletion-secret-name": "key-s",
            "snapshot.storage.kubernetes.io/deletion-secret-namespace": "ns"})
    );
}

#[test]
fn snapshot_case_46_a_terminating_claim_that_we_hold_is_cut() {
    let scene = Scene::new().with(
        "pvc",
        "p",
        json!({"metadata": {"deletionTimestamp": NOW, "finalizers": [CLAIM_SOURCE]}}),
    );
    let lines = scene.lines("s");
    assert!(lines[1].starts_with("POST vsc"), "{lines:#?}");
}

#[test]
fn snapshot_case_51_a_crash_after_any_write_is_gone_on_from() {
    let whole = {
        let mut scene = Scene::new();
        scene.settle("s", 2);
        scene
    };
    for cut in 0..=4 {
        let mut scene = Scene::new();
        for step in scene.plan("s").steps.iter().take(cut) {
            scene.apply("s", step).unwrap();
        }
        assert!(scene.settle("s", 2), "cut after {cut}");
        assert_eq!(scene.requests.len(), 4, "cut after {cut}: {:#?}", scene.requests);
        assert_eq!(
            scene.get("vs", "s").unwrap()["status"],
            whole.get("vs", "s").unwrap()["status"],
            "cut after {cut}"
        );
        assert_eq!(scene.names("vsc"), ["snapcontent-u"]);
    }
}

#[test]
fn snapshot_case_52_a_content_that_exists_is_read_and_checked() {
    let mut scene = Scene::new();
    scene.content_unknown = true;
    let plan = scene.plan("s");
    assert_eq!(
        plan.steps,
        [Step::ReadContent {
            name: "snapcontent-u".to_owned()
        }]
    );
    assert_eq!(plan.next, Next::Again);
    scene.put("vsc", content_of_s("Delete"));
    let lines = scene.lines("s");
    assert!(lines[0].starts_with("PATCH vs ["), "{lines:#?}");
    assert!(lines[1].starts_with("Protect pvc"), "{lines:#?}");
    assert!(lines[2].starts_with("PATCH vs/status"), "{lines:#?}");
}

#[test]
fn snapshot_case_73_a_cut_snapshot_without_content_is_never_cut_again() {
    for status in [
        json!({"creationTime": "2026-01-02T03:04:05Z", "readyToUse": false, "restoreSize": null}),
        json!({"creationTime": null, "readyToUse": true}),
        json!({"creationTime": null, "readyToUse": false, "restoreSize": "5Gi"}),
    ] {
        let mut scene =
            ready("Delete")
                .without("vsc", "snapcontent-u")
                .with("vs", "s", json!({ "status": status }));
        assert_eq!(
            scene.refusal("s"),
            (
                "SnapshotContentMissing",
                "VolumeSnapshotContent is missing".to_owned()
            )
        );
        assert!(scene.settle("s", 2));
        assert_eq!(scene.get("vs", "s").unwrap()["status"]["readyToUse"], false);
        assert!(scene.names("vsc").is_empty());
        assert_eq!(scene.plan("s").steps, []);
    }
}

#[test]
fn snapshot_case_74_a_content_that_went_before_any_cut_is_made_again() {
    let mut scene = Scene::new();
    scene.settle("s", 2);
    scene.remove("vsc", "snapcontent-u");
    scene.requests.clear();
    assert!(scene.settle("s", 2));
    assert_eq!(scene.requests.len(), 1, "{:#?}", scene.requests);
    assert!(scene.requests[0].starts_with("POST vsc"));
    assert_eq!(
        scene.events,
        ["Normal CreatingSnapshot", "Normal CreatingSnapshot"]
    );
}

#[test]
fn snapshot_case_75_a_content_that_was_given_away_makes_the_snapshot_unready() {
    let scene = ready("Delete").with(
        "vsc",
        "snapcontent-u",
        json!({"spec": {"volumeSnapshotRef": {"name": "other"}}}),
    );
    assert_eq!(scene.refusal("s").0, "SnapshotMisbound");
    assert!(scene.lines("s")[0].contains("{\"op\":\"add\",\"path\":\"/status/readyToUse\",\"value\":false}"));
}

#[test]
fn snapshot_case_87_distributed_contents_carry_the_node_of_the_volume() {
    let node = |name: &str| {
        Arc::new(NodeFacts {
            name: name.to_owned(),
            labels: [("zone".to_owned(), name.to_owned())].into(),
        })
    };
    let mut scene = Scene::new().with(
        "pv",
        "pv",
        json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["n1"]}]}]}}}}),
    );
    scene.distributed = true;
    scene.nodes = vec![node("n0"), node("n1")];
    assert_eq!(
        body(&scene.lines("s")[2])["metadata"]["labels"],
        json!({"snapshot.storage.kubernetes.io/managed-by": "n1"})
    );
    scene.nodes.pop();
    let (reason, message) = scene.refusal("s");
    assert_eq!(reason, "SnapshotContentCreationFailed");
    assert!(message.ends_with("no node matches the node affinity of PersistentVolume pv"));
    scene.distributed = false;
    assert!(body(&scene.lines("s")[2])["metadata"]["labels"].is_null());
}

#[test]
fn snapshot_case_88_the_volume_mode_is_recorded_unless_switched_off() {
    let mut scene = Scene::new().with("pv", "pv", json!({"spec": {"volumeMode": "Block"}}));
    assert_eq!(body(&scene.lines("s")[2])["spec"]["sourceVolumeMode"], "Block");
    scene.ignore_mode = true;
    assert!(body(&scene.lines("s")[2])["spec"]["sourceVolumeMode"].is_null());
}

#[test]
fn snapshot_case_90_a_ready_snapshot_costs_nothing() {
    for policy in ["Delete", "Retain"] {
        let scene = ready(policy);
        assert_eq!(scene.plan("s"), Plan::settled());
        assert_eq!(scene.plan_content("snapcontent-u", false), Plan::settled());
        assert_eq!(scene.plan_claim("p"), Plan::settled());
    }
}

#[test]
fn snapshot_case_2_both_sources_or_none_are_refused_where_the_schema_let_them_pass() {
    for source in [
        json!({"volumeSnapshotContentName": "c"}),
        json!({"persistentVolumeClaimName": null}),
    ] {
        let scene = Scene::new().with("vs", "s", json!({"spec": {"source": source}}));
        assert_eq!(scene.refusal("s").0, "SnapshotValidationError");
    }
}

#[test]
fn a_claim_held_by_another_snapshot_is_not_written_again() {
    let mut scene = Scene::new();
    scene.settle("s", 2);
    scene.put("vs", snapshot("t", "v", "p", Some("k")));
    scene.requests.clear();
    assert!(scene.settle("t", 2));
    assert_eq!(scene.requests.len(), 3, "{:#?}", scene.requests);
}

#[test]
fn the_policy_of_the_content_decides_on_the_bound_finalizer() {
    let scene = ready("Retain").with(
        "vsc",
        "snapcontent-u",
        json!({"spec": {"deletionPolicy": "Delete"}}),
    );
    let steps = scene.plan("s").steps;
    assert_eq!(
        body(&show(&steps[0]))[1],
        json!({"op": "add", "path": "/metadata/finalizers/-", "value": BOUND})
    );
    assert_eq!(steps.len(), 1);
}

#[test]
fn a_snapshot_bound_to_a_missing_content_of_another_name_gets_no_second_one() {
    let scene = Scene::new().with(
        "vs",
        "s",
        json!({"status": {"boundVolumeSnapshotContentName": "c"}}),
    );
    assert_eq!(scene.refusal("s").0, "SnapshotContentMissing");
    assert_eq!(scene.plan("s").requests(), 1);
}
