use std::time::Duration;

use csi::v1::{DeleteSnapshotRequest, ListSnapshotsRequest, ListSnapshotsResponse};
use ebs_driver::Config;
use sandbox::ec2::{Ec2Error, Ec2Options, Fault, When};
use tonic::{Code, Status};

use crate::world::{GIB, World, code, snapshot};

fn source(world: &World) -> String {
    world.ec2.create_volume_fixture("us-east-1a", 2, &[]).unwrap()
}

/// EC2's search and lists show snapshots and their tags late.
fn late() -> Ec2Options {
    let mut options = Ec2Options::instant();
    options.lag.snapshot = Duration::from_millis(4500);
    options.lag.tag = Duration::from_millis(4500);
    options
}

/// Snapshots take some twenty seconds; the driver has been there for a while.
async fn slow() -> (World, String) {
    let mut options = Ec2Options::default();
    options.timing.snapshot = Duration::from_secs(20);
    let world = World::with(options, Config::default());
    let id = source(&world);
    world.settle().await;
    (world, id)
}

async fn list(world: &World, request: ListSnapshotsRequest) -> Result<ListSnapshotsResponse, Status> {
    let answer = world.channel.controller().list_snapshots(request).await?;
    Ok(answer.into_inner())
}

async fn delete(world: &World, id: &str) -> Result<(), Status> {
    let request = DeleteSnapshotRequest {
        snapshot_id: id.into(),
        ..DeleteSnapshotRequest::default()
    };
    world
        .channel
        .controller()
        .delete_snapshot(request)
        .await
        .map(drop)
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_ready_at_once_takes_one_lookup_and_one_creation() {
    let world = World::settled().await;
    let id = source(&world);
    let made = world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap();
    assert!(made.ready_to_use);
    assert_eq!(made.size_bytes, 2 * GIB);
    assert_eq!(made.source_volume_id, id);
    assert!(made.creation_time.is_some());
    assert_eq!(world.actions_since(0), ["DescribeSnapshots", "CreateSnapshot"]);
    assert_eq!(
        world.sent("CreateSnapshot", "Description").unwrap(),
        format!("Created by AWS EBS CSI driver for volume {id}")
    );
}

#[tokio::test(start_paused = true)]
async fn ebs_case_65_bad_parameters_are_refused_before_a_creation() {
    let world = World::settled().await;
    let id = source(&world);
    for parameter in [
        ("outpostArn", "abc"),
        ("lockDuration", "week"),
        ("lockExpirationDate", "2030-01-01"),
        ("fastSnapshotRestoreAvailabilityZones", "mars-1a"),
        ("colour", "red"),
    ] {
        let answer = world
            .create_snapshot(snapshot("snapshot-1", &id, &[parameter]))
            .await;
        assert_eq!(code(answer), Code::InvalidArgument, "{parameter:?}");
    }
    for parameters in [
        &[("lockMode", "governance")][..],
        &[("lockMode", "nonsense"), ("lockDuration", "1")],
        &[("lockDuration", "-1"), ("lockMode", "governance")],
        &[("lockDuration", "1")],
        &[("fastSnapshotRestoreAvailabilityZones", "")],
    ] {
        let answer = world
            .create_snapshot(snapshot("snapshot-1", &id, parameters))
            .await;
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{parameters:?}");
        assert!(
            status.message().contains(parameters[0].0),
            "{status:?} names the key"
        );
    }
    for (name, volume) in [
        ("", id.as_str()),
        ("snapshot-1", ""),
        ("snapshot-1", "local-ebs://dev/xvdbz"),
    ] {
        assert_eq!(
            code(world.create_snapshot(snapshot(name, volume, &[])).await),
            Code::InvalidArgument
        );
    }
    assert_eq!(world.ec2.count("CreateSnapshot"), 0);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_66_a_pending_snapshot_of_the_name_is_answered() {
    let (world, id) = slow().await;
    let first = world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap();
    let world = world.restarted();
    let second = world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap();
    assert_eq!(second.snapshot_id, first.snapshot_id);
    assert!(!second.ready_to_use);
    assert_eq!(world.ec2.count("CreateSnapshot"), 1);
    let other = world
        .create_snapshot(snapshot("snapshot-1", "vol-0123456789abcdef0", &[]))
        .await;
    assert_eq!(code(other), Code::AlreadyExists);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_67_a_lock_that_the_dead_process_owed_is_set() {
    let world = World::settled().await;
    let id = source(&world);
    let lock = [("lockMode", "governance"), ("lockDuration", "1")];
    world.ec2.inject("LockSnapshot", When::Next, Fault::Timeout);
    let cut = world.create_snapshot(snapshot("snapshot-1", &id, &lock));
    assert!(tokio::time::timeout(Duration::from_secs(1), cut).await.is_err());
    let world = world.restarted();
    let made = world
        .create_snapshot(snapshot("snapshot-1", &id, &lock))
        .await
        .unwrap();
    assert_eq!(world.ec2.count("CreateSnapshot"), 1);
    let state = world.ec2.state();
    assert!(state.snapshots[&made.snapshot_id].lock.is_some());
    world
        .create_snapshot(snapshot("snapshot-1", &id, &lock))
        .await
        .unwrap();
    assert_eq!(world.ec2.count("LockSnapshot"), 2, "once a process");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_locked_is_deleted_again() {
    let world = World::settled().await;
    let id = source(&world);
    let lock = [("lockMode", "governance"), ("lockDuration", "1")];
    world.ec2.inject(
        "LockSnapshot",
        When::Always,
        Fault::error("UnauthorizedOperation"),
    );
    let answer = world.create_snapshot(snapshot("snapshot-1", &id, &lock)).await;
    assert_eq!(code(answer), Code::Internal);
    assert_eq!(world.ec2.count("DeleteSnapshot"), 1);
    world.ec2.inject(
        "DeleteSnapshot",
        When::Always,
        Fault::error("UnauthorizedOperation"),
    );
    let answer = world.create_snapshot(snapshot("snapshot-2", &id, &lock)).await;
    assert_eq!(code(answer), Code::Aborted, "it still exists");
    let again = world.create_snapshot(snapshot("snapshot-2", &id, &lock)).await;
    assert_eq!(code(again), Code::Aborted);
    assert_eq!(world.ec2.count("CreateSnapshot"), 2, "not created again");
}

#[tokio::test(start_paused = true)]
async fn ebs_case_68_a_failing_lookup_is_never_final() {
    for ec2_code in ["RequestLimitExceeded", "InternalError", "UnauthorizedOperation"] {
        let world = World::settled().await;
        let id = source(&world);
        world
            .ec2
            .inject("DescribeSnapshots", When::Always, Fault::error(ec2_code));
        let answer = world.create_snapshot(snapshot("snapshot-1", &id, &[])).await;
        assert_eq!(code(answer), Code::Unavailable, "{ec2_code}");
        assert_eq!(world.ec2.count("CreateSnapshot"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn definite_refusals_of_a_creation_are_internal() {
    let rows = [
        ("SnapshotCreationPerVolumeRateExceeded", Code::Unavailable),
        ("PendingSnapshotLimitExceeded", Code::Unavailable),
        ("ConcurrentSnapshotLimitExceeded", Code::Unavailable),
        ("SnapshotLimitExceeded", Code::Internal),
        ("IncorrectState", Code::Internal),
        ("InvalidParameterValue", Code::InvalidArgument),
    ];
    for (ec2_code, expected) in rows {
        let world = World::settled().await;
        let id = source(&world);
        world
            .ec2
            .inject("CreateSnapshot", When::Next, Fault::error(ec2_code));
        assert_eq!(
            code(world.create_snapshot(snapshot("snapshot-1", &id, &[])).await),
            expected
        );
        world
            .create_snapshot(snapshot("snapshot-1", &id, &[]))
            .await
            .unwrap();
        assert_eq!(world.ec2.state().snapshots.len(), 1);
    }
    let world = World::settled().await;
    let unknown = world
        .create_snapshot(snapshot("snapshot-1", "vol-0123456789abcdef0", &[]))
        .await;
    assert_eq!(code(unknown), Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_up_again_after_the_lag() {
    for fault in [
        Fault::LostAnswer,
        Fault::Disconnect,
        Fault::Body("<garbage".into()),
    ] {
        let world = World::with(late(), Config::default());
        let id = source(&world);
        world.settle().await;
        world.ec2.inject("CreateSnapshot", When::Next, fault.clone());
        assert_eq!(
            code(world.create_snapshot(snapshot("snapshot-1", &id, &[])).await),
            Code::Unavailable
        );
        world
            .create_snapshot(snapshot("snapshot-1", &id, &[]))
            .await
            .unwrap();
        assert_eq!(world.ec2.state().snapshots.len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_185_a_snapshot_is_answered_though_its_class_is_refused_now() {
    let world = World::with(late(), Config::default());
    let id = source(&world);
    world.settle().await;
    let refused = [("colour", "red")];
    let none = world.create_snapshot(snapshot("snapshot-1", &id, &refused)).await;
    assert_eq!(code(none), Code::InvalidArgument, "none was taken");
    world.ec2.inject("CreateSnapshot", When::Next, Fault::LostAnswer);
    let lost = world.create_snapshot(snapshot("snapshot-1", &id, &[])).await;
    assert_eq!(code(lost), Code::Unavailable);
    let found = world
        .create_snapshot(snapshot("snapshot-1", &id, &refused))
        .await
        .unwrap();
    assert!(world.ec2.state().snapshots.contains_key(&found.snapshot_id));
    assert_eq!(world.ec2.state().snapshots.len(), 1);
}

/// While the caller may not have the ID nothing is said that makes it forget the snapshot.
#[tokio::test(start_paused = true)]
async fn ebs_case_187_a_class_that_is_refused_now_is_told_once_who_has_the_snapshot() {
    let world = World::settled().await;
    let id = source(&world);
    world
        .ec2
        .inject("LockSnapshot", When::Next, Fault::error("RequestLimitExceeded"));
    world.ec2.inject("CreateSnapshot", When::Next, Fault::LostAnswer);
    let poll = async |parameters: &[(&str, &str)]| {
        let answer = world
            .create_snapshot(snapshot("snapshot-1", &id, parameters))
            .await;
        answer.map(|_| Code::Ok).unwrap_or_else(|status| status.code())
    };
    assert_eq!(poll(&LOCK).await, Code::Unavailable);
    let refused = [("colour", "red")];
    assert_eq!(poll(&refused).await, Code::Ok);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(
        [poll(&refused).await, poll(&refused).await],
        [Code::Aborted, Code::Ok]
    );
    // The class is mended while the snapshot is still asked for.
    assert_eq!(poll(&LOCK).await, Code::Ok);
    let state = world.ec2.state();
    assert!(state.snapshots.values().all(|snapshot| snapshot.lock.is_some()));
}

#[tokio::test(start_paused = true)]
async fn ebs_case_187_a_class_that_is_refused_now_hides_no_failure() {
    let world = World::settled().await;
    let id = source(&world);
    world.ec2.inject("CreateSnapshot", When::Next, Fault::FailsLater);
    let ask = snapshot("snapshot-1", &id, &[("colour", "red")]);
    world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(code(world.create_snapshot(ask).await), Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_each_call_ends_in_one_snapshot() {
    let options = late();
    let config = Config::default();
    for action in ["DescribeSnapshots", "CreateSnapshot"] {
        for fault in [Fault::Timeout, Fault::LostAnswer] {
            let world = World::with(options.clone(), config.clone());
            let id = source(&world);
            world.settle().await;
            world.ec2.inject(action, When::Next, fault.clone());
            let cut = world.create_snapshot(snapshot("snapshot-1", &id, &[]));
            assert!(
                tokio::time::timeout(Duration::from_millis(10), cut)
                    .await
                    .is_err()
            );
            let world = world.restarted();
            world
                .create_snapshot(snapshot("snapshot-1", &id, &[]))
                .await
                .unwrap();
            assert_eq!(world.ec2.state().snapshots.len(), 1, "{action} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_an_unclear_attempt() {
    let world = World::with(late(), Config::default());
    let id = source(&world);
    world.settle().await;
    world.ec2.inject("CreateSnapshot", When::Next, Fault::LostAnswer);
    let cut = world.create_snapshot(snapshot("snapshot-1", &id, &[]));
    assert!(
        tokio::time::timeout(Duration::from_millis(10), cut)
            .await
            .is_err()
    );
    world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap();
    assert_eq!(world.ec2.count("CreateSnapshot"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_asks_first_need_not_wait_after_a_start() {
    let world = World::new();
    let id = source(&world);
    let begun = tokio::time::Instant::now();
    let mut request = tonic::Request::new(snapshot("snapshot-1", &id, &[]));
    request
        .metadata_mut()
        .insert("slackwater-first-attempt", "true".parse().unwrap());
    world.channel.controller().create_snapshot(request).await.unwrap();
    assert_eq!(world.actions_since(0), ["DescribeSnapshots", "CreateSnapshot"]);
    assert!(begun.elapsed() < Duration::from_secs(1));
    let world = World::new();
    let id = source(&world);
    let begun = tokio::time::Instant::now();
    world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap();
    assert_eq!(
        world.actions_since(0),
        ["DescribeSnapshots", "DescribeSnapshots", "CreateSnapshot"]
    );
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn duplicates_by_tag_are_deleted_once_seen_twice() {
    let world = World::settled().await;
    let id = source(&world);
    let tags = [("CSIVolumeSnapshotName", "snapshot-1")];
    let first = world.ec2.create_snapshot_fixture(&id, &tags).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let second = world.ec2.create_snapshot_fixture(&id, &tags).unwrap();
    let begun = tokio::time::Instant::now();
    let made = world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap();
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(made.snapshot_id, first);
    let left: Vec<String> = world.ec2.state().snapshots.into_keys().collect();
    assert_eq!(left, [first]);
    assert_ne!(second, made.snapshot_id);
    assert_eq!(
        world.actions_since(0),
        ["DescribeSnapshots", "DescribeSnapshots", "DeleteSnapshot"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_polls_of_a_hundred_pending_snapshots_are_one_call() {
    let mut options = Ec2Options::default();
    options.timing.snapshot = Duration::from_secs(600);
    let world = World::with(options, Config::default());
    let sources: Vec<String> = (0..100).map(|_| source(&world)).collect();
    world.settle().await;
    let delay = Fault::Delay(Duration::from_millis(50));
    world.ec2.inject("DescribeSnapshots", When::Always, delay);
    let names: Vec<String> = (0..100).map(|number| format!("snapshot-{number}")).collect();
    let poll = || async {
        let calls = names
            .iter()
            .zip(&sources)
            .map(|(name, id)| world.create_snapshot(snapshot(name, id, &[])));
        futures::future::try_join_all(calls).await.unwrap()
    };
    poll().await;
    assert_eq!(world.ec2.count("CreateSnapshot"), 100);
    assert_eq!(
        world.ec2.count("DescribeSnapshots"),
        1,
        "the lookups by name are merged too"
    );
    let before = world.calls();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answers = poll().await;
    assert!(answers.iter().all(|snapshot| !snapshot.ready_to_use));
    assert_eq!(world.actions_since(before), ["DescribeSnapshots"]);
    // Later, each at its own moment within some seconds.
    tokio::time::sleep(Duration::from_secs(120)).await;
    let before = world.calls();
    for (name, id) in names.iter().zip(&sources) {
        world.create_snapshot(snapshot(name, id, &[])).await.unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(world.actions_since(before), ["DescribeSnapshots"]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let before = world.calls();
    assert!(poll().await.iter().all(|snapshot| snapshot.ready_to_use));
    // Nobody asked for ten minutes: all gather in the moment of the first.
    assert_eq!(world.actions_since(before).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_deleted_outside_does_not_disturb_the_others() {
    let mut options = Ec2Options::default();
    options.timing.snapshot = Duration::from_secs(600);
    let world = World::with(options, Config::default());
    let id = source(&world);
    world.settle().await;
    let gone = world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap();
    let kept = world
        .create_snapshot(snapshot("snapshot-2", &id, &[]))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.ec2.forget_snapshot(&gone.snapshot_id);
    let polled = world
        .create_snapshot(snapshot("snapshot-2", &id, &[]))
        .await
        .unwrap();
    assert_eq!(polled.snapshot_id, kept.snapshot_id);
    let answer = world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap_err();
    assert_eq!(answer.code(), Code::Internal);
    assert!(answer.message().contains(&gone.snapshot_id), "{answer}");
    assert_eq!(world.ec2.count("CreateSnapshot"), 2, "none is made in its place");
}

#[tokio::test(start_paused = true)]
async fn a_failed_snapshot_is_said_to_be_failed() {
    let (world, id) = slow().await;
    world.ec2.inject("CreateSnapshot", When::Next, Fault::FailsLater);
    world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    // Who does not say that it has the ID gets it once more: without it nobody would delete the snapshot.
    let answer = world.create_snapshot(snapshot("snapshot-1", &id, &[])).await;
    let failed = answer.unwrap();
    assert!(!failed.ready_to_use);
    let mut stored = tonic::Request::new(snapshot("snapshot-1", &id, &[]));
    csi::CreateSnapshotHint::Stored(&failed.snapshot_id).attach(&mut stored);
    let answer = world.channel.controller().create_snapshot(stored).await;
    let answer = answer.unwrap_err();
    assert_eq!(answer.code(), Code::Internal);
    assert!(answer.message().contains("error"), "{answer}");
    tokio::time::sleep(Duration::from_secs(31)).await;
    let answer = world.create_snapshot(snapshot("snapshot-1", &id, &[])).await;
    assert_eq!(code(answer), Code::Internal, "it was answered a minute ago");

    // The next process knows nothing of that.
    let world = world.restarted();
    world.settle().await;
    let answer = world.create_snapshot(snapshot("snapshot-1", &id, &[])).await;
    assert_eq!(answer.unwrap().snapshot_id, failed.snapshot_id);
    delete(&world, &failed.snapshot_id).await.unwrap();
    assert!(world.ec2.state().snapshots.is_empty());
}

#[tokio::test(start_paused = true)]
async fn ebs_case_69_an_unknown_snapshot_is_no_error() {
    let world = World::settled().await;
    for id in ["snap-0123456789abcdef0", "reallyfakesnapshotid"] {
        delete(&world, id).await.unwrap();
        let request = ListSnapshotsRequest {
            snapshot_id: id.into(),
            ..ListSnapshotsRequest::default()
        };
        assert!(list(&world, request).await.unwrap().entries.is_empty(), "{id}");
    }
    assert_eq!(code(delete(&world, "").await), Code::InvalidArgument);
    let used = world.ec2.create_snapshot_fixture(&source(&world), &[]).unwrap();
    world.ec2.create_image_fixture(&used).unwrap();
    assert_eq!(code(delete(&world, &used).await), Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_203_a_snapshot_of_a_snow_device_is_deleted_there() {
    let world = World::settled().await;
    let done = r#"<DeleteSnapshotResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><return>true</return>
        </DeleteSnapshotResponse>"#;
    world
        .ec2
        .inject("DeleteSnapshot", When::Next, Fault::Body(done.to_owned()));
    delete(&world, "s.snap-0123456789abcdef0").await.unwrap();
    assert_eq!(
        world.sent("DeleteSnapshot", "SnapshotId").as_deref(),
        Some("s.snap-0123456789abcdef0")
    );
    delete(&world, "s.reallyfakesnapshotid").await.unwrap();
    assert_eq!(world.ec2.count("DeleteSnapshot"), 1);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_70_only_own_snapshots_are_listed() {
    let world = World::settled().await;
    let (left, right) = (source(&world), source(&world));
    for id in [&left, &left, &left, &right, &right] {
        world.ec2.create_snapshot_fixture(id, &[]).unwrap();
    }
    world.ec2.create_foreign_snapshot_fixture(5, true);
    let of_left = ListSnapshotsRequest {
        source_volume_id: left.clone(),
        ..ListSnapshotsRequest::default()
    };
    assert_eq!(list(&world, of_left).await.unwrap().entries.len(), 3);
    let all = list(&world, ListSnapshotsRequest::default()).await.unwrap();
    assert_eq!(all.entries.len(), 5);
    assert_eq!(world.sent("DescribeSnapshots", "MaxResults"), None);
    for max_entries in [1, 4, -1] {
        let request = ListSnapshotsRequest {
            max_entries,
            ..ListSnapshotsRequest::default()
        };
        assert_eq!(code(list(&world, request).await), Code::InvalidArgument);
    }
    let page = ListSnapshotsRequest {
        max_entries: 5,
        ..ListSnapshotsRequest::default()
    };
    assert_eq!(list(&world, page).await.unwrap().entries.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_46_47_tags_of_flags_on_a_snapshot() {
    let mut config = Config::default();
    config.tags.extra.insert("team".into(), "ops".into());
    config.tags.cluster_id = Some("c1".into());
    let world = World::with(Ec2Options::instant(), config);
    let id = source(&world);
    let class = [("tagSpecification_1", "team=dev")];
    let made = world
        .create_snapshot(snapshot("snapshot-1", &id, &class))
        .await
        .unwrap();
    let state = world.ec2.state();
    let tags = &state.snapshots[&made.snapshot_id].tags;
    assert_eq!(tags["team"], "dev");
    assert_eq!(tags["kubernetes.io/cluster/c1"], "owned");
    assert!(!tags.contains_key("KubernetesCluster"));
}

#[tokio::test(start_paused = true)]
async fn lists_are_read_page_by_page() {
    let world = World::settled().await;
    let id = source(&world);
    for _ in 0..7 {
        world.ec2.create_snapshot_fixture(&id, &[]).unwrap();
    }
    let page = |starting_token: &str| ListSnapshotsRequest {
        max_entries: 5,
        starting_token: starting_token.into(),
        ..ListSnapshotsRequest::default()
    };
    let first = list(&world, page("")).await.unwrap();
    assert_eq!(first.entries.len(), 5);
    let second = list(&world, page(&first.next_token)).await.unwrap();
    assert_eq!((second.entries.len(), second.next_token.as_str()), (2, ""));
    assert_eq!(code(list(&world, page("no token of EC2")).await), Code::Aborted);
}

#[tokio::test(start_paused = true)]
async fn deletion_and_creation_after_it_know_nothing_of_each_other() {
    let world = World::settled().await;
    let id = source(&world);
    let first = world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap();
    delete(&world, &first.snapshot_id).await.unwrap();
    let second = world
        .create_snapshot(snapshot("snapshot-1", &id, &[]))
        .await
        .unwrap();
    assert_ne!(second.snapshot_id, first.snapshot_id);
    assert_eq!(world.ec2.state().snapshots.len(), 1);
}

const LOCK: [(&str, &str); 2] = [("lockMode", "governance"), ("lockDuration", "1")];

/// A snapshot that a dead process took and did not lock.
async fn owed_a_lock(options: Ec2Options) -> (World, String) {
    let world = World::with(options, Config::default());
    let id = source(&world);
    world.settle().await;
    world.ec2.inject("LockSnapshot", When::Next, Fault::Timeout);
    let cut = world.create_snapshot(snapshot("snapshot-1", &id, &LOCK));
    assert!(tokio::time::timeout(Duration::from_secs(1), cut).await.is_err());
    (world.restarted(), id)
}

/// The user is told once; the snapshot may be in use, and its readiness is not kept from him for ever.
#[tokio::test(start_paused = true)]
async fn ebs_case_108_a_refused_lock_is_told_once() {
    let (world, id) = owed_a_lock(Ec2Options::instant()).await;
    let refused = Fault::error("UnauthorizedOperation");
    world.ec2.inject("LockSnapshot", When::Always, refused);
    let ask = || world.create_snapshot(snapshot("snapshot-1", &id, &LOCK));
    let error = ask().await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("UnauthorizedOperation"), "{error}");
    for _ in 0..3 {
        assert!(ask().await.unwrap().ready_to_use);
    }
    assert_eq!(world.ec2.count("LockSnapshot"), 2, "not asked for again");
    assert_eq!(world.ec2.count("CreateSnapshot"), 1);
    assert_eq!(world.ec2.count("DeleteSnapshot"), 0);
}

/// What may pass hides no state of a pending snapshot, and is tried again.
#[tokio::test(start_paused = true)]
async fn ebs_case_108_an_unclear_lock_of_a_pending_snapshot_is_tried_again() {
    let mut options = Ec2Options::default();
    options.timing.snapshot = Duration::from_secs(600);
    let (world, id) = owed_a_lock(options).await;
    world
        .ec2
        .inject("LockSnapshot", When::Always, Fault::error("InternalError"));
    let ask = || world.create_snapshot(snapshot("snapshot-1", &id, &LOCK));
    let pending = ask().await.unwrap();
    assert!(!pending.ready_to_use);
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert_eq!(code(ask().await), Code::Aborted, "ready, and not locked yet");
    world.ec2.clear_faults();
    assert!(ask().await.unwrap().ready_to_use);
    assert!(
        world.ec2.state().snapshots[&pending.snapshot_id].lock.is_some(),
        "locked at last"
    );
}

/// EC2 shows the snapshot, and refuses for two seconds to change or delete it.
#[tokio::test(start_paused = true)]
async fn ebs_case_168_a_lock_that_comes_before_ec2_knows_the_snapshot_is_sent_again() {
    let mut options = Ec2Options::instant();
    options.lag.change = Duration::from_secs(2);
    let world = World::with(options, Config::default());
    let id = source(&world);
    world.settle().await;
    let ask = || world.create_snapshot(snapshot("snapshot-1", &id, &LOCK));
    assert_eq!(code(ask().await), Code::Unavailable);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let made = ask().await.unwrap();
    ask().await.unwrap();
    let state = world.ec2.state();
    assert_eq!(state.snapshots.len(), 1);
    assert!(state.snapshots[&made.snapshot_id].lock.is_some());
    let sent = |action| world.ec2.count(action);
    assert_eq!(
        (
            sent("CreateSnapshot"),
            sent("LockSnapshot"),
            sent("DeleteSnapshot")
        ),
        (1, 2, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn ebs_case_168_a_snapshot_that_ec2_does_not_know_yet_is_not_deleted() {
    let mut options = Ec2Options::instant();
    options.lag.change = Duration::from_secs(2);
    let world = World::with(options, Config::default());
    let id = source(&world);
    world.settle().await;
    let refused = Fault::error("UnauthorizedOperation");
    world.ec2.inject("LockSnapshot", When::Always, refused);
    let ask = || world.create_snapshot(snapshot("snapshot-1", &id, &LOCK));
    let error = ask().await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted, "it still exists");
    assert!(error.message().contains("could not be deleted"), "{error}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(code(ask().await), Code::Aborted);
    ask().await.unwrap();
    assert_eq!(world.ec2.count("CreateSnapshot"), 1);
}

/// Whoever takes NotFound for the end lets go of the only object that names the snapshot.
#[tokio::test(start_paused = true)]
async fn ebs_case_177_a_snapshot_that_ec2_does_not_know_yet_is_not_deleted() {
    for restarts in [false, true] {
        let mut options = Ec2Options::instant();
        options.lag.change = Duration::from_secs(2);
        let mut world = World::with(options, Config::default());
        let id = source(&world);
        world.settle().await;
        let made = world
            .create_snapshot(snapshot("snapshot-1", &id, &[]))
            .await
            .unwrap();
        if restarts {
            world = world.restarted();
        }
        let early = delete(&world, &made.snapshot_id).await.unwrap_err();
        assert_eq!(early.code(), Code::Aborted, "{restarts}: {early}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        delete(&world, &made.snapshot_id).await.unwrap();
        assert!(world.ec2.state().snapshots.is_empty(), "{restarts}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        delete(&world, &made.snapshot_id).await.unwrap();
    }
}

/// The clean-up takes effect, its answer is lost, and repeated it reads as if EC2 did not know the snapshot yet.
#[tokio::test(start_paused = true)]
async fn ebs_case_178_a_snapshot_whose_clean_up_is_unclear_is_looked_up() {
    for caller_gives_up in [false, true] {
        let world = World::settled().await;
        let id = source(&world);
        let refused = Fault::error("UnauthorizedOperation");
        world.ec2.inject("LockSnapshot", When::Next, refused);
        let lost = if caller_gives_up {
            Fault::LostAnswer
        } else {
            Fault::ErrorAfterEffect(error_of_ec2())
        };
        world.ec2.inject("DeleteSnapshot", When::Next, lost);
        let ask = || world.create_snapshot(snapshot("snapshot-1", &id, &LOCK));
        let first = tokio::time::timeout(Duration::from_secs(10), ask()).await;
        assert_eq!(first.is_err(), caller_gives_up);
        if let Ok(first) = first {
            assert_eq!(code(first), Code::Aborted);
        }
        assert!(world.ec2.state().snapshots.is_empty());
        tokio::time::sleep(Duration::from_secs(6)).await;
        let made = ask().await.unwrap();
        let state = world.ec2.state();
        assert_eq!(state.snapshots.len(), 1);
        assert!(state.snapshots[&made.snapshot_id].lock.is_some());
    }
}

/// EC2 shows a snapshot for a while after it was deleted.
#[tokio::test(start_paused = true)]
async fn ebs_case_186_what_was_cleaned_up_and_is_shown_still_is_not_adopted() {
    let mut options = Ec2Options::instant();
    options.lag.deletion = Duration::from_secs(3);
    let world = World::with(options, Config::default());
    let id = source(&world);
    world.settle().await;
    world
        .ec2
        .inject("LockSnapshot", When::Next, Fault::error("UnauthorizedOperation"));
    let ask = || world.create_snapshot(snapshot("snapshot-1", &id, &LOCK));
    assert_eq!(code(ask().await), Code::Internal);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let made = ask().await.unwrap();
    let state = world.ec2.state();
    assert_eq!(state.snapshots.len(), 1);
    assert!(state.snapshots[&made.snapshot_id].lock.is_some());
}

fn error_of_ec2() -> Ec2Error {
    let Fault::Error(error) = Fault::error("InternalError") else {
        unreachable!()
    };
    error
}
