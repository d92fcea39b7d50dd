//! Dynamic snapshots: from the claim to ready.

use controller::{Action, Next};
use serde_json::{Value, json};
use snapshot_controller::plan::Step;

use crate::scene::{
    AS_SOURCE, BOUND, CLAIM_SOURCE, NOW, Scene, class_of, content_of_s, ready, settled, show, snapshot,
};

/// The JSON of a step's line.
pub fn body(line: &str) -> Value {
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
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": [AS_SOURCE, BOUND]},
        ])
    );
    assert!(lines[0].starts_with("PATCH vs ["));
    assert!(lines[1].starts_with("Protect pvc p "));
    assert_eq!(
        body(&lines[1]),
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "pu"},
            {"op": "test", "path": "/metadata/finalizers", "value": ["kubernetes.io/pvc-protection"]},
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
    expected["metadata"]["annotations"] = json!({"slackwater.io/fresh": "yes"});
    assert_eq!(body(&lines[2]), expected);
    assert!(lines[3].starts_with("PATCH vs/status "));
    assert_eq!(
        body(&lines[3]),
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "test", "path": "/status", "value": null},
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
    for step in scene.plan_claim("p").actions {
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
    assert_eq!(scene.plan("s"), settled());
    assert_eq!(scene.plan_claim("p"), settled());
    assert_eq!(scene.plan_content("snapcontent-u", false), settled());
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
        settled(),
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
    assert_eq!(scene.plan("s"), settled());
    scene.set("vsc", "snapcontent-u", json!({"status": {"error": null}}));
    scene.settle("s", 2);
    assert!(scene.get("vs", "s").unwrap()["status"]["error"].is_null());
}

#[test]
fn snapshot_case_34_a_missing_class_is_named_and_its_coming_ends_the_error() {
    let mut scene = Scene::new().without("class", "k");
    assert_eq!(
        scene.refusal("s"),
        ("GetSnapshotClassFailed".to_owned(),
            "Failed to get snapshot class with error volumesnapshotclass.snapshot.storage.k8s.io \"k\" not found"
                .to_owned()
        )
    );
    assert_eq!(
        body(&scene.lines("s")[0]),
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "test", "path": "/status", "value": null},
            {"op": "add", "path": "/status", "value": {"error": {
                "message": "Failed to get snapshot class with error volumesnapshotclass.snapshot.storage.k8s.io \"k\" not found",
                "time": NOW}}},
        ])
    );
    assert!(scene.settle("s", 2));
    let repeated = scene.plan("s");
    assert_eq!(repeated.actions, [], "neither status nor event repeat");
    assert!(matches!(repeated.next, Next::Backoff(_)));
    scene.put("class", class_of("k", "d", "Delete"));
    assert!(scene.settle("s", 3));
    let status = &scene.get("vs", "s").unwrap()["status"];
    assert_eq!(status["boundVolumeSnapshotContentName"], "snapcontent-u");
    assert!(status["error"].is_null());
}

#[test]
fn snapshot_case_35_a_bound_snapshot_needs_no_class_and_loses_class_errors() {
    let scene = ready("Delete").without("class", "k");
    assert_eq!(scene.plan("s"), settled());
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
#[test]
fn snapshot_case_51_a_crash_after_any_write_is_gone_on_from() {
    let whole = {
        let mut scene = Scene::new();
        scene.settle("s", 2);
        scene
    };
    for cut in 0..=4 {
        let mut scene = Scene::new();
        for step in scene.plan("s").actions.iter().take(cut) {
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
        plan.actions,
        [Action::Step(Step::ReadContent {
            name: "snapcontent-u".to_owned()
        })]
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
                "SnapshotContentMissing".to_owned(),
                "VolumeSnapshotContent is missing".to_owned()
            )
        );
        assert!(scene.settle("s", 2));
        assert_eq!(scene.get("vs", "s").unwrap()["status"]["readyToUse"], false);
        assert!(scene.names("vsc").is_empty());
        assert_eq!(scene.plan("s").actions, []);
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
fn snapshot_case_90_a_ready_snapshot_costs_nothing() {
    for policy in ["Delete", "Retain"] {
        let scene = ready(policy);
        assert_eq!(scene.plan("s"), settled());
        assert_eq!(scene.plan_content("snapcontent-u", false), settled());
        assert_eq!(scene.plan_claim("p"), settled());
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
    let steps = scene.plan("s").actions;
    assert_eq!(
        body(&show(&steps[0]))[2],
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
    assert_eq!(scene.plan("s").steps().count(), 1);
}
