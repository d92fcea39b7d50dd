//! Changes of volumes by attributes classes.

use std::time::Duration;

use controller::testing::resources::{ATTRIBUTES_CLASSES, CLAIMS, VOLUMES};
use controller::testing::seconds;
use csi::v1::controller_service_capability::rpc;
use sandbox::kube::Denial;
use serde_json::json;
use tonic::Status;

use crate::world::{DRIVER, MARK, USER, VOLUME, World, volume};

const DONE: &str = "gold gold - - []";
const NOTHING: &str = "- - - - []";

/// The requests beyond what is found out at the start of a term.
fn work(world: &World) -> Vec<String> {
    let all = world.requests().into_iter();
    all.filter(|request| {
        request.starts_with("patch") || request.contains("/c") || request.contains("secrets")
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn resize_case_79_a_change_costs_three_requests_two_events_and_one_call() {
    let world = World::changing();
    let _process = world.start();
    seconds(5).await;
    let begun = world.requests();
    world.want("gold");
    seconds(5).await;
    assert_eq!(world.requests()[begun.len()..], [MARK, VOLUME, MARK]);
    assert_eq!(world.classes(), DONE);
    assert_eq!(world.reasons(), ["VolumeModify", "VolumeModifySuccessful"]);
    assert_eq!(world.asked_for(), ["gold"]);
    assert!(world.driver.state().single_change);
    seconds(3600).await;
    assert_eq!(work(&world).len(), 3, "a resync costs nothing");
    world.want("silver");
    seconds(5).await;
    assert_eq!(world.classes(), "silver silver - - []");
    assert_eq!(work(&world).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn resize_case_79_the_mark_stands_while_the_driver_works() {
    let world = World::changing();
    world.driver.state().modify_takes = Duration::from_secs(5);
    let _process = world.start();
    world.want("gold");
    seconds(3).await;
    assert_eq!(world.classes(), "- - InProgress gold [ModifyingVolume]");
    let message = "Modifying volume to \"gold\" is in progress.".to_owned();
    assert_eq!(world.condition("ModifyingVolume"), Some((String::new(), message)));
    seconds(5).await;
    assert_eq!(world.classes(), DONE);
}

#[tokio::test(start_paused = true)]
async fn resize_case_80_and_81_a_class_that_comes_late_is_waited_for() {
    let world = World::changing();
    let _process = world.start();
    world.want("late");
    seconds(5).await;
    assert_eq!(world.classes(), "- - Pending - []");
    let told = world.events();
    assert_eq!((told.len(), told[0].reason.as_str()), (1, "VolumeModifyFailed"));
    assert_eq!(told[0].message, "VAC \"late\" does not exist.");
    seconds(3600).await;
    assert_eq!((world.events().len(), work(&world).len()), (1, 1));
    assert!(world.asked_for().is_empty());
    world.class("late");
    seconds(2).await;
    assert_eq!(world.classes(), "late late - - []");
    assert_eq!(world.asked_for(), ["late"]);
}

/// Who applies the class and the wish for it together is not told that it is not there.
#[tokio::test(start_paused = true)]
async fn resize_case_113_a_class_made_together_with_the_wish_is_no_missing_one() {
    let world = World::changing();
    let _process = world.start();
    seconds(5).await;
    world.want("new");
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.class("new");
    seconds(5).await;
    assert_eq!(world.classes(), "new new - - []");
    assert_eq!(world.reasons(), ["VolumeModify", "VolumeModifySuccessful"]);
    assert_eq!(work(&world), [MARK, VOLUME, MARK]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_83_and_84_what_is_infeasible_is_told_and_rolled_back() {
    let mut world = World::changing();
    world.flags = "--retry-interval-max=300s".into();
    let _process = world.start();
    world.want("silver");
    seconds(5).await;
    world
        .driver
        .refuse_changes(&Status::invalid_argument("iops of 7 are too few"), 2);
    world.want("gold");
    seconds(5).await;
    let conditions = "[ModifyingVolume ModifyVolumeError]";
    assert_eq!(
        world.classes(),
        format!("silver silver Infeasible gold {conditions}")
    );
    let error = ("InvalidArgument".to_owned(), "iops of 7 are too few".to_owned());
    assert_eq!(world.condition("ModifyVolumeError"), Some(error));
    let waiting = "Modifying volume to \"gold\" failed. Waiting for retry.".to_owned();
    assert_eq!(world.condition("ModifyingVolume"), Some((String::new(), waiting)));
    let before = work(&world).len();
    seconds(290).await;
    assert_eq!(world.asked_for(), ["silver", "gold"]);
    seconds(20).await;
    assert_eq!(world.asked_for(), ["silver", "gold", "gold"], "slowly");
    assert_eq!(work(&world).len(), before, "an equal refusal writes nothing");
    world.want("silver");
    seconds(2).await;
    assert_eq!(world.classes(), "silver silver - - []");
    assert_eq!(world.asked_for().last().unwrap(), "silver", "a real call");
}

#[tokio::test(start_paused = true)]
async fn resize_case_85_a_wish_that_is_taken_back_is_cancelled() {
    let world = World::changing();
    world.driver.refuse_changes(&Status::invalid_argument("no"), 9);
    let _process = world.start();
    world.want("gold");
    seconds(5).await;
    world.want("");
    seconds(5).await;
    assert_eq!(world.classes(), "- - Infeasible gold []");
    assert_eq!(world.reasons().last().unwrap(), "VolumeModifyCanceled");
    seconds(3600).await;
    assert_eq!(world.asked_for(), ["gold"]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_86_to_88_final_errors_are_retried_and_unclear_ones_keep_their_target() {
    for (status, then) in [
        (Status::not_found("no"), ["gold", "bronze"].as_slice()),
        (Status::internal("no"), &["gold", "bronze"]),
        (Status::failed_precondition("no"), &["gold", "bronze"]),
        (Status::unavailable("no"), &["gold", "gold", "bronze"]),
        (Status::deadline_exceeded("no"), &["gold", "gold", "bronze"]),
        (Status::resource_exhausted("no"), &["gold", "gold", "bronze"]),
    ] {
        let world = World::changing();
        world.class("bronze");
        world.driver.refuse_changes(&status, 1);
        let _process = world.start();
        seconds(5).await;
        world.want("gold");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let conditions = "[ModifyingVolume ModifyVolumeError]";
        assert_eq!(
            world.classes(),
            format!("- - InProgress gold {conditions}"),
            "{status:?}"
        );
        let told = world.events().pop().unwrap().message;
        let unclear = then.len() == 3;
        assert_eq!(told.ends_with(". Still modifying to VAC gold"), unclear, "{told}");
        world.want("bronze");
        seconds(30).await;
        assert_eq!(world.asked_for(), then, "{status:?}");
        assert_eq!(world.classes(), "bronze bronze - - []", "{status:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_86_equal_failures_write_nothing_and_back_off() {
    let world = World::changing();
    world
        .driver
        .refuse_changes(&Status::internal("busy with request 7f3a"), 5);
    let _process = world.start();
    world.want("gold");
    seconds(120).await;
    assert_eq!(world.classes(), DONE);
    assert_eq!(
        work(&world),
        [MARK, MARK, VOLUME, MARK],
        "the mark, the error, the outcome"
    );
    let times = world.driver.times("ControllerModifyVolume");
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1]), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn resize_case_82_a_missing_class_keeps_the_former_target() {
    let world = World::changing();
    world.driver.refuse_changes(&Status::internal("no"), 1);
    let _process = world.start();
    seconds(5).await;
    world.want("gold");
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.want("late");
    seconds(30).await;
    assert_eq!(
        world.classes(),
        "- - Pending gold [ModifyingVolume ModifyVolumeError]"
    );
    assert_eq!(world.asked_for(), ["gold"]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_89_a_new_process_finishes_what_may_be_running() {
    let world = World::changing();
    world.status(&json!({
        "modifyVolumeStatus": {"status": "InProgress", "targetVolumeAttributesClassName": "gold"},
    }));
    world.want("silver");
    let _process = world.start();
    seconds(10).await;
    assert_eq!(world.asked_for(), ["gold", "silver"]);
    assert_eq!(world.classes(), "silver silver - - []");
}

#[tokio::test(start_paused = true)]
async fn resize_case_91_to_93_what_is_not_ours_is_not_changed() {
    let world = World::changing();
    world.class_of("theirs", "other.csi");
    let _process = world.start();
    world.want("theirs");
    seconds(5).await;
    assert_eq!(
        world.classes(),
        "- - Infeasible theirs [ModifyingVolume ModifyVolumeError]"
    );
    let (reason, message) = world.condition("ModifyVolumeError").unwrap();
    assert_eq!(reason, "InvalidArgument");
    assert!(
        message.contains("other.csi") && message.contains(DRIVER),
        "{message}"
    );
    seconds(3600).await;
    assert_eq!((work(&world).len(), world.events().len()), (1, 1));
    assert!(world.asked_for().is_empty());
    world.want("gold");
    seconds(2).await;
    assert_eq!(world.classes(), DONE);

    for (path, value) in [
        (
            "claimRef",
            json!({"namespace": "default", "name": "c", "uid": "other"}),
        ),
        ("csi", json!(null)),
    ] {
        let world = World::of(&[rpc::Type::ExpandVolume, rpc::Type::ModifyVolume]);
        let uid = world.claim_of("c", "v");
        let mut foreign = volume();
        foreign["spec"]["claimRef"] = json!({"namespace": "default", "name": "c", "uid": uid});
        foreign["spec"][path] = value;
        if path == "csi" {
            foreign["spec"]["awsElasticBlockStore"] = json!({"volumeID": "vol-1"});
        }
        world.create(VOLUMES, foreign);
        world.class("gold");
        let _process = world.start();
        world.want("gold");
        seconds(1000).await;
        assert_eq!(world.classes(), NOTHING, "{path}");
        assert!(
            world.events().is_empty() && world.asked_for().is_empty(),
            "{path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_95_96_metadata_and_secrets_reach_the_driver() {
    let mut world = World::changing();
    world.flags = "--extra-modify-metadata".into();
    world.create_secret("s3cret-value");
    world.change(VOLUMES, "", "v", |volume| {
        volume["metadata"]["annotations"] = json!({
            "volume.kubernetes.io/controller-modify-secret-name": "sec",
            "volume.kubernetes.io/controller-modify-secret-namespace": "default",
        });
    });
    let _process = world.start();
    world.want("gold");
    seconds(5).await;
    assert_eq!(world.classes(), DONE);
    let state = world.driver.state();
    let request = &state.modified[0];
    assert_eq!(request.secrets["password"], "s3cret-value");
    let parameter = |name: &str| request.mutable_parameters[&format!("csi.storage.k8s.io/{name}")].as_str();
    assert_eq!(
        [
            parameter("pv/name"),
            parameter("pvc/name"),
            parameter("pvc/namespace")
        ],
        ["v", "c", "default"]
    );
    drop(state);
    let class = world.get(ATTRIBUTES_CLASSES, "", "gold").unwrap();
    assert_eq!(class["parameters"]["csi.storage.k8s.io/pv/name"], "zzz");
}

#[tokio::test(start_paused = true)]
async fn resize_case_114_a_missing_secret_is_told_in_event_and_condition() {
    let world = World::changing();
    world.change(VOLUMES, "", "v", |volume| {
        volume["metadata"]["annotations"] = json!({
            "volume.kubernetes.io/controller-modify-secret-name": "sec",
            "volume.kubernetes.io/controller-modify-secret-namespace": "default",
        });
    });
    let _process = world.start();
    world.want("gold");
    seconds(5).await;
    assert!(world.asked_for().is_empty());
    let (_, message) = world.condition("ModifyVolumeError").unwrap();
    assert_eq!(message, "failed to get secret default/sec: it does not exist");
    assert!(world.reasons().contains(&"VolumeModifyFailed".to_owned()));
    world.create_secret("x");
    seconds(60).await;
    assert_eq!(world.classes(), DONE);
}

#[tokio::test(start_paused = true)]
async fn resize_case_97_both_wishes_are_marked_together_and_asked_for_together() {
    let world = World::changing();
    world.driver.state().node_stage = false;
    world.driver.state().takes = Duration::from_secs(2);
    world.driver.state().modify_takes = Duration::from_secs(2);
    let _process = world.start();
    seconds(5).await;
    world.change(CLAIMS, "default", "c", |claim| {
        claim["spec"]["resources"]["requests"]["storage"] = json!("20Gi");
        claim["spec"]["volumeAttributesClassName"] = json!("gold");
    });
    seconds(1).await;
    assert_eq!(work(&world), [MARK], "one mark for both");
    assert_eq!(
        (world.driver.asked(), world.asked_for()),
        (vec![20], vec!["gold".to_owned()])
    );
    assert!(!world.driver.state().single_change);
    seconds(10).await;
    assert_eq!(world.classes(), DONE);
    assert_eq!(world.shown(), "20Gi 20Gi - []");
    let mut requests = work(&world);
    requests.sort();
    assert_eq!(
        requests,
        [MARK, MARK, MARK, VOLUME, VOLUME],
        "five, and no conflict"
    );
    let mut told = world.reasons();
    told.sort();
    let expected = [
        "Resizing",
        "VolumeModify",
        "VolumeModifySuccessful",
        "VolumeResizeSuccessful",
    ];
    assert_eq!(told, expected);
}

/// What fails of one wish holds up nothing of the other.
#[tokio::test(start_paused = true)]
async fn resize_case_115_neither_wish_waits_for_the_other() {
    let world = World::changing();
    world.driver.state().node_stage = false;
    world.driver.refuse_changes(&Status::internal("no"), 3);
    let _process = world.start();
    world.want("gold");
    world.ask("20Gi");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(world.shown().starts_with("20Gi 20Gi - "), "{}", world.shown());
    seconds(60).await;
    assert_eq!(world.classes(), DONE);

    let world = World::changing();
    world.driver.state().node_stage = false;
    world.driver.refuse(&Status::internal("no"), 3);
    let _process = world.start();
    world.want("gold");
    world.ask("20Gi");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        world.classes().starts_with("gold gold - - "),
        "{}",
        world.classes()
    );
    seconds(60).await;
    assert_eq!(world.shown(), "20Gi 20Gi - []");
    assert_eq!(world.asked_for(), ["gold"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_164_classes_of_an_older_version_are_applied_where_that_is_asked_for() {
    for falls_back in [true, false] {
        let mut world = World::of(&[rpc::Type::ExpandVolume, rpc::Type::ModifyVolume]);
        world.environment.vac_fallback = falls_back;
        world.api.serve_only(ATTRIBUTES_CLASSES, "v1beta1");
        world.bind("c", volume());
        world.class_in("v1beta1", "gold", DRIVER);
        let _process = world.start();
        seconds(5).await;
        world.want("gold");
        seconds(5).await;
        if falls_back {
            assert_eq!(
                (world.classes().as_str(), world.asked_for()),
                (DONE, vec!["gold".to_owned()])
            );
            // One that comes later is noticed.
            world.want("silver");
            seconds(5).await;
            world.class_in("v1beta1", "silver", DRIVER);
            seconds(5).await;
            assert_eq!(world.asked_for(), ["gold", "silver"]);
        } else {
            assert_eq!((world.classes().as_str(), world.asked_for().len()), (NOTHING, 0));
            let told = &world.events()[0].message;
            assert!(
                told.contains("does not serve volumeattributesclasses of storage.k8s.io/v1"),
                "{told}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_98_99_116_what_is_switched_off_is_told_once() {
    let gate_off = "--feature-gates=VolumeAttributesClass=false";
    for (case, flags, capable, hidden) in [
        ("gate", gate_off, true, false),
        ("driver", "", false, false),
        ("role", "", true, true),
    ] {
        let mut world = World::changing();
        world.flags = flags.into();
        if !capable {
            world.driver.state().capabilities = vec![rpc::Type::ExpandVolume];
        }
        if hidden {
            world.api.deny(USER, Denial::of("watch", ATTRIBUTES_CLASSES));
        }
        let _process = world.start();
        seconds(5).await;
        assert!(!world.followed("volumeattributesclasses"), "{case}");
        world.want("gold");
        seconds(4000).await;
        let told = world.events();
        assert_eq!((told.len(), told[0].count), (1, 1), "{case}: {told:?}");
        assert_eq!(told[0].reason, "VolumeModifyFailed");
        assert!(
            told[0].message.starts_with("VAC \"gold\" is not applied: "),
            "{}",
            told[0].message
        );
        let named = match case {
            "gate" => "feature gate VolumeAttributesClass",
            "driver" => "MODIFY_VOLUME",
            _ => "list and watch volumeattributesclasses",
        };
        assert!(told[0].message.contains(named), "{}", told[0].message);
        assert_eq!(world.classes(), NOTHING);
        assert!(work(&world).is_empty() && world.asked_for().is_empty());
        let denied = |request: &String| request.ends_with("403") || request.ends_with("404");
        assert!(!world.requests().iter().any(denied), "{:?}", world.requests());
        // Sizes are not concerned.
        world.driver.state().node_stage = false;
        world.ask("20Gi");
        seconds(10).await;
        assert_eq!(world.shown(), "20Gi 20Gi - []");
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_78_a_driver_that_only_changes_is_worked_with() {
    let world = World::of(&[rpc::Type::ModifyVolume]);
    world.bind("c", volume());
    world.class("gold");
    let process = world.start();
    world.want("gold");
    world.ask("20Gi");
    seconds(10).await;
    assert_eq!(world.classes(), DONE);
    assert_eq!(world.shown(), "10Gi - - []");
    assert_eq!(process.failure(), None);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_241_a_driver_that_only_changes_is_idle_with_the_gate_off() {
    let mut world = World::of(&[rpc::Type::ModifyVolume]);
    world.flags = "--feature-gates=VolumeAttributesClass=false".into();
    world.bind("c", volume());
    world.class("gold");
    let process = world.start();
    world.want("gold");
    world.ask("20Gi");
    seconds(4000).await;
    assert_eq!(process.failure(), None);
    let told = world.events();
    assert_eq!((told.len(), told[0].count), (1, 1), "{told:?}");
    assert!(
        told[0].message.contains("feature gate VolumeAttributesClass"),
        "{told:?}"
    );
    assert_eq!(world.classes(), NOTHING);
    assert!(work(&world).is_empty() && world.asked_for().is_empty());
}

#[tokio::test(start_paused = true)]
async fn ebs_case_123_a_time_that_the_driver_names_is_waited_for() {
    let world = World::changing();
    let wait = Duration::from_secs(7200);
    let refusal = csi::retry::status_with_delay(tonic::Code::Internal, "too many changes", wait);
    world.driver.refuse_changes(&refusal, 1);
    let _process = world.start();
    world.want("gold");
    seconds(7100).await;
    assert_eq!(world.asked_for(), ["gold"]);
    let reasons = world.reasons();
    assert!(
        reasons.iter().any(|reason| *reason == "VolumeModifyWaiting"),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().all(|reason| *reason != "VolumeModifyFailed"),
        "{reasons:?}"
    );
    seconds(200).await;
    assert_eq!(world.classes(), DONE);
}
