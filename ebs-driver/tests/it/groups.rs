//! Groups: the snapshots of several volumes of one instance, all or none, once.

use std::collections::BTreeSet;
use std::time::Duration;

use csi::v1::{
    CreateVolumeGroupSnapshotRequest, DeleteVolumeGroupSnapshotRequest, GetVolumeGroupSnapshotRequest,
    ListSnapshotsRequest, VolumeGroupSnapshot,
};
use ebs_driver::Config;
use sandbox::ec2::{Ec2Options, Fault, When};
use tokio::time::error::Elapsed;
use tonic::{Code, Status};

use crate::world::{World, code, map};

const NAME: &str = "groupsnapshot-1";

/// An instance with a root volume, two volumes of a database and one of a log.
struct Database {
    instance: String,
    volumes: Vec<String>,
    log: String,
}

fn database(world: &World) -> Database {
    let ec2 = &world.ec2;
    let instance = ec2
        .create_instance_fixture("us-east-1a", "m5.large", &[])
        .unwrap();
    let volume = |device: &str| {
        let id = ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
        ec2.attach_volume_fixture(&id, &instance, device).unwrap();
        id
    };
    Database {
        volumes: vec![volume("/dev/xvdaa"), volume("/dev/xvdab")],
        log: volume("/dev/xvdac"),
        instance,
    }
}

fn group(volumes: &[String], parameters: &[(&str, &str)]) -> CreateVolumeGroupSnapshotRequest {
    CreateVolumeGroupSnapshotRequest {
        name: NAME.into(),
        source_volume_ids: volumes.to_vec(),
        parameters: map(parameters),
        ..CreateVolumeGroupSnapshotRequest::default()
    }
}

async fn create(
    world: &World,
    request: CreateVolumeGroupSnapshotRequest,
) -> Result<VolumeGroupSnapshot, Status> {
    let request = csi::channel::request(request, Duration::from_secs(60));
    let answer = world
        .channel
        .group_controller()
        .create_volume_group_snapshot(request)
        .await?;
    Ok(answer.into_inner().group_snapshot.unwrap())
}

async fn get(world: &World, name: &str, ids: &[String]) -> Result<VolumeGroupSnapshot, Status> {
    let request = GetVolumeGroupSnapshotRequest {
        group_snapshot_id: name.into(),
        snapshot_ids: ids.to_vec(),
        ..GetVolumeGroupSnapshotRequest::default()
    };
    let answer = world
        .channel
        .group_controller()
        .get_volume_group_snapshot(request)
        .await?;
    Ok(answer.into_inner().group_snapshot.unwrap())
}

async fn delete(world: &World, name: &str, ids: &[String]) -> Result<(), Status> {
    let request = DeleteVolumeGroupSnapshotRequest {
        group_snapshot_id: name.into(),
        snapshot_ids: ids.to_vec(),
        ..DeleteVolumeGroupSnapshotRequest::default()
    };
    let answer = world
        .channel
        .group_controller()
        .delete_volume_group_snapshot(request)
        .await;
    answer.map(drop)
}

fn ids(group: &VolumeGroupSnapshot) -> Vec<String> {
    group
        .snapshots
        .iter()
        .map(|snapshot| snapshot.snapshot_id.clone())
        .collect()
}

/// The volumes of which EC2 holds snapshots.
fn held(world: &World) -> Vec<String> {
    let state = world.ec2.state();
    let volumes: BTreeSet<String> = state
        .snapshots
        .values()
        .map(|one| one.volume_id.clone())
        .collect();
    assert_eq!(volumes.len(), state.snapshots.len(), "one snapshot a volume");
    volumes.into_iter().collect()
}

fn sorted(volumes: &[String]) -> Vec<String> {
    let volumes: BTreeSet<&String> = volumes.iter().collect();
    volumes.into_iter().cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn a_group_is_one_call_of_ec2_and_holds_the_named_volumes_alone() {
    let world = World::settled().await;
    let database = database(&world);
    let before = world.calls();
    let made = create(
        &world,
        group(
            &database.volumes,
            &[
                ("tagSpecification_1", "app={{ .VolumeGroupSnapshotName }}"),
                ("csi.storage.k8s.io/volumegroupsnapshot/name", "nightly"),
            ],
        ),
    )
    .await
    .unwrap();
    assert_eq!(
        world.actions_since(before),
        [
            "DescribeSnapshots",
            "DescribeVolumes",
            "DescribeInstances",
            "CreateSnapshots"
        ]
    );
    assert!(made.ready_to_use && made.creation_time.is_some());
    assert_eq!(made.group_snapshot_id, NAME);
    let volumes: Vec<&String> = made.snapshots.iter().map(|one| &one.source_volume_id).collect();
    assert_eq!(
        volumes,
        database.volumes.iter().collect::<Vec<_>>(),
        "in the order asked for"
    );
    assert!(
        made.snapshots
            .iter()
            .all(|one| one.group_snapshot_id == NAME && one.ready_to_use)
    );
    assert_eq!(held(&world), sorted(&database.volumes));
    let sent = |name: &str| world.sent("CreateSnapshots", name);
    assert_eq!(sent("InstanceSpecification.InstanceId"), Some(database.instance));
    assert_eq!(
        sent("InstanceSpecification.ExcludeBootVolume"),
        Some("true".into())
    );
    assert_eq!(
        sent("InstanceSpecification.ExcludeDataVolumeId.1"),
        Some(database.log)
    );
    let state = world.ec2.state();
    for id in ids(&made) {
        let tags = &state.snapshots[&id].tags;
        assert_eq!(tags["CSIVolumeGroupSnapshotName"], NAME);
        assert_eq!(
            (tags["ebs.csi.aws.com/cluster"].as_str(), tags["app"].as_str()),
            ("true", "nightly")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_is_seen_by_its_parts_and_deleted_as_a_whole() {
    let world = World::settled().await;
    let database = database(&world);
    let made = create(&world, group(&database.volumes, &[])).await.unwrap();
    // Whoever lists snapshots sees that they are of a group.
    let request = ListSnapshotsRequest {
        snapshot_id: ids(&made)[0].clone(),
        ..ListSnapshotsRequest::default()
    };
    let listed = world
        .channel
        .controller()
        .list_snapshots(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        listed.entries[0].snapshot.as_ref().unwrap().group_snapshot_id,
        NAME
    );
    delete(&world, NAME, &ids(&made)).await.unwrap();
    assert!(held(&world).is_empty());
    delete(&world, NAME, &ids(&made)).await.unwrap();
    assert_eq!(code(get(&world, NAME, &[]).await), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn the_boot_volume_is_a_source_like_any_other() {
    let world = World::settled().await;
    let database = database(&world);
    let state = world.ec2.state();
    let mut at_it = state
        .volumes
        .values()
        .filter(|volume| volume.attachments.iter().any(|(at, _)| *at == database.instance));
    let others = [&database.volumes[..], std::slice::from_ref(&database.log)].concat();
    let boot = at_it
        .find(|volume| !others.contains(&volume.id))
        .unwrap()
        .id
        .clone();
    let sources = [boot, database.volumes[0].clone()];
    create(&world, group(&sources, &[])).await.unwrap();
    assert_eq!(held(&world), sorted(&sources));
    assert_eq!(
        world.sent("CreateSnapshots", "InstanceSpecification.ExcludeBootVolume"),
        Some("false".into())
    );
}

#[tokio::test(start_paused = true)]
async fn volumes_that_are_not_at_one_instance_are_refused_by_name() {
    let world = World::settled().await;
    let (one, other) = (database(&world), database(&world));
    let free = world.ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let sources = [one.volumes[0].clone(), other.volumes[0].clone(), free.clone()];
    let refused = create(&world, group(&sources, &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    for part in [
        format!("{} is attached to {}", sources[0], one.instance),
        format!("{} is attached to {}", sources[1], other.instance),
        format!("{free} is not attached"),
    ] {
        assert!(refused.message().contains(&part), "{}", refused.message());
    }
    let unknown = [one.volumes[0].clone(), "vol-0123456789abcdef0".to_owned()];
    assert_eq!(code(create(&world, group(&unknown, &[])).await), Code::NotFound);
    assert_eq!(world.ec2.count("CreateSnapshots"), 0);
}

#[tokio::test(start_paused = true)]
async fn bad_requests_ask_no_more_than_what_bears_their_name() {
    let world = World::settled().await;
    let before = world.calls();
    let volume = || vec!["vol-1".to_owned()];
    let rows = [
        CreateVolumeGroupSnapshotRequest {
            name: String::new(),
            ..group(&volume(), &[])
        },
        CreateVolumeGroupSnapshotRequest {
            name: "n".repeat(257),
            ..group(&volume(), &[])
        },
        group(&[], &[]),
        group(&[String::new()], &[]),
        group(&["local-ebs://dev/xvdbz".to_owned()], &[]),
        group(&["vol-1".to_owned(), "vol-1".to_owned()], &[]),
        group(&volume(), &[("colour", "red")]),
        group(&volume(), &[("lockDuration", "week")]),
        group(&volume(), &[("fastSnapshotRestoreAvailabilityZones", "")]),
        group(
            &volume(),
            &[("tagSpecification_1", "CSIVolumeGroupSnapshotName=mine")],
        ),
    ];
    for request in rows {
        let shown = format!("{request:?}");
        assert_eq!(
            code(create(&world, request).await),
            Code::InvalidArgument,
            "{shown}"
        );
    }
    assert_eq!(code(get(&world, "", &[]).await), Code::InvalidArgument);
    assert_eq!(code(delete(&world, "", &[]).await), Code::InvalidArgument);
    // Case 185: of what a class asks wrongly there may be one from before.
    assert_eq!(world.actions_since(before), ["DescribeSnapshots"; 4]);
}

/// Twenty seconds a snapshot, and EC2's search and lists lag behind.
async fn slow() -> (World, Database) {
    let mut options = Ec2Options::default();
    options.timing.snapshot = Duration::from_secs(20);
    let world = World::with(options, Config::default());
    let database = database(&world);
    world.settle().await;
    (world, database)
}

#[tokio::test(start_paused = true)]
async fn a_pending_group_is_polled_by_one_merged_call_and_ready_as_a_whole() {
    let (world, database) = slow().await;
    let first = create(&world, group(&database.volumes, &[])).await.unwrap();
    assert!(!first.ready_to_use);
    tokio::time::sleep(Duration::from_secs(12)).await;
    let before = world.calls();
    let second = create(&world, group(&database.volumes, &[])).await.unwrap();
    assert_eq!((ids(&second), second.ready_to_use), (ids(&first), false));
    assert_eq!(world.actions_since(before), ["DescribeSnapshots"]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(
        create(&world, group(&database.volumes, &[]))
            .await
            .unwrap()
            .ready_to_use
    );
    assert!(get(&world, NAME, &ids(&first)).await.unwrap().ready_to_use);
    assert_eq!(world.ec2.count("CreateSnapshots"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_or_a_new_process_makes_no_second_group() {
    for dies in [false, true] {
        let (mut world, database) = slow().await;
        world.ec2.inject("CreateSnapshots", When::Next, Fault::LostAnswer);
        let cut = create(&world, group(&database.volumes, &[]));
        if dies {
            assert!(tokio::time::timeout(Duration::from_secs(3), cut).await.is_err());
            world = world.restarted();
        } else {
            assert_eq!(code(cut.await), Code::Unavailable);
        }
        let found = create(&world, group(&database.volumes, &[])).await.unwrap();
        assert_eq!(found.snapshots.len(), 2);
        assert_eq!(world.ec2.count("CreateSnapshots"), 1, "dies: {dies}");
        assert_eq!(held(&world), sorted(&database.volumes));
        let ids = ids(&found);
        world = world.restarted();
        delete(&world, NAME, &ids).await.unwrap();
        assert!(held(&world).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_attached_or_detached_meanwhile_leaves_no_wrong_part() {
    let world = World::settled().await;
    let database = database(&world);
    let meanwhile = async |change: &dyn Fn()| {
        world.ec2.inject(
            "DescribeInstances",
            When::Next,
            Fault::Delay(Duration::from_secs(2)),
        );
        let change = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            change();
        };
        tokio::join!(create(&world, group(&database.volumes, &[])), change).0
    };
    // Another volume comes: its snapshot goes again.
    let late = world.ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let comes = || {
        world
            .ec2
            .attach_volume_fixture(&late, &database.instance, "/dev/xvdad")
            .unwrap()
    };
    let made = meanwhile(&comes).await.unwrap();
    assert_eq!(made.snapshots.len(), 2);
    assert_eq!(held(&world), sorted(&database.volumes));
    delete(&world, NAME, &ids(&made)).await.unwrap();
    // A source goes: an error, and nothing is left.
    let goes = || {
        world
            .ec2
            .detach_volume_fixture(&database.volumes[1], &database.instance)
            .unwrap()
    };
    let error = meanwhile(&goes).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(
        error
            .message()
            .contains(&format!("no snapshot of {}", database.volumes[1])),
        "{error}"
    );
    assert!(held(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_group_of_which_a_part_was_deleted_is_an_error_and_loses_no_more() {
    let world = World::settled().await;
    let database = database(&world);
    let made = create(&world, group(&database.volumes, &[])).await.unwrap();
    world.ec2.forget_snapshot(&ids(&made)[0]);
    let world = world.restarted();
    for _ in 0..3 {
        let error = create(&world, group(&database.volumes, &[])).await.unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        assert!(error.message().contains(&database.volumes[0]), "{error}");
        world.settle().await;
    }
    assert_eq!(held(&world), [database.volumes[1].clone()]);
    assert_eq!(code(get(&world, NAME, &ids(&made)).await), Code::InvalidArgument);
    delete(&world, NAME, &ids(&made)).await.unwrap();
    assert!(held(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_name_or_a_list_of_another_group_is_refused() {
    let world = World::settled().await;
    let database = database(&world);
    let made = create(&world, group(&database.volumes, &[])).await.unwrap();
    for known in [true, false] {
        let other = [database.volumes[0].clone(), database.log.clone()];
        assert_eq!(
            code(create(&world, group(&other, &[])).await),
            Code::AlreadyExists,
            "{known}"
        );
        let foreign = world.ec2.create_snapshot_fixture(&database.log, &[]).unwrap();
        let listed = [ids(&made), vec![foreign.clone()]].concat();
        assert_eq!(code(delete(&world, NAME, &listed).await), Code::InvalidArgument);
        assert_eq!(code(get(&world, NAME, &listed).await), Code::InvalidArgument);
        assert!(world.ec2.state().snapshots.contains_key(&foreign));
        world.ec2.forget_snapshot(&foreign);
    }
    assert_eq!(held(&world), sorted(&database.volumes));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_cannot_be_locked_is_deleted_again() {
    let world = World::settled().await;
    let database = database(&world);
    let lock = [("lockMode", "governance"), ("lockDuration", "1")];
    world.ec2.inject(
        "LockSnapshot",
        When::Nth(1),
        Fault::error("UnauthorizedOperation"),
    );
    let error = create(&world, group(&database.volumes, &lock)).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert!(held(&world).is_empty());
    create(&world, group(&database.volumes, &lock)).await.unwrap();
    let state = world.ec2.state();
    assert!(state.snapshots.values().all(|snapshot| snapshot.lock.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_failed_part_is_told_once_the_ids_are_stored() {
    let (world, database) = slow().await;
    world.ec2.inject("CreateSnapshots", When::Next, Fault::FailsLater);
    let made = create(&world, group(&database.volumes, &[])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let early = create(&world, group(&database.volumes, &[])).await.unwrap();
    assert!(!early.ready_to_use);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let error = create(&world, group(&database.volumes, &[])).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert!(error.message().contains("in the state error"), "{error}");
    delete(&world, NAME, &ids(&made)).await.unwrap();
    assert!(held(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_kept_keeps_no_other_part() {
    let world = World::settled().await;
    let database = database(&world);
    let made = create(&world, group(&database.volumes, &[])).await.unwrap();
    world
        .ec2
        .inject("DeleteSnapshot", When::Nth(1), Fault::error("SnapshotLocked"));
    let error = delete(&world, NAME, &ids(&made)).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert_eq!(held(&world).len(), 1);
    delete(&world, NAME, &ids(&made)).await.unwrap();
    assert!(held(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn ebs_case_108_a_refused_lock_of_a_group_is_told_once() {
    let world = World::settled().await;
    let database = database(&world);
    let lock = [("lockMode", "governance"), ("lockDuration", "1")];
    world.ec2.inject("LockSnapshot", When::Next, Fault::Timeout);
    let cut = create(&world, group(&database.volumes, &lock));
    assert!(tokio::time::timeout(Duration::from_secs(1), cut).await.is_err());
    let world = world.restarted();
    let refused = Fault::error("UnauthorizedOperation");
    world.ec2.inject("LockSnapshot", When::Always, refused);
    assert_eq!(
        code(create(&world, group(&database.volumes, &lock)).await),
        Code::Aborted
    );
    let made = create(&world, group(&database.volumes, &lock)).await.unwrap();
    assert!(made.ready_to_use);
    assert_eq!(held(&world).len(), database.volumes.len());
}

#[tokio::test(start_paused = true)]
async fn ebs_case_168_a_group_that_ec2_does_not_know_yet_is_locked_later() {
    let mut options = Ec2Options::instant();
    options.lag.change = Duration::from_secs(2);
    let world = World::with(options, Config::default());
    let database = database(&world);
    world.settle().await;
    let lock = [("lockMode", "governance"), ("lockDuration", "1")];
    let first = create(&world, group(&database.volumes, &lock)).await;
    assert_eq!(code(first), Code::Unavailable);
    tokio::time::sleep(Duration::from_secs(3)).await;
    create(&world, group(&database.volumes, &lock)).await.unwrap();
    let state = world.ec2.state();
    assert_eq!(state.snapshots.len(), 2);
    assert!(state.snapshots.values().all(|snapshot| snapshot.lock.is_some()));
    assert_eq!(world.ec2.count("CreateSnapshots"), 1);
    assert_eq!(world.ec2.count("DeleteSnapshot"), 0);
}

/// A group is cut, for so long at most, while another volume comes to the instance.
async fn cut_while_a_volume_comes(
    world: &World,
    database: &Database,
    within: Duration,
) -> Result<Result<VolumeGroupSnapshot, Status>, Elapsed> {
    let late = world.ec2.create_volume_fixture("us-east-1a", 1, &[]).unwrap();
    let delay = Fault::Delay(Duration::from_secs(2));
    world.ec2.inject("DescribeInstances", When::Next, delay);
    let comes = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world
            .ec2
            .attach_volume_fixture(&late, &database.instance, "/dev/xvdad")
            .unwrap();
    };
    let cut = create(world, group(&database.volumes, &[]));
    tokio::join!(tokio::time::timeout(within, cut), comes).0
}

/// A volume comes to the instance meanwhile, and the process dies before it has deleted its snapshot.
#[tokio::test(start_paused = true)]
async fn ebs_case_169_a_part_too_many_is_deleted_by_the_next_process() {
    let world = World::settled().await;
    let database = database(&world);
    world.ec2.inject("DeleteSnapshot", When::Next, Fault::Timeout);
    let cut = cut_while_a_volume_comes(&world, &database, Duration::from_secs(10)).await;
    assert!(cut.is_err(), "{cut:?}");
    assert_eq!(held(&world).len(), 3);
    let world = world.restarted();
    let other = [database.volumes[0].clone(), database.log.clone()];
    let conflict = create(&world, group(&other, &[])).await;
    assert_eq!(code(conflict), Code::AlreadyExists);
    let made = create(&world, group(&database.volumes, &[])).await.unwrap();
    assert_eq!(made.snapshots.len(), 2);
    assert_eq!(held(&world), sorted(&database.volumes));
    assert_eq!(world.ec2.count("CreateSnapshots"), 1);
}

/// Whoever takes NotFound for the end lets go of the only object that names the snapshots.
#[tokio::test(start_paused = true)]
async fn ebs_case_177_a_group_that_ec2_does_not_know_yet_is_not_deleted() {
    for (restarts, shows) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut options = Ec2Options::instant();
        let lag = Duration::from_secs(2);
        options.lag.change = lag;
        if !shows {
            (options.lag.snapshot, options.lag.tag) = (lag, lag);
        }
        let mut world = World::with(options, Config::default());
        let database = database(&world);
        world.settle().await;
        let made = create(&world, group(&database.volumes, &[])).await.unwrap();
        if restarts {
            world = world.restarted();
        }
        let early = delete(&world, NAME, &ids(&made)).await;
        assert_eq!(code(early), Code::Aborted, "{restarts} {shows}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        delete(&world, NAME, &ids(&made)).await.unwrap();
        assert!(held(&world).is_empty(), "{restarts} {shows}");
    }
}

/// The first part is deleted; by what is remembered of the group the second one is still known to be new.
#[tokio::test(start_paused = true)]
async fn ebs_case_177_a_part_that_ec2_knows_later_is_not_left() {
    let world = World::settled().await;
    let database = database(&world);
    let made = create(&world, group(&database.volumes, &[])).await.unwrap();
    let unknown = Fault::error("InvalidSnapshot.NotFound");
    world.ec2.inject("DeleteSnapshot", When::Nth(2), unknown.clone());
    assert_eq!(code(delete(&world, NAME, &ids(&made)).await), Code::Aborted);
    assert_eq!(held(&world).len(), 1);
    world.ec2.inject("DeleteSnapshot", When::Next, unknown);
    assert_eq!(code(delete(&world, NAME, &ids(&made)).await), Code::Aborted);
    tokio::time::sleep(Duration::from_secs(6)).await;
    delete(&world, NAME, &ids(&made)).await.unwrap();
    assert!(held(&world).is_empty());
}

/// The clean-up of a group that could not be locked takes effect for one part, for both or for none, and nobody hears of it.
#[tokio::test(start_paused = true)]
async fn ebs_case_178_a_group_whose_clean_up_is_unclear_is_looked_up() {
    let lock = [("lockMode", "governance"), ("lockDuration", "1")];
    for (nth, fault) in [
        (1, Fault::LostAnswer),
        (2, Fault::LostAnswer),
        (2, Fault::Timeout),
        (2, Fault::error("InternalError")),
        (2, Fault::error("UnauthorizedOperation")),
    ] {
        let world = World::settled().await;
        let database = database(&world);
        let refused = Fault::error("UnauthorizedOperation");
        world.ec2.inject("LockSnapshot", When::Next, refused);
        world.ec2.inject("DeleteSnapshot", When::Nth(nth), fault.clone());
        let first = create(&world, group(&database.volumes, &lock));
        if let Ok(first) = tokio::time::timeout(Duration::from_secs(10), first).await {
            assert!(matches!(code(first), Code::Aborted | Code::Internal), "{fault:?}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let made = create(&world, group(&database.volumes, &lock)).await.unwrap();
        assert_eq!(made.snapshots.len(), 2, "{fault:?}");
        assert_eq!(held(&world), sorted(&database.volumes), "{fault:?}");
        let state = world.ec2.state();
        assert!(state.snapshots.values().all(|snapshot| snapshot.lock.is_some()));
    }
}

/// EC2 shows nothing of the group yet, and its part too many could not be deleted.
#[tokio::test(start_paused = true)]
async fn ebs_case_179_a_group_with_a_part_too_many_is_not_taken_twice() {
    for gives_up in [false, true] {
        let mut options = Ec2Options::instant();
        let lag = Duration::from_millis(4500);
        (options.lag.snapshot, options.lag.tag) = (lag, lag);
        let world = World::with(options, Config::default());
        let database = database(&world);
        world.settle().await;
        let fault = match gives_up {
            true => Fault::Timeout,
            false => Fault::error("UnauthorizedOperation"),
        };
        world.ec2.inject("DeleteSnapshot", When::Next, fault);
        let cut = cut_while_a_volume_comes(&world, &database, Duration::from_secs(3)).await;
        assert_eq!(cut.is_err(), gives_up, "{cut:?}");
        assert_eq!(held(&world).len(), 3);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let made = create(&world, group(&database.volumes, &[])).await.unwrap();
        assert_eq!(made.snapshots.len(), 2);
        assert_eq!(world.ec2.count("CreateSnapshots"), 1, "{gives_up}");
        assert_eq!(held(&world), sorted(&database.volumes));
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_185_a_group_is_answered_though_its_class_is_refused_now() {
    let world = World::settled().await;
    let volumes = database(&world).volumes;
    let refused = [("colour", "red")];
    let none = create(&world, group(&volumes, &refused)).await;
    assert_eq!(none.unwrap_err().code(), Code::InvalidArgument, "none was taken");
    world.ec2.inject("CreateSnapshots", When::Next, Fault::LostAnswer);
    let lost = create(&world, group(&volumes, &[])).await;
    assert_eq!(lost.unwrap_err().code(), Code::Unavailable);
    let found = create(&world, group(&volumes, &refused)).await.unwrap();
    assert_eq!((found.snapshots.len(), world.ec2.state().snapshots.len()), (2, 2));
}

/// EC2 shows snapshots for a while after they were deleted.
#[tokio::test(start_paused = true)]
async fn ebs_case_186_a_group_that_was_cleaned_up_and_is_shown_still_is_not_adopted() {
    let mut options = Ec2Options::instant();
    options.lag.deletion = Duration::from_secs(3);
    let world = World::with(options, Config::default());
    let volumes = database(&world).volumes;
    world.settle().await;
    let lock = [("lockMode", "governance"), ("lockDuration", "1")];
    world
        .ec2
        .inject("LockSnapshot", When::Next, Fault::error("UnauthorizedOperation"));
    assert_eq!(code(create(&world, group(&volumes, &lock)).await), Code::Internal);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let made = create(&world, group(&volumes, &lock)).await.unwrap();
    assert_eq!((made.snapshots.len(), held(&world)), (2, sorted(&volumes)));
}
