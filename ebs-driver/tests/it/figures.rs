//! How many calls of EC2 the work takes (spec 10.1): a hundred at once, all in the same moment and under AWS's pace, and one
//! alone. Numbers are exact: a call more is a change of the driver.

use std::collections::BTreeMap;
use std::time::Duration;

use csi::v1::{
    ControllerExpandVolumeRequest, ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest,
};
use ebs_driver::Config;
use ebs_driver::ec2::limit::bucket::Assume;
use futures::future::join_all;
use sandbox::ec2::{Ec2Options, InstanceType, Throttles};

use crate::world::{GIB, World, mount, range, snapshot, volume};

const ZONE: &str = "us-east-1a";
const MANY: usize = 100;

/// Whether all go in one moment, or at the rate at which EC2's buckets fill.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pace {
    Free,
    Aws,
}

async fn world(pace: Pace) -> World {
    let mut options = Ec2Options::aws();
    options.instance_types.push(InstanceType::new("wide", 128, 1));
    let mut config = Config::default();
    if pace == Pace::Free {
        options.throttles = Throttles::off();
        config.limits = Assume::Nothing;
    }
    let world = World::with(options, config);
    world.settle().await;
    world
}

/// How often each action was called since the call of this number.
fn counted(world: &World, since: u64) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in world.ec2.calls_since(since) {
        assert!(call.code.is_none(), "{}: {:?}", call.action, call.code);
        *counts.entry(call.action).or_default() += 1;
    }
    counts
}

/// What a hundred took: calls of each action.
fn check(what: &str, pace: Pace, counts: &BTreeMap<String, usize>, expected: &[(&str, usize)]) {
    println!("{what} {pace:?}: {counts:?}");
    let expected: BTreeMap<String, usize> = expected
        .iter()
        .map(|(action, count)| ((*action).to_owned(), *count))
        .collect();
    assert_eq!(counts, &expected, "{what} {pace:?}");
}

/// Several IDs go by filter, which takes from EC2's larger bucket.
fn check_filters(world: &World) {
    for call in world.ec2.calls() {
        let has = |prefix: &str| call.parameters.keys().any(|name| name.starts_with(prefix));
        let is_list = ["VolumeId.2", "InstanceId.2", "SnapshotId.2"]
            .into_iter()
            .any(has);
        assert!(!is_list || call.action == "DescribeVolumeStatus", "{call:?}");
    }
}

fn within<T>(message: T) -> tonic::Request<T> {
    csi::channel::request(message, Duration::from_secs(360))
}

/// The nodes on which a hundred volumes are attached.
fn nodes(world: &World, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| world.ec2.create_instance_fixture(ZONE, "wide", &[]).unwrap())
        .collect()
}

fn volumes(world: &World) -> Vec<String> {
    (0..MANY)
        .map(|_| world.ec2.create_volume_fixture(ZONE, 10, &[]).unwrap())
        .collect()
}

async fn publish(world: &World, volume_id: &str, node_id: &str) {
    let request = ControllerPublishVolumeRequest {
        volume_id: volume_id.into(),
        node_id: node_id.into(),
        volume_capability: Some(mount("ext4")),
        ..ControllerPublishVolumeRequest::default()
    };
    world
        .channel
        .controller()
        .controller_publish_volume(within(request))
        .await
        .unwrap();
}

async fn unpublish(world: &World, volume_id: &str, node_id: &str) {
    let request = ControllerUnpublishVolumeRequest {
        volume_id: volume_id.into(),
        node_id: node_id.into(),
        ..ControllerUnpublishVolumeRequest::default()
    };
    world
        .channel
        .controller()
        .controller_unpublish_volume(within(request))
        .await
        .unwrap();
}

async fn expand(world: &World, volume_id: &str) {
    let request = ControllerExpandVolumeRequest {
        volume_id: volume_id.into(),
        capacity_range: range(20 * GIB, 0),
        volume_capability: Some(mount("ext4")),
        ..ControllerExpandVolumeRequest::default()
    };
    world
        .channel
        .controller()
        .controller_expand_volume(within(request))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn ebs_case_142_a_hundred_volumes_are_made_by_a_call_each_and_shared_polls() {
    for (pace, polls) in [(Pace::Free, 1), (Pace::Aws, 5)] {
        let world = world(pace).await;
        let before = world.calls();
        let create = async |number: usize| {
            let request = within(volume(&format!("pvc-{number}"), &[]));
            world.channel.controller().create_volume(request).await.unwrap();
        };
        join_all((0..MANY).map(create)).await;
        let counts = counted(&world, before);
        check(
            "create",
            pace,
            &counts,
            &[("CreateVolume", MANY), ("DescribeVolumes", polls)],
        );
        check_filters(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_142_a_hundred_volumes_are_attached_and_detached_by_a_call_each_and_a_tenth() {
    for (pace, instances, attach_polls, detach_polls) in [(Pace::Free, 1, 1, 1), (Pace::Aws, 1, 7, 8)] {
        let world = world(pace).await;
        let (nodes, volumes) = (nodes(&world, 10), volumes(&world));
        // The type is asked for once a process.
        let first = world.ec2.create_volume_fixture(ZONE, 10, &[]).unwrap();
        publish(&world, &first, &nodes[0]).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let pairs = || volumes.iter().zip(nodes.iter().cycle());
        let before = world.calls();
        join_all(pairs().map(|(volume, node)| publish(&world, volume, node))).await;
        check(
            "attach",
            pace,
            &counted(&world, before),
            &[
                ("AttachVolume", MANY),
                ("DescribeInstances", instances),
                ("DescribeVolumes", attach_polls),
            ],
        );
        tokio::time::sleep(Duration::from_secs(60)).await;
        let before = world.calls();
        join_all(pairs().map(|(volume, node)| unpublish(&world, volume, node))).await;
        check(
            "detach",
            pace,
            &counted(&world, before),
            &[("DescribeVolumes", detach_polls), ("DetachVolume", MANY)],
        );
        check_filters(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_142_a_hundred_snapshots_are_made_by_a_call_each() {
    for (pace, lookups) in [(Pace::Free, 1), (Pace::Aws, 1)] {
        let world = world(pace).await;
        let volumes = volumes(&world);
        let before = world.calls();
        let cut = async |(volume, number): (&String, usize)| {
            let request = within(snapshot(&format!("snapshot-{number}"), volume, &[]));
            world.channel.controller().create_snapshot(request).await.unwrap();
        };
        join_all(volumes.iter().zip(0..).map(cut)).await;
        check(
            "snapshot",
            pace,
            &counted(&world, before),
            &[("CreateSnapshot", MANY), ("DescribeSnapshots", lookups)],
        );
        check_filters(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn ebs_case_142_a_hundred_volumes_are_expanded_by_two_calls_each() {
    for (pace, looks, polls) in [(Pace::Free, 1, 3), (Pace::Aws, 1, 11)] {
        let world = world(pace).await;
        let volumes = volumes(&world);
        let before = world.calls();
        join_all(volumes.iter().map(|volume| expand(&world, volume))).await;
        check(
            "expand",
            pace,
            &counted(&world, before),
            &[
                ("DescribeVolumes", looks),
                ("DescribeVolumesModifications", polls),
                ("ModifyVolume", MANY),
            ],
        );
        check_filters(&world);
    }
}

/// Upstream takes 2 to 3 calls for a volume and a dry run for each type and zone, 4 to 6 to attach and to detach, 2 for a
/// snapshot, 5 and its polls to expand (spec 10.1).
#[tokio::test(start_paused = true)]
async fn ebs_case_143_one_alone_takes_no_more_calls_than_upstreams_and_no_dry_run() {
    let world = world(Pace::Aws).await;
    let node = nodes(&world, 1).remove(0);
    let mut before = world.calls();
    let mut since = || {
        let actions = world.actions_since(before);
        before = world.calls();
        actions
    };
    let made = world.create_volume(volume("pvc-1", &[])).await.unwrap();
    assert_eq!(since(), ["CreateVolume", "DescribeVolumes"]);
    publish(&world, &made.volume_id, &node).await;
    assert_eq!(
        since(),
        [
            "DescribeInstances",
            "DescribeInstanceTypes",
            "AttachVolume",
            "DescribeVolumes"
        ]
    );
    world
        .create_snapshot(snapshot("snapshot-1", &made.volume_id, &[]))
        .await
        .unwrap();
    assert_eq!(since(), ["DescribeSnapshots", "CreateSnapshot"]);
    expand(&world, &made.volume_id).await;
    let mut expansion = since();
    expansion[..2].sort();
    assert_eq!(
        expansion,
        [
            "DescribeVolumes",
            "DescribeVolumesModifications",
            "ModifyVolume",
            "DescribeVolumesModifications",
            "DescribeVolumesModifications"
        ]
    );
    unpublish(&world, &made.volume_id, &node).await;
    assert_eq!(since(), ["DetachVolume", "DescribeVolumes"]);
    assert!(world.ec2.calls().iter().all(|call| !call.dry_run));
}

/// A thousand contents that each poll when their own timer says so: one call for all of them in each window of 5 s.
#[tokio::test(start_paused = true)]
async fn ebs_case_144_a_thousand_pending_snapshots_are_polled_by_one_call_a_window() {
    const PENDING: u64 = 1000;
    let mut options = Ec2Options::default();
    options.timing.snapshot = Duration::from_secs(3600);
    options.rules.snapshot_interval = None;
    options.rules.pending_snapshots = false;
    let config = Config {
        limits: Assume::Nothing,
        ..Config::default()
    };
    let world = World::with(options, config);
    world.settle().await;
    let source = world.ec2.create_volume_fixture(ZONE, 1, &[]).unwrap();
    let make = async |number: u64| {
        let request = snapshot(&format!("snapshot-{number}"), &source, &[]);
        world.create_snapshot(request).await.unwrap().snapshot_id
    };
    let made = join_all((0..PENDING).map(make)).await;
    let poll = async |number: u64, id: &String| {
        let mut request = tonic::Request::new(snapshot(&format!("snapshot-{number}"), &source, &[]));
        csi::CreateSnapshotHint::Stored(id).attach(&mut request);
        let answer = world.channel.controller().create_snapshot(request).await.unwrap();
        assert!(!answer.into_inner().snapshot.unwrap().ready_to_use);
    };
    // All are known, and old enough for an answer to count for 5 s.
    join_all((0..).zip(&made).map(|(number, id)| poll(number, id))).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let before = world.calls();
    let begun = tokio::time::Instant::now();
    let keep_polling = async |number: u64, id: &String| {
        for round in 0..6 {
            let at = Duration::from_secs(5 * round) + Duration::from_millis(number * 5);
            tokio::time::sleep_until(begun + at).await;
            poll(number, id).await;
        }
    };
    join_all((0..).zip(&made).map(|(number, id)| keep_polling(number, id))).await;
    let counts = counted(&world, before);
    check("polls", Pace::Free, &counts, &[("DescribeSnapshots", 6)]);
}
