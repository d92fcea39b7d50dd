//! The controller is killed at every request of a story and started again: the end must be the same.

use std::time::Duration;

use base::Random;
use sandbox::faults::{At, Call, Fault, Faults, Schedule, Storm};
use serde_json::{Value, json};

use crate::world::{CONTENTS, SNAPSHOTS, Sidecar, World, class, seconds, snapshot};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    Create,
    /// Created, and deleted after the fault.
    Abandon,
    Delete(&'static str),
    Import,
}

impl Story {
    /// What is there before the process starts.
    async fn begin(self, world: &World) {
        match self {
            Self::Create | Self::Abandon => world.create_snapshot("s"),
            Self::Delete(policy) => {
                world.create(crate::world::CLASSES, class("mine", policy));
                world.create(SNAPSHOTS, snapshot("s", "p", Some("mine")));
                let process = world.start();
                seconds(3).await;
                process.kill().await;
                world.delete(SNAPSHOTS, "default", "s");
            }
            Self::Import => {
                world.create(
                    CONTENTS,
                    json!({
                        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
                        "metadata": {"name": "c"},
                        "spec": {"deletionPolicy": "Delete", "driver": "d", "source": {"snapshotHandle": "snap"},
                            "volumeSnapshotRef": {"name": "s", "namespace": "default"}},
                    }),
                );
                world.create(
                    SNAPSHOTS,
                    json!({
                        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
                        "metadata": {"name": "s", "namespace": "default"},
                        "spec": {"source": {"volumeSnapshotContentName": "c"}, "volumeSnapshotClassName": "k"},
                    }),
                );
            }
        }
    }
}

/// The parts of the end that no crash may change: everything but versions, UIDs, times and events.
fn end(world: &World) -> Value {
    let mut dump = world.api.dump();
    let kept = [
        "volumesnapshots",
        "volumesnapshotcontents",
        "persistentvolumeclaims",
    ];
    let all = dump.as_object_mut().unwrap();
    all.retain(|kind, _| kept.iter().any(|kept| kind.split('.').next() == Some(*kept)));
    blur(&mut dump);
    dump
}

fn blur(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for volatile in [
                "resourceVersion",
                "creationTimestamp",
                "managedFields",
                "time",
                "deletionTimestamp",
            ] {
                members.remove(volatile);
            }
            members.values_mut().for_each(blur);
        }
        Value::Array(items) => items.iter_mut().for_each(blur),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The end, how many calls led to it, and whether the process died on the way.
async fn play(story: Story, faults: Faults) -> (Value, u64, bool) {
    let world = World::new().await;
    story.begin(&world).await;
    let mut process = world.start_with(faults);
    seconds(20).await;
    let calls = process.faults.calls().len().try_into().unwrap();
    if story == Story::Abandon {
        world.delete(SNAPSHOTS, "default", "s");
    }
    let died = process.faults.has_crashed();
    if died {
        process.kill().await;
        process = world.start();
    }
    seconds(30).await;
    drop(process);
    (end(&world), calls, died)
}

#[tokio::test(start_paused = true)]
async fn snapshot_cases_51_66_82_the_crash_walk_ends_as_if_nothing_had_happened() {
    let stories = [
        Story::Create,
        Story::Abandon,
        Story::Delete("Delete"),
        Story::Delete("Retain"),
        Story::Import,
    ];
    for story in stories {
        let (expected, calls, _) = play(story, Faults::none()).await;
        let mut deaths = 0;
        for number in 1..=calls {
            for fault in Fault::OF_A_WALK {
                let what = format!("{story:?}: {fault:?} at call {number}");
                let (end, _, died) = play(story, Faults::new(At { number, fault })).await;
                assert_eq!(end, expected, "{what}");
                deaths += u64::from(died);
            }
        }
        assert_eq!(deaths, 2 * calls, "{story:?}: each call was a death");
    }
}

#[tokio::test(start_paused = true)]
async fn storms_of_faults_lose_nothing_and_double_nothing() {
    for seed in 0..100 {
        let world = World::with_sidecar(Sidecar {
            ready_after: (seed % 2 == 0).then(|| Duration::from_secs(7)),
            ..Sidecar::default()
        })
        .await;
        let mut process = world.start_with(storm(seed, 0));
        world.create_snapshot("s");
        world.create_snapshot("t");
        for turn in 1..=40 {
            seconds(3).await;
            if turn == 10 {
                world.delete(SNAPSHOTS, "default", "t");
            }
            if process.faults.has_crashed() {
                process.kill().await;
                process = world.start_with(storm(seed, turn));
            }
        }
        process.kill().await;
        let _process = world.start();
        seconds(400).await;
        let contents = world.contents();
        assert_eq!(contents.len(), 1, "seed {seed}: {contents:#?}");
        assert_eq!(
            contents[0]["spec"]["volumeSnapshotRef"]["name"], "s",
            "seed {seed}"
        );
        assert_eq!(world.snapshot("s")["status"]["readyToUse"], true, "seed {seed}");
        assert!(world.snapshot("s")["status"]["error"].is_null(), "seed {seed}");
        assert!(
            world.snapshot("t").is_null(),
            "seed {seed}: {}",
            world.snapshot("t")
        );
        assert_eq!(
            world.claim_finalizers(),
            json!(["kubernetes.io/pvc-protection"]),
            "seed {seed}"
        );
    }
}

fn storm(seed: u64, turn: u64) -> Faults {
    Faults::new(Storm {
        random: Random::seeded(seed * 1_000 + turn),
        share: 0.15,
        crashes: true,
    })
}

/// The answer to the POST of a content is lost, and the watch of contents shows nothing for half a minute.
struct OutOfSight;

impl Schedule for OutOfSight {
    fn fault(&self, call: &Call) -> Fault {
        let contents = call.name.contains("volumesnapshotcontents");
        match (contents, call.watch) {
            (true, true) => Fault::LagWatch(Duration::from_secs(30)),
            (true, false) if call.name.starts_with("POST") => Fault::LoseAnswer,
            _ => Fault::None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_content_whose_creation_was_never_answered_is_not_orphaned_by_a_deletion() {
    let world = World::new().await;
    let _process = world.start_with(Faults::new(OutOfSight));
    // The first list is late too.
    seconds(40).await;
    world.create_snapshot("s");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.contents().len(), 1);
    world.delete(SNAPSHOTS, "default", "s");
    seconds(10).await;
    assert!(world.contents().is_empty(), "{:#?}", world.contents());
    seconds(60).await;
    assert!(world.snapshot("s").is_null(), "{}", world.snapshot("s"));
}
