//! Take-over without upstream's programs: they are killed between any two of their writes, as the specification has their
//! order (snapshot 2.3 to 2.8, 3.4, 3.5, 4), and ours finish what is left: ready or gone, taken once, nothing left over.

use std::time::Duration;

use controller::testing::resources::{GROUP_CONTENTS, GROUPS};
use sandbox::ec2::Ec2Options;
use sandbox::faults::Faults;
use sandbox::kube::GroupResource;
use serde_json::{Value, json};

use crate::groups;
use crate::world::{CLAIMS, CONTENTS, SNAPSHOTS, World};

const AS_SOURCE: &str = "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection";
const BOUND: &str = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";
const IN_GROUP: &str = "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection";
const CLAIM_SOURCE: &str = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
const CONTENT_BOUND: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";
const BEING_CREATED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-created";
const BEING_DELETED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";
const GROUP_BOUND: &str = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection";
const GROUP_CONTENT_BOUND: &str =
    "groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection";
const GROUP_BEING_CREATED: &str = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-created";
const GROUP_BEING_DELETED: &str = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-deleted";
const GROUP_HANDLE: &str = "groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle";

/// One write of upstream's, or what it makes EC2 do.
type Write = (&'static str, fn(&World));

/// From the VolumeSnapshot `s` of the claim `p` to its readiness. EC2 has the snapshot from [`CUT`] on.
const CREATION: [Write; 12] = [
    ("the snapshot has a finalizer", |world| {
        hold(world, SNAPSHOTS, "s", AS_SOURCE)
    }),
    ("the claim has a finalizer", |world| {
        hold(world, CLAIMS, "p", CLAIM_SOURCE)
    }),
    ("the content is made", make_content),
    ("the status is bound", |world| {
        let bound = json!({"boundVolumeSnapshotContentName": content_name(world), "readyToUse": false});
        say(world, SNAPSHOTS, "s", &bound);
    }),
    ("the content has a finalizer", |world| {
        hold(world, CONTENTS, &content_name(world), CONTENT_BOUND);
    }),
    ("the snapshot has both finalizers", |world| {
        hold(world, SNAPSHOTS, "s", BOUND)
    }),
    ("the content is marked as being created", |world| {
        mark(world, CONTENTS, &content_name(world), BEING_CREATED);
    }),
    ("EC2 has taken the snapshot", |world| {
        let name = format!("snapshot-{}", uid(world, SNAPSHOTS, "s"));
        let tags = [
            ("CSIVolumeSnapshotName", name.as_str()),
            ("ebs.csi.aws.com/cluster", "true"),
        ];
        world.ec2.create_snapshot_fixture(&world.volume, &tags).unwrap();
    }),
    ("the content's status has the handle", |world| {
        let handle = world.ec2_snapshots()[0].id.clone();
        let told = json!({"snapshotHandle": handle, "readyToUse": true, "creationTime": 1_767_225_600_000_000_000_i64,
            "restoreSize": 10_737_418_240_i64});
        say(world, CONTENTS, &content_name(world), &told);
    }),
    ("the mark is gone", |world| {
        unmark(world, CONTENTS, &content_name(world), BEING_CREATED)
    }),
    ("the snapshot's status is ready", |world| {
        let told = json!({"readyToUse": true, "creationTime": "2026-01-01T00:00:00Z", "restoreSize": "10Gi"});
        say(world, SNAPSHOTS, "s", &told);
    }),
    ("the claim is let go", |world| {
        let_go(world, CLAIMS, "p", CLAIM_SOURCE)
    }),
];
const CUT: usize = 8;

/// From the deletion of `s` to its end. EC2 has lost the snapshot from [`LOST`] on.
const DELETION: [Write; 7] = [
    ("the content is marked as being deleted", |world| {
        mark(world, CONTENTS, &content_name(world), BEING_DELETED);
    }),
    ("the content is deleted", |world| {
        delete(world, CONTENTS, &content_name(world))
    }),
    ("the snapshot has one finalizer left", |world| {
        let_go(world, SNAPSHOTS, "s", AS_SOURCE)
    }),
    ("EC2 has deleted the snapshot", |world| {
        let id = world.ec2_snapshots()[0].id.clone();
        world.ec2.forget_snapshot(&id);
    }),
    ("the content's status is cleared", |world| {
        let cleared =
            json!({"snapshotHandle": null, "readyToUse": null, "creationTime": null, "restoreSize": null});
        say(world, CONTENTS, &content_name(world), &cleared);
    }),
    ("the content is gone", |world| {
        let_go(world, CONTENTS, &content_name(world), CONTENT_BOUND)
    }),
    ("the snapshot is gone", |world| {
        let_go(world, SNAPSHOTS, "s", BOUND)
    }),
];
const LOST: usize = 4;

/// The import of an EBS snapshot as `s`.
const IMPORT: [Write; 6] = [
    ("the snapshot has a finalizer", |world| {
        hold(world, SNAPSHOTS, "s", AS_SOURCE)
    }),
    ("the content has the UID", |world| {
        let uid = uid(world, SNAPSHOTS, "s");
        change(world, CONTENTS, "content-s", |content| {
            content["spec"]["volumeSnapshotRef"]["uid"] = json!(uid);
        });
    }),
    ("the status is bound", |world| {
        let bound = json!({"boundVolumeSnapshotContentName": "content-s", "readyToUse": false});
        say(world, SNAPSHOTS, "s", &bound);
    }),
    ("the content has a finalizer", |world| {
        hold(world, CONTENTS, "content-s", CONTENT_BOUND)
    }),
    ("the snapshot has both finalizers", |world| {
        hold(world, SNAPSHOTS, "s", BOUND)
    }),
    ("the content's status has the handle", |world| {
        let handle = world.ec2_snapshots()[0].id.clone();
        let told = json!({"snapshotHandle": handle, "readyToUse": true, "restoreSize": 10_737_418_240_i64,
            "creationTime": 1_767_225_600_000_000_000_i64});
        say(world, CONTENTS, "content-s", &told);
    }),
];

/// From the group `nightly` of the claims `data` and `log` to its readiness. EC2 has the snapshots from [`GROUP_CUT`] on.
const GROUP_CREATION: [Write; 20] = [
    ("the content is made", make_group_content),
    ("the status is bound", |world| {
        let bound =
            json!({"boundVolumeGroupSnapshotContentName": group_content_name(world), "readyToUse": false});
        say(world, GROUPS, "nightly", &bound);
    }),
    ("the group has its finalizer", |world| {
        hold(world, GROUPS, "nightly", GROUP_BOUND)
    }),
    ("the content has its finalizer", |world| {
        hold(
            world,
            GROUP_CONTENTS,
            &group_content_name(world),
            GROUP_CONTENT_BOUND,
        );
    }),
    ("the content is marked as being created", |world| {
        mark(
            world,
            GROUP_CONTENTS,
            &group_content_name(world),
            GROUP_BEING_CREATED,
        );
    }),
    ("EC2 has taken the snapshots", take_in_ec2),
    ("the content's status has the snapshots", |world| {
        let told = json!({"volumeGroupSnapshotHandle": group_handle(world), "readyToUse": true,
            "creationTime": "2026-01-01T00:00:00Z", "volumeSnapshotInfoList": infos(world)});
        say(world, GROUP_CONTENTS, &group_content_name(world), &told);
    }),
    ("the mark is gone", |world| {
        unmark(
            world,
            GROUP_CONTENTS,
            &group_content_name(world),
            GROUP_BEING_CREATED,
        );
    }),
    ("the first member's content is made", make_member_content::<0>),
    ("the first member is made", make_member::<0>),
    ("the first member's content has the UID", bind_member::<0>),
    ("the first member's status is bound", say_member_bound::<0>),
    ("the first member's content has the handle", say_member_cut::<0>),
    ("the second member's content is made", make_member_content::<1>),
    ("the second member is made", make_member::<1>),
    ("the second member's content has the UID", bind_member::<1>),
    ("the second member's status is bound", say_member_bound::<1>),
    ("the second member's content has the handle", say_member_cut::<1>),
    ("the members are ready", |world| {
        for number in 0..2 {
            let name = member_name(world, number);
            hold(
                world,
                CONTENTS,
                &member_content_name(world, number),
                CONTENT_BOUND,
            );
            hold(world, SNAPSHOTS, &name, AS_SOURCE);
            hold(world, SNAPSHOTS, &name, BOUND);
            let told = json!({"readyToUse": true, "creationTime": "2026-01-01T00:00:00Z", "restoreSize": "10Gi",
                "volumeGroupSnapshotName": "nightly"});
            say(world, SNAPSHOTS, &name, &told);
        }
    }),
    ("the group is ready", |world| {
        let told = json!({"readyToUse": true, "creationTime": "2026-01-01T00:00:00Z"});
        say(world, GROUPS, "nightly", &told);
    }),
];
const GROUP_CUT: usize = 6;

/// From the deletion of the group to its end. EC2 has lost the snapshots from [`LOST`] on.
const GROUP_DELETION: [Write; 9] = [
    ("the content is marked as being deleted", |world| {
        mark(
            world,
            GROUP_CONTENTS,
            &group_content_name(world),
            GROUP_BEING_DELETED,
        );
    }),
    ("the content is deleted", |world| {
        delete(world, GROUP_CONTENTS, &group_content_name(world))
    }),
    ("the members are deleted", |world| {
        for number in 0..2 {
            delete(world, SNAPSHOTS, &member_name(world, number));
        }
    }),
    ("EC2 has deleted the snapshots", |world| {
        for snapshot in world.ec2_snapshots() {
            world.ec2.forget_snapshot(&snapshot.id);
        }
    }),
    ("the content's status is cleared", |world| {
        let cleared = json!({"volumeGroupSnapshotHandle": null, "readyToUse": null, "creationTime": null});
        say(world, GROUP_CONTENTS, &group_content_name(world), &cleared);
    }),
    ("the content is gone", |world| {
        let_go(
            world,
            GROUP_CONTENTS,
            &group_content_name(world),
            GROUP_CONTENT_BOUND,
        );
    }),
    // Its name stays known by its members.
    ("the group is gone", |world| {
        let_go(world, GROUPS, "nightly", GROUP_BOUND)
    }),
    ("a member's content is marked", |world| {
        if let Some(name) = a_member_content(world) {
            mark(world, CONTENTS, &name, BEING_DELETED);
        }
    }),
    ("a member's content is deleted", |world| {
        if let Some(name) = a_member_content(world) {
            delete(world, CONTENTS, &name);
        }
    }),
];

fn namespace(kind: GroupResource<'_>) -> &'static str {
    if kind == CONTENTS || kind == GROUP_CONTENTS {
        ""
    } else {
        "ns"
    }
}

fn get(world: &World, kind: GroupResource<'_>, name: &str) -> Option<Value> {
    let found = world.store().get(kind, namespace(kind), name);
    found.map(|object| object.value().clone())
}

fn uid(world: &World, kind: GroupResource<'_>, name: &str) -> String {
    let object = get(world, kind, name).unwrap();
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn change(world: &World, kind: GroupResource<'_>, name: &str, change: impl FnOnce(&mut Value)) {
    world.store().update(kind, namespace(kind), name, change).unwrap();
}

fn say(world: &World, kind: GroupResource<'_>, name: &str, status: &Value) {
    let merge = |object: &mut Value| {
        for (name, value) in status.as_object().unwrap() {
            object["status"][name] = value.clone();
        }
        let status = object["status"].as_object_mut().unwrap();
        status.retain(|_, value| !value.is_null());
    };
    world
        .store()
        .update_status(kind, namespace(kind), name, merge)
        .unwrap();
}

fn delete(world: &World, kind: GroupResource<'_>, name: &str) {
    world.store().delete(kind, namespace(kind), name, None).unwrap();
}

fn hold(world: &World, kind: GroupResource<'_>, name: &str, finalizer: &str) {
    change(world, kind, name, |object| {
        let list = &mut object["metadata"]["finalizers"];
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut().unwrap().push(json!(finalizer));
    });
}

fn let_go(world: &World, kind: GroupResource<'_>, name: &str, finalizer: &str) {
    change(world, kind, name, |object| {
        let list = object["metadata"]["finalizers"].as_array_mut().unwrap();
        list.retain(|one| one != finalizer);
    });
}

fn mark(world: &World, kind: GroupResource<'_>, name: &str, key: &str) {
    change(world, kind, name, |object| {
        object["metadata"]["annotations"][key] = json!("yes")
    });
}

fn unmark(world: &World, kind: GroupResource<'_>, name: &str, key: &str) {
    change(world, kind, name, |object| {
        object["metadata"]["annotations"]
            .as_object_mut()
            .unwrap()
            .remove(key);
    });
}

fn content_name(world: &World) -> String {
    // The snapshot may be gone before its content.
    match get(world, SNAPSHOTS, "s") {
        Some(snapshot) => format!("snapcontent-{}", snapshot["metadata"]["uid"].as_str().unwrap()),
        None => world.contents()[0]["metadata"]["name"]
            .as_str()
            .unwrap()
            .to_owned(),
    }
}

fn make_content(world: &World) {
    let class = get(world, SNAPSHOTS, "s").unwrap()["spec"]["volumeSnapshotClassName"].clone();
    let policy = if class == "retain" { "Retain" } else { "Delete" };
    let content = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
        "metadata": {"name": content_name(world)},
        "spec": {"deletionPolicy": policy, "driver": "ebs.csi.aws.com", "source": {"volumeHandle": world.volume},
            "sourceVolumeMode": "Filesystem", "volumeSnapshotClassName": class,
            "volumeSnapshotRef": {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "name": "s",
                "namespace": "ns", "uid": uid(world, SNAPSHOTS, "s")}},
    });
    world.store().create(CONTENTS, content).unwrap();
}

fn group_content_name(world: &World) -> String {
    format!("groupsnapcontent-{}", uid(world, GROUPS, "nightly"))
}

fn group_handle(world: &World) -> String {
    format!("groupsnapshot-{}", uid(world, GROUPS, "nightly"))
}

/// The volumes of the claims, in the order of the claims.
fn volumes(world: &World) -> Vec<String> {
    let volume = |claim: &str| {
        let volume = world.volume(&format!("pv-{claim}")).unwrap();
        volume["spec"]["csi"]["volumeHandle"].as_str().unwrap().to_owned()
    };
    vec![volume("data"), volume("log")]
}

fn make_group_content(world: &World) {
    let content = json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1beta2", "kind": "VolumeGroupSnapshotContent",
        "metadata": {"name": group_content_name(world)},
        "spec": {"deletionPolicy": "Delete", "driver": "ebs.csi.aws.com", "source": {"volumeHandles": volumes(world)},
            "volumeGroupSnapshotClassName": "groups",
            "volumeGroupSnapshotRef": {"apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
                "name": "nightly", "namespace": "ns", "uid": uid(world, GROUPS, "nightly")}},
    });
    world.store().create(GROUP_CONTENTS, content).unwrap();
}

fn take_in_ec2(world: &World) {
    let name = group_handle(world);
    for volume in volumes(world) {
        let tags = [
            ("CSIVolumeGroupSnapshotName", name.as_str()),
            ("ebs.csi.aws.com/group-snapshot-attempt", "2026-01-01T00:00:00Z"),
            ("ebs.csi.aws.com/cluster", "true"),
        ];
        world.ec2.create_snapshot_fixture(&volume, &tags).unwrap();
    }
}

/// What the driver says of the snapshots, in the order of the claims.
fn infos(world: &World) -> Vec<Value> {
    let snapshots = world.ec2_snapshots();
    let info = |volume: String| {
        let snapshot = snapshots
            .iter()
            .find(|snapshot| snapshot.volume_id == volume)
            .unwrap();
        json!({"volumeHandle": volume, "snapshotHandle": snapshot.id, "creationTime": 1_767_225_600_000_000_000_i64,
            "readyToUse": true, "restoreSize": 10_737_418_240_i64})
    };
    volumes(world).into_iter().map(info).collect()
}

fn member_name(world: &World, number: usize) -> String {
    let group = uid(world, GROUPS, "nightly");
    snapshot_controller::plan::group::member::name(&group, &volumes(world)[number])
}

fn member_content_name(world: &World, number: usize) -> String {
    member_name(world, number).replacen("snapshot-", "snapcontent-", 1)
}

fn a_member_content(world: &World) -> Option<String> {
    let contents = world.contents();
    let content = contents
        .iter()
        .find(|content| content["metadata"]["deletionTimestamp"].is_null())?;
    Some(content["metadata"]["name"].as_str().unwrap().to_owned())
}

fn make_member_content<const N: usize>(world: &World) {
    let content = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
        "metadata": {"name": member_content_name(world, N), "annotations": {(GROUP_HANDLE): group_handle(world)}},
        "spec": {"deletionPolicy": "Delete", "driver": "ebs.csi.aws.com",
            "source": {"volumeHandle": volumes(world)[N]}, "sourceVolumeMode": "Filesystem",
            "volumeSnapshotRef": {"kind": "VolumeSnapshot", "name": member_name(world, N), "namespace": "ns"}},
    });
    world.store().create(CONTENTS, content).unwrap();
}

fn make_member<const N: usize>(world: &World) {
    let claim = ["data", "log"][N];
    let member = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": member_name(world, N), "namespace": "ns", "finalizers": [IN_GROUP], "ownerReferences": [
            {"apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot", "name": "nightly",
                "uid": uid(world, GROUPS, "nightly")}]},
        "spec": {"source": {"persistentVolumeClaimName": claim}},
    });
    world.store().create(SNAPSHOTS, member).unwrap();
}

fn bind_member<const N: usize>(world: &World) {
    let uid = uid(world, SNAPSHOTS, &member_name(world, N));
    change(world, CONTENTS, &member_content_name(world, N), |content| {
        content["spec"]["volumeSnapshotRef"]["uid"] = json!(uid);
    });
}

fn say_member_bound<const N: usize>(world: &World) {
    let bound = json!({"boundVolumeSnapshotContentName": member_content_name(world, N)});
    say(world, SNAPSHOTS, &member_name(world, N), &bound);
}

fn say_member_cut<const N: usize>(world: &World) {
    let mut told = infos(world)[N].clone();
    told.as_object_mut().unwrap().remove("volumeHandle");
    told["volumeGroupSnapshotHandle"] = json!(group_handle(world));
    say(world, CONTENTS, &member_content_name(world, N), &told);
}

fn write(world: &World, writes: &[Write]) {
    for (_, write) in writes {
        write(world);
    }
}

/// Where upstream's programs were killed, for messages.
fn after(writes: &[Write]) -> &'static str {
    writes.last().map_or("nothing is done", |(what, _)| what)
}

async fn with_snapshot(class: &str) -> World {
    let world = World::new(11, Ec2Options::instant()).await;
    world.create_snapshot("s", "p", class);
    world
}

/// Nothing is left of the snapshot, in the cluster or in EC2.
async fn is_gone(world: &World, after: &str) {
    world
        .until(after, |world| {
            world.snapshot("s").is_none() && world.contents().is_empty()
        })
        .await;
    // Nobody comes back to it.
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(world.ec2_snapshots().is_empty(), "left in EC2 after: {after}");
    let claim = world.claim("p").unwrap();
    let finalizers = claim["metadata"]["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert!(
        !finalizers.contains(&json!(CLAIM_SOURCE)),
        "the claim is held after: {after}"
    );
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_145_a_creation_that_upstream_left_half_way_is_finished() {
    for done in 0..=CREATION.len() {
        let world = with_snapshot("delete").await;
        let writes = &CREATION[..done];
        write(&world, writes);
        let _process = world.start(Faults::none()).await;
        world.until(after(writes), |world| world.is_ready("s")).await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        let taken = world.ec2.count("CreateSnapshot");
        assert_eq!(taken, u64::from(done < CUT), "after: {}", after(writes));
        assert_eq!(world.ec2_snapshots().len(), 1, "after: {}", after(writes));
        let content = &world.contents()[0];
        assert!(
            content["metadata"]["annotations"][BEING_CREATED].is_null(),
            "{content}"
        );
        world.delete_snapshot("s");
        is_gone(&world, after(writes)).await;
        assert_eq!(world.ec2.count("DeleteSnapshot"), 1, "after: {}", after(writes));
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_146_a_creation_that_was_left_half_way_and_given_up_leaves_nothing() {
    for done in 0..=CREATION.len() {
        let world = with_snapshot("delete").await;
        let writes = &CREATION[..done];
        write(&world, writes);
        world.delete_snapshot("s");
        let _process = world.start(Faults::none()).await;
        is_gone(&world, after(writes)).await;
        let (taken, deleted) = (
            world.ec2.count("CreateSnapshot"),
            world.ec2.count("DeleteSnapshot"),
        );
        assert!(
            taken <= 1 && (done < CUT || taken == 0),
            "after: {}",
            after(writes)
        );
        assert_eq!(
            deleted,
            taken + u64::from(done >= CUT),
            "after: {}",
            after(writes)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_147_a_deletion_that_upstream_left_half_way_is_finished() {
    for done in 0..=DELETION.len() {
        let world = with_snapshot("delete").await;
        write(&world, &CREATION);
        world.delete_snapshot("s");
        let writes = &DELETION[..done];
        write(&world, writes);
        let _process = world.start(Faults::none()).await;
        is_gone(&world, after(writes)).await;
        // Where EC2's answer was not written, the call is made again, which does no harm; a new process takes EC2's word that
        // there is no such snapshot only once it is older than that may be late.
        let expected = u64::from(done < LOST);
        let deleted = world.ec2.count("DeleteSnapshot");
        assert!(
            deleted == expected || done == LOST && deleted > 0,
            "{deleted} after: {}",
            after(writes)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_147_what_retain_keeps_is_kept_by_a_deletion_that_was_left_half_way() {
    let kept: [Write; 3] = [
        DELETION[0],
        DELETION[2],
        ("the snapshot is gone", |world| {
            let_go(world, SNAPSHOTS, "s", BOUND)
        }),
    ];
    for done in 0..=kept.len() {
        let world = with_snapshot("retain").await;
        write(&world, &CREATION);
        world.delete_snapshot("s");
        let writes = &kept[..done];
        write(&world, writes);
        let _process = world.start(Faults::none()).await;
        world
            .until(after(writes), |world| world.snapshot("s").is_none())
            .await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!((world.contents().len(), world.ec2_snapshots().len()), (1, 1));
        assert_eq!(world.ec2.count("DeleteSnapshot"), 0, "after: {}", after(writes));
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_148_an_import_that_upstream_left_half_way_is_finished() {
    for done in 0..=IMPORT.len() {
        let world = World::new(11, Ec2Options::instant()).await;
        let handle = world.ec2.create_snapshot_fixture(&world.volume, &[]).unwrap();
        world.import_snapshot("s", &handle, "Delete");
        let writes = &IMPORT[..done];
        write(&world, writes);
        let _process = world.start(Faults::none()).await;
        world.until(after(writes), |world| world.is_ready("s")).await;
        world.delete_snapshot("s");
        is_gone(&world, after(writes)).await;
        let calls = (
            world.ec2.count("CreateSnapshot"),
            world.ec2.count("DeleteSnapshot"),
        );
        assert_eq!(calls, (0, 1), "after: {}", after(writes));
    }
}

async fn with_group() -> World {
    let world = groups::database(Ec2Options::instant()).await;
    groups::take(&world);
    world
}

async fn group_is_gone(world: &World, after: &str) {
    world
        .until(after, |world| {
            let left = |kind| world.store().list(kind, None).len();
            [GROUPS, GROUP_CONTENTS, SNAPSHOTS, CONTENTS]
                .into_iter()
                .all(|kind| left(kind) == 0)
        })
        .await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(world.ec2_snapshots().is_empty(), "left in EC2 after: {after}");
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_149_a_group_that_upstream_left_half_way_is_finished() {
    for done in 0..=GROUP_CREATION.len() {
        let world = with_group().await;
        let writes = &GROUP_CREATION[..done];
        write(&world, writes);
        let _process = world.start(Faults::none()).await;
        world.until(after(writes), groups::is_ready).await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        let calls = (
            world.ec2.count("CreateSnapshots"),
            world.ec2.count("CreateSnapshot"),
        );
        assert_eq!(
            calls,
            (u64::from(done < GROUP_CUT), 0),
            "after: {}",
            after(writes)
        );
        assert_eq!(world.ec2_snapshots().len(), 2, "after: {}", after(writes));
        delete(&world, GROUPS, "nightly");
        group_is_gone(&world, after(writes)).await;
        assert_eq!(world.ec2.count("DeleteSnapshot"), 2, "after: {}", after(writes));
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_150_a_group_that_was_left_half_way_and_given_up_leaves_nothing() {
    // Before its finalizer nothing holds the group, and it is gone before ours see it: from then on.
    for done in 3..=GROUP_CREATION.len() {
        let world = with_group().await;
        let writes = &GROUP_CREATION[..done];
        write(&world, writes);
        delete(&world, GROUPS, "nightly");
        let _process = world.start(Faults::none()).await;
        group_is_gone(&world, after(writes)).await;
        assert!(
            world.ec2.count("CreateSnapshots") <= u64::from(done < GROUP_CUT),
            "after: {}",
            after(writes)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_151_a_deletion_of_a_group_that_upstream_left_half_way_is_finished() {
    for done in 0..=GROUP_DELETION.len() {
        let world = with_group().await;
        write(&world, &GROUP_CREATION);
        delete(&world, GROUPS, "nightly");
        let writes = &GROUP_DELETION[..done];
        write(&world, writes);
        let _process = world.start(Faults::none()).await;
        group_is_gone(&world, after(writes)).await;
        let expected = if done < LOST { 2 } else { 0 };
        let deleted = world.ec2.count("DeleteSnapshot");
        assert!(
            deleted == expected || done == LOST,
            "{deleted} after: {}",
            after(writes)
        );
    }
}
