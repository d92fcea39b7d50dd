//! Groups of snapshots.

use std::time::Duration;

use controller::testing::resources::{CLASSES, GROUP_CLASSES, GROUPS};
use controller::testing::{Answer, seconds};
use serde_json::json;
use tonic::Status;

use crate::build::{self, FRESH};
use crate::group_world::GroupWorld;
use crate::groups::{SECRET_NAME, SECRET_NAMESPACE, by_hand, class, dynamic, static_, texts};

/// A write of metadata: the mark, or the finalizer.
pub const MARK: &str = "patch volumegroupsnapshotcontents 200";
pub const STATUS: &str = "patch volumegroupsnapshotcontents/status 200";

#[tokio::test(start_paused = true)]
async fn snapshot_case_130_a_group_ready_at_once_costs_three_requests_and_one_call() {
    let world = GroupWorld::new();
    let process = world.start();
    seconds(5).await;
    let many: Vec<String> = (0..20).map(|number| format!("vol-{number}")).collect();
    let volumes = Some(many.clone());
    world.create(&dynamic().change(|content| content.spec.source.volume_handles = volumes));
    seconds(5).await;
    assert_eq!(world.requests(), [MARK, STATUS, MARK]);
    let status = world.status();
    assert_eq!(status.volume_group_snapshot_handle.as_deref(), Some("group-1"));
    assert_eq!(status.ready_to_use, Some(true));
    let created = status.creation_time.unwrap().0;
    assert_eq!(created.as_second(), 100);
    let members = status.volume_snapshot_info_list.unwrap();
    let told: Vec<String> = members
        .iter()
        .filter_map(|member| member.volume_handle.clone())
        .collect();
    assert_eq!(told, many);
    assert!(members.iter().all(|member| member.restore_size == Some(5 << 30)));
    assert!(!world.is_marked());
    let annotations = world.content().unwrap().metadata.annotations.unwrap_or_default();
    assert!(!annotations.contains_key(FRESH));
    assert!(world.events().is_empty(), "the events are the controller's");
    let asked = world.driver.state().groups.created.clone();
    assert_eq!(
        (asked.len(), asked[0].name.starts_with("groupsnapshot-")),
        (1, true)
    );
    assert_eq!(asked[0].source_volume_ids, many);
    assert_eq!(world.driver.count("CreateSnapshot"), 0);

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
async fn snapshot_case_131_polls_write_nothing_and_writes_are_no_polls() {
    for writes in [false, true] {
        let world = GroupWorld::new();
        world.driver.state().ready_after = Duration::from_secs(150);
        let _process = world.start();
        world.create(&dynamic());
        for number in 0..130 {
            if writes {
                let policy = if number % 2 == 0 { "Retain" } else { "Delete" };
                world.patch(&json!({
                    "metadata": {"labels": {"n": number.to_string()}},
                    "spec": {"deletionPolicy": policy}}));
            }
            seconds(1).await;
        }
        assert_eq!(world.requests(), [MARK, STATUS, MARK]);
        seconds(40).await;
        assert!(world.is_ready());
        assert_eq!(
            world.requests(),
            [MARK, STATUS, MARK, STATUS],
            "one more for ready"
        );
        let calls = world.driver.times("CreateVolumeGroupSnapshot");
        let gaps: Vec<u64> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps[..8], [1, 1, 2, 4, 5, 5, 5, 5]);
        let members = world.status().volume_snapshot_info_list.unwrap();
        assert!(members.iter().all(|member| member.ready_to_use == Some(true)));
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_132_a_failing_group_backs_off_and_an_unclear_one_is_made_once() {
    let world = GroupWorld::new();
    let refuse = |number: u32| {
        Some(Answer::Refuse(Status::internal(format!(
            "request id: 000000000{number}"
        ))))
    };
    world.driver.state().groups.create = (0..10).map(refuse).collect();
    let _process = world.start();
    world.create(&dynamic());
    seconds(60).await;
    let calls = world.driver.times("CreateVolumeGroupSnapshot");
    assert!(calls.len() <= 7, "no storm: {calls:?}");
    assert!(!world.is_marked());
    let statuses = world
        .requests()
        .iter()
        .filter(|request| request.contains("/status"))
        .count();
    assert_eq!(
        (statuses, world.reasons()),
        (1, texts(&["GroupSnapshotCreationFailed"]))
    );
    seconds(1000).await;
    assert!(world.is_ready() && world.error().is_none());

    let world = GroupWorld::new();
    let late = Answer::TakeAndFail(Status::deadline_exceeded("late"));
    world.driver.state().groups.create = [Some(late)].into();
    let _process = world.start();
    world.create(&dynamic());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(world.is_marked(), "the call may be running");
    seconds(10).await;
    assert!(world.is_ready() && !world.is_marked());
    assert_eq!(world.driver.state().groups.held.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_133_another_group_deletes_nothing() {
    let world = GroupWorld::new();
    world.driver.state().ready_after = Duration::from_secs(3);
    world.driver.state().groups.create = [None, Some(Answer::Other("group-2".into()))].into();
    let _process = world.start();
    world.create(&dynamic());
    seconds(2).await;
    assert!(!world.is_ready());
    seconds(30).await;
    assert_eq!(world.driver.count("DeleteVolumeGroupSnapshot"), 0);
    assert_eq!(
        world.status().volume_group_snapshot_handle.as_deref(),
        Some("group-1")
    );
    assert!(world.is_ready() && world.error().is_none());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_133_a_part_of_a_group_is_never_ready() {
    let world = GroupWorld::new();
    world.driver.state().groups.lacks = 1;
    let _process = world.start();
    world.create(&dynamic());
    seconds(60).await;
    assert!(!world.is_ready() && !world.is_marked());
    assert!(world.error().unwrap().contains("1 snapshots for the 2 volumes"));
    let calls = world.driver.count("CreateVolumeGroupSnapshot");
    assert!(calls <= 8, "no storm: {calls}");
    world.delete();
    seconds(5).await;
    assert!(world.content().is_none() && world.driver.state().groups.held.is_empty());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_172_a_group_that_was_answered_in_part_is_ready_once_it_is_whole() {
    let world = GroupWorld::new();
    world.driver.state().groups.lacks = 1;
    let _process = world.start();
    world.create(&dynamic());
    seconds(20).await;
    assert!(!world.is_ready() && world.error().is_some());
    world.driver.state().groups.lacks = 0;
    seconds(60).await;
    assert!(world.is_ready() && world.error().is_none(), "{:?}", world.error());
    let members = world.status().volume_snapshot_info_list.unwrap_or_default();
    assert_eq!(members.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_134_an_import_costs_one_request() {
    let world = GroupWorld::new();
    world
        .driver
        .state()
        .add_group("group-x", &texts(&["vol-1", "vol-2"]));
    let _process = world.start();
    world.create(&static_());
    seconds(5).await;
    assert_eq!(world.requests(), [STATUS]);
    let status = world.status();
    assert_eq!(status.volume_group_snapshot_handle.as_deref(), Some("group-x"));
    assert_eq!(
        (status.ready_to_use, status.volume_snapshot_info_list),
        (Some(true), None)
    );
    let asked = world.driver.state().groups.got.clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].snapshot_ids, ["snap-x", "snap-y"]);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_135_a_deletion_costs_one_request_and_one_call() {
    let world = GroupWorld::new();
    let refused = || Some(Status::internal("no"));
    world.driver.state().groups.delete = [refused(), refused()].into();
    let _process = world.start();
    world.create(&dynamic());
    seconds(5).await;
    let before = world.requests().len();
    world.delete();
    seconds(10).await;
    assert!(world.content().is_none());
    assert_eq!(world.requests()[before..], [MARK]);
    assert_eq!(world.driver.count("DeleteVolumeGroupSnapshot"), 3);
    assert_eq!(world.reasons(), ["GroupSnapshotDeleteError"]);
    assert_eq!(world.driver.count("DeleteSnapshot"), 0);
    assert!(world.driver.state().snapshots.is_empty());
}

/// An older sidecar wrote a status without the list of members.
#[tokio::test(start_paused = true)]
async fn snapshot_case_135_the_members_contents_tell_what_the_group_does_not() {
    let world = GroupWorld::new();
    let member = build::dynamic()
        .annotated(build::GROUP, "group-1")
        .ready("snap-7")
        .group_handle("group-1");
    world.create_content(&member);
    let unnamed = dynamic()
        .ready()
        .status(|status| status.volume_snapshot_info_list = None);
    world.create(&unnamed);
    let _process = world.start();
    seconds(5).await;
    world.delete();
    seconds(5).await;
    assert!(world.content().is_none());
    let deleted = world.driver.state().groups.deleted.clone();
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0].snapshot_ids, ["snap-7"]);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_136_where_groups_are_off_nobody_asks_for_them() {
    let mut world = GroupWorld::new();
    world.flags = "--feature-gates=CSIVolumeGroupSnapshot=false".into();
    let _process = world.start();
    world.create(&dynamic());
    world.create_content(&build::dynamic());
    seconds(1000).await;
    assert!(!world.asked_for_groups());
    assert_eq!(world.driver.count("CreateVolumeGroupSnapshot"), 0);
    assert!(world.status().error.is_none());
    assert_eq!(world.driver.count("CreateSnapshot"), 1, "snapshots are as ever");
    assert_eq!(world.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_14_and_15_definitions_of_groups_may_come_later_or_never() {
    let world = GroupWorld::without_definitions();
    let process = world.start();
    world.create_content(&build::dynamic());
    seconds(5).await;
    assert_eq!(world.driver.count("CreateSnapshot"), 1, "nothing waits for them");
    assert_eq!(
        world.looks("volumegroupsnapshotcontents"),
        1,
        "404 is the last word for now"
    );
    seconds(3600).await;
    let looks = (
        world.looks("volumegroupsnapshotcontents"),
        world.looks("volumegroupsnapshotclasses"),
    );
    assert_eq!(looks, (31, 0), "one request in two minutes");
    world.define_groups();
    world.create_group_class(&class(&[]));
    world.create(&dynamic());
    seconds(121).await;
    assert!(world.is_ready(), "without a restart");
    assert!(process.stop().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_139_secrets_reach_the_driver_and_nothing_else() {
    let world = GroupWorld::new();
    world.create_secret(&json!({"password": "hunter2"}));
    world.driver.state().groups.create =
        [Some(Answer::Refuse(Status::internal("bad password hunter2")))].into();
    let _process = world.start();
    let content = dynamic()
        .annotated(SECRET_NAME, "sec")
        .annotated(SECRET_NAMESPACE, "default");
    world.create(&content);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let error = world.error().unwrap();
    assert!(error.contains("bad password ***stripped***"), "{error}");
    seconds(10).await;
    assert_eq!(
        world.driver.state().groups.created.last().unwrap().secrets["password"],
        "hunter2"
    );
    world.person.delete(GROUP_CLASSES, "", "k", None).unwrap();
    world.person.delete(CLASSES, "", "k", None).unwrap();
    world.delete();
    seconds(5).await;
    assert_eq!(
        world.driver.state().groups.deleted.last().unwrap().secrets["password"],
        "hunter2"
    );
    assert!(world.content().is_none());
    assert!(!format!("{:?}", world.events()).contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_34_a_class_that_comes_later_wakes_its_groups() {
    let world = GroupWorld::new();
    world.person.delete(GROUP_CLASSES, "", "k", None).unwrap();
    let _process = world.start();
    world.create(&dynamic());
    seconds(200).await;
    assert!(world.error().unwrap().contains("group snapshot class k"));
    assert!(!world.is_marked());
    world.create_group_class(&class(&[]));
    seconds(2).await;
    assert!(world.is_ready());
}

/// A backup tool puts an exported content back. Somebody may ask for it: that is read once, where the role shows it.
#[tokio::test(start_paused = true)]
async fn snapshot_case_110_a_content_that_is_put_back_is_made_only_for_who_asks() {
    let world = GroupWorld::new();
    let _process = world.start();
    world.create(&by_hand());
    seconds(60).await;
    assert!(
        world
            .error()
            .unwrap()
            .contains("no VolumeGroupSnapshot stands behind")
    );
    assert_eq!(world.driver.count("CreateVolumeGroupSnapshot"), 0);
    world.delete();
    seconds(5).await;
    assert!(world.content().is_none());

    let world = GroupWorld::new();
    let asker = json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
        "metadata": {"name": "g", "namespace": "default"}, "spec": {"source": {"selector": {"matchLabels": {"a": "b"}}}},
    });
    let asker = world.store(GROUPS, &asker);
    world.change_status(
        GROUPS,
        "default",
        "g",
        &json!({"boundVolumeGroupSnapshotContentName": "groupsnapcontent-u"}),
    );
    let uid = asker["metadata"]["uid"].as_str().unwrap().to_owned();
    let bound = by_hand().change(|content| {
        let reference = &mut content.spec.volume_group_snapshot_ref;
        (reference.namespace, reference.uid) = (Some("default".into()), Some(uid));
    });
    let _process = world.start();
    world.create(&bound);
    seconds(5).await;
    assert!(world.is_ready());
    let reads = world
        .requests()
        .into_iter()
        .filter(|request| request.starts_with("get "));
    assert_eq!(reads.collect::<Vec<_>>(), ["get volumegroupsnapshots 200"]);
}
