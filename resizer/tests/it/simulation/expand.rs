//! Expansions that succeed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use controller::testing::Answer;
use controller::testing::resources::{CLAIMS, STORAGE_CLASSES, VOLUMES};
use controller::testing::seconds;
use sandbox::faults::{Call, Fault, Faults, Schedule};
use serde_json::json;

use crate::world::{MARK, VOLUME, World, volume};

/// Watches live for a minute, and in the gap there are none.
#[derive(Clone, Default)]
struct Gap(Arc<AtomicBool>);

impl Gap {
    fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Schedule for Gap {
    fn fault(&self, call: &Call) -> Fault {
        match (call.watch, self.0.load(Ordering::Relaxed)) {
            (false, _) => Fault::None,
            (true, false) => Fault::CutWatch(Duration::from_secs(60)),
            (true, true) => Fault::LoseRequest,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_1_and_2_a_stage_on_the_node_costs_four_requests_two_events_and_one_call() {
    let world = World::bound();
    let _process = world.start();
    seconds(5).await;
    assert!(world.requests().is_empty());
    world.ask("20Gi");
    seconds(5).await;
    assert_eq!(world.requests(), [MARK, VOLUME, MARK]);
    assert_eq!(
        world.shown(),
        "10Gi 20Gi NodeResizePending [Resizing FileSystemResizePending]"
    );
    assert_eq!(world.grown(), "20Gi 10Gi");
    assert_eq!(world.reasons(), ["Resizing", "FileSystemResizeRequired"]);
    assert!(world.driver.state().single_change);

    world.node_finishes();
    seconds(5).await;
    assert_eq!(world.requests(), [MARK, VOLUME, MARK, VOLUME]);
    assert_eq!(world.grown(), "20Gi -");
    assert_eq!(world.shown(), "20Gi 20Gi - []");
    assert_eq!(world.driver.asked(), [20]);
    seconds(3600).await;
    assert_eq!(world.requests().len(), 4, "a resync costs nothing");
    assert_eq!(world.driver.count("ControllerGetCapabilities"), 1);
    for kind in ["pods", "volumeattachments", "volumeattributesclasses"] {
        assert!(!world.followed(kind), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_3_and_4_without_a_stage_on_the_node_it_costs_three_requests() {
    let world = World::bound();
    world.driver.state().node_stage = false;
    let _process = world.start();
    world.ask("20Gi");
    seconds(5).await;
    assert_eq!(world.requests(), [MARK, VOLUME, MARK]);
    assert_eq!(world.shown(), "20Gi 20Gi - []");
    assert_eq!(world.grown(), "20Gi -");
    assert_eq!(world.reasons(), ["Resizing", "VolumeResizeSuccessful"]);
    let annotation = "/metadata/annotations/volume.kubernetes.io~1node-expansion-not-required";
    assert_eq!(world.claim().pointer(annotation), Some(&json!("true")));

    world.driver.state().node_stage = true;
    world.ask("30Gi");
    seconds(5).await;
    assert_eq!(world.claim().pointer(annotation), None);
    assert_eq!(world.driver.asked(), [20, 30]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_5_without_the_annotation_it_costs_three_requests() {
    let mut world = World::bound();
    world.flags = "--feature-gates=AnnotateFsResize=false".into();
    let _process = world.start();
    world.ask("20Gi");
    seconds(5).await;
    world.node_finishes();
    seconds(5).await;
    assert_eq!(world.requests(), [MARK, VOLUME, MARK]);
    assert_eq!(world.grown(), "20Gi -");
}

#[tokio::test(start_paused = true)]
async fn resize_case_7_9_10_and_65_what_is_not_ours_costs_nothing() {
    let world = World::new();
    let uid = world.claim_of("c", "v");
    let mut foreign = volume();
    foreign["spec"]["csi"]["driver"] = json!("other");
    foreign["spec"]["claimRef"] = json!({"namespace": "default", "name": "c", "uid": uid});
    world.create(VOLUMES, foreign);
    world.claim_of("d", "w");
    let mut reserved = volume();
    reserved["metadata"]["name"] = json!("w");
    reserved["spec"]["claimRef"] = json!({"namespace": "default", "name": "d", "uid": "another"});
    world.create(VOLUMES, reserved);
    let _process = world.start();
    world.ask("20Gi");
    world.ask_of("d", "20Gi");
    seconds(1000).await;
    assert!(world.requests().is_empty() && world.driver.asked().is_empty());
    assert!(world.events().is_empty());
}

#[tokio::test(start_paused = true)]
async fn resize_case_11_a_volume_that_comes_wakes_its_claim() {
    let world = World::new();
    let uid = world.claim_of("c", "v");
    let _process = world.start();
    world.ask("20Gi");
    seconds(3).await;
    assert!(world.driver.asked().is_empty());
    let mut late = volume();
    late["spec"]["claimRef"] = json!({"namespace": "default", "name": "c", "uid": uid});
    world.create(VOLUMES, late);
    seconds(1).await;
    assert_eq!(world.driver.asked(), [20]);
    assert_eq!(world.reasons(), ["Resizing", "FileSystemResizeRequired"]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_15_a_driver_that_rounds_up_is_taken_at_its_word() {
    let world = World::bound();
    world.driver.state().expand = [Some(Answer::Capacity(21 << 30))].into();
    let _process = world.start();
    world.ask("20Gi");
    seconds(5).await;
    assert_eq!(world.grown(), "21Gi 10Gi");
    assert!(world.shown().starts_with("10Gi 21Gi NodeResizePending"));
    world.node_finishes();
    seconds(5).await;
    assert_eq!(world.grown(), "21Gi -");
    assert_eq!(world.driver.asked(), [20]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_18_a_driver_that_makes_less_is_asked_once_and_the_node_grows() {
    let world = World::bound();
    world.driver.state().expand = [Some(Answer::Capacity(15 << 30))].into();
    let _process = world.start();
    world.ask("20Gi");
    seconds(1000).await;
    assert_eq!(world.requests(), [MARK, VOLUME, MARK]);
    assert_eq!(world.grown(), "15Gi 10Gi");
    assert_eq!(
        world.shown(),
        "10Gi 20Gi NodeResizePending [Resizing FileSystemResizePending]"
    );
    let told = ["Resizing", "FileSystemResizeRequired", "VolumeResizeShort"];
    assert_eq!(world.reasons(), told);
    world.node_finishes();
    seconds(5).await;
    assert_eq!(
        (world.grown(), world.shown()),
        ("15Gi -".into(), "20Gi 20Gi - []".into())
    );
    assert_eq!(world.driver.asked(), [20]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_30_and_31_growth_waits_for_the_node() {
    let world = World::bound();
    let _process = world.start();
    world.ask("20Gi");
    seconds(5).await;
    world.ask("30Gi");
    seconds(1000).await;
    assert_eq!(world.requests().len(), 3);
    world.node_finishes();
    seconds(5).await;
    assert_eq!(world.driver.asked(), [20, 30]);
    assert!(world.shown().starts_with("20Gi 30Gi NodeResizePending"));
}

#[tokio::test(start_paused = true)]
async fn resize_case_48_and_49_edits_while_the_call_runs() {
    for (edited, node_stage, asked, shown) in [
        (
            "15Gi",
            true,
            vec![20],
            "10Gi 20Gi NodeResizePending [Resizing FileSystemResizePending]",
        ),
        ("30Gi", false, vec![20, 30], "30Gi 30Gi - []"),
    ] {
        let world = World::bound();
        world.driver.state().node_stage = node_stage;
        world.driver.state().takes = Duration::from_secs(5);
        let _process = world.start();
        world.ask("20Gi");
        seconds(2).await;
        world.ask(edited);
        seconds(30).await;
        assert_eq!(world.driver.asked(), asked);
        assert_eq!(world.shown(), shown);
        assert!(!world.reasons().contains(&"VolumeResizeFailed".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_53_and_54_what_is_foreign_stays() {
    let world = World::bound();
    world.driver.state().node_stage = false;
    world.status(&json!({
        "allocatedResources": {"storage": "10Gi", "example.com/r": "1"},
        "allocatedResourceStatuses": {"example.com/r": "NodeResizePending"},
        "conditions": [
            {"type": "Unused", "status": "True", "reason": "R"},
            {"type": "example.com/x", "status": "False", "message": "m"},
        ],
    }));
    let before = world.claim()["status"]["conditions"].clone();
    let _process = world.start();
    world.ask("20Gi");
    seconds(5).await;
    let status = world.claim()["status"].clone();
    assert_eq!(status["conditions"], before);
    assert_eq!(
        status["allocatedResourceStatuses"],
        json!({"example.com/r": "NodeResizePending"})
    );
    assert_eq!(status["allocatedResources"]["example.com/r"], "1");
}

#[tokio::test(start_paused = true)]
async fn resize_case_101_a_stop_lets_the_call_end() {
    let world = World::bound();
    world.driver.state().takes = Duration::from_secs(5);
    let process = world.start();
    world.ask("20Gi");
    seconds(1).await;
    assert!(process.stop().await.unwrap().is_ok());
    assert!(world.shown().contains("NodeResizePending"));
}

#[tokio::test(start_paused = true)]
async fn resize_case_130_a_stop_lets_a_call_end_that_has_a_time_of_its_own() {
    for flag in ["--resize-timeout=60s", "--timeout=60s"] {
        let mut world = World::bound();
        world.flags = format!("--leader-election {flag}");
        world.driver.state().takes = Duration::from_secs(50);
        let process = world.start();
        seconds(1).await;
        world.ask("20Gi");
        seconds(1).await;
        assert!(process.stop().await.unwrap().is_ok());
        assert!(
            world.shown().contains("NodeResizePending"),
            "{flag}: {}",
            world.shown()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_76_and_77_drivers_that_can_do_nothing() {
    for (capabilities, serves, text) in [
        (vec![], true, "NodeGetCapabilities"),
        (vec![], false, "CONTROLLER_SERVICE"),
    ] {
        let world = World::new();
        world.driver.state().capabilities = capabilities;
        world.driver.state().serves_controller = serves;
        let process = world.start();
        seconds(5).await;
        let failure = process.failure().unwrap();
        assert!(failure.contains(text), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_75_a_driver_that_grows_on_its_nodes_only_is_never_called() {
    let world = World::of(&[]);
    world.driver.state().nodes_expand = Some(true);
    world.bind("c", volume());
    let process = world.start();
    world.ask("20Gi");
    seconds(5).await;
    assert_eq!(process.failure(), None);
    assert_eq!(world.requests(), [MARK, VOLUME, MARK]);
    assert_eq!(world.grown(), "20Gi 10Gi");
    assert_eq!(
        world.shown(),
        "10Gi 20Gi NodeResizePending [Resizing FileSystemResizePending]"
    );
    assert_eq!(world.reasons(), ["FileSystemResizeRequired"]);
    world.node_finishes();
    seconds(5).await;
    assert_eq!(
        (world.grown(), world.shown()),
        ("20Gi -".into(), "20Gi 20Gi - []".into())
    );
    assert_eq!(world.driver.count("ControllerExpandVolume"), 0);
}

#[tokio::test(start_paused = true)]
async fn resize_case_12_a_class_that_goes_after_the_wish_changes_nothing() {
    let world = World::bound();
    world.ask("20Gi");
    world.delete(STORAGE_CLASSES, "", "s");
    let _process = world.start();
    seconds(5).await;
    assert_eq!(world.driver.asked(), [20]);
    assert!(world.shown().starts_with("10Gi 20Gi NodeResizePending"));
    assert!(!world.followed("storageclasses"));
}

#[tokio::test(start_paused = true)]
async fn resize_case_121_claims_and_volumes_of_others_are_not_kept() {
    let world = World::bound();
    for number in 0..50 {
        let mut volume = volume();
        volume["metadata"]["name"] = json!(format!("v-{number}"));
        volume["spec"]["csi"]["driver"] = json!("other");
        world.bind(&format!("c-{number}"), volume);
    }
    let process = world.start();
    seconds(5).await;
    let kept = || {
        ["PersistentVolumeClaim", "PersistentVolume"]
            .map(|kind| process.metric("slackwater_informer_objects", &[("kind", kind)]))
    };
    assert_eq!(kept(), [1.0, 1.0]);
    // One that wants something may be ours: its volume may come later.
    world.ask_of("c-7", "20Gi");
    seconds(5).await;
    assert_eq!(kept(), [2.0, 1.0]);
    world.change_status(
        CLAIMS,
        "default",
        "c-7",
        &json!({"capacity": {"storage": "20Gi"}}),
    );
    seconds(5).await;
    assert_eq!(kept(), [1.0, 1.0]);
    assert!(world.requests().is_empty() && world.events().is_empty());
    // New ones, and ours at rest.
    let mut late = volume();
    late["metadata"]["name"] = json!("w");
    world.bind("d", late);
    seconds(5).await;
    world.ask_of("d", "20Gi");
    seconds(5).await;
    assert_eq!((kept(), world.driver.asked()), ([2.0, 2.0], vec![20]));
}

#[tokio::test(start_paused = true)]
async fn resize_case_107_after_a_gap_in_the_watches_only_what_needs_it_is_called() {
    let world = World::new();
    for number in 0..20 {
        let mut volume = volume();
        volume["metadata"]["name"] = json!(format!("v-{number}"));
        world.bind(&format!("c-{number}"), volume);
    }
    let gap = Gap::default();
    let _process = world.start_with(Faults::new(gap.clone()));
    seconds(30).await;
    gap.begin();
    seconds(60).await;
    world.ask_of("c-7", "20Gi");
    world.api.forget_history();
    seconds(60).await;
    assert!(world.driver.asked().is_empty());
    // What they missed is gone: the watches are answered 410.
    gap.end();
    seconds(60).await;
    assert_eq!(world.driver.asked(), [20]);
    assert_eq!(world.requests(), [MARK, VOLUME, MARK]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_62_and_108_a_thousand_claims_are_a_thousand_calls_ten_at_a_time() {
    let world = World::new();
    world.driver.state().takes = Duration::from_secs(1);
    for number in 0..1000 {
        let mut volume = volume();
        volume["metadata"]["name"] = json!(format!("v-{number}"));
        world.bind(&format!("c-{number}"), volume);
    }
    let _process = world.start();
    for number in 0..1000 {
        world.ask_of(&format!("c-{number}"), "20Gi");
    }
    seconds(200).await;
    assert_eq!(world.driver.asked().len(), 1000);
    assert_eq!(world.driver.state().most_running, 10);
    assert_eq!(world.driver.count("ControllerGetCapabilities"), 1);
    assert_eq!(world.requests().len(), 3000);
    assert!(
        world
            .requests()
            .iter()
            .all(|request| request == MARK || request == VOLUME)
    );
}
