//! Crashes, lost answers, conflicts, lagging watches.

use std::time::Duration;

use base::Random;
use controller::testing::{Answer, seconds};
use sandbox::faults::{At, Call, Fault, Faults, Refusal, Storm, Transport};
use tonic::Status;

use super::{MARK, STATUS, Scripted};
use crate::build::{DRIVER, dynamic};
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn snapshot_case_28_a_lagging_watch_does_not_stop_the_polls() {
    let world = World::new();
    world.driver.state().ready_after = Duration::from_secs(20);
    let lag = |call: &Call| {
        if call.watch {
            Fault::LagWatch(Duration::from_secs(3))
        } else {
            Fault::None
        }
    };
    let _process = world.start_with(Faults::new(Scripted(lag)));
    world.create(&dynamic());
    seconds(45).await;
    assert!(world.status().ready_to_use == Some(true));
    assert_eq!(
        world.requests(),
        [MARK, STATUS, MARK, STATUS],
        "no conflict, no repetition"
    );
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_33_conflicts_are_retried_silently_and_repeat_no_call() {
    for number in 1..40 {
        let world = World::new();
        let process = world.start_with(Faults::new(Scripted(move |call: &Call| {
            let hit = call.number == number && call.transport == Transport::Kubernetes;
            if hit {
                Fault::Refuse(Refusal::Conflict)
            } else {
                Fault::None
            }
        })));
        seconds(5).await;
        world.create(&dynamic());
        seconds(20).await;
        assert_eq!(
            world.status().ready_to_use,
            Some(true),
            "conflict at call {number}"
        );
        assert!(world.events().is_empty() && world.error().is_none());
        assert_eq!(
            world.driver.count("CreateSnapshot"),
            1,
            "conflict at call {number}"
        );
        let made = process.faults.calls().len() as u64;
        if number > made {
            return;
        }
    }
    panic!("the calls did not end");
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_141_a_failing_call_is_counted_once_by_rpc_driver_and_code() {
    let world = World::new();
    let refused = || Some(Answer::Refuse(Status::internal("no")));
    let late = Some(Answer::TakeAndFail(Status::unavailable("late")));
    world.driver.state().create = [refused(), refused(), late].into();
    world.driver.state().delete = [Some(Status::internal("no"))].into();
    let process = world.start();
    world.create(&dynamic());
    seconds(30).await;
    assert!(world.is_ready());
    world.delete();
    seconds(30).await;
    assert!(world.content().is_none());
    let count = |operation: &str, code: &str| {
        let labels = [
            ("component", "csi-snapshotter"),
            ("operation", operation),
            ("driver_name", DRIVER),
            ("grpc_code", code),
            ("class", "retryable"),
        ];
        process.metric("slackwater_failures_total", &labels)
    };
    assert_eq!(count("CreateSnapshot", "Internal"), 2.0);
    assert_eq!(count("CreateSnapshot", "Unavailable"), 1.0);
    assert_eq!(count("DeleteSnapshot", "Internal"), 1.0);
    let families = process.registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == "slackwater_failures_total");
    assert_eq!(
        family.unwrap().get_metric().len(),
        3,
        "what is told of a call is not counted again"
    );
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_53_and_54_killed_during_create() {
    for deleted in [false, true] {
        let world = World::new();
        world.driver.state().create = [Some(Answer::After(Duration::from_secs(30)))].into();
        let process = world.start();
        world.create(&dynamic());
        seconds(5).await;
        assert!(world.is_marked());
        process.kill().await;
        if deleted {
            world.delete();
        }
        let _process = world.start();
        seconds(10).await;
        let names: Vec<String> = world
            .driver
            .state()
            .calls
            .iter()
            .map(|call| call.1.clone())
            .filter(|call| !call.ends_with("ControllerGetCapabilities"))
            .collect();
        assert_eq!(
            names[..2],
            ["CreateSnapshot snapshot-u", "CreateSnapshot snapshot-u"]
        );
        if deleted {
            assert!(world.content().is_none());
            assert!(world.driver.state().snapshots.is_empty());
        } else {
            assert_eq!(world.status().ready_to_use, Some(true));
        }
    }
}

/// Creation, then deletion; the call with this number meets the fault. A dead process is started anew. Answers
/// how many calls were made.
async fn walk(number: u64, fault: &Fault) -> u64 {
    let world = World::new();
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
    assert_eq!(world.status().ready_to_use, Some(true), "{at}");
    assert!(!world.is_marked(), "{at}");
    assert_eq!(world.driver.state().snapshots.len(), 1, "{at}");
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
    assert!(world.driver.count("DeleteSnapshot") <= 2, "{at}");
    assert!(process.failure().is_none(), "{at}");
    faults.calls().len() as u64
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_63_the_crash_walk_never_loses_and_never_doubles() {
    let calls = walk(u64::MAX, &Fault::None).await;
    // 4 questions to the driver, 2 for the definitions and one for those of groups, 2 watches; 3 writes and a call; a call and a
    // write.
    assert_eq!(calls, 15);
    for fault in Fault::OF_A_WALK {
        for number in 1..=calls {
            walk(number, &fault).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn random_faults_end_in_the_right_state() {
    for seed in 0..100 {
        let world = World::new();
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
        assert!(world.driver.state().snapshots.is_empty(), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_transcript() {
    let transcript = || async {
        let world = World::new();
        let random = Random::seeded(9);
        let process = world.start_with(Faults::new(Storm {
            random,
            share: 0.2,
            crashes: false,
        }));
        world.create(&dynamic());
        seconds(200).await;
        world.delete();
        seconds(200).await;
        let audit = format!("{:?}", world.api.audit());
        (audit, process.faults.calls(), world.api.dump().to_string())
    };
    assert_eq!(transcript().await, transcript().await);
}
