//! Restores and clones (sidecars.md 2.7, 2.8): requests counted, sources protected.

use std::time::Duration;

use controller::testing::resources::{CLAIMS, CONTENTS, SNAPSHOTS, STORAGE_CLASSES, VOLUMES};
use controller::testing::seconds;
use csi::v1::controller_service_capability::rpc;
use csi::v1::volume_content_source::Type;
use sandbox::faults::{Call, Fault, Faults, Schedule};
use sandbox::kube::GroupResource;
use serde_json::json;
use tonic::Status;

use crate::world::{CLONE_FINALIZER, DRIVER, SAVE, SNAPSHOT_FINALIZER, World, from_claim, from_snapshot};

fn restoring() -> World {
    let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
    world.snapshot();
    world
}

fn is_protected(world: &World) -> bool {
    let finalizers = world.finalizers(SNAPSHOTS, "default", "snap");
    finalizers.contains(&SNAPSHOT_FINALIZER.to_owned())
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_143_a_restore_costs_four_requests() {
    let world = restoring();
    let process = world.start();
    seconds(2).await;
    let mark = world.mark();
    world.claim(from_snapshot);
    seconds(10).await;
    let requests = world.requests_since(mark);
    let requests: Vec<&str> = requests
        .iter()
        .map(String::as_str)
        .filter(|request| !request.contains("selfsubjectaccessreviews"))
        .collect();
    let protect = "patch volumesnapshots 200";
    assert_eq!(requests, [protect, SAVE, protect]);
    assert_eq!(
        (world.phase("c"), is_protected(&world)),
        ("Bound".to_owned(), false)
    );
    let source = world.driver.state().volumes.created[0]
        .volume_content_source
        .clone();
    assert!(
        matches!(source.unwrap().r#type, Some(Type::Snapshot(snapshot)) if snapshot.snapshot_id == "snap-1")
    );
    let labels = [("class", "s"), ("source", "VolumeSnapshot")];
    assert_eq!(
        process.metric("controller_persistentvolumeclaim_provision_total", &labels),
        1.0
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_61_a_snapshot_is_protected_until_the_last_restore_has_ended() {
    let world = restoring();
    world.driver.state().volumes.takes = Duration::from_secs(8);
    let _process = world.start();
    world.claim_named("first", from_snapshot);
    seconds(5).await;
    world.claim_named("second", from_snapshot);
    seconds(5).await;
    assert_eq!(
        (world.phase("first"), is_protected(&world)),
        ("Bound".to_owned(), true)
    );
    seconds(6).await;
    assert_eq!(
        (world.phase("second"), is_protected(&world)),
        ("Bound".to_owned(), false)
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_62_a_restore_without_an_answer_protects_when_its_claim_is_gone() {
    let mut world = restoring();
    world.flags = "--snapshot-orphan-sweep-interval=5s".to_owned();
    world
        .driver
        .refuse_volumes(&Status::deadline_exceeded("later"), 4);
    world.driver.refuse_volumes(&Status::internal("no"), 1);
    let _process = world.start();
    world.claim(from_snapshot);
    seconds(1).await;
    world.remove_by_force(CLAIMS, "default", "c");
    seconds(9).await;
    assert!(is_protected(&world));
    seconds(30).await;
    assert_eq!((is_protected(&world), world.calls()), (false, [5, 0]));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_65_an_orphaned_protection_is_swept_or_left_alone() {
    for (interval, stays) in [("5m", false), ("0s", true)] {
        let mut world = restoring();
        world.flags = format!("--snapshot-orphan-sweep-interval={interval}");
        world.change(SNAPSHOTS, "default", "snap", |snapshot| {
            snapshot["metadata"]["finalizers"] = json!([SNAPSHOT_FINALIZER]);
        });
        let _process = world.start();
        seconds(310).await;
        assert_eq!(is_protected(&world), stays, "{interval}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_57_60_a_snapshot_that_cannot_be_restored_is_told() {
    type Change = fn(&World);
    let rows: [(Change, &str); 5] = [
        (
            |world| world.change_status(SNAPSHOTS, "default", "snap", &json!({"readyToUse": false})),
            "is not ready",
        ),
        (
            |world| world.change_status(CONTENTS, "", "content", &json!({"snapshotHandle": null})),
            "has no snapshot handle",
        ),
        (
            |world| world.change_status(SNAPSHOTS, "default", "snap", &json!({"restoreSize": "2Gi"})),
            "is less than the size 2Gi",
        ),
        (
            |world| world.remove_by_force(CONTENTS, "", "content"),
            "does not exist",
        ),
        (
            |world| {
                world.change(SNAPSHOTS, "default", "snap", |snapshot| {
                    snapshot["metadata"]["finalizers"] = json!(["theirs"]);
                });
                world.delete(SNAPSHOTS, "default", "snap");
            },
            "is being deleted",
        ),
    ];
    for (change, says) in rows {
        let world = restoring();
        change(&world);
        let _process = world.start();
        seconds(2).await;
        let mark = world.mark();
        world.claim(from_snapshot);
        seconds(2).await;
        assert_eq!(
            (world.calls(), world.requests_since(mark).len()),
            ([0, 0], 0),
            "{says}"
        );
        assert!(world.events()[0].message.contains(says), "{:?}", world.events());
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_144_a_restore_begins_as_soon_as_the_snapshot_is_ready() {
    let world = restoring();
    world.change_status(SNAPSHOTS, "default", "snap", &json!({"readyToUse": false}));
    let _process = world.start();
    world.claim(from_snapshot);
    seconds(100).await;
    assert_eq!(world.calls(), [0, 0]);
    world.change_status(SNAPSHOTS, "default", "snap", &json!({"readyToUse": true}));
    seconds(1).await;
    assert_eq!(world.calls(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_58_59_another_volume_mode_must_be_allowed() {
    for (flag, annotation, allowed) in [
        ("", None, false),
        ("", Some("false"), false),
        ("", Some("yes"), false),
        ("", Some("T"), true),
        ("--prevent-volume-mode-conversion=false", None, true),
    ] {
        let mut world = restoring();
        world.flags = flag.to_owned();
        world.remove_by_force(CONTENTS, "", "content");
        let snapshot = world.get(SNAPSHOTS, "default", "snap").unwrap();
        let mut content = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
            "metadata": {"name": "content"},
            "spec": {
                "deletionPolicy": "Delete", "driver": "d.csi", "source": {"snapshotHandle": "snap-1"},
                "sourceVolumeMode": "Filesystem",
                "volumeSnapshotRef": {"name": "snap", "namespace": "default", "uid": snapshot["metadata"]["uid"]},
            },
        });
        if let Some(value) = annotation {
            content["metadata"]["annotations"] =
                json!({"snapshot.storage.kubernetes.io/allow-volume-mode-change": value});
        }
        world.create(CONTENTS, content);
        world.change_status(CONTENTS, "", "content", &json!({"snapshotHandle": "snap-1"}));
        let _process = world.start();
        world.claim(|claim| {
            from_snapshot(claim);
            claim["spec"]["volumeMode"] = json!("Block");
        });
        seconds(3).await;
        assert_eq!(
            world.calls()[0] == 1,
            allowed,
            "{flag} {annotation:?} {:?}",
            world.events()
        );
    }
}

/// With claim `source` that has a volume.
async fn cloning() -> (World, controller::testing::Process) {
    let world = World::of(&[rpc::Type::CloneVolume]);
    let process = world.start();
    world.claim_named("source", |_| {});
    seconds(5).await;
    assert_eq!(world.phase("source"), "Bound");
    (world, process)
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_70_71_a_clone_costs_three_requests_and_holds_its_source() {
    let (world, _process) = cloning().await;
    world.driver.state().volumes.takes = Duration::from_secs(8);
    let mark = world.mark();
    world.claim(from_claim);
    seconds(2).await;
    world.delete(CLAIMS, "default", "source");
    seconds(4).await;
    let finalizers = world.finalizers(CLAIMS, "default", "source");
    assert!(finalizers.contains(&CLONE_FINALIZER.to_owned()));
    seconds(10).await;
    assert_eq!(world.phase("c"), "Bound");
    assert!(world.get(CLAIMS, "default", "source").is_none());
    let requests = world.requests_since(mark);
    let writes: Vec<&String> = requests
        .iter()
        .filter(|request| request.contains("claims ") || *request == SAVE)
        .collect();
    let guard = "patch persistentvolumeclaims 200";
    assert_eq!(writes, [guard, SAVE, guard]);
    let source = world.driver.state().volumes.created[1]
        .volume_content_source
        .clone();
    assert!(matches!(source.unwrap().r#type, Some(Type::Volume(volume)) if volume.volume_id == "vol-1"));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_240_without_threads_what_was_cloned_is_let_go_all_the_same() {
    let mut world = World::of(&[rpc::Type::CloneVolume, rpc::Type::CreateDeleteSnapshot]);
    world.snapshot();
    world.flags = "--cloning-protection-threads=0".to_owned();
    let process = world.start();
    world.claim_named("source", |_| {});
    seconds(5).await;
    world.claim_named("clone", from_claim);
    world.claim_named("restore", from_snapshot);
    seconds(30).await;
    for name in ["clone", "restore"] {
        assert_eq!(world.phase(name), "Bound", "{name}: {:?}", world.events());
    }
    world.delete(CLAIMS, "default", "source");
    seconds(5).await;
    assert!(world.get(CLAIMS, "default", "source").is_none());
    assert!(!is_protected(&world));
    process.stop().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_69_a_claim_that_cannot_be_cloned_is_told() {
    let (world, _process) = cloning().await;
    for (name, change, says) in [
        (
            "small",
            json!({"resources": {"requests": {"storage": "1Mi"}}}),
            "is less than the size 1Gi",
        ),
        ("mode", json!({"volumeMode": "Block"}), "not bound or invalid"),
        (
            "absent",
            json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "none"}}),
            "does not exist",
        ),
    ] {
        world.claim_named(name, |claim| {
            from_claim(claim);
            for (member, value) in change.as_object().unwrap() {
                claim["spec"][member] = value.clone();
            }
        });
        seconds(1).await;
        let told = world.events().pop().unwrap();
        assert!(told.message.contains(says), "{name}: {told:?}");
    }
    assert_eq!(world.calls(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_148_a_clone_that_waits_while_its_source_is_deleted_is_made_and_then_the_source_goes() {
    let (world, _process) = cloning().await;
    world.driver.state().volumes.takes = Duration::from_secs(8);
    world.claim(from_claim);
    seconds(2).await;
    world.delete(CLAIMS, "default", "source");
    seconds(1).await;
    world.claim_named("second", from_claim);
    seconds(30).await;
    for name in ["c", "second"] {
        assert_eq!(world.phase(name), "Bound", "{name}: {:?}", world.events());
    }
    assert!(world.get(CLAIMS, "default", "source").is_none());
    assert_eq!(
        world.calls(),
        [3, 1],
        "the source, its clones, and the source's end"
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_148_what_was_being_deleted_before_any_clone_is_not_cloned() {
    let (world, _process) = cloning().await;
    world.change(CLAIMS, "default", "source", |claim| {
        claim["metadata"]["finalizers"] = json!(["example.com/theirs"]);
    });
    world.delete(CLAIMS, "default", "source");
    seconds(1).await;
    world.claim(from_claim);
    seconds(2).await;
    let told = world.events().pop().unwrap();
    assert!(told.message.contains("is being deleted"), "{told:?}");
    assert_eq!(world.calls(), [1, 0]);
}

const OTHER: &str = "other.csi";

/// Puts a claim with a bound volume of that driver there.
fn bound_of(world: &World, name: &str, driver: &str) {
    volume_of(world, name, driver);
    claim_of(world, name);
}

/// A volume of that driver for the claim of its name.
fn volume_of(world: &World, name: &str, driver: &str) {
    world.create(
        VOLUMES,
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "t",
                "persistentVolumeReclaimPolicy": "Retain", "csi": {"driver": driver, "volumeHandle": name},
                "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "default", "name": name},
            },
        }),
    );
}

/// The claim of that volume.
fn claim_of(world: &World, name: &str) {
    world.claim_named(name, |claim| {
        claim["metadata"]["annotations"] = json!({});
        claim["spec"]["storageClassName"] = json!("t");
        claim["spec"]["volumeName"] = json!(name);
    });
}

/// Asks that driver for a volume.
fn of_other(claim: &mut serde_json::Value) {
    claim["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"] = json!(OTHER);
    claim["spec"]["storageClassName"] = json!("t");
}

/// A claim and a snapshot of another driver, of which volumes of class `t` are made.
fn beside_another() -> World {
    let world = World::of(&[rpc::Type::CloneVolume, rpc::Type::CreateDeleteSnapshot]);
    world.class("t", &json!({"provisioner": OTHER}));
    world.snapshot_of(OTHER);
    bound_of(&world, "source", OTHER);
    world
}

fn protect_and_delete(world: &World, resource: GroupResource<'_>, name: &str, finalizer: &str) {
    world.change(resource, "default", name, |object| {
        object["metadata"]["finalizers"] = json!([finalizer]);
    });
    world.delete(resource, "default", name);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_179_what_another_driver_protects_is_left_to_it() {
    let world = beside_another();
    let _process = world.start();
    seconds(2).await;
    assert_eq!(world.phase("source"), "Bound");
    let mark = world.mark();
    for (name, from) in [("clone", from_claim as fn(&mut _)), ("restore", from_snapshot)] {
        world.claim_named(name, |claim| {
            of_other(claim);
            from(claim);
        });
    }
    protect_and_delete(&world, CLAIMS, "source", CLONE_FINALIZER);
    protect_and_delete(&world, SNAPSHOTS, "snap", SNAPSHOT_FINALIZER);
    seconds(30).await;
    // Its calls may go on without their claims, which nobody else knows.
    world.remove_by_force(CLAIMS, "default", "clone");
    world.remove_by_force(CLAIMS, "default", "restore");
    seconds(400).await;
    assert_eq!(world.requests_since(mark), Vec::<String>::new());
    assert_eq!(world.finalizers(CLAIMS, "default", "source"), [CLONE_FINALIZER]);
    assert!(is_protected(&world));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_179_what_no_volume_is_behind_anybody_lets_go() {
    let world = beside_another();
    let _process = world.start();
    seconds(2).await;
    world.remove_by_force(CONTENTS, "", "content");
    world.remove_by_force(VOLUMES, "", "source");
    seconds(5).await;
    assert_eq!(world.phase("source"), "Lost");
    protect_and_delete(&world, CLAIMS, "source", CLONE_FINALIZER);
    protect_and_delete(&world, SNAPSHOTS, "snap", SNAPSHOT_FINALIZER);
    seconds(5).await;
    assert!(world.get(CLAIMS, "default", "source").is_none());
    assert!(world.get(SNAPSHOTS, "default", "snap").is_none());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_180_a_driver_that_clones_nothing_lets_nothing_go() {
    let world = World::new();
    world.snapshot();
    bound_of(&world, "source", DRIVER);
    let _process = world.start();
    seconds(2).await;
    let mark = world.mark();
    protect_and_delete(&world, CLAIMS, "source", CLONE_FINALIZER);
    protect_and_delete(&world, SNAPSHOTS, "snap", SNAPSHOT_FINALIZER);
    // A restore that the driver cannot make comes to its end.
    world.claim(from_snapshot);
    seconds(2).await;
    world.remove_by_force(CLAIMS, "default", "c");
    seconds(400).await;
    let requests = world.requests_since(mark);
    assert!(
        requests.iter().all(|request| request.contains("events")),
        "{requests:?}"
    );
    assert_eq!(world.finalizers(CLAIMS, "default", "source"), [CLONE_FINALIZER]);
    assert!(is_protected(&world));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_72_what_a_populator_makes_is_told_once() {
    // The cluster has no snapshot kinds, which is no reason to wait.
    let world = World::of(&[rpc::Type::CloneVolume, rpc::Type::CreateDeleteSnapshot]);
    let process = world.start();
    seconds(1).await;
    for (name, group, kind) in [
        ("a", "example.com", "PersistentVolumeClaim"),
        ("b", "example.com", "Foo"),
    ] {
        world.claim_named(name, |claim| {
            claim["spec"]["dataSourceRef"] = json!({"apiGroup": group, "kind": kind, "name": "x"});
        });
    }
    seconds(1000).await;
    let told = world.events();
    assert_eq!((world.calls(), told.len()), ([0, 0], 2));
    assert!(
        told.iter()
            .all(|event| event.count == 1 && event.reason == "Provisioning")
    );
    assert_eq!(
        process.metric("controller_persistentvolumeclaim_provision_failed_total", &[]),
        0.0
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_145_a_source_that_the_api_server_dropped_makes_no_empty_volume() {
    let world = restoring();
    let _process = world.start();
    for (name, field, source, says) in [
        (
            "elsewhere",
            "dataSourceRef",
            json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap", "namespace": "b"}),
            "CrossNamespaceVolumeDataSource",
        ),
        (
            "foreign",
            "dataSource",
            json!({"apiGroup": "example.com", "kind": "Foo", "name": "x"}),
            "name it in spec.dataSourceRef",
        ),
    ] {
        world.claim_named(name, |claim| {
            claim["spec"][field] = source;
            let applied = json!({"spec": claim["spec"]}).to_string();
            claim["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
                json!(applied);
        });
        seconds(30).await;
        let stored = world.get(CLAIMS, "default", name).unwrap();
        assert!(stored["spec"].get(field).is_none(), "{name}");
        assert_eq!(world.calls(), [0, 0]);
        let told = world.events();
        assert!(told.iter().any(|event| event.message.contains(says)), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_181_a_source_that_was_removed_on_purpose_is_not_missed() {
    // Backup tools restore claims with what kubectl applied once, and without their source: the data come by another way.
    let world = restoring();
    let _process = world.start();
    let snapshot = json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "gone"});
    for (name, applied) in [
        ("snapshot", json!({"dataSource": snapshot})),
        (
            "claim",
            json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "gone"}}),
        ),
        (
            "reference",
            json!({"dataSourceRef": {"apiGroup": "example.com", "kind": "Foo", "name": "gone"}}),
        ),
        (
            "both",
            json!({"dataSource": snapshot, "dataSourceRef": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "gone", "namespace": ""}}),
        ),
    ] {
        world.claim_named(name, |claim| {
            claim["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
                json!(json!({"spec": applied}).to_string());
        });
        seconds(10).await;
        assert_eq!(world.phase(name), "Bound", "{name}: {:?}", world.events());
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_184_a_restore_without_the_snapshot_kinds_is_told_and_made_once_they_are_there() {
    let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
    let _process = world.start();
    seconds(1).await;
    world.claim(from_snapshot);
    seconds(60).await;
    let told = world.events();
    assert_eq!(told[0].reason, "ProvisioningFailed", "{told:?}");
    assert!(told[0].message.contains("slackwater crds"), "{told:?}");
    world.define();
    seconds(400).await;
    let told = world.events().pop().unwrap();
    assert!(
        told.message.contains("snapshot default/snap does not exist"),
        "{told:?}"
    );
    world.defined_snapshot_of(DRIVER);
    seconds(400).await;
    assert_eq!(world.phase("c"), "Bound", "{:?}", world.events());
    assert!(!is_protected(&world));
}

/// The watch of these is late by so much.
struct Late(&'static str, Duration);

impl Late {
    fn volumes(seconds: u64) -> Faults {
        Faults::new(Self(
            "GET /api/v1/persistentvolumes",
            Duration::from_secs(seconds),
        ))
    }
}

impl Schedule for Late {
    fn fault(&self, call: &Call) -> Fault {
        match call.watch && call.name == self.0 {
            true => Fault::LagWatch(self.1),
            false => Fault::None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_208_a_claim_that_was_bound_before_its_volume_was_known_can_be_cloned() {
    // While the volume is not known yet, and long after.
    for (later, read) in [(1, 2), (60, 1)] {
        let world = World::of(&[rpc::Type::CloneVolume]);
        world.class("t", &json!({}));
        let _process = world.start_with(Late::volumes(20));
        seconds(100).await;
        bound_of(&world, "source", DRIVER);
        seconds(later).await;
        assert_eq!(world.phase("source"), "Bound");
        let mark = world.mark();
        world.claim(from_claim);
        seconds(2).await;
        assert_eq!(world.phase("c"), "Bound", "{later}: {:?}", world.events());
        let requests = world.requests_since(mark);
        let reads = requests.iter().filter(|request| request.starts_with("get "));
        assert_eq!(reads.count(), read, "{later}: {requests:?}");
        // Its protection goes with it, though it was put on what nobody kept.
        world.delete(CLAIMS, "default", "source");
        seconds(30).await;
        assert!(world.get(CLAIMS, "default", "source").is_none(), "{later}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_217_a_clone_begins_as_soon_as_the_volume_of_its_source_is_known_to_be_bound() {
    let world = World::of(&[rpc::Type::CloneVolume]);
    world.class("t", &json!({}));
    volume_of(&world, "source", DRIVER);
    let _process = world.start_with(Late::volumes(40));
    seconds(200).await;
    claim_of(&world, "source");
    seconds(1).await;
    world.claim(from_claim);
    seconds(3).await;
    assert!(
        world.events()[0].message.contains("not bound"),
        "{:?}",
        world.events()
    );
    seconds(78).await;
    // The next try would be after more than two minutes.
    assert_eq!(world.phase("c"), "Bound", "{:?}", world.events());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_214_a_restore_begins_as_soon_as_the_content_allows_it() {
    let world = restoring();
    world.change_status(CONTENTS, "", "content", &json!({"snapshotHandle": null}));
    let _process = world.start();
    world.claim(from_snapshot);
    seconds(100).await;
    assert_eq!(world.calls(), [0, 0]);
    world.change_status(CONTENTS, "", "content", &json!({"snapshotHandle": "snap-1"}));
    seconds(1).await;
    assert_eq!(world.calls(), [1, 0]);

    let world = restoring();
    world.change(CONTENTS, "", "content", |content| {
        content["spec"]["sourceVolumeMode"] = json!("Filesystem");
    });
    let _process = world.start();
    world.claim(|claim| {
        from_snapshot(claim);
        claim["spec"]["volumeMode"] = json!("Block");
    });
    seconds(100).await;
    assert_eq!(world.calls(), [0, 0]);
    world.change(CONTENTS, "", "content", |content| {
        content["metadata"]["annotations"] =
            json!({"snapshot.storage.kubernetes.io/allow-volume-mode-change": "true"});
    });
    seconds(1).await;
    assert_eq!(world.calls(), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_229_a_source_stays_for_a_clone_whose_class_is_not_known_yet() {
    for driver in [DRIVER, OTHER] {
        let world = World::of(&[rpc::Type::CloneVolume]);
        let late = Late(
            "GET /apis/storage.k8s.io/v1/storageclasses",
            Duration::from_secs(3),
        );
        let _process = world.start_with(Faults::new(late));
        seconds(20).await;
        world.claim_named("source", |_| {});
        seconds(2).await;
        world.claim_named("first", from_claim);
        seconds(2).await;
        assert_eq!(world.phase("first"), "Bound");
        world.class("t", &json!({"provisioner": driver}));
        world.claim(|claim| {
            from_claim(claim);
            claim["spec"]["storageClassName"] = json!("t");
            if driver == OTHER {
                // Nor has anybody said yet who is to make it.
                claim["metadata"]["annotations"] = json!({});
            }
        });
        world.delete(CLAIMS, "default", "source");
        seconds(1).await;
        assert!(world.get(CLAIMS, "default", "source").is_some(), "{driver}");
        seconds(5).await;
        let phase = if driver == DRIVER { "Bound" } else { "Pending" };
        assert_eq!(world.phase("c"), phase);
        assert!(world.get(CLAIMS, "default", "source").is_none(), "{driver}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_229_a_source_stays_for_a_clone_that_was_begun_before_a_restart_and_whose_class_is_gone()
 {
    let (world, process) = cloning().await;
    world.class("t", &json!({}));
    world.driver.refuse_volumes(&Status::unavailable("later"), 1);
    world.claim(|claim| {
        from_claim(claim);
        claim["spec"]["storageClassName"] = json!("t");
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.calls(), [2, 0]);
    process.kill().await;
    world.remove_by_force(STORAGE_CLASSES, "", "t");
    let _process = world.start();
    seconds(2).await;
    world.delete(CLAIMS, "default", "source");
    seconds(60).await;
    assert!(world.get(CLAIMS, "default", "source").is_some());
    world.class("t", &json!({}));
    seconds(2).await;
    assert_eq!(world.phase("c"), "Bound", "{:?}", world.events());
    assert!(world.get(CLAIMS, "default", "source").is_none());
}
