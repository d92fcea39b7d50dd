//! Expansions that fail.

use std::time::Duration;

use controller::testing::Answer;
use controller::testing::resources::VOLUMES;
use controller::testing::seconds;
use serde_json::json;
use tonic::{Code, Status};

use crate::world::{MARK, VOLUME, World, volume};

#[tokio::test(start_paused = true)]
async fn resize_case_17_a_capacity_that_is_none_is_an_error() {
    for capacity in [0, -1] {
        let world = World::bound();
        world.driver.state().expand = [Some(Answer::Capacity(capacity))].into();
        let _process = world.start();
        world.ask("20Gi");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(world.grown(), "10Gi -");
        assert!(world.shown().starts_with("10Gi 20Gi ControllerResizeInProgress"));
        let told = format!("{:?}", world.events());
        assert!(
            told.contains(&format!("a capacity of {capacity} bytes")),
            "{told}"
        );
        seconds(10).await;
        assert_eq!(world.driver.asked(), [20, 20]);
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_132_a_driver_that_makes_less_without_a_node_is_asked_once_a_period() {
    let world = World::bound();
    world.driver.state().node_stage = false;
    let less = || Some(Answer::Capacity(15 << 30));
    world.driver.state().expand = [less(), less()].into();
    let _process = world.start();
    world.ask("20Gi");
    let ended = (
        "15Gi -".to_owned(),
        "15Gi 15Gi - [ControllerResizeError]".to_owned(),
    );
    seconds(290).await;
    assert_eq!(world.driver.asked(), [20]);
    assert_eq!((world.grown(), world.shown()), ended);
    assert_eq!(world.requests(), [MARK, VOLUME, MARK]);
    assert_eq!(world.reasons(), ["Resizing", "VolumeResizeFailed"]);
    seconds(20).await;
    assert_eq!(world.driver.asked(), [20, 20]);
    assert_eq!((world.grown(), world.shown()), ended);
    assert_eq!(world.requests(), [MARK, VOLUME, MARK, MARK, MARK]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_19_20_and_21_infeasible_sizes_are_slow_and_can_be_given_up() {
    for code in [Code::InvalidArgument, Code::OutOfRange, Code::NotFound] {
        let world = World::bound();
        world.driver.refuse(&Status::new(code, "no"), 1);
        let _process = world.start();
        world.ask("20Gi");
        seconds(60).await;
        assert_eq!(
            world.shown(),
            "10Gi 20Gi ControllerResizeInfeasible [Resizing ControllerResizeError]"
        );
        assert_eq!(world.driver.asked(), [20]);
        assert_eq!(world.requests(), [MARK, MARK]);
        world.ask("15Gi");
        seconds(1).await;
        assert_eq!(world.driver.asked(), [20, 15]);
        assert_eq!(
            world.shown(),
            "10Gi 15Gi NodeResizePending [Resizing FileSystemResizePending]"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_19_28_the_same_infeasible_size_is_tried_once_a_period_also_after_a_restart() {
    let world = World::bound();
    world.driver.refuse(&Status::invalid_argument("no"), 9);
    let process = world.start();
    world.ask("20Gi");
    seconds(310).await;
    assert_eq!(world.driver.asked(), [20, 20]);
    assert_eq!(
        world.requests(),
        [MARK, MARK],
        "the second one is told by no write"
    );
    process.kill().await;
    let _process = world.start();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.driver.asked(), [20, 20]);
    seconds(300).await;
    assert_eq!(world.driver.asked(), [20, 20, 20]);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_141_an_infeasible_expansion_is_counted_as_such() {
    let world = World::bound();
    world.driver.refuse(&Status::invalid_argument("no"), 9);
    let process = world.start();
    world.ask("20Gi");
    seconds(310).await;
    let labels = [
        ("component", "csi-resizer"),
        ("operation", "ControllerExpandVolume"),
        ("grpc_code", "InvalidArgument"),
        ("class", "infeasible"),
    ];
    let counted = process.metric("slackwater_failures_total", &labels);
    assert_eq!(counted, 2.0, "as often as the driver was asked");
}

#[tokio::test(start_paused = true)]
async fn resize_case_22_23_and_51_a_final_error_backs_off_and_is_written_once() {
    let world = World::bound();
    world.driver.refuse(&Status::internal("no"), 5);
    let _process = world.start();
    world.ask("20Gi");
    seconds(12).await;
    let times = world.driver.times("ControllerExpandVolume");
    assert_eq!(times.len(), 4, "{times:?}");
    assert_eq!(world.requests(), [MARK, MARK]);
    assert!(
        world
            .shown()
            .starts_with("10Gi 20Gi ControllerResizeInProgress [Resizing ControllerResizeError]")
    );
    let since = world.claim()["status"]["conditions"][1]["lastTransitionTime"].clone();
    world.ask("15Gi");
    seconds(1).await;
    assert_eq!(world.driver.asked(), [20, 20, 20, 20, 15]);
    seconds(20).await;
    assert!(world.shown().contains("NodeResizePending"));
    assert!(since.is_string());
}

#[tokio::test(start_paused = true)]
async fn resize_case_24_to_26_an_unclear_outcome_pins_the_size() {
    for code in [
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
        Code::Aborted,
        Code::Unavailable,
        Code::Cancelled,
    ] {
        let world = World::bound();
        world.driver.refuse(&Status::new(code, "late"), 3);
        world.driver.refuse(&Status::internal("no"), 1);
        let _process = world.start();
        world.ask("20Gi");
        seconds(2).await;
        assert_eq!(world.shown(), "10Gi 20Gi ControllerResizeInProgress [Resizing]");
        world.ask("15Gi");
        seconds(60).await;
        assert_eq!(world.driver.asked(), [20, 20, 20, 20, 15], "{code:?}");
        assert!(world.shown().starts_with("10Gi 15Gi NodeResizePending"));
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_27_after_a_restart_the_former_size_comes_first() {
    let world = World::bound();
    world.driver.refuse(&Status::internal("no"), 2);
    let process = world.start();
    world.ask("20Gi");
    tokio::time::sleep(Duration::from_millis(500)).await;
    process.kill().await;
    world.ask("15Gi");
    let _process = world.start();
    seconds(20).await;
    assert_eq!(world.driver.asked(), [20, 20, 15]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_50_a_slow_failure_keeps_its_back_off() {
    let world = World::bound();
    let mut world = world;
    world.flags = "--timeout=20s".into();
    world.driver.state().takes = Duration::from_secs(8);
    world.driver.refuse(&Status::internal("no"), 20);
    let _process = world.start();
    world.ask("20Gi");
    seconds(60).await;
    assert!(
        world.driver.asked().len() <= 5,
        "{:?}",
        world.driver.times("ControllerExpandVolume")
    );
    assert_eq!(world.requests(), [MARK, MARK]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_52_an_error_goes_with_success() {
    let world = World::bound();
    world.driver.refuse(&Status::internal("no"), 1);
    let _process = world.start();
    world.ask("20Gi");
    seconds(10).await;
    assert_eq!(
        world.shown(),
        "10Gi 20Gi NodeResizePending [Resizing FileSystemResizePending]"
    );
}

#[tokio::test(start_paused = true)]
async fn ebs_case_123_the_wait_that_a_driver_asks_for_is_kept_for_every_size() {
    let world = World::bound();
    let busy = csi::retry::status_with_delay(Code::Internal, "optimizing", Duration::from_secs(3600));
    world.driver.refuse(&busy, 1);
    let _process = world.start();
    world.ask("20Gi");
    seconds(1800).await;
    world.ask("25Gi");
    seconds(1790).await;
    assert_eq!(world.driver.asked(), [20]);
    assert!(
        world.shown().contains("ControllerResizeInProgress [Resizing]"),
        "{}",
        world.shown()
    );
    let reasons = world.reasons();
    assert!(
        reasons.iter().any(|reason| *reason == "VolumeResizeWaiting"),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().all(|reason| *reason != "VolumeResizeFailed"),
        "{reasons:?}"
    );
    seconds(20).await;
    assert_eq!(world.driver.asked(), [20, 25]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_55_to_57_secrets_reach_the_driver_and_nothing_else() {
    let world = World::new();
    let mut secret = volume();
    secret["spec"]["csi"]["controllerExpandSecretRef"] = json!({"namespace": "default", "name": "sec"});
    world.bind("c", secret);
    world.driver.refuse(&Status::internal("bad hunter2"), 1);
    let _process = world.start();
    world.ask("20Gi");
    seconds(2).await;
    assert!(world.driver.asked().is_empty());
    assert!(
        world
            .shown()
            .contains("20Gi ControllerResizeInProgress [Resizing ControllerResizeError]")
    );
    assert!(format!("{:?}", world.events()).contains("default/sec"));
    world.ask("15Gi");
    seconds(1).await;
    assert!(world.shown().contains("10Gi 15Gi"));
    world.create_secret("hunter2");
    seconds(30).await;
    assert_eq!(world.driver.asked(), [15, 15]);
    let secrets = world.driver.state().expanded.last().unwrap().secrets.clone();
    assert_eq!(secrets["password"], "hunter2");
    let told = format!("{:?} {}", world.events(), world.claim());
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn resize_case_61_access_modes_that_csi_cannot_say_are_an_error() {
    let world = World::new();
    let mut both = volume();
    both["spec"]["accessModes"] = json!(["ReadWriteOnce", "ReadOnlyMany"]);
    world.bind("c", both);
    let _process = world.start();
    world.ask("20Gi");
    seconds(5).await;
    assert!(world.driver.asked().is_empty());
    assert_eq!(world.reasons(), ["VolumeResizeFailed"]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_74_without_recovery_nothing_is_recorded() {
    let mut world = World::bound();
    world.flags = "--feature-gates=RecoverVolumeExpansionFailure=false".into();
    world.driver.refuse(&Status::invalid_argument("no"), 1);
    let _process = world.start();
    world.ask("20Gi");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.shown(), "10Gi - - [Resizing]");
    world.ask("15Gi");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.driver.asked(), [20]);
    seconds(3).await;
    assert_eq!(world.driver.asked(), [20, 15]);
    assert_eq!(world.shown(), "10Gi - - [FileSystemResizePending]");
    assert_eq!(world.requests(), [MARK, VOLUME, MARK]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_106_another_volume_of_that_name_is_not_touched() {
    let world = World::bound();
    world.driver.state().takes = Duration::from_secs(5);
    let _process = world.start();
    world.ask("20Gi");
    seconds(1).await;
    world.remove_by_force(VOLUMES, "", "v");
    let mut other = volume();
    other["spec"]["capacity"]["storage"] = json!("1Gi");
    world.create(VOLUMES, other);
    seconds(30).await;
    assert_eq!(world.grown(), "1Gi -");
    assert_eq!(world.driver.asked(), [20]);
}
