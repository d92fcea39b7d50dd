//! Writes that the API server refuses, and roles that show less than ours (sidecars.md 2.7, 2.10, 2.11).

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use controller::testing::resources::{ATTRIBUTES_CLASSES, CLAIMS, CONTENTS, SNAPSHOTS, VOLUMES};
use controller::testing::seconds;
use csi::v1::controller_service_capability::rpc;
use sandbox::faults::{Call, Fault, Faults, Refusal, Schedule};
use sandbox::kube::Denial;
use serde_json::json;
use tonic::Status;

use crate::world::{DRIVER, SAVE, SNAPSHOT_FINALIZER, World, from_snapshot};

const USER: &str = "csi-provisioner";

/// What befalls some of the requests that begin so, counted from 1.
struct Some {
    begins: &'static str,
    numbers: RangeInclusive<u64>,
    fault: Fault,
    seen: AtomicU64,
}

impl Some {
    fn of(begins: &'static str, numbers: RangeInclusive<u64>, fault: Fault) -> Faults {
        Faults::new(Self {
            begins,
            numbers,
            fault,
            seen: AtomicU64::new(0),
        })
    }
}

impl Schedule for Some {
    fn fault(&self, call: &Call) -> Fault {
        let concerned = call.name.starts_with(self.begins);
        let number = self.seen.fetch_add(u64::from(concerned), Ordering::SeqCst) + 1;
        if concerned && self.numbers.contains(&number) {
            return self.fault.clone();
        }
        Fault::None
    }
}

const POST: &str = "POST /api/v1/persistentvolumes";
const PATCH_SNAPSHOTS: &str = "PATCH /apis/snapshot.storage.k8s.io/v1/namespaces/default/volumesnapshots";

#[tokio::test(start_paused = true)]
async fn sidecars_case_83_85_a_volume_that_is_not_saved_is_not_made_again() {
    for (numbers, fault) in [
        (1..=3, Fault::Refuse(Refusal::ServerError)),
        (1..=1, Fault::LoseAnswer),
        (1..=1, Fault::LoseRequest),
    ] {
        let world = World::new();
        let _process = world.start_with(Some::of(POST, numbers, fault.clone()));
        let name = world.claim(|_| {});
        seconds(30).await;
        assert_eq!(
            (world.calls(), world.phase("c")),
            ([1, 0], "Bound".to_owned()),
            "{fault:?}"
        );
        assert!(world.volume(&name).is_some());
        assert_eq!(world.reasons(), ["ProvisioningSucceeded"], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_83_a_volume_that_is_not_saved_outlives_its_claim() {
    let world = World::new();
    let _process = world.start_with(Some::of(POST, 1..=4, Fault::Refuse(Refusal::ServerError)));
    world.claim(|_| {});
    seconds(1).await;
    world.remove_by_force(CLAIMS, "default", "c");
    seconds(60).await;
    // Saved, released, and deleted with what is behind it.
    assert_eq!((world.calls(), world.made()), ([1, 1], 0));
    assert!(world.list(VOLUMES).is_empty());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_84_a_volume_that_is_refused_is_told() {
    let world = World::new();
    world.api.deny(USER, Denial::of("create", VOLUMES));
    let _process = world.start();
    world.claim(|_| {});
    seconds(20).await;
    assert_eq!(
        (world.calls(), world.reasons()),
        ([1, 0], vec!["ProvisioningFailed".to_owned()])
    );
    assert!(
        world.events()[0].message.contains("persistentvolumes"),
        "{:?}",
        world.events()
    );
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_79_a_node_that_stays_selected_brings_no_second_call() {
    let world = World::with_nodes();
    world
        .driver
        .refuse_volumes(&Status::resource_exhausted("full"), 1);
    let claims = "PATCH /api/v1/namespaces/default/persistentvolumeclaims";
    let _process = world.start_with(Some::of(claims, 1..=4, Fault::Refuse(Refusal::Conflict)));
    world.claim(|_| {});
    world.select("n1");
    seconds(30).await;
    assert_eq!((world.selected(), world.calls()), (None, [1, 0]));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_97_a_volume_that_is_gone_already_is_no_failure() {
    let world = World::new();
    let process = world.start_with(Some::of("DELETE", 1..=1, Fault::Repeat));
    world.claim(|_| {});
    seconds(5).await;
    world.delete(CLAIMS, "default", "c");
    seconds(30).await;
    assert_eq!((world.calls(), world.list(VOLUMES).len()), ([1, 1], 0));
    assert_eq!(
        process.metric("controller_persistentvolume_delete_failed_total", &[]),
        0.0
    );
    assert_eq!(world.reasons(), ["ProvisioningSucceeded"]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_63_64_roles_of_upstream_are_enough_for_restores() {
    // Upstream's; without the sweep; and one that cannot protect snapshots.
    for (denied, protects) in [
        (
            vec![Denial::of("patch", SNAPSHOTS), Denial::of("watch", CONTENTS)],
            true,
        ),
        (
            vec![
                Denial::of("patch", SNAPSHOTS),
                Denial::of("list", SNAPSHOTS),
                Denial::of("watch", CONTENTS),
            ],
            true,
        ),
        (
            vec![Denial::of("patch", SNAPSHOTS), Denial::of("update", SNAPSHOTS)],
            false,
        ),
    ] {
        let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
        world.snapshot();
        for denial in denied {
            world.api.deny(USER, denial);
        }
        let _process = world.start();
        seconds(2).await;
        let mark = world.mark();
        world.claim(from_snapshot);
        seconds(10).await;
        assert_eq!((world.phase("c"), world.calls()), ("Bound".to_owned(), [1, 0]));
        let requests = world.requests_since(mark);
        let puts = requests
            .iter()
            .filter(|request| request.starts_with("update volumesnapshots 200"))
            .count();
        assert_eq!(puts, if protects { 2 } else { 0 }, "{requests:?}");
        assert!(requests.contains(&SAVE.to_owned()), "{requests:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_185_a_protection_that_is_denied_once_is_tried_for_the_next_restore() {
    let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
    world.snapshot();
    let _process = world.start();
    for (name, is_denied) in [("first", false), ("denied", true), ("last", false)] {
        match is_denied {
            true => world.api.deny(USER, Denial::of("patch", SNAPSHOTS)),
            false => world.api.allow_all(USER),
        }
        let mark = world.mark();
        world.claim_named(name, from_snapshot);
        seconds(10).await;
        assert_eq!(world.phase(name), "Bound");
        let requests = world.requests_since(mark);
        let patched = requests
            .iter()
            .any(|request| request == "patch volumesnapshots 200");
        assert_eq!(patched, !is_denied, "{name}: {requests:?}");
    }
    assert_eq!(world.calls(), [3, 0]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_187_changes_of_a_volume_do_not_hurry_a_removal_that_was_refused() {
    let world = World::new();
    let _process = world.start();
    let name = world.claim(|_| {});
    seconds(5).await;
    world.api.deny(USER, Denial::of("delete", VOLUMES));
    let mark = world.mark();
    world.delete(CLAIMS, "default", "c");
    for number in 0..60 {
        seconds(1).await;
        world.change(VOLUMES, "", &name, |volume| {
            let mut finalizers = volume["metadata"]["finalizers"].as_array().unwrap().clone();
            finalizers.retain(|name| !name.as_str().unwrap().starts_with("example.com/"));
            finalizers.push(json!(format!("example.com/{number}")));
            volume["metadata"]["finalizers"] = json!(finalizers);
        });
    }
    let refused = world.requests_since(mark);
    assert!((2..10).contains(&refused.len()), "{refused:?}");
    assert_eq!(world.calls(), [1, 1]);
    world.api.allow_all(USER);
    world.change(VOLUMES, "", &name, |volume| {
        volume["metadata"]["finalizers"].as_array_mut().unwrap().pop();
    });
    seconds(400).await;
    assert_eq!((world.calls(), world.volume(&name)), ([1, 1], None));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_189_a_restore_waits_for_the_protection_that_is_being_taken_away() {
    let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
    world.snapshot();
    world.change(SNAPSHOTS, "default", "snap", |snapshot| {
        snapshot["metadata"]["finalizers"] = json!([SNAPSHOT_FINALIZER]);
    });
    world.driver.state().volumes.takes = Duration::from_secs(8);
    let late = Fault::Delay(Duration::from_secs(10));
    let _process = world.start_with(Some::of(PATCH_SNAPSHOTS, 1..=1, late));
    seconds(2).await;
    world.claim(from_snapshot);
    seconds(13).await;
    assert_eq!((world.calls(), world.phase("c")), ([1, 0], "Pending".to_owned()));
    assert_eq!(
        world.finalizers(SNAPSHOTS, "default", "snap"),
        [SNAPSHOT_FINALIZER]
    );
    seconds(30).await;
    assert_eq!(world.phase("c"), "Bound");
    assert!(world.finalizers(SNAPSHOTS, "default", "snap").is_empty());
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_209_an_attributes_class_that_is_asked_for_is_the_one_of_now() {
    let world = World::of(&[rpc::Type::ModifyVolume]);
    world.api.deny(USER, Denial::of("watch", ATTRIBUTES_CLASSES));
    let _process = world.start();
    for (name, iops) in [("first", "4000"), ("second", "5000")] {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "gold"},
            "driverName": DRIVER, "parameters": {"iops": iops},
        });
        world.create(ATTRIBUTES_CLASSES, class);
        world.claim_named(name, |claim| {
            claim["spec"]["volumeAttributesClassName"] = json!("gold")
        });
        seconds(3).await;
        let sent = world.driver.state().volumes.created.last().cloned().unwrap();
        assert_eq!(sent.mutable_parameters["iops"], iops);
        world.remove_by_force(ATTRIBUTES_CLASSES, "", "gold");
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_210_a_restore_settles_however_long_each_answer_takes() {
    let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
    world.snapshot();
    for denial in [Denial::of("list", SNAPSHOTS), Denial::of("list", CONTENTS)] {
        world.api.deny(USER, denial);
    }
    let late = Fault::Delay(Duration::from_secs(9));
    let _process = world.start_with(Some::of("GET /apis/snapshot.storage.k8s.io/v1/", 1..=99, late));
    seconds(2).await;
    let mark = world.mark();
    world.claim(from_snapshot);
    seconds(60).await;
    assert_eq!(world.phase("c"), "Bound", "{:?}", world.events());
    assert!(world.finalizers(SNAPSHOTS, "default", "snap").is_empty());
    let requests = world.requests_since(mark);
    let asked = |what: &str| requests.iter().filter(|request| *request == what).count();
    // By the claim and by the guard; whose the snapshot is does not change.
    assert_eq!(asked("get volumesnapshots 200"), 2, "{requests:?}");
    assert_eq!(asked("get volumesnapshotcontents 200"), 1, "{requests:?}");
}

/// The watch of snapshots is late, and the answer to the second write of one is lost.
#[derive(Default)]
struct LostRelease(AtomicU64);

impl Schedule for LostRelease {
    fn fault(&self, call: &Call) -> Fault {
        if call.watch && call.name.ends_with("/volumesnapshots") {
            return Fault::LagWatch(Duration::from_secs(20));
        }
        let concerned = call.name.starts_with(PATCH_SNAPSHOTS);
        match concerned && self.0.fetch_add(1, Ordering::SeqCst) == 1 {
            true => Fault::LoseAnswer,
            false => Fault::None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_230_a_restore_does_not_trust_a_protection_whose_removal_was_not_answered() {
    let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
    world.snapshot();
    let _process = world.start_with(Faults::new(LostRelease::default()));
    seconds(100).await;
    world.claim_named("first", from_snapshot);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let finalizers = || world.finalizers(SNAPSHOTS, "default", "snap");
    assert_eq!(
        (world.phase("first").as_str(), finalizers()),
        ("Bound", Vec::new())
    );
    world.driver.state().volumes.takes = Duration::from_secs(8);
    world.claim(from_snapshot);
    seconds(5).await;
    assert_eq!((world.calls(), world.phase("c")), ([2, 0], "Pending".to_owned()));
    assert_eq!(finalizers(), [SNAPSHOT_FINALIZER]);
    seconds(30).await;
    assert_eq!((world.phase("c").as_str(), finalizers()), ("Bound", Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_232_a_protection_that_comes_after_its_claim_has_gone_is_taken_away() {
    for denied in [None, Some(Denial::of("watch", SNAPSHOTS))] {
        let mut world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
        world.flags = "--snapshot-orphan-sweep-interval=0s".to_owned();
        world.snapshot();
        if let Some(denial) = denied {
            world.api.deny(USER, denial);
        }
        let late = Fault::Delay(Duration::from_secs(5));
        let _process = world.start_with(Some::of(PATCH_SNAPSHOTS, 1..=1, late));
        seconds(2).await;
        let mark = world.mark();
        world.claim(from_snapshot);
        seconds(1).await;
        world.remove_by_force(CLAIMS, "default", "c");
        seconds(60).await;
        let requests = world.requests_since(mark);
        let writes = requests
            .iter()
            .filter(|request| request.starts_with("patch volumesnapshots"));
        assert_eq!((writes.count(), world.calls()), (2, [0, 0]), "{requests:?}");
        assert!(world.finalizers(SNAPSHOTS, "default", "snap").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_236_restores_that_begin_at_once_protect_their_snapshot_once() {
    for (denied, writes) in [
        (vec![], 2),
        (vec![Denial::of("watch", SNAPSHOTS)], 2),
        (
            vec![Denial::of("patch", SNAPSHOTS), Denial::of("update", SNAPSHOTS)],
            1,
        ),
    ] {
        let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
        world.snapshot();
        for denial in denied {
            world.api.deny(USER, denial);
        }
        let late = Fault::Delay(Duration::from_millis(100));
        let begins = if writes == 1 { "PUT" } else { PATCH_SNAPSHOTS };
        let _process = world.start_with(Some::of(begins, 1..=999, late));
        seconds(2).await;
        let mark = world.mark();
        for number in 0..20 {
            world.claim_named(&format!("c{number}"), from_snapshot);
        }
        seconds(5).await;
        for number in 0..20 {
            assert_eq!(world.phase(&format!("c{number}")), "Bound");
        }
        let requests = world.requests_since(mark);
        let is_write = |request: &&String| {
            let mut words = request.split(' ');
            words
                .next()
                .is_some_and(|verb| ["patch", "update"].contains(&verb))
                && words.next() == Some("volumesnapshots")
        };
        let written = requests.iter().filter(is_write);
        assert_eq!(
            (written.count(), world.calls()),
            (writes, [20, 0]),
            "{requests:?}"
        );
    }
}

/// As where a webhook is down: nothing was done, but that is not said.
#[tokio::test(start_paused = true)]
async fn sidecars_case_244_a_restore_does_not_wait_for_the_back_off_of_a_release_that_fails() {
    let world = World::of(&[rpc::Type::CreateDeleteSnapshot]);
    world.snapshot();
    let refused = Fault::Refuse(Refusal::ServerError);
    let _process = world.start_with(Some::of(PATCH_SNAPSHOTS, 2..=30, refused));
    world.claim_named("first", from_snapshot);
    seconds(35).await;
    assert_eq!(world.phase("first"), "Bound");
    assert_eq!(
        world.finalizers(SNAPSHOTS, "default", "snap"),
        [SNAPSHOT_FINALIZER]
    );
    let mark = world.mark();
    world.claim(from_snapshot);
    seconds(3).await;
    let requests = world.requests_since(mark);
    assert_eq!(world.phase("c"), "Bound", "{requests:?}");
    let gets = requests.iter().filter(|request| request.starts_with("get "));
    assert_eq!(gets.count(), 2, "before the restore and after it: {requests:?}");
}
