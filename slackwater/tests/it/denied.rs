//! Writes that the API server refuses: the user is told what the refusal and what the driver said, whatever is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sandbox::ec2::{Ec2Options, Fault as Ec2Fault, When};
use sandbox::faults::{Call, Fault, Faults, Refusal, Schedule};
use sandbox::kube::Denial;
use serde_json::{Value, json};

use crate::world::{CLAIMS, CONTENTS, SNAPSHOTS, World};

/// Requests of this form are refused.
struct Always {
    begins: &'static str,
    ends: &'static str,
    refusal: Refusal,
}

impl Schedule for Always {
    fn fault(&self, call: &Call) -> Fault {
        if call.name.starts_with(self.begins) && call.name.contains(self.ends) && !call.watch {
            Fault::Refuse(self.refusal)
        } else {
            Fault::None
        }
    }
}

fn of_status(resource: sandbox::kube::GroupResource<'_>) -> Denial {
    Denial {
        subresource: "status".to_owned(),
        ..Denial::of("patch", resource)
    }
}

fn told(world: &World, about: &str, reason: &str, says: &str) -> bool {
    let events = world.events(about);
    events
        .iter()
        .any(|(is, message)| is == reason && message.contains(says))
}

#[tokio::test(start_paused = true)]
async fn a_role_without_the_status_of_contents_hides_no_error_of_the_driver() {
    let world = World::new(1, Ec2Options::instant()).await;
    world.api.deny("csi-snapshotter", of_status(CONTENTS));
    world.ec2.inject(
        "CreateSnapshot",
        When::Always,
        Ec2Fault::error("InvalidParameterValue"),
    );
    let _process = world.start(Faults::none()).await;
    world.create_snapshot("s", "p", "delete");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let content = world.contents()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let events = world.events(&content);
    assert!(
        told(
            &world,
            &content,
            "SnapshotCreationFailed",
            "InvalidParameterValue"
        ),
        "{events:?}"
    );
    let refused = events
        .iter()
        .any(|(_, message)| message.contains("volumesnapshotcontents/status"));
    assert!(refused, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_role_without_the_status_of_claims_hides_no_error_of_the_driver() {
    let world = World::new(2, Ec2Options::instant()).await;
    world.api.deny("csi-resizer", of_status(CLAIMS));
    let _process = world.start(Faults::none()).await;
    world.expand("p", "20Gi");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let events = world.events("p");
    assert!(
        told(&world, "p", "VolumeResizeFailed", "persistentvolumeclaims/status"),
        "{events:?}"
    );
}

/// One write of the programs.
struct Write {
    /// What is done, one after the other, before the webhook denies.
    prepare: &'static [fn(&World)],
    act: fn(&World),
    is_it: fn(&str) -> bool,
    /// So many of its kind pass before it.
    behind: usize,
    /// `content` stands for the only content.
    about: &'static str,
    reason: &'static str,
}

/// Calls of one kind are refused by a webhook once it is there, behind so many.
struct Webhook {
    is_it: fn(&str) -> bool,
    behind: usize,
    is_there: Arc<AtomicBool>,
    passed: AtomicUsize,
}

impl Schedule for Webhook {
    fn fault(&self, call: &Call) -> Fault {
        let is_there = self.is_there.load(Ordering::Relaxed);
        if !is_there || call.watch || !(self.is_it)(&call.name) {
            return Fault::None;
        }
        if self.passed.fetch_add(1, Ordering::Relaxed) < self.behind {
            return Fault::None;
        }
        Fault::Refuse(Refusal::Denied)
    }
}

fn create(world: &World) {
    world.create_snapshot("s", "p", "delete");
}

fn import(world: &World) {
    let handle = world.ec2.create_snapshot_fixture(&world.volume, &[]).unwrap();
    world.import_snapshot("s", &handle, "Delete");
}

fn delete(world: &World) {
    world.delete_snapshot("s");
}

/// The snapshot goes without our finalizers, the content loses its own.
fn remove_by_force(world: &World) {
    let bare = |object: &mut Value| object["metadata"]["finalizers"] = json!([]);
    world.store().update(SNAPSHOTS, "ns", "s", bare).unwrap();
    world.store().delete(SNAPSHOTS, "ns", "s", None).unwrap();
}

fn delete_content(world: &World) {
    let name = world.contents()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    world.store().delete(CONTENTS, "", &name, None).unwrap();
}

fn lose_uid(world: &World) {
    let name = world.contents()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let lose = |object: &mut Value| {
        let reference = object["spec"]["volumeSnapshotRef"].as_object_mut().unwrap();
        reference.remove("uid");
    };
    world.store().update(CONTENTS, "", &name, lose).unwrap();
}

fn unprotect(world: &World) {
    let name = world.contents()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let bare = |object: &mut Value| object["metadata"]["finalizers"] = json!([]);
    world.store().update(CONTENTS, "", &name, bare).unwrap();
}

fn of_content(call: &str) -> bool {
    call.starts_with("PATCH") && call.contains("/volumesnapshotcontents/") && !call.contains("/status")
}

fn of_content_status(call: &str) -> bool {
    call.starts_with("PATCH") && call.contains("/volumesnapshotcontents/") && call.contains("/status")
}

fn of_snapshot(call: &str) -> bool {
    call.starts_with("PATCH") && call.contains("/volumesnapshots/s") && !call.contains("/status")
}

fn of_snapshot_status(call: &str) -> bool {
    call.starts_with("PATCH") && call.contains("/volumesnapshots/s/status")
}

fn of_claim(call: &str) -> bool {
    call.starts_with("PATCH") && call.contains("/persistentvolumeclaims/p")
}

fn post_of_content(call: &str) -> bool {
    call.starts_with("POST") && call.ends_with("/volumesnapshotcontents")
}

fn deletion_of_content(call: &str) -> bool {
    call.starts_with("DELETE") && call.contains("/volumesnapshotcontents/")
}

fn read_of_snapshot(call: &str) -> bool {
    call.starts_with("GET") && call.contains("/volumesnapshots/s")
}

/// Every write of both programs, in the order in which they are made.
const WRITES: [Write; 18] = [
    write(&[], create, of_snapshot, 0, "s", "SnapshotFinalizerError"),
    write(&[], create, of_claim, 0, "s", "ErrorPVCFinalizer"),
    write(
        &[],
        create,
        post_of_content,
        0,
        "s",
        "CreateSnapshotContentFailed",
    ),
    write(
        &[],
        create,
        of_snapshot_status,
        0,
        "s",
        "SnapshotStatusUpdateFailed",
    ),
    write(&[], create, of_content, 0, "content", "SnapshotCreationFailed"),
    write(
        &[],
        create,
        of_content_status,
        0,
        "content",
        "SnapshotContentCheckandUpdateFailed",
    ),
    write(
        &[],
        create,
        of_content,
        1,
        "content",
        "SnapshotContentCheckandUpdateFailed",
    ),
    write(
        &[],
        create,
        of_snapshot_status,
        1,
        "s",
        "SnapshotStatusUpdateFailed",
    ),
    write(&[], create, of_claim, 1, "p", "ErrorPVCFinalizer"),
    write(&[], import, of_content, 0, "s", "SnapshotBindFailed"),
    write(&[import], lose_uid, of_content, 0, "s", "SnapshotBindFailed"),
    write(
        &[import],
        unprotect,
        of_content,
        0,
        "content",
        "SnapshotBindFailed",
    ),
    write(
        &[create],
        delete,
        of_content,
        0,
        "s",
        "SnapshotContentObjectDeleteError",
    ),
    write(
        &[create],
        delete,
        deletion_of_content,
        0,
        "s",
        "SnapshotContentObjectDeleteError",
    ),
    write(&[create], delete, of_content, 1, "content", "SnapshotDeleteError"),
    write(&[create], delete, of_snapshot, 0, "s", "SnapshotFinalizerError"),
    write(
        &[create, remove_by_force],
        delete_content,
        of_content,
        0,
        "content",
        "SnapshotContentObjectDeleteError",
    ),
    write(
        &[create, remove_by_force],
        delete_content,
        read_of_snapshot,
        0,
        "content",
        "SnapshotFinalizerError",
    ),
];

const fn write(
    prepare: &'static [fn(&World)],
    act: fn(&World),
    is_it: fn(&str) -> bool,
    behind: usize,
    about: &'static str,
    reason: &'static str,
) -> Write {
    Write {
        prepare,
        act,
        is_it,
        behind,
        about,
        reason,
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_115_a_webhook_that_denies_is_told_with_its_words() {
    for (number, write) in WRITES.iter().enumerate() {
        let world = World::new(3, Ec2Options::instant()).await;
        let is_there = Arc::new(AtomicBool::new(false));
        let webhook = Webhook {
            is_it: write.is_it,
            behind: write.behind,
            is_there: is_there.clone(),
            passed: AtomicUsize::new(0),
        };
        let process = world.start(Faults::new(webhook)).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        for step in write.prepare {
            step(&world);
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        let content = world.contents().first().cloned();
        is_there.store(true, Ordering::Relaxed);
        (write.act)(&world);
        tokio::time::sleep(Duration::from_secs(30)).await;
        let content = content.or(world.contents().first().cloned()).unwrap_or_default();
        let about = match write.about {
            "content" => content["metadata"]["name"].as_str().unwrap(),
            about => about,
        };
        let events = world.events(about);
        assert!(
            told(&world, about, write.reason, "no snapshots on Fridays"),
            "write {number}: {events:?}"
        );
        // Nothing is stuck once it is allowed.
        process.faults.end();
        tokio::time::sleep(Duration::from_secs(600)).await;
        let is_done = match world.snapshot("s") {
            Some(_) => world.is_ready("s"),
            None => world.contents().is_empty(),
        };
        assert!(is_done, "write {number}: {:#?}", world.snapshot("s"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_never_applies_is_no_lost_race_and_is_told() {
    let world = World::new(4, Ec2Options::instant()).await;
    let faults = Faults::new(Always {
        begins: "PATCH",
        ends: "/volumesnapshots/s",
        refusal: Refusal::FailedTest,
    });
    let _process = world.start(faults.clone()).await;
    world.create_snapshot("s", "p", "delete");
    tokio::time::sleep(Duration::from_secs(120)).await;
    let events = world.events("s");
    assert!(
        told(
            &world,
            "s",
            "SnapshotFinalizerError",
            "due to an error in our request"
        ),
        "{events:?}"
    );
    let patches = faults.calls();
    let patches = patches
        .iter()
        .filter(|(_, fault)| matches!(fault, Fault::Refuse(_)));
    assert!(patches.count() < 12, "it backs off");
    faults.end();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(world.is_ready("s"), "and goes on when it applies");
}

fn of_volume(call: &str) -> bool {
    call.starts_with("PATCH") && call.contains("/persistentvolumes/pv-p")
}

/// The mark, the class of the volume, the class of the claim.
#[tokio::test(start_paused = true)]
async fn resize_case_79_each_write_of_a_change_that_is_denied_is_told() {
    type Is = fn(&str) -> bool;
    let writes: [(Is, usize); 3] = [(of_claim, 0), (of_volume, 0), (of_claim, 1)];
    for (number, (is_it, behind)) in writes.into_iter().enumerate() {
        let world = World::new(5, Ec2Options::instant()).await;
        let process = world
            .start(Faults::new(Webhook {
                is_it,
                behind,
                is_there: Arc::new(AtomicBool::new(true)),
                passed: AtomicUsize::new(0),
            }))
            .await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        world.want_class("p", "fast");
        tokio::time::sleep(Duration::from_secs(30)).await;
        let events = world.events("p");
        assert!(
            told(&world, "p", "VolumeModifyFailed", "no snapshots on Fridays"),
            "write {number}: {events:?}"
        );
        process.faults.end();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(world.is_fast("p"), "write {number}: {:#?}", world.claim("p"));
        assert_eq!(world.ec2.count("ModifyVolume"), 1, "write {number}");
    }
}
