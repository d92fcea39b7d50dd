//! Drivers that make less than they are asked for.

use std::time::Duration;

use controller::{Action, Next};
use resizer::plan::Step;
use runtime::EventType;
use serde_json::{Value, json};

use super::scene::{Scene, scene};

/// A driver that makes a GiB less.
const LESS: i64 = -(1 << 30);
const NOT_REQUIRED: &str = "/metadata/annotations/volume.kubernetes.io~1node-expansion-not-required";

/// Runs until the plan rests: how often the driver was asked, and the warnings.
fn run(scene: &mut Scene, more: i64, node_stage: bool) -> (usize, Vec<&'static str>) {
    let (mut asked, mut told) = (0, Vec::new());
    for _ in 0..12 {
        let plan = scene.plan();
        told.extend(plan.actions.iter().filter_map(warning));
        let (size, next) = scene.take(plan, more, node_stage);
        asked += usize::from(size.is_some());
        if next != Next::Again {
            return (asked, told);
        }
    }
    panic!("does not settle: {scene:?}");
}

fn warning(action: &Action<Step>) -> Option<&'static str> {
    match action {
        Action::Event(event) if event.kind == EventType::Warning => Some(event.reason),
        _ => None,
    }
}

/// C, A, R, P and the conditions.
fn shown(scene: &Scene) -> String {
    let status = &scene.claim["status"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let conditions: Vec<String> = conditions.map(|condition| text(&condition["type"])).collect();
    format!(
        "{} {} {} {} [{}]",
        text(&status["capacity"]["storage"]),
        text(&status["allocatedResources"]["storage"]),
        text(&status["allocatedResourceStatuses"]["storage"]),
        text(&scene.volume["spec"]["capacity"]["storage"]),
        conditions.join(" ")
    )
}

#[test]
fn resize_case_18_the_node_grows_to_what_the_driver_made() {
    // A driver of whole GiB is asked for 10G and makes 9Gi of it.
    let rounded = (9 << 30) - 10_000_000_000;
    for (wanted, more, made) in [("20Gi", LESS, "19Gi"), ("10G", rounded, "9Gi")] {
        let mut scene = scene().proven("5Gi").grown("5Gi").wanted(wanted);
        assert_eq!(run(&mut scene, more, true), (1, vec!["VolumeResizeShort"]));
        let pending = format!("5Gi {wanted} NodeResizePending {made} [Resizing FileSystemResizePending]");
        assert_eq!(shown(&scene), pending);
        assert_eq!(run(&mut scene, more, true), (0, vec![]), "the node is to come");
        let mut larger = scene.clone().wanted("30Gi");
        assert_eq!(
            run(&mut larger, more, true),
            (0, vec![]),
            "also for a larger wish"
        );

        scene = scene.stage("NodeResizeInfeasible");
        assert_eq!(run(&mut scene, more, true), (1, vec![]), "it is told once");
        assert_eq!(shown(&scene), pending);
        scene.node_finishes();
        assert_eq!(run(&mut scene, more, true), (0, vec![]));
        assert_eq!(shown(&scene), format!("{wanted} {wanted} - {made} []"));
        assert_eq!(scene.volume["metadata"]["annotations"], json!({}));
    }
}

#[test]
fn resize_case_132_without_a_stage_on_the_node_the_claim_has_what_was_made_and_the_size_waits() {
    let mut scene = scene().wanted("20Gi");
    let ended = "19Gi 19Gi - 19Gi [ControllerResizeError]";
    assert_eq!(run(&mut scene, LESS, false), (1, vec!["VolumeResizeFailed"]));
    assert_eq!(shown(&scene), ended);
    let said = &scene.claim["status"]["conditions"][0]["message"];
    let made = "a capacity of 20401094656 bytes where 21474836480 were asked for";
    assert!(said.as_str().unwrap().contains(made), "{said}");
    assert_eq!(scene.claim.pointer(NOT_REQUIRED), Some(&json!("true")));
    assert_eq!(scene.plan().next, Next::After(Duration::from_secs(300)));

    let mut other = scene.clone().wanted("30Gi");
    assert_eq!(
        run(&mut other, 0, false),
        (1, vec![]),
        "another size does not wait"
    );
    assert_eq!(shown(&other), "30Gi 30Gi - 30Gi []");

    scene.memory.hold = None;
    assert_eq!(run(&mut scene, LESS, false), (1, vec!["VolumeResizeFailed"]));
    assert_eq!(shown(&scene), ended, "the same at each try");
}

#[test]
fn resize_case_133_nothing_waits_for_a_node_that_has_nothing_to_grow_to() {
    let mut scene = scene().wanted("11Gi");
    assert_eq!(run(&mut scene, LESS, true), (1, vec!["VolumeResizeFailed"]));
    assert_eq!(shown(&scene), "10Gi 10Gi - 10Gi [ControllerResizeError]");
    assert_eq!(scene.claim.pointer(NOT_REQUIRED), None);
    assert_eq!(scene.plan().next, Next::After(Duration::from_secs(300)));

    let mut larger = scene.wanted("30Gi");
    assert_eq!(run(&mut larger, 0, true), (1, vec![]));
    assert_eq!(
        shown(&larger),
        "10Gi 30Gi NodeResizePending 30Gi [Resizing FileSystemResizePending]"
    );
}

#[test]
fn resize_case_134_without_recovery_less_than_was_asked_for_is_no_loop() {
    let legacy = || {
        let mut scene = scene().wanted("20Gi");
        scene.settings.recover = false;
        scene
    };
    let mut scene = legacy();
    assert_eq!(run(&mut scene, LESS, true), (1, vec!["VolumeResizeShort"]));
    assert_eq!(shown(&scene), "10Gi - - 19Gi [FileSystemResizePending]");
    assert_eq!(scene.plan().next, Next::After(Duration::from_secs(300)));
    // Kubelet takes the size of the volume.
    scene.claim["status"]["conditions"] = json!([]);
    scene = scene.proven("19Gi");
    assert_eq!(run(&mut scene, LESS, true), (0, vec![]));
    scene.memory.hold = None;
    assert_eq!(run(&mut scene, LESS, true), (1, vec!["VolumeResizeFailed"]));
    assert_eq!(shown(&scene), "19Gi - - 19Gi []");

    let mut scene = legacy();
    assert_eq!(run(&mut scene, LESS, false), (1, vec!["VolumeResizeFailed"]));
    assert_eq!(shown(&scene), "19Gi - - 19Gi []");
}
