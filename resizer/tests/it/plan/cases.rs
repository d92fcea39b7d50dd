//! Cases of resize.md 12 that are decided by what is observed alone.

use std::time::Duration;

use controller::capability::{self, Access};
use controller::{Action, Next};
use resizer::observe::{Attempt, Grown, Hold, Usage};
use resizer::plan::{Step, VolumeChange};
use runtime::objects::Volume;
use serde_json::{Value, json};

use super::scene::{Scene, gib, now, scene};

/// The sizes that are asked for, in Mi.
fn asked(mut scene: Scene) -> Vec<i64> {
    scene
        .run(0, true)
        .into_iter()
        .map(|size| size.bytes() >> 20)
        .collect()
}

const G: i64 = 1024;

#[test]
fn resize_case_8_9_and_10_what_is_not_bound_or_ours_is_left_alone() {
    let grown = || scene().wanted("20Gi");
    let mut pending = grown();
    pending.claim["status"]["phase"] = json!("Pending");
    let mut lost = grown();
    lost.claim["status"]["phase"] = json!("Lost");
    let mut unnamed = grown();
    unnamed.claim["spec"]["volumeName"] = json!("");
    let mut other_uid = grown();
    other_uid.volume["spec"]["claimRef"]["uid"] = json!("x");
    let mut reserved = grown();
    reserved.volume["spec"]["claimRef"] = json!(null);
    let mut elsewhere = grown();
    elsewhere.volume["spec"]["claimRef"]["namespace"] = json!("x");
    let mut foreign = grown();
    foreign.volume["spec"]["csi"]["driver"] = json!("other");
    for scene in [pending, lost, unnamed, other_uid, reserved, elsewhere, foreign] {
        assert_eq!(scene.steps(), []);
        assert_eq!(scene.plan().next, Next::Await);
    }
}

#[test]
fn resize_case_13_a_terminating_claim_is_expanded() {
    let mut scene = scene().wanted("20Gi");
    scene.claim["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(asked(scene), [20 * G]);
}

#[test]
fn resize_case_14_half_a_byte_is_rounded_up() {
    let mut scene = scene().wanted("10737418240500m");
    let sizes: Vec<i64> = scene.run(0, true).iter().map(|size| size.bytes()).collect();
    assert_eq!(sizes, [10_737_418_241]);
}

#[test]
fn resize_case_16_a_former_target_below_the_wish_is_not_taken_again() {
    let mut scene = scene()
        .grown("5Gi")
        .proven("4608Mi")
        .allocated("4608Mi")
        .wanted("4800Mi");
    let sizes: Vec<i64> = scene.run(0, true).iter().map(|size| size.bytes() >> 20).collect();
    assert_eq!(sizes, [4800]);
    assert_eq!(
        scene.volume["spec"]["capacity"]["storage"], "5Gi",
        "a volume never shrinks"
    );
    scene.node_finishes();
    assert_eq!(scene.run(0, true), []);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn resize_case_29_to_36_and_39_to_41_the_table_of_sizes() {
    let infeasible = scene().grown("5Gi").proven("4608Mi").allocated("100Gi");
    let pending = || scene().allocated("20Gi").grown("20Gi").stage("NodeResizePending");
    let gave_up = || {
        scene()
            .allocated("20Gi")
            .grown("20Gi")
            .stage("NodeResizeInfeasible")
    };
    for (case, scene, expected) in [
        (
            "29",
            infeasible.stage("ControllerResizeInfeasible").wanted("4800Mi"),
            vec![4800],
        ),
        ("30", pending().wanted("30Gi"), vec![]),
        ("32", pending().wanted("15Gi"), vec![]),
        (
            "33",
            scene()
                .proven("15Gi")
                .allocated("15Gi")
                .grown("15Gi")
                .stage("NodeResizePending")
                .wanted("20Gi"),
            vec![20 * G],
        ),
        (
            "34",
            scene()
                .allocated("20Gi")
                .stage("NodeResizeInProgress")
                .wanted("20Gi"),
            vec![20 * G],
        ),
        ("35", gave_up().wanted("20Gi"), vec![20 * G]),
        ("36", gave_up().wanted("15Gi"), vec![20 * G]),
        (
            "39",
            scene()
                .allocated("20Gi")
                .grown("20Gi")
                .stage("ControllerResizeInProgress")
                .wanted("20Gi"),
            vec![20 * G],
        ),
        (
            "40",
            scene()
                .grown("20Gi")
                .wanted("20Gi")
                .condition("FileSystemResizePending"),
            vec![],
        ),
        (
            "41",
            scene().grown("20Gi").wanted("20Gi").annotated("10Gi"),
            vec![20 * G],
        ),
    ] {
        assert_eq!(asked(scene), expected, "case {case}");
    }
}

#[test]
fn resize_case_33_35_36_39_and_41_end_at_the_node() {
    for mut scene in [
        scene()
            .allocated("20Gi")
            .grown("20Gi")
            .stage("NodeResizeInfeasible")
            .condition("NodeResizeError"),
        scene()
            .allocated("20Gi")
            .grown("20Gi")
            .stage("ControllerResizeInProgress"),
        scene().grown("20Gi").annotated("10Gi"),
    ] {
        scene = scene.wanted("20Gi");
        let former = scene.claim["status"]["conditions"].clone();
        scene.run(0, true);
        let status = &scene.claim["status"];
        assert_eq!(
            status["allocatedResourceStatuses"]["storage"],
            "NodeResizePending"
        );
        assert_eq!(status["allocatedResources"]["storage"], "20Gi");
        let annotation = "/metadata/annotations/volume.alpha.kubernetes.io~1pre-resize-capacity";
        assert_eq!(scene.volume.pointer(annotation), Some(&json!("10Gi")));
        if former.is_array() {
            assert_eq!(status["conditions"][0]["type"], "NodeResizeError");
        }
    }
}

#[test]
fn resize_case_37_a_driver_of_nodes_gives_a_size_up_without_a_call() {
    let mut scene = scene()
        .allocated("20Gi")
        .grown("20Gi")
        .stage("NodeResizeInfeasible")
        .wanted("15Gi");
    scene = scene.only_nodes_expand();
    assert_eq!(scene.run(0, true), []);
    assert_eq!(scene.volume["spec"]["capacity"]["storage"], "15Gi");
    assert_eq!(scene.claim["status"]["allocatedResources"]["storage"], "15Gi");
    assert_eq!(
        scene.claim["status"]["allocatedResourceStatuses"]["storage"],
        "NodeResizePending"
    );
}

/// The waits between rounds, each of which ends with a node that gives up.
fn gaps(mut scene: Scene, rounds: usize) -> Vec<u64> {
    let mut at = now();
    let mut gaps = Vec::new();
    for _ in 0..rounds {
        scene = scene.stage("NodeResizeInfeasible");
        let plan = scene.plan_at(at);
        if let Next::After(wait) = plan.next {
            gaps.push(wait.as_secs());
            at = at
                .checked_add(jiff::SignedDuration::try_from(wait).unwrap())
                .unwrap();
        }
        for _ in 0..4 {
            let plan = scene.plan_at(at);
            scene.take(plan, 0, true);
        }
    }
    gaps
}

#[test]
fn resize_case_38_rounds_with_a_node_that_gives_up_are_paced() {
    let scene = scene().allocated("20Gi").grown("20Gi").wanted("20Gi");
    assert_eq!(gaps(scene, 10), [1, 2, 4, 8, 16, 32, 64, 128, 256]);
}

#[test]
fn resize_case_124_a_rounded_size_that_the_node_refuses_is_tried_at_kubelets_pace() {
    let of = |wanted: &str| {
        let mut scene = scene().proven("4Gi").allocated("5Gi").grown("5Gi").wanted(wanted);
        scene.settings.retry_interval_max = Duration::from_secs(1800);
        gaps(scene, 11)
    };
    assert_eq!(of("4608Mi"), [1, 2, 4, 8, 16, 32, 64, 122, 122, 122]);
    assert_eq!(of("5120Mi"), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512], "by value");
}

#[test]
fn resize_case_127_that_no_pod_used_it_before_the_refusal_does_not_free_a_volume() {
    let refused = now();
    let rows = [
        ("True", -1, Usage::InUse, false),
        ("True", -1, Usage::Free, true),
        ("True", 0, Usage::InUse, true),
        ("True", 5, Usage::InUse, true),
        ("False", 5, Usage::Free, false),
    ];
    for (status, moved, usage, is_called) in rows {
        let at = refused
            .checked_add(jiff::SignedDuration::from_secs(moved))
            .unwrap();
        let mut scene = scene()
            .wanted("20Gi")
            .allocated("20Gi")
            .stage("ControllerResizeInProgress");
        scene.claim["status"]["conditions"] =
            json!([{"type": "Unused", "status": status, "lastTransitionTime": at.to_string()}]);
        scene.usage = usage;
        scene.memory.in_use_since = Some(refused);
        let later = refused.checked_add(jiff::SignedDuration::from_secs(10)).unwrap();
        let plan = scene.plan_at(later);
        let calls = plan.steps().any(|step| matches!(step, Step::Expand(_)));
        assert_eq!(calls, is_called, "{status} {moved} {usage:?}");
    }
}

#[test]
fn resize_case_42_and_43_the_annotation_goes_when_the_size_is_reached() {
    let done = scene()
        .proven("20Gi")
        .grown("20Gi")
        .wanted("20Gi")
        .annotated("10Gi");
    assert_eq!(done.steps(), [Step::Volume(VolumeChange::Unannotate)]);
    let mut foreign = done.clone();
    foreign.volume["spec"]["csi"]["driver"] = json!("other");
    assert_eq!(foreign.steps(), []);
    assert_eq!(done.stage("NodeResizePending").steps(), []);
    let rounded = scene()
        .proven("20Gi")
        .allocated("20Gi")
        .grown("21Gi")
        .annotated("10Gi");
    assert_eq!(
        rounded.wanted("20Gi").steps(),
        [Step::Volume(VolumeChange::Unannotate)]
    );
}

#[test]
fn resize_case_6_a_former_annotation_stays() {
    let mut scene = scene().wanted("20Gi").annotated("5Gi");
    scene.run(0, true);
    let annotation = "/metadata/annotations/volume.alpha.kubernetes.io~1pre-resize-capacity";
    assert_eq!(scene.volume.pointer(annotation), Some(&json!("5Gi")));
}

#[test]
fn resize_case_65_the_annotation_hands_over_no_volume_of_another_driver() {
    let handed_over = |driver: &str, source: Value| {
        let mut scene = scene().wanted("20Gi");
        scene.claim["metadata"]["annotations"] = json!({"volume.kubernetes.io/storage-resizer": driver});
        scene.settings.driver = driver.to_owned();
        let spec = scene.volume["spec"].as_object_mut().unwrap();
        spec.remove("csi");
        spec.extend(source.as_object().unwrap().clone());
        scene
    };
    let foreign = json!({"csi": {"driver": "other", "volumeHandle": "h"}});
    let in_tree = json!({"awsElasticBlockStore": {"volumeID": "vol-1"}});
    assert_eq!(handed_over("ebs.csi.aws.com", foreign).steps(), []);
    // One that took nothing over.
    assert_eq!(handed_over("d.csi", in_tree.clone()).steps(), []);
    // What cannot be asked for is told, and nobody is called.
    for (driver, source, why) in [
        (
            "ebs.csi.aws.com",
            json!({"nfs": {}}),
            "neither csi nor migratable",
        ),
        (
            "ebs.csi.aws.com",
            json!({"awsElasticBlockStore": {"volumeID": "aws://a/foo"}}),
            "which is no EBS volume",
        ),
        (
            "pd.csi.storage.gke.io",
            in_tree,
            "of the CSI driver ebs.csi.aws.com",
        ),
    ] {
        let mut scene = handed_over(driver, source);
        assert_eq!(scene.run(0, true), [], "{why}");
        assert!(scene.claim.to_string().contains(why), "{why}: {}", scene.claim);
    }
}

/// A volume of the in-tree plugin that the driver took over.
fn in_tree() -> Scene {
    let mut scene = scene().wanted("20Gi");
    scene.settings.driver = "ebs.csi.aws.com".into();
    let spec = scene.volume["spec"].as_object_mut().unwrap();
    spec.remove("csi");
    let source = json!({"volumeID": "aws://us-east-1a/vol-1", "fsType": "xfs"});
    spec.insert("awsElasticBlockStore".into(), source);
    scene
}

#[test]
fn resize_case_63_and_64_an_in_tree_volume_is_expanded_once_it_is_handed_over() {
    let mut scene = in_tree();
    assert_eq!(scene.steps(), []);
    scene.claim["metadata"]["annotations"] =
        json!({"volume.kubernetes.io/storage-resizer": "ebs.csi.aws.com"});
    let steps = scene.steps();
    let Some(Step::Expand(call)) = steps.last() else {
        panic!("no call: {steps:?}");
    };
    assert_eq!((call.volume_handle.as_str(), call.migrated), ("vol-1", true));
    let kind = call.capability.access_type.clone();
    assert!(format!("{kind:?}").contains("fs_type: \"xfs\""), "{kind:?}");
    assert_eq!(scene.run(0, true), [gib(20)]);
    assert_eq!(scene.volume["spec"]["capacity"]["storage"], "20Gi");
    scene.node_finishes();
    assert_eq!(scene.run(0, true), []);
    assert_eq!(scene.volume["metadata"]["annotations"], json!({}));
}

#[test]
fn resize_case_122_an_infeasible_size_tried_again_without_an_answer_may_be_running() {
    use controller::CallFailure;
    use csi::Class;
    let mut scene = scene()
        .wanted("20Gi")
        .allocated("20Gi")
        .stage("ControllerResizeInfeasible")
        .condition("Resizing")
        .condition("ControllerResizeError");
    scene.memory.attempt = Some(Attempt {
        target: gib(20),
        volume_uid: "w".into(),
        before: Some(gib(10)),
        outcome: Err(CallFailure {
            class: Class::InProgress,
            code: Some(tonic::Code::DeadlineExceeded),
            text: "rpc error: code = DeadlineExceeded desc = slow".to_owned(),
            retry_after: None,
        }),
    });
    let plan = scene.plan();
    scene.take(plan, 0, true);
    let stage = &scene.claim["status"]["allocatedResourceStatuses"]["storage"];
    assert_eq!(stage, "ControllerResizeInProgress");
    let mut less = scene.wanted("15Gi");
    let plan = less.plan();
    assert_eq!(less.take(plan, 0, true).0, Some(gib(20)));
}

#[test]
fn resize_case_106_an_answer_for_another_volume_is_dropped() {
    let mut scene = scene().wanted("20Gi");
    scene.memory.attempt = Some(Attempt {
        target: gib(20),
        volume_uid: "another".into(),
        before: None,
        outcome: Ok(Grown {
            capacity: gib(20),
            node_stage: true,
        }),
    });
    assert_eq!(scene.steps(), []);
    assert!(scene.plan().memory.attempt.is_none());
}

#[test]
fn a_hold_is_kept_for_its_size_only() {
    let mut scene = scene().wanted("20Gi");
    let until = now().checked_add(jiff::SignedDuration::from_secs(30)).unwrap();
    scene.memory.hold = Some(Hold {
        until,
        target: Some(gib(20)),
    });
    assert_eq!(scene.plan().next, Next::After(Duration::from_secs(30)));
    assert_eq!(asked(scene.wanted("15Gi")), [15 * G]);
}

#[test]
fn resize_case_58_to_61_capabilities() {
    use csi::v1::volume_capability::AccessType;
    use csi::v1::volume_capability::access_mode::Mode;
    for (modes, multi_writer, expected) in [
        (vec!["ReadWriteMany"], false, Some(Mode::MultiNodeMultiWriter)),
        (vec!["ReadWriteOnce"], false, Some(Mode::SingleNodeWriter)),
        (vec!["ReadWriteOnce"], true, Some(Mode::SingleNodeMultiWriter)),
        (vec!["ReadWriteOncePod"], true, Some(Mode::SingleNodeSingleWriter)),
        (vec!["ReadWriteOncePod"], false, Some(Mode::SingleNodeWriter)),
        (vec!["ReadWriteOncePod", "ReadWriteOnce"], false, None),
        (vec!["ReadOnlyMany"], false, Some(Mode::MultiNodeReaderOnly)),
        (vec!["ReadWriteOnce", "ReadOnlyMany"], false, None),
        (vec![], false, None),
    ] {
        let mut scene = scene();
        scene.volume["spec"]["accessModes"] = json!(modes);
        let volume: Volume = serde_json::from_value(scene.volume).unwrap();
        let access = Access {
            fs_type: "",
            single_node_multi_writer: multi_writer,
        };
        let found = capability::of(&volume, &access);
        let found = found.ok().and_then(|capability| capability.access_mode);
        assert_eq!(found.map(|mode| mode.mode), expected.map(i32::from), "{modes:?}");
    }
    let mut scene = scene();
    scene.volume["spec"]["mountOptions"] = json!(["noatime"]);
    let kind = |scene: &Scene| {
        let volume: Volume = serde_json::from_value(scene.volume.clone()).unwrap();
        let access = Access {
            fs_type: "xfs",
            single_node_multi_writer: false,
        };
        capability::of(&volume, &access).unwrap().access_type.unwrap()
    };
    let AccessType::Mount(mount) = kind(&scene) else {
        panic!("not mounted")
    };
    assert_eq!(
        (mount.fs_type.as_str(), mount.mount_flags),
        ("xfs", vec!["noatime".to_owned()])
    );
    scene.volume["spec"]["volumeMode"] = json!("Block");
    assert!(matches!(kind(&scene), AccessType::Block(_)));
}

#[test]
fn a_size_that_no_int64_holds_is_told_and_asked_of_nobody() {
    for size in ["1e19", "9223372036854775808", "10000P"] {
        let plan = scene().wanted(size).plan();
        assert_eq!(plan.next, Next::Await, "{size}");
        let [Action::Event(event)] = plan.actions.as_slice() else {
            panic!("{size}: {:?}", plan.actions);
        };
        assert!(
            event.message.contains("9223372036854775807 bytes"),
            "{size}: {event:?}"
        );
    }
    assert_eq!(
        asked(scene().wanted("3.304046335356e12")),
        [3_304_046_335_356 / (1 << 20)]
    );
}
