//! The controller is killed at every request of a group's story and started again: the end must be the same.

use std::time::Duration;

use base::Random;
use controller::testing::resources::{GROUP_CONTENTS, GROUPS};
use sandbox::faults::{At, Fault, Faults, Storm};
use serde_json::{Value, json};

use crate::group_world::{members, status, take, with_groups};
use crate::world::{World, seconds};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    Take,
    /// Taken, and deleted after the fault.
    Abandon,
    Delete,
}

/// What no crash may change.
fn end(world: &World) -> Value {
    let members = members(world).into_iter();
    let shown = members.map(|member| {
        json!([
            member["status"]["readyToUse"],
            member["status"]["volumeGroupSnapshotName"]
        ])
    });
    json!({
        "group": status(world, "g")["readyToUse"],
        "error": status(world, "g")["error"],
        "groups": world.list(GROUPS).len(),
        "group contents": world.list(GROUP_CONTENTS).len(),
        "members": shown.collect::<Vec<Value>>(),
        "contents": world.contents().len(),
    })
}

async fn play(story: Story, faults: Faults) -> (Value, u64, bool) {
    let world = with_groups(None).await;
    if story == Story::Delete {
        let process = world.start();
        take(&world, "g");
        seconds(4).await;
        process.kill().await;
        world.delete(GROUPS, "default", "g");
    } else {
        take(&world, "g");
    }
    let mut process = world.start_with(faults);
    seconds(20).await;
    let calls = process.faults.calls().len().try_into().unwrap();
    if story == Story::Abandon {
        world.delete(GROUPS, "default", "g");
    }
    let died = process.faults.has_crashed();
    if died {
        process.kill().await;
        process = world.start();
    }
    seconds(40).await;
    drop(process);
    (end(&world), calls, died)
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_123_the_crash_walk_of_groups_ends_as_if_nothing_had_happened() {
    for story in [Story::Take, Story::Abandon, Story::Delete] {
        let (expected, calls, _) = play(story, Faults::none()).await;
        let left = if story == Story::Take { 2 } else { 0 };
        assert_eq!(expected["contents"], left, "{story:?}: {expected}");
        for number in 1..=calls {
            for fault in Fault::OF_A_WALK {
                let what = format!("{story:?}: {fault:?} at call {number}");
                let (end, _, _) = play(story, Faults::new(At { number, fault })).await;
                assert_eq!(end, expected, "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn storms_of_faults_lose_no_group_and_leave_none() {
    for seed in 0..40 {
        let wait = (seed % 2 == 0).then(|| Duration::from_secs(7));
        let world = with_groups(wait).await;
        let mut process = world.start_with(storm(seed, 0));
        take(&world, "g");
        take(&world, "h");
        for turn in 1..=40 {
            seconds(3).await;
            if turn == 10 {
                world.delete(GROUPS, "default", "h");
            }
            if process.faults.has_crashed() {
                process.kill().await;
                process = world.start_with(storm(seed, turn));
            }
        }
        process.kill().await;
        let _process = world.start();
        seconds(400).await;
        let found = end(&world);
        let expected = json!({
            "group": true, "error": null, "groups": 1, "group contents": 1,
            "members": [[true, "g"], [true, "g"]], "contents": 2,
        });
        assert_eq!(found, expected, "seed {seed}");
    }
}

fn storm(seed: u64, turn: u64) -> Faults {
    Faults::new(Storm {
        random: Random::seeded(seed * 1_000 + turn),
        share: 0.15,
        crashes: true,
    })
}
