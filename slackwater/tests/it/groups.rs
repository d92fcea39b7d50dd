//! Group snapshots by all functions in one process, on an EC2: what they cost, and what is left of them.

use std::time::Duration;

use controller::testing::resources::DEFINITIONS;
use controller::testing::resources::{GROUP_CLASSES, GROUP_CONTENTS, GROUPS};
use sandbox::ec2::Ec2Options;
use sandbox::faults::Faults;
use serde_json::{Value, json};

use crate::world::{CLAIMS, SNAPSHOTS, World};

/// Claims `data` and `log` of volumes that are attached to one instance, with the label of a database, and a class.
pub async fn database(options: Ec2Options) -> World {
    let world = World::new(7, options).await;
    furnish(&world);
    world
}

/// The definitions of groups too.
pub fn furnish(world: &World) {
    let store = world.store();
    for definition in crds::definitions::groups() {
        store.create(DEFINITIONS, definition).unwrap();
    }
    let ec2 = &world.ec2;
    let instance = ec2
        .create_instance_fixture("us-east-1a", "m5.large", &[])
        .unwrap();
    for (claim, device) in [("data", "/dev/xvdaa"), ("log", "/dev/xvdab")] {
        let volume = ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
        ec2.attach_volume_fixture(&volume, &instance, device).unwrap();
        world.add_claim(claim, &volume, "Filesystem");
        let label = |object: &mut Value| object["metadata"]["labels"]["app"] = json!("database");
        store.update(CLAIMS, "ns", claim, label).unwrap();
    }
    let class = json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1beta2", "kind": "VolumeGroupSnapshotClass",
        "metadata": {"name": "groups"}, "driver": "ebs.csi.aws.com", "deletionPolicy": "Delete",
    });
    store.create(GROUP_CLASSES, class).unwrap();
}

pub fn take(world: &World) {
    let group = json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1beta2", "kind": "VolumeGroupSnapshot",
        "metadata": {"name": "nightly", "namespace": "ns"},
        "spec": {"volumeGroupSnapshotClassName": "groups",
            "source": {"selector": {"matchLabels": {"app": "database"}}}},
    });
    world.store().create(GROUPS, group).unwrap();
}

pub fn is_ready(world: &World) -> bool {
    let ready = |object: &Value| object["status"]["readyToUse"] == true;
    let group = world.store().get(GROUPS, "ns", "nightly");
    let members = world.store().list(SNAPSHOTS, None);
    group.is_some_and(|group| ready(group.value()))
        && members.len() == 2
        && members.iter().all(|member| ready(member.value()))
}

/// How often each write was sent since then, `verb resource[/subresource]`, without events.
fn writes(world: &World, since: u64) -> Vec<(String, usize)> {
    let mut all: Vec<String> = Vec::new();
    for record in world.api.audit_since(since) {
        let is_work = !matches!(record.verb, "list" | "watch") && record.resource != "events";
        if is_work && record.user != "user" {
            assert!(record.code < 400, "{record:?}");
            let slash = if record.subresource.is_empty() { "" } else { "/" };
            all.push(format!(
                "{} {}{slash}{}",
                record.verb, record.resource, record.subresource
            ));
        }
    }
    all.sort();
    let mut counts: Vec<(String, usize)> = Vec::new();
    for request in all {
        match counts.last_mut() {
            Some((known, count)) if *known == request => *count += 1,
            _ => counts.push((request, 1)),
        }
    }
    counts
}

fn expected(rows: &[(&str, usize)]) -> Vec<(String, usize)> {
    rows.iter()
        .map(|(row, count)| ((*row).to_owned(), *count))
        .collect()
}

fn now(world: &World) -> u64 {
    world.api.audit().last().map_or(0, |request| request.number)
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_95_99_a_group_of_two_costs_seven_writes_and_four_a_member_and_one_call() {
    let world = database(Ec2Options::instant()).await;
    let _process = world.start(Faults::none()).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let begun = now(&world);
    take(&world);
    world.until("the group is ready", is_ready).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    let creation = [
        ("create volumegroupsnapshotcontents", 1),
        ("create volumesnapshotcontents", 2),
        ("create volumesnapshots", 2),
        ("patch volumegroupsnapshotcontents", 2),
        ("patch volumegroupsnapshotcontents/status", 1),
        ("patch volumegroupsnapshots", 1),
        ("patch volumegroupsnapshots/status", 2),
        ("patch volumesnapshotcontents/status", 2),
        ("patch volumesnapshots/status", 2),
    ];
    assert_eq!(writes(&world, begun), expected(&creation));
    let calls = (
        world.ec2.count("CreateSnapshots"),
        world.ec2.count("CreateSnapshot"),
    );
    assert_eq!(calls, (1, 0));

    let begun = now(&world);
    world.store().delete(GROUPS, "ns", "nightly", None).unwrap();
    world
        .until("all is gone", |world| {
            world.contents().is_empty() && world.store().list(GROUPS, None).is_empty()
        })
        .await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    let deletion = [
        ("delete volumegroupsnapshotcontents", 1),
        ("delete volumesnapshotcontents", 2),
        ("delete volumesnapshots", 2),
        ("patch volumegroupsnapshotcontents", 2),
        ("patch volumegroupsnapshots", 1),
        ("patch volumesnapshotcontents", 4),
        ("patch volumesnapshots", 2),
    ];
    let sent = writes(&world, begun);
    // What the garbage collector of the cluster does is none of ours.
    assert_eq!(sent, expected(&deletion));
    assert!(world.store().list(GROUP_CONTENTS, None).is_empty());
    assert!(world.store().list(SNAPSHOTS, None).is_empty());
    assert!(world.ec2.state().snapshots.is_empty(), "nothing leaks");
    assert_eq!(world.ec2.count("DeleteSnapshot"), 2);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_96_a_group_that_ec2_takes_a_minute_for_costs_no_poll_a_write() {
    let mut options = Ec2Options::instant();
    options.timing.snapshot = Duration::from_secs(60);
    let world = database(options).await;
    let _process = world.start(Faults::none()).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let begun = now(&world);
    take(&world);
    world.until("the group is ready", is_ready).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    let sent: usize = writes(&world, begun).iter().map(|(_, count)| count).sum();
    // Three more for the group, and two a member: readiness of contents and snapshots, and the time of the cut.
    assert!(sent <= 15 + 3 + 4, "{:#?}", writes(&world, begun));
    assert_eq!(world.ec2.count("CreateSnapshots"), 1);
}
