//! The finalizer on source claims.

use serde_json::json;

use crate::scene::{CLAIM_SOURCE, NOW, Scene, ready, settled, show, snapshot};

fn held(scene: Scene) -> Scene {
    scene.with(
        "pvc",
        "p",
        json!({"metadata": {"finalizers": ["kubernetes.io/pvc-protection", CLAIM_SOURCE]}}),
    )
}

#[test]
fn the_finalizer_is_removed_by_position() {
    let scene = held(ready("Delete"));
    let steps = scene.plan_claim("p").actions;
    assert_eq!(
        steps.iter().map(show).collect::<Vec<_>>(),
        [format!(
            "Release pvc p [{{\"op\":\"test\",\"path\":\"/metadata/uid\",\"value\":\"pu\"}},\
             {{\"op\":\"test\",\"path\":\"/metadata/finalizers/1\",\"value\":\"{CLAIM_SOURCE}\"}},\
             {{\"op\":\"remove\",\"path\":\"/metadata/finalizers/1\"}}]"
        )]
    );
}

#[test]
fn snapshot_case_47_the_claim_is_held_until_the_last_snapshot_is_ready() {
    let mut scene = held(ready("Delete"));
    scene.put("vs", snapshot("t", "v", "p", Some("k")));
    assert_eq!(scene.plan_claim("p"), settled(), "about to be created");
    scene.settle("t", 2);
    assert_eq!(scene.plan_claim("p"), settled(), "not ready");
    scene.sidecar_cuts("snapcontent-v", false);
    scene.settle("t", 2);
    assert_eq!(scene.plan_claim("p"), settled(), "cut is not ready");
    scene.sidecar_cuts("snapcontent-v", true);
    scene.settle("t", 2);
    assert_eq!(scene.plan_claim("p").steps().count(), 1);
}

#[test]
fn snapshot_case_48_a_snapshot_that_cannot_be_taken_holds_nothing() {
    let mut scene = held(ready("Delete"));
    scene.put("vs", snapshot("a", "v", "p", Some("missing")));
    scene.set("pvc", "p", json!({"metadata": {"deletionTimestamp": NOW}}));
    assert_eq!(scene.plan_claim("p").steps().count(), 1);
}

#[test]
fn snapshot_case_165_a_snapshot_that_the_driver_has_refused_holds_no_claim_that_is_to_go() {
    let mark = "snapshot.storage.kubernetes.io/volumesnapshot-being-created";
    let refused = json!({"status": {"error": {"message": "no", "time": NOW}}});
    let rows = [
        (refused.clone(), true, 1, "refused"),
        (refused.clone(), false, 0, "the claim stays"),
        (
            json!({"metadata": {"annotations": {mark: "yes"}}, "status": refused["status"]}),
            true,
            0,
            "a call runs",
        ),
        (
            json!({"status": {"error": refused["status"]["error"], "snapshotHandle": "snap-1"}}),
            true,
            0,
            "it is cut",
        ),
        (json!({}), true, 0, "no call has ended"),
    ];
    for (content, is_going, steps, what) in rows {
        let mut scene = held(Scene::new());
        scene.settle("s", 2);
        scene.set("vsc", "snapcontent-u", content);
        if is_going {
            scene.set("pvc", "p", json!({"metadata": {"deletionTimestamp": NOW}}));
        }
        assert_eq!(scene.plan_claim("p").steps().count(), steps, "{what}");
    }
}

#[test]
fn snapshot_case_173_a_snapshot_whose_content_is_refused_holds_no_claim_that_is_to_go() {
    for (is_refused, is_going, steps) in [(true, true, 1), (true, false, 0), (false, true, 0)] {
        let mut scene = held(Scene::new());
        scene.content_refused = is_refused;
        if is_going {
            scene.set("pvc", "p", json!({"metadata": {"deletionTimestamp": NOW}}));
        }
        assert_eq!(
            scene.plan_claim("p").steps().count(),
            steps,
            "{is_refused} {is_going}"
        );
    }
}

#[test]
fn snapshot_case_49_snapshots_that_are_being_deleted_hold_nothing() {
    let mut scene = held(Scene::new().without("vs", "s"));
    for number in 0..8 {
        let name = format!("s{number}");
        scene.put("vs", snapshot(&name, &name, "p", Some("k")));
        scene.settle(&name, 2);
    }
    assert_eq!(scene.plan_claim("p"), settled());
    for number in 0..8 {
        scene.delete("vs", &format!("s{number}"));
    }
    assert_eq!(scene.plan_claim("p").steps().count(), 1);
}

#[test]
fn a_snapshot_whose_content_was_lost_after_the_cut_holds_nothing() {
    let scene = held(ready("Delete"))
        .with("vs", "s", json!({"status": {"readyToUse": false}}))
        .without("vsc", "snapcontent-u");
    assert_eq!(scene.plan_claim("p").steps().count(), 1);
}

#[test]
fn a_claim_of_no_snapshot_is_released() {
    let scene = held(Scene::new().without("vs", "s"));
    assert_eq!(scene.plan_claim("p").steps().count(), 1);
    assert_eq!(Scene::new().without("vs", "s").plan_claim("p"), settled());
}
