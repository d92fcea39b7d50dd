//! Drivers that say when they may be asked again.

use std::time::Duration;

use controller::{CallFailure, Next};
use csi::Class;
use jiff::{SignedDuration, Timestamp};
use resizer::observe;
use resizer::plan::{Step, modify};
use serde_json::json;
use tonic::Code;

use super::modify::{Classes, classes};
use super::scene::{Scene, gib, now, scene};

const HOUR: Duration = Duration::from_secs(3600);

fn asks_to_wait(class: Class, code: Code) -> CallFailure {
    CallFailure {
        class,
        code: Some(code),
        text: "rpc error: code = X desc = not now".to_owned(),
        retry_after: Some(HOUR),
    }
}

/// `c` wants 20Gi, was told an error, and the driver has answered this.
fn answered(stage: &str, failure: CallFailure) -> Scene {
    let mut scene = scene()
        .wanted("20Gi")
        .allocated("20Gi")
        .stage(stage)
        .condition("Resizing")
        .condition("ControllerResizeError")
        .condition("Theirs");
    scene.memory.attempt = Some(observe::Attempt {
        target: gib(20),
        volume_uid: "w".into(),
        before: Some(gib(10)),
        outcome: Err(failure),
    });
    scene
}

fn after(wait: Duration) -> Timestamp {
    now()
        .checked_add(SignedDuration::try_from(wait).unwrap())
        .unwrap()
}

#[test]
fn resize_case_125_a_wait_takes_the_error_of_an_earlier_call_away() {
    let (begun, infeasible) = ("ControllerResizeInProgress", "ControllerResizeInfeasible");
    let rows = [
        (begun, Class::Final, Code::Internal, begun),
        (begun, Class::InProgress, Code::Unavailable, begun),
        // A call may run.
        (infeasible, Class::InProgress, Code::Unavailable, begun),
        (infeasible, Class::Final, Code::Internal, infeasible),
    ];
    for (stage, class, code, becomes) in rows {
        let mut scene = answered(stage, asks_to_wait(class, code));
        let plan = scene.plan();
        assert_eq!(plan.next, Next::After(HOUR));
        assert_eq!(
            plan.memory.error_written, None,
            "it is told anew when it comes again"
        );
        scene.take(plan, 0, true);
        let status = &scene.claim["status"];
        assert_eq!(
            status["allocatedResourceStatuses"]["storage"], becomes,
            "{stage} {code:?}"
        );
        let conditions = status["conditions"].as_array().unwrap().iter();
        let kinds: Vec<_> = conditions.map(|condition| &condition["type"]).collect();
        assert_eq!(kinds, ["Resizing", "Theirs"], "{stage} {code:?}");
        assert_eq!(scene.steps(), [], "it is written once");
    }
    let mut legacy = answered(begun, asks_to_wait(Class::Final, Code::Internal));
    legacy.settings.recover = false;
    assert_eq!(legacy.steps(), [], "without recovery nothing is recorded");
}

#[test]
fn resize_case_128_an_infeasible_size_with_a_time_holds_no_other_size() {
    let refused = || {
        let failure = asks_to_wait(Class::Infeasible, Code::OutOfRange);
        let mut scene = answered("ControllerResizeInProgress", failure);
        let plan = scene.plan();
        scene.take(plan, 0, true);
        scene
    };
    assert_eq!(refused().plan().steps().count(), 0, "this size waits");
    let calls = |scene: &Scene| scene.steps().iter().any(|step| matches!(step, Step::Expand(_)));
    assert!(calls(&refused().wanted("15Gi")));
    // What is busy is busy for every size.
    let mut busy = answered(
        "ControllerResizeInProgress",
        asks_to_wait(Class::Final, Code::Internal),
    );
    let plan = busy.plan();
    busy.take(plan, 0, true);
    assert!(!calls(&busy.wanted("15Gi")));
}

/// `gold` was asked for, an error was told, and the driver has answered this.
fn answered_of_class(failure: CallFailure) -> Classes {
    let mut scene = classes("gold", "", "InProgress", "gold");
    scene.claim["status"]["conditions"] = json!([
        {"type": "ModifyingVolume", "status": "True", "message": "x"},
        {"type": "ModifyVolumeError", "status": "True", "reason": "Internal", "message": "no"},
    ]);
    scene.memory.attempt = Some(modify::Attempt {
        class: "gold".into(),
        volume_uid: "w".into(),
        outcome: Err(failure),
    });
    scene
}

#[test]
fn resize_case_126_a_wait_takes_the_error_of_an_earlier_change_away() {
    for (class, code, said) in [
        (Class::Final, Code::Internal, "waits for the storage."),
        (Class::InProgress, Code::Unavailable, "is still in progress."),
    ] {
        let mut scene = answered_of_class(asks_to_wait(class, code));
        let plan = scene.plan_at(now());
        assert_eq!(
            (&plan.next, plan.memory.error_written),
            (&Next::After(HOUR), None)
        );
        scene.take(plan, &Ok(()));
        let conditions = &scene.claim["status"]["conditions"];
        assert_eq!(conditions.as_array().unwrap().len(), 1, "{conditions}");
        let text = format!("Modifying volume to \"gold\" {said}");
        assert_eq!(conditions[0]["message"], text);
    }
}

#[test]
fn resize_case_129_an_infeasible_class_with_a_time_holds_no_other_class() {
    let mut scene = answered_of_class(asks_to_wait(Class::Infeasible, Code::InvalidArgument));
    let plan = scene.plan_at(now());
    scene.take(plan, &Ok(()));
    // Longer than --retry-interval-max.
    let next = scene.plan_at(after(HOUR / 2)).next;
    assert_eq!(
        next,
        Next::After(HOUR / 2),
        "this class waits as long as was said"
    );
    scene.claim["spec"]["volumeAttributesClassName"] = json!("bronze");
    let plan = scene.plan_at(now());
    assert!(plan.steps().any(|step| matches!(step, modify::Step::Modify(_))));
}
