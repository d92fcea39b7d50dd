//! Snapshots that are taken.

use std::time::Duration;

use controller::testing::{Answer, seconds};
use serde_json::json;
use tonic::Status;

use super::{MARK, STATUS};
use crate::build::{SECRET_NAME, SECRET_NAMESPACE, by_hand, class, dynamic};
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn snapshot_case_20_a_snapshot_ready_at_once_costs_three_requests() {
    let world = World::new();
    let process = world.start();
    seconds(5).await;
    world.create(&dynamic());
    seconds(5).await;
    assert_eq!(world.requests(), [MARK, STATUS, MARK]);
    let status = world.status();
    assert_eq!(status.snapshot_handle.as_deref(), Some("snap-1"));
    assert_eq!(
        (status.ready_to_use, status.restore_size),
        (Some(true), Some(5 << 30))
    );
    assert_eq!(status.creation_time, Some(100_000_000_000));
    assert!(!world.is_marked());
    assert!(world.events().is_empty(), "the events are the controller's");
    assert_eq!(world.driver.count("CreateSnapshot"), 1);
    let metrics = prometheus::TextEncoder::new()
        .encode_to_string(&process.registry.gather())
        .unwrap();
    let expected = "csi_sidecar_operations_seconds_count{driver_name=\"d.example.com\",grpc_status_code=\"OK\",\
                    method_name=\"/csi.v1.Controller/CreateSnapshot\"} 1";
    assert!(metrics.contains(expected), "{metrics}");

    seconds(3600).await;
    assert_eq!(
        world.requests().len(),
        3,
        "a resync of a healthy content costs nothing"
    );
    assert!(process.stop().await.unwrap().is_ok());
    let _process = world.start();
    seconds(60).await;
    assert_eq!(world.requests().len(), 3, "nor does a restart");
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_26_polls_write_nothing_until_ready() {
    let world = World::new();
    world.driver.state().ready_after = Duration::from_secs(150);
    let _process = world.start();
    world.create(&dynamic());
    seconds(140).await;
    assert_eq!(world.requests(), [MARK, STATUS, MARK]);
    let first = world.status();
    assert!(
        first.creation_time.is_some() && first.ready_to_use == Some(false),
        "bound before ready"
    );
    seconds(100).await;
    assert_eq!(
        world.requests(),
        [MARK, STATUS, MARK, STATUS],
        "one more for ready"
    );
    let calls = world.driver.times("CreateSnapshot");
    let gaps: Vec<u64> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps[..8], [1, 1, 2, 4, 5, 5, 5, 5]);
    assert!(gaps.iter().all(|gap| *gap <= 15), "{gaps:?}");
    assert_eq!(world.driver.count("ListSnapshots"), 0);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_27_another_id_is_told_and_deletes_nothing() {
    let world = World::new();
    world.driver.state().ready_after = Duration::from_secs(3);
    world.driver.state().create = [None, Some(Answer::Other("snap-2".into()))].into();
    let _process = world.start();
    world.create(&dynamic());
    seconds(30).await;
    assert_eq!(world.driver.count("DeleteSnapshot"), 0);
    let status = world.status();
    assert_eq!(
        (status.snapshot_handle.as_deref(), status.ready_to_use),
        (Some("snap-1"), Some(true))
    );
    assert!(status.error.is_none());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_25_and_29_an_unclear_outcome_gives_one_snapshot() {
    for answer in [
        Answer::TakeAndFail(Status::deadline_exceeded("late")),
        Answer::Empty,
    ] {
        let world = World::new();
        world.driver.state().create = [Some(answer)].into();
        let process = world.start();
        world.create(&dynamic());
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(world.is_marked(), "the call may be running");
        assert!(world.error().is_some());
        seconds(10).await;
        assert!(!world.is_marked());
        assert_eq!(world.status().ready_to_use, Some(true));
        assert!(world.error().is_none());
        assert_eq!(world.driver.state().snapshots.len(), 1);
        assert!(process.failure().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_30_and_31_final_errors_back_off_and_are_cleared() {
    let world = World::new();
    let refuse = || Some(Answer::Refuse(Status::invalid_argument("bad")));
    world.driver.state().create = std::iter::repeat_with(refuse).take(4).collect();
    let _process = world.start();
    world.create(&dynamic());
    seconds(9).await;
    assert!(!world.is_marked());
    assert_eq!(
        world.error().as_deref(),
        Some(
            "Failed to create snapshot: failed to take snapshot of the volume vol: \
             \"rpc error: code = InvalidArgument desc = bad\""
        )
    );
    assert_eq!(world.reasons(), ["SnapshotCreationFailed"]);
    seconds(10).await;
    assert_eq!(world.status().ready_to_use, Some(true));
    assert!(world.error().is_none());
    let calls = world.driver.times("CreateSnapshot");
    assert_eq!(calls.len(), 5);
    assert!(calls[1] - calls[0] <= 2 && calls[4] - calls[3] >= 8, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_32_ten_failures_with_request_ids_are_one_status_and_one_event() {
    let world = World::new();
    let refusals = (0..10).map(|number| {
        let id = format!("request id: 7a62c49f-347e-4fc4-9331-6e8e0000000{number}");
        Some(Answer::Refuse(Status::internal(id)))
    });
    world.driver.state().create = refusals.collect();
    let _process = world.start();
    world.create(&dynamic());
    seconds(1000).await;
    assert!(world.driver.count("CreateSnapshot") >= 10);
    let statuses = world
        .requests()
        .iter()
        .filter(|request| request.contains("/status"))
        .count();
    assert!(
        statuses <= 2,
        "one for the error, one for the good answer: {statuses}"
    );
    assert_eq!(world.events().len(), 1, "{:?}", world.events());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_34_a_class_that_comes_later_wakes_its_contents() {
    let world = World::new();
    world.delete_class();
    let _process = world.start();
    world.create(&dynamic());
    seconds(200).await;
    assert!(world.error().unwrap().contains("snapshot class k"));
    assert!(!world.is_marked());
    world.create_class(&class(&[]));
    seconds(2).await;
    assert_eq!(world.status().ready_to_use, Some(true));
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_44_secrets_reach_the_driver_and_nothing_else() {
    let world = World::new();
    world.create_secret(&json!({"password": "hunter2"}));
    world.driver.state().create = [Some(Answer::Refuse(Status::internal("bad password hunter2")))].into();
    let _process = world.start();
    let content = dynamic()
        .annotated(SECRET_NAME, "sec")
        .annotated(SECRET_NAMESPACE, "default");
    world.create(&content);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let error = world.error().unwrap();
    assert!(error.contains("bad password ***stripped***"), "{error}");
    seconds(10).await;
    let secrets = world.driver.state().created.last().unwrap().secrets.clone();
    assert_eq!(secrets["password"], "hunter2");
    world.delete_class();
    world.delete();
    seconds(5).await;
    assert_eq!(
        world.driver.state().deleted.last().unwrap().secrets["password"],
        "hunter2"
    );
    assert!(world.content().is_none());
    assert!(!format!("{:?}", world.events()).contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_45_a_reserved_parameter_can_be_deleted() {
    let world = World::new();
    world.delete_class();
    world.create_class(&class(&[("csi.storage.k8s.io/foo", "x")]));
    let _process = world.start();
    world.create(&dynamic());
    seconds(10).await;
    assert!(world.error().unwrap().contains("csi.storage.k8s.io/foo"));
    assert!(!world.is_marked());
    world.delete();
    seconds(2).await;
    assert!(world.content().is_none());
    assert_eq!(
        world.driver.count("CreateSnapshot") + world.driver.count("DeleteSnapshot"),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_55_and_56_deleted_while_create_is_unclear() {
    for (answer, deletes) in [(None, 1), (Some(Answer::Refuse(Status::internal("no"))), 0)] {
        let world = World::new();
        world.driver.state().ready_after = Duration::from_secs(600);
        let late = Answer::Refuse(Status::deadline_exceeded("late"));
        world.driver.state().create = [Some(late), answer].into();
        let _process = world.start();
        world.create(&dynamic());
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.delete();
        seconds(10).await;
        assert!(world.content().is_none());
        assert_eq!(world.driver.count("DeleteSnapshot"), deletes);
        assert!(world.driver.state().snapshots.is_empty(), "no leak");
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_57_deleted_while_unclear_with_class_and_secret_gone() {
    let world = World::new();
    let content = dynamic()
        .annotated(SECRET_NAME, "sec")
        .annotated(SECRET_NAMESPACE, "default")
        .marked();
    world.delete_class();
    world.create(&content);
    world.delete();
    let _process = world.start();
    seconds(10).await;
    assert!(world.content().is_none());
    assert_eq!(
        (
            world.driver.count("CreateSnapshot"),
            world.driver.count("DeleteSnapshot")
        ),
        (1, 1)
    );
    assert!(world.driver.state().snapshots.is_empty());
    let told = format!("{:?}", world.events());
    assert!(told.contains("snapshot class k"), "{told}");
}

/// An administrator labels the content, a controller annotates it, somebody flips its policy: none of them asks the driver.
#[tokio::test(start_paused = true)]
async fn snapshot_case_114_foreign_writes_on_a_pending_content_do_not_delay_its_readiness() {
    for writes in [false, true] {
        let world = World::new();
        world.driver.state().ready_after = Duration::from_secs(12);
        let _process = world.start();
        world.create(&dynamic());
        seconds(2).await;
        for number in 0..7 {
            if writes {
                let policy = if number % 2 == 0 { "Retain" } else { "Delete" };
                world.patch(&json!({
                    "metadata": {"labels": {"n": number.to_string()}, "annotations": {"by": number.to_string()}},
                    "spec": {"deletionPolicy": policy}}));
            }
            seconds(1).await;
        }
        let begun = world.driver.count("CreateSnapshot");
        assert_eq!(begun, 5, "the cut, and polls after 1, 1, 2 and 4 s");
        seconds(8).await;
        assert!(world.is_ready(), "17 s after the cut, 5 s after it was ready");
        assert_eq!(world.driver.count("CreateSnapshot"), 6);
    }
}

/// A backup tool puts an exported content back whose VolumeSnapshot has a new UID.
#[tokio::test(start_paused = true)]
async fn snapshot_case_110_a_content_that_is_put_back_makes_no_snapshot() {
    let world = World::new();
    let _process = world.start();
    world.create(&by_hand());
    seconds(60).await;
    assert!(world.error().unwrap().contains("no VolumeSnapshot stands behind"));
    assert_eq!(world.driver.count("CreateSnapshot"), 0);
    assert!(!world.is_marked());
    world.delete();
    seconds(5).await;
    assert!(world.content().is_none());
}
