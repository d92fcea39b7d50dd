//! Group snapshots by the whole controller, in the sandbox.

use std::time::Duration;

use controller::testing::resources::{GROUP_CLASSES, GROUP_CONTENTS, GROUPS};
use sandbox::kube::Denial;
use serde_json::{Value, json};

use crate::group_world::{
    self, GROUP_FINALIZER, class, furnish, group, label, members, of_database, status, take, with_groups,
};
use crate::scene::{AS_SOURCE, BOUND, IN_GROUP};
use crate::world::{CLAIMS, CONTENTS, SNAPSHOTS, USER, World, seconds};

/// SHA-256 of the group's UID and the volume's handle, as the names of members have it.
fn hashes(world: &World) -> Vec<String> {
    let uid = world.get(GROUPS, "default", "g").unwrap()["metadata"]["uid"].clone();
    let name = |volume| snapshot_controller::plan::group::member::name(uid.as_str().unwrap(), volume);
    let mut all = ["vol-pv", "vol-qv"].map(|volume| name(volume).replace("snapshot-", ""));
    all.sort();
    all.into()
}

/// How often each request was sent.
fn counted(requests: &[String]) -> Vec<(String, usize)> {
    let mut sorted = requests.to_vec();
    sorted.sort();
    let mut counts: Vec<(String, usize)> = Vec::new();
    for request in sorted {
        match counts.last_mut() {
            Some((known, count)) if *known == request => *count += 1,
            _ => counts.push((request, 1)),
        }
    }
    counts
}

fn lists_of_claims(world: &World, since: u64) -> usize {
    let records = world.api.audit_since(since).into_iter();
    records
        .filter(|record| record.verb == "list" && record.resource == "persistentvolumeclaims")
        .count()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Both members of group `g` name each other and the group, and say what the driver said.
fn members_are_whole(world: &World) {
    for (hash, member) in hashes(world).iter().zip(members(world)) {
        assert_eq!(member["metadata"]["name"], format!("snapshot-{hash}"));
        let finalizers = json!([IN_GROUP, AS_SOURCE, BOUND]);
        assert_eq!(member["metadata"]["finalizers"], finalizers);
        let own = &member["status"];
        assert_eq!(
            own["boundVolumeSnapshotContentName"],
            format!("snapcontent-{hash}")
        );
        assert_eq!(own["volumeGroupSnapshotName"], "g");
        assert_eq!(
            (&own["readyToUse"], &own["restoreSize"]),
            (&json!(true), &json!("1Gi"))
        );
        let content = world.get(CONTENTS, "", &format!("snapcontent-{hash}")).unwrap();
        assert_eq!(
            content["spec"]["volumeSnapshotRef"]["uid"],
            member["metadata"]["uid"]
        );
        assert_eq!(content["spec"]["sourceVolumeMode"], "Filesystem");
        let volume = text(&content["spec"]["source"]["volumeHandle"]).to_owned();
        assert_eq!(content["status"]["snapshotHandle"], format!("snap-of-{volume}"));
        let claim = &member["spec"]["source"]["persistentVolumeClaimName"];
        assert_eq!(volume, format!("vol-{}v", text(claim)), "the claim of the volume");
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_95_a_group_ready_at_once_is_four_writes_and_four_a_member() {
    let world = with_groups(None).await;
    let _process = world.start();
    seconds(1).await;
    let before = world.mark();
    take(&world, "g");
    seconds(3).await;
    let expected = [
        ("create volumegroupsnapshotcontents 201", 1),
        ("create volumesnapshotcontents 201", 2),
        ("create volumesnapshots 201", 2),
        ("patch volumegroupsnapshots 200", 1),
        ("patch volumegroupsnapshots/status 200", 2),
        ("patch volumesnapshotcontents/status 200", 2),
        ("patch volumesnapshots/status 200", 2),
    ];
    let expected: Vec<(String, usize)> = expected
        .map(|(request, count)| (request.to_owned(), count))
        .into();
    assert_eq!(counted(&world.requests_since(before)), expected);
    assert_eq!(lists_of_claims(&world, before), 1, "one LIST of the claims");

    let of_group = status(&world, "g");
    assert_eq!(of_group["readyToUse"], true, "{of_group}");
    assert_eq!(of_group["creationTime"], "2026-01-01T00:00:00Z");
    let contents = world.list(GROUP_CONTENTS);
    assert_eq!(contents.len(), 1);
    assert_eq!(
        contents[0]["spec"]["source"]["volumeHandles"],
        json!(["vol-pv", "vol-qv"])
    );
    members_are_whole(&world);
    for reason in [
        "CreatingGroupSnapshot x1",
        "GroupSnapshotCreated x1",
        "GroupSnapshotReady x1",
    ] {
        assert!(
            world.reasons().contains(&reason.to_owned()),
            "{:?}",
            world.reasons()
        );
    }
    let before = world.mark();
    seconds(1000).await;
    assert!(world.requests_since(before).is_empty(), "it rests");
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_96_members_of_a_group_that_is_ready_later_are_written_once() {
    let world = with_groups(Some(Duration::from_secs(60))).await;
    let _process = world.start();
    seconds(1).await;
    let before = world.mark();
    take(&world, "g");
    seconds(30).await;
    assert_eq!(status(&world, "g")["readyToUse"], false);
    // As many as when it is ready at once, without the last word.
    assert_eq!(world.requests_since(before).len(), 12);
    let before = world.mark();
    seconds(25).await;
    assert!(world.requests_since(before).is_empty(), "nothing is polled");
    seconds(60).await;
    let later = counted(&world.requests_since(before));
    let expected = [
        ("patch volumegroupsnapshots/status 200".to_owned(), 1),
        ("patch volumesnapshots/status 200".to_owned(), 2),
    ];
    assert_eq!(later, expected);
    assert_eq!(status(&world, "g")["readyToUse"], true);
    let ready = |member: &Value| member["status"]["readyToUse"] == true;
    assert!(members(&world).iter().all(ready));
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_94_expressions_select_and_a_selector_of_everything_is_refused() {
    let world = with_groups(None).await;
    label(&world, "q", "tier", "slow");
    let _process = world.start();
    seconds(1).await;
    let only_p = json!({"matchExpressions": [
        {"key": "app", "operator": "In", "values": ["db", "web"]},
        {"key": "tier", "operator": "DoesNotExist"},
    ]});
    world.create(GROUPS, group("g", &only_p, Some("gk")));
    world.create(GROUPS, group("all", &json!({}), Some("gk")));
    seconds(5).await;
    let contents = world.list(GROUP_CONTENTS);
    assert_eq!(contents.len(), 1, "{contents:#?}");
    assert_eq!(contents[0]["spec"]["source"]["volumeHandles"], json!(["vol-pv"]));
    assert!(text(&status(&world, "all")["error"]["message"]).contains("select every claim"));
    assert!(
        world
            .reasons()
            .contains(&"GroupSnapshotValidationError x1".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_98_99_a_group_goes_with_its_members_and_no_member_alone() {
    for (policy, kept) in [("Delete", 0), ("Retain", 1)] {
        let world = with_groups(None).await;
        world.create(GROUP_CLASSES, class("mine", "d", policy));
        let _process = world.start();
        world.create(GROUPS, group("g", &of_database(), Some("mine")));
        seconds(4).await;
        let first = text(&members(&world)[0]["metadata"]["name"]).to_owned();
        world.delete(SNAPSHOTS, "default", &first);
        seconds(400).await;
        assert_eq!(members(&world).len(), 2, "{policy}: a member stays");
        assert!(
            world
                .reasons()
                .iter()
                .any(|reason| reason.starts_with("SnapshotDeletePending"))
        );
        let before = world.mark();
        world.delete(GROUPS, "default", "g");
        seconds(5).await;
        assert!(world.get(GROUPS, "default", "g").is_none(), "{policy}");
        assert!(members(&world).is_empty(), "{policy}: {:#?}", members(&world));
        assert_eq!(world.list(GROUP_CONTENTS).len(), kept, "{policy}");
        assert_eq!(world.contents().len(), 2 * kept, "{policy}");
        assert!(
            world.sidecar.deleted.lock().unwrap().is_empty(),
            "no DeleteSnapshot"
        );
        // The group: its mark, its content, its finalizer. A member: itself, its mark, its content, its finalizers.
        let sent = world.requests_since(before);
        let most = if policy == "Delete" { 3 + 2 * 4 } else { 2 + 2 * 3 };
        assert_eq!(
            sent.len(),
            most - 1,
            "{policy}, one was deleted before: {sent:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_100_a_group_deleted_right_after_its_creation_leaves_nothing() {
    for wait in [0, 1, 5, 20, 100, 500] {
        let world = with_groups(None).await;
        let _process = world.start();
        seconds(1).await;
        take(&world, "g");
        tokio::time::sleep(Duration::from_millis(wait)).await;
        world.delete(GROUPS, "default", "g");
        seconds(60).await;
        assert!(world.get(GROUPS, "default", "g").is_none(), "after {wait} ms");
        assert!(world.list(GROUP_CONTENTS).is_empty(), "after {wait} ms");
        assert!(
            members(&world).is_empty() && world.contents().is_empty(),
            "after {wait} ms"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_14_15_groups_begin_when_their_definitions_come() {
    let world = World::new().await;
    let _process = world.start();
    seconds(2).await;
    world.create_snapshot("s");
    seconds(2).await;
    assert_eq!(
        world.snapshot("s")["status"]["readyToUse"],
        true,
        "snapshots work"
    );
    let looks = |world: &World| {
        let records = world.api.audit().into_iter();
        records
            .filter(|record| record.resource.starts_with("volumegroupsnapshot"))
            .count()
    };
    assert_eq!(looks(&world), 1, "one LIST told that there are none");
    assert!(!world.followed("volumegroupsnapshotclasses"));
    seconds(600).await;
    assert_eq!(looks(&world), 6, "one more each two minutes");
    furnish(&world, None);
    take(&world, "g");
    seconds(130).await;
    assert_eq!(status(&world, "g")["readyToUse"], true);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_14_a_role_without_the_group_kinds_is_as_if_there_were_none() {
    let world = with_groups(None).await;
    world.api.deny(USER, Denial::of("list", GROUPS));
    let _process = world.start();
    take(&world, "g");
    world.create_snapshot("s");
    seconds(100).await;
    assert_eq!(world.snapshot("s")["status"]["readyToUse"], true);
    assert!(status(&world, "g").is_null());
    assert!(
        !world.followed("volumegroupsnapshotcontents"),
        "nothing is watched"
    );
    world.api.allow_all(USER);
    seconds(30).await;
    assert_eq!(status(&world, "g")["readyToUse"], true);
}

/// What upstream's controller has written of a member when it ends between its requests: the objects exist, without the
/// UID in the reference, without finalizers of the bound and without any status.
fn left_half_way(world: &World) {
    let group = world.get(GROUPS, "default", "g").unwrap();
    let uid = &group["metadata"]["uid"];
    let name = snapshot_controller::plan::group::member::name(text(uid), "vol-pv");
    world.create(
        CONTENTS,
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
            "metadata": {"name": name.replace("snapshot-", "snapcontent-"), "annotations":
                {"groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle": "made-1"}},
            "spec": {"deletionPolicy": "Delete", "driver": "d", "source": {"volumeHandle": "vol-pv"},
                "volumeSnapshotRef": {"kind": "VolumeSnapshot", "name": name, "namespace": "default"}},
        }),
    );
    world.create(
        SNAPSHOTS,
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": name, "namespace": "default", "finalizers": [IN_GROUP], "ownerReferences": [
                {"apiVersion": "groupsnapshot.storage.k8s.io/v1beta2", "kind": "VolumeGroupSnapshot",
                    "name": "g", "uid": uid}]},
            "spec": {"source": {"persistentVolumeClaimName": "p"}},
        }),
    );
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_101_what_upstream_leaves_half_way_is_finished() {
    let world = World::new().await;
    world.define_groups();
    label(&world, "p", "app", "db");
    let mut taken = group("g", &of_database(), Some("gone"));
    taken["metadata"]["finalizers"] = json!([GROUP_FINALIZER]);
    let uid = world.create(GROUPS, taken)["metadata"]["uid"].clone();
    let name = format!("groupsnapcontent-{}", text(&uid));
    world.create(
        GROUP_CONTENTS,
        json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1beta2", "kind": "VolumeGroupSnapshotContent",
            "metadata": {"name": name},
            "spec": {"deletionPolicy": "Delete", "driver": "d", "source": {"volumeHandles": ["vol-pv"]},
                "volumeGroupSnapshotClassName": "gone",
                "volumeGroupSnapshotRef": {"name": "g", "namespace": "default", "uid": uid}},
        }),
    );
    let made = json!({"volumeGroupSnapshotHandle": "made-1", "readyToUse": true,
        "creationTime": "2026-01-01T00:00:00Z", "volumeSnapshotInfoList": [
            {"volumeHandle": "vol-pv", "snapshotHandle": "made-1-p", "readyToUse": true}]});
    world.change_status(GROUP_CONTENTS, "", &name, &made);
    left_half_way(&world);
    let _process = world.start();
    seconds(5).await;
    assert_eq!(status(&world, "g")["readyToUse"], true, "{}", status(&world, "g"));
    let member = &members(&world)[0];
    assert_eq!(member["status"]["readyToUse"], true, "{member}");
    assert_eq!(member["status"]["volumeGroupSnapshotName"], "g");
    let content = &world.contents()[0];
    assert_eq!(
        content["spec"]["volumeSnapshotRef"]["uid"],
        member["metadata"]["uid"]
    );
    assert_eq!(content["status"]["snapshotHandle"], "made-1-p");
    assert!(
        !world
            .reasons()
            .iter()
            .any(|reason| reason.starts_with("SnapshotContentRebound"))
    );
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_102_without_the_gate_groups_are_nothing_and_members_are_released() {
    let mut world = with_groups(None).await;
    let process = world.start();
    take(&world, "g");
    seconds(4).await;
    process.stop().await;
    world.flags = "--feature-gates=CSIVolumeGroupSnapshot=false".to_owned();
    let before = world.mark();
    let _process = world.start();
    take(&world, "other");
    let first = text(&members(&world)[0]["metadata"]["name"]).to_owned();
    world.delete(SNAPSHOTS, "default", &first);
    seconds(60).await;
    assert_eq!(members(&world).len(), 1);
    assert!(status(&world, "other").is_null());
    let records = world.api.audit_since(before).into_iter();
    let of_groups = records.filter(|record| {
        record.user == "snapshot-controller" && record.resource.starts_with("volumegroupsnapshot")
    });
    assert_eq!(of_groups.count(), 0);
}

/// A ready snapshot `s` whose content is told to be of the group `nobody`.
async fn of_nobodys_group(world: &World) {
    world.create(
        CONTENTS,
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
            "metadata": {"name": "c"},
            "spec": {"deletionPolicy": "Retain", "driver": "d", "source": {"snapshotHandle": "snap"},
                "volumeSnapshotRef": {"name": "s", "namespace": "default"}},
        }),
    );
    world.create(
        SNAPSHOTS,
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": "s", "namespace": "default"},
            "spec": {"source": {"volumeSnapshotContentName": "c"}},
        }),
    );
    seconds(2).await;
    world.change_status(CONTENTS, "", "c", &json!({"volumeGroupSnapshotHandle": "nobody"}));
    seconds(5).await;
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_86_a_snapshot_of_a_group_that_nobody_has_is_ready_and_names_none() {
    let world = with_groups(None).await;
    let _process = world.start();
    of_nobodys_group(&world).await;
    let found = &world.snapshot("s")["status"];
    assert_eq!(found["readyToUse"], true, "{found}");
    assert!(
        found["volumeGroupSnapshotName"].is_null() && found["error"].is_null(),
        "{found}"
    );
    // It belongs to no group, so nothing holds it.
    world.delete(SNAPSHOTS, "default", "s");
    seconds(5).await;
    assert!(world.snapshot("s").is_null());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_176_a_snapshot_of_a_group_that_nobody_has_goes_in_a_later_term() {
    let world = with_groups(None).await;
    let process = world.start();
    of_nobodys_group(&world).await;
    process.kill().await;
    world.delete(SNAPSHOTS, "default", "s");
    let _process = world.start();
    seconds(60).await;
    assert!(world.snapshot("s").is_null());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_120_a_member_that_is_deleted_while_nothing_is_known_of_groups_waits() {
    let world = with_groups(None).await;
    let process = world.start();
    take(&world, "g");
    seconds(4).await;
    process.kill().await;
    let first = text(&members(&world)[0]["metadata"]["name"]).to_owned();
    world.delete(SNAPSHOTS, "default", &first);
    let _process = world.start();
    seconds(60).await;
    assert_eq!(members(&world).len(), 2);
    assert!(
        world
            .reasons()
            .iter()
            .any(|reason| reason.starts_with("SnapshotDeletePending"))
    );
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_121_a_claim_that_is_bound_later_is_noticed_at_once() {
    let world = with_groups(None).await;
    let _process = world.start();
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "r", "namespace": "default", "labels": {"app": "db"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
            "resources": {"requests": {"storage": "1Gi"}}},
    });
    world.create(CLAIMS, claim);
    take(&world, "g");
    seconds(200).await;
    let before = world.mark();
    assert!(text(&status(&world, "g")["error"]["message"]).contains("PVC r is not yet bound"));
    assert!(world.list(GROUP_CONTENTS).is_empty());
    world.delete(CLAIMS, "default", "r");
    world.create_volume("late", "latev");
    seconds(3).await;
    assert_eq!(status(&world, "g")["readyToUse"], true, "{}", status(&world, "g"));
    assert!(status(&world, "g")["error"].is_null());
    assert!(lists_of_claims(&world, before) <= 3);
}

/// The status of a member's content.
pub fn cut_of(group: &str) -> Value {
    json!({"snapshotHandle": "old-1", "readyToUse": true, "creationTime": 1, "volumeGroupSnapshotHandle": group})
}

/// A group that existed before, content first, and one member, likewise.
pub fn given() -> [Value; 4] {
    let name = json!({"name": "g", "namespace": "default"});
    [
        json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1beta2", "kind": "VolumeGroupSnapshotContent",
            "metadata": {"name": "gc"},
            "spec": {"deletionPolicy": "Delete", "driver": "d", "volumeGroupSnapshotRef": name,
                "source": {"groupSnapshotHandles": {"volumeGroupSnapshotHandle": "old",
                    "volumeSnapshotHandles": ["old-1"]}}},
        }),
        json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1beta2", "kind": "VolumeGroupSnapshot", "metadata": name,
            "spec": {"source": {"volumeGroupSnapshotContentName": "gc"}},
        }),
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
            "metadata": {"name": "c"},
            "spec": {"deletionPolicy": "Delete", "driver": "d", "source": {"snapshotHandle": "old-1"},
                "volumeSnapshotRef": {"name": "m", "namespace": "default"}},
        }),
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": "m", "namespace": "default"},
            "spec": {"source": {"volumeSnapshotContentName": "c"}},
        }),
    ]
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_122_a_group_that_existed_before_takes_its_members_in() {
    let world = with_groups(None).await;
    let _process = world.start();
    let [content, group, member_content, member] = given();
    world.create(GROUP_CONTENTS, content);
    world.create(GROUPS, group);
    seconds(3).await;
    assert_eq!(status(&world, "g")["readyToUse"], true, "{}", status(&world, "g"));
    let bound = world.get(GROUP_CONTENTS, "", "gc").unwrap();
    let uid = world.get(GROUPS, "default", "g").unwrap()["metadata"]["uid"].clone();
    assert_eq!(bound["spec"]["volumeGroupSnapshotRef"]["uid"], uid);
    world.create(CONTENTS, member_content);
    world.change_status(CONTENTS, "", "c", &cut_of("old"));
    let before = world.mark();
    world.create(SNAPSHOTS, member);
    seconds(3).await;
    let taken = world.snapshot("m");
    assert_eq!(taken["status"]["volumeGroupSnapshotName"], "g", "{taken}");
    assert_eq!(taken["metadata"]["ownerReferences"][0]["uid"], uid);
    assert!(
        world.requests_since(before).len() <= 5,
        "{:#?}",
        world.requests_since(before)
    );
    world.delete(SNAPSHOTS, "default", "m");
    seconds(10).await;
    assert!(!world.snapshot("m").is_null(), "not before its group");
    world.delete(GROUPS, "default", "g");
    seconds(5).await;
    assert!(world.get(GROUPS, "default", "g").is_none() && world.snapshot("m").is_null());
    assert!(world.list(GROUP_CONTENTS).is_empty() && world.contents().is_empty());
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_169_a_group_that_comes_last_takes_its_members_in() {
    let world = with_groups(None).await;
    let _process = world.start();
    let [content, group, member_content, member] = given();
    world.create(GROUP_CONTENTS, content);
    world.create(CONTENTS, member_content);
    world.change_status(CONTENTS, "", "c", &cut_of("old"));
    world.create(SNAPSHOTS, member);
    seconds(3).await;
    assert_eq!(world.snapshot("m")["status"]["readyToUse"], true);
    let uid = world.create(GROUPS, group)["metadata"]["uid"].clone();
    seconds(3).await;
    assert_eq!(status(&world, "g")["readyToUse"], true, "{}", status(&world, "g"));
    let taken = world.snapshot("m");
    assert_eq!(taken["status"]["volumeGroupSnapshotName"], "g", "{taken}");
    assert_eq!(taken["metadata"]["ownerReferences"][0]["uid"], uid);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_93_group_operations_are_measured() {
    let world = with_groups(None).await;
    let process = world.start();
    take(&world, "g");
    seconds(4).await;
    world.delete(GROUPS, "default", "g");
    seconds(5).await;
    for operation in [
        "CreateGroupSnapshot",
        "CreateGroupSnapshotAndReady",
        "DeleteGroupSnapshot",
    ] {
        let labels = [
            ("driver_name", "d"),
            ("operation_name", operation),
            ("operation_status", "success"),
        ];
        let count = process.metric("snapshot_controller_operation_total_seconds", &labels);
        assert_eq!(count, 1.0, "{operation}");
    }
    let in_flight = process.metric("snapshot_controller_operations_in_flight", &[]);
    assert_eq!(in_flight, 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_group_keeps_its_finalizer_until_its_content_is_gone() {
    let world = World::new().await;
    world.define_groups();
    world.create(GROUP_CLASSES, class("gk", "d", "Delete"));
    label(&world, "p", "app", "db");
    let _process = world.start();
    take(&world, "g");
    seconds(3).await;
    // No sidecar answers.
    world.delete(GROUPS, "default", "g");
    seconds(60).await;
    let held = world.get(GROUPS, "default", "g").unwrap();
    assert_eq!(held["metadata"]["finalizers"], json!([GROUP_FINALIZER]));
    let content = &world.list(GROUP_CONTENTS)[0];
    assert!(content["metadata"]["annotations"][group_world::GROUP_BEING_DELETED].is_string());
    assert!(content["metadata"]["deletionTimestamp"].is_string());
}
