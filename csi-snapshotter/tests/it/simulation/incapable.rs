//! Groups of a driver that takes none.

use controller::testing::resources::EVENTS;
use controller::testing::seconds;
use sandbox::faults::{At, Fault, Faults};
use serde_json::Value;

use super::groups::{MARK, STATUS};
use crate::build;
use crate::group_world::{CONTENT, GroupWorld};
use crate::groups::{Group, dynamic};

const MESSAGE: &str = "the CSI driver d.example.com takes no group snapshots: it lacks the capability \
                       CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT; take a VolumeSnapshot of each claim instead";

/// A cluster with the group kinds, whose driver takes no groups.
fn without_groups() -> GroupWorld {
    let world = GroupWorld::new();
    world.driver.state().groups.are_served = false;
    world
}

/// The content of a group in a namespace that is there.
fn waiting() -> Group {
    dynamic().change(|content| content.spec.volume_group_snapshot_ref.namespace = Some("default".into()))
}

/// Calls of the driver about groups, but for the question whether it takes any.
fn group_calls(world: &GroupWorld) -> usize {
    let calls = [
        "CreateVolumeGroupSnapshot",
        "GetVolumeGroupSnapshot",
        "DeleteVolumeGroupSnapshot",
    ];
    calls.into_iter().map(|call| world.driver.count(call)).sum()
}

/// Namespace, kind and name of what each event is about, its UID, and how often it was told.
fn told(world: &GroupWorld) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let shown = |event: &Value| {
        assert_eq!(
            (
                &event["reason"],
                &event["type"],
                &event["message"],
                &event["count"]
            ),
            (
                &"GroupSnapshotNotSupported".into(),
                &"Warning".into(),
                &MESSAGE.into(),
                &1.into()
            )
        );
        let about = &event["involvedObject"];
        assert_eq!(event["source"]["component"], "csi-snapshotter d.example.com");
        assert_eq!(about["apiVersion"], "groupsnapshot.storage.k8s.io/v1");
        let name = format!("{} {}", text(&about["kind"]), text(&about["name"]));
        (text(&event["metadata"]["namespace"]), name, text(&about["uid"]))
    };
    let mut told: Vec<_> = world.list(EVENTS).iter().map(shown).collect();
    told.sort();
    told
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_162_who_waits_is_told_once_by_one_write_and_two_events() {
    let world = without_groups();
    let process = world.start();
    world.create(&waiting());
    seconds(2).await;
    assert_eq!(world.requests(), [STATUS]);
    // The question whether they are served, and the watch.
    assert_eq!(world.looks("volumegroupsnapshotcontents"), 2);
    let status = world.status();
    assert_eq!(world.error().as_deref(), Some(MESSAGE));
    assert_eq!(
        (status.ready_to_use, status.volume_group_snapshot_handle),
        (Some(false), None)
    );
    let uid = world.content().unwrap().metadata.uid.unwrap();
    let both = [
        (
            "default".to_owned(),
            "VolumeGroupSnapshot g".to_owned(),
            "u".to_owned(),
        ),
        (
            "default".to_owned(),
            format!("VolumeGroupSnapshotContent {CONTENT}"),
            uid,
        ),
    ];
    assert_eq!(told(&world), both);

    seconds(3600).await;
    assert!(process.stop().await.unwrap().is_ok());
    let _process = world.start();
    seconds(3600).await;
    assert_eq!(
        world.requests(),
        [STATUS],
        "neither a resync nor a restart tells it again"
    );
    assert_eq!(told(&world), both);
    assert_eq!(group_calls(&world), 0);
    assert_eq!(
        world.driver.count("GroupControllerGetCapabilities"),
        2,
        "one a process"
    );
    assert_eq!(world.looks("volumegroupsnapshotclasses"), 0, "no class is needed");
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_162_snapshots_are_taken_all_the_same() {
    let world = without_groups();
    let _process = world.start();
    world.create(&waiting());
    world.create_content(&build::dynamic());
    seconds(1000).await;
    assert_eq!(world.driver.count("CreateSnapshot"), 1);
    assert_eq!((world.requests().len(), group_calls(&world)), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_162_in_a_cluster_without_the_kinds_one_is_asked_for_every_two_minutes() {
    let world = GroupWorld::without_definitions();
    world.driver.state().groups.are_served = false;
    let _process = world.start();
    seconds(3605).await;
    let looks = (
        world.looks("volumegroupsnapshotcontents"),
        world.looks("volumegroupsnapshotclasses"),
    );
    assert_eq!(looks, (31, 0));
    world.define_groups();
    world.create(&waiting());
    seconds(121).await;
    assert_eq!(world.error().as_deref(), Some(MESSAGE), "without a restart");
}

/// Told, then deleted; the call with this number meets the fault. A dead process is started anew. Answers how many calls were
/// made.
async fn walk(number: u64, fault: &Fault) -> u64 {
    let world = without_groups();
    let at = format!("{fault:?} at call {number}");
    let fault = fault.clone();
    let mut process = world.start_with(Faults::new(At { number, fault }));
    let faults = process.faults.clone();
    seconds(5).await;
    world.create(&waiting());
    seconds(20).await;
    if faults.has_crashed() {
        process.kill().await;
        process = world.start();
        seconds(20).await;
    }
    assert_eq!(world.error().as_deref(), Some(MESSAGE), "{at}");
    let written = world.requests().into_iter().filter(|request| request == STATUS);
    assert_eq!(written.count(), 1, "{at}");
    let crashed_before = faults.has_crashed();
    world.delete();
    seconds(20).await;
    if faults.has_crashed() && !crashed_before {
        process.kill().await;
        process = world.start();
        seconds(20).await;
    }
    assert!(world.content().is_none(), "{at}");
    assert_eq!(group_calls(&world), 0, "{at}");
    assert!(process.failure().is_none(), "{at}");
    faults.calls().len() as u64
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_162_and_163_the_crash_walk_tells_once_and_lets_go() {
    let calls = walk(u64::MAX, &Fault::None).await;
    // 4 questions to the driver, 3 for the definitions, 3 watches; a write and two events; a write.
    assert_eq!(calls, 14);
    for fault in Fault::OF_A_WALK {
        for number in 1..=calls {
            walk(number, &fault).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_163_a_driver_that_learns_groups_takes_what_waited() {
    let world = without_groups();
    let process = world.start();
    world.create(&waiting());
    seconds(60).await;
    assert!(process.stop().await.unwrap().is_ok());
    world.driver.state().groups.are_served = true;
    let _process = world.start();
    seconds(5).await;
    assert!(world.is_ready() && world.error().is_none() && !world.is_marked());
    assert_eq!(world.requests(), [STATUS, MARK, STATUS, MARK]);
    assert_eq!(world.driver.count("CreateVolumeGroupSnapshot"), 1);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_163_a_deletion_of_what_was_never_taken_costs_one_request() {
    let world = without_groups();
    let _process = world.start();
    world.create(&waiting());
    seconds(60).await;
    world.delete();
    seconds(2).await;
    assert!(world.content().is_none());
    assert_eq!(
        (world.requests(), group_calls(&world)),
        (vec![STATUS.to_owned(), MARK.to_owned()], 0)
    );
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_163_a_group_that_was_taken_before_is_kept_until_it_can_be_deleted() {
    let world = GroupWorld::new();
    let process = world.start();
    world.create(&waiting());
    seconds(5).await;
    assert!(world.is_ready());
    assert!(process.stop().await.unwrap().is_ok());
    world.driver.state().groups.are_served = false;
    let process = world.start();
    seconds(5).await;
    let before = world.requests().len();
    world.delete();
    seconds(600).await;
    assert!(world.content().is_some(), "it would be left behind");
    assert_eq!(world.requests().len(), before);
    assert_eq!(world.reasons(), ["GroupSnapshotDeleteError"]);
    process.kill().await;
    world.driver.state().groups.are_served = true;
    let _process = world.start();
    seconds(5).await;
    assert!(world.content().is_none() && world.driver.state().groups.held.is_empty());
    assert_eq!(world.driver.count("DeleteVolumeGroupSnapshot"), 1);
}
