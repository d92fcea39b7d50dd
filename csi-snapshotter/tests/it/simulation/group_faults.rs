//! Groups under crashes, lost answers and random faults.

use std::time::Duration;

use base::Random;
use controller::testing::seconds;
use sandbox::faults::{At, Fault, Faults, Storm};

use crate::group_world::GroupWorld;
use crate::groups::dynamic;

/// Creation, then deletion; the call with this number meets the fault. A dead process is started anew. Answers
/// how many calls were made.
async fn walk(number: u64, fault: &Fault) -> u64 {
    let world = GroupWorld::new();
    let at = format!("{fault:?} at call {number}");
    let fault = fault.clone();
    let mut process = world.start_with(Faults::new(At { number, fault }));
    let faults = process.faults.clone();
    seconds(5).await;
    world.create(&dynamic());
    seconds(20).await;
    if faults.has_crashed() {
        process.kill().await;
        process = world.start();
        seconds(20).await;
    }
    assert!(world.is_ready() && !world.is_marked(), "{at}");
    assert_eq!(world.driver.state().groups.held.len(), 1, "{at}");
    let crashed_before = faults.has_crashed();
    world.delete();
    seconds(20).await;
    if faults.has_crashed() && !crashed_before {
        process.kill().await;
        process = world.start();
        seconds(20).await;
    }
    assert!(world.content().is_none(), "{at}");
    assert!(world.driver.state().snapshots.is_empty(), "{at}");
    assert!(world.driver.count("DeleteVolumeGroupSnapshot") <= 2, "{at}");
    assert!(process.failure().is_none(), "{at}");
    faults.calls().len() as u64
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_130_the_crash_walk_never_loses_and_never_doubles_a_group() {
    let calls = walk(u64::MAX, &Fault::None).await;
    // 4 questions to the driver, 4 for the definitions, 4 watches; 3 writes and a call; a call and a write.
    assert_eq!(calls, 18);
    for fault in Fault::OF_A_WALK {
        for number in 1..=calls {
            walk(number, &fault).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn random_faults_leave_no_group_behind() {
    for seed in 0..100 {
        let world = GroupWorld::new();
        world.driver.state().ready_after = Duration::from_secs(20);
        let storm = |seed| {
            Faults::new(Storm {
                random: Random::seeded(seed),
                share: 0.15,
                crashes: true,
            })
        };
        world.create(&dynamic());
        let mut process = world.start_with(storm(seed));
        for round in 1..=12 {
            seconds(20).await;
            if process.is_gone() {
                process.kill().await;
                process = world.start_with(storm(seed * 1000 + round));
            }
            if round == 6 {
                world.delete();
            }
        }
        process.kill().await;
        let _process = world.start();
        seconds(400).await;
        assert!(world.content().is_none(), "seed {seed}");
        let state = world.driver.state();
        let left = state.groups.held.len() + state.snapshots.len();
        assert_eq!(left, 0, "seed {seed}");
    }
}
