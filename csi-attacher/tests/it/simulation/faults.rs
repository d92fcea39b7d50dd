//! Crashes, lost answers, conflicts.

use base::Random;
use controller::testing::resources::VOLUMES;
use controller::testing::seconds;
use sandbox::faults::{At, Call, Fault, Faults, Refusal, Storm, Transport};
use tonic::Status;

use super::Scripted;
use crate::world::{DRIVER, World, foreign};

/// A volume of somebody else is attached and detached; the call with this number meets the fault. A dead process is started
/// anew. Answers how many calls were made.
async fn walk(number: u64, fault: &Fault) -> u64 {
    let world = World::with(foreign());
    let at = format!("{fault:?} at call {number}");
    let fault = fault.clone();
    let mut process = world.start_with(Faults::new(At { number, fault }));
    let faults = process.faults.clone();
    seconds(5).await;
    world.attach();
    seconds(20).await;
    if faults.has_crashed() {
        process.kill().await;
        process = world.start();
        seconds(20).await;
    }
    assert!(world.is_attached(), "{at}");
    assert_eq!(world.error("attachError"), "", "{at}");
    assert_eq!(world.driver.state().attaching.pairs().len(), 1, "{at}");
    assert!(world.driver.count("ControllerPublishVolume") <= 2, "{at}");
    let crashed_before = faults.has_crashed();
    world.detach();
    seconds(20).await;
    if faults.has_crashed() && !crashed_before {
        process.kill().await;
        process = world.start();
        seconds(20).await;
    }
    assert!(world.attachment().is_none(), "{at}");
    assert!(world.driver.state().attaching.pairs().is_empty(), "{at}");
    assert!(world.driver.count("ControllerUnpublishVolume") <= 2, "{at}");
    let crashed_before = faults.has_crashed();
    world.delete(VOLUMES, "", "v");
    seconds(20).await;
    if faults.has_crashed() && !crashed_before {
        process.kill().await;
        process = world.start();
        seconds(20).await;
    }
    assert!(world.get(VOLUMES, "", "v").is_none(), "{at}");
    assert!(process.failure().is_none(), "{at}");
    faults.calls().len() as u64
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_153_the_crash_walk_loses_no_attachment_and_leaves_none() {
    let calls = walk(u64::MAX, &Fault::None).await;
    // 4 questions to the driver, 3 lists with their watches; 3 writes and a call; a call and a write; a write.
    assert_eq!(calls, 14);
    for fault in Fault::OF_A_WALK {
        for number in 1..=calls {
            walk(number, &fault).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn conflicts_are_retried_silently_and_repeat_no_call() {
    for number in 1..40 {
        let world = World::with(foreign());
        let process = world.start_with(Faults::new(Scripted(move |call: &Call| {
            let is_hit = call.number == number && call.transport == Transport::Kubernetes;
            match is_hit {
                true => Fault::Refuse(Refusal::Conflict),
                false => Fault::None,
            }
        })));
        seconds(5).await;
        world.attach();
        seconds(10).await;
        assert!(world.is_attached(), "conflict at call {number}");
        assert!(
            world.driver.count("ControllerPublishVolume") <= 2,
            "conflict at call {number}"
        );
        world.detach();
        seconds(10).await;
        assert!(world.attachment().is_none(), "conflict at call {number}");
        assert!(world.events().is_empty(), "conflict at call {number}");
        if number > process.faults.calls().len() as u64 {
            return;
        }
    }
    panic!("the calls did not end");
}

#[tokio::test(start_paused = true)]
async fn random_faults_end_in_the_right_state() {
    for seed in 0..100 {
        let world = World::with(foreign());
        let storm = |seed| {
            Faults::new(Storm {
                random: Random::seeded(seed),
                share: 0.15,
                crashes: true,
            })
        };
        world.attach();
        let mut process = world.start_with(storm(seed));
        for round in 1..=12 {
            seconds(20).await;
            if process.is_gone() {
                process.kill().await;
                process = world.start_with(storm(seed * 1000 + round));
            }
            if round == 6 {
                world.detach();
            }
        }
        process.kill().await;
        let _process = world.start();
        seconds(400).await;
        assert!(world.attachment().is_none(), "seed {seed}");
        assert!(world.driver.state().attaching.pairs().is_empty(), "seed {seed}");
        world.delete(VOLUMES, "", "v");
        seconds(5).await;
        assert!(world.get(VOLUMES, "", "v").is_none(), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_call_is_counted_once_by_rpc_driver_and_code() {
    let world = World::new();
    let refused = |message: &str| Some(Status::internal(message.to_owned()));
    world.driver.state().attaching.publish = [refused("a"), refused("b")].into();
    world.driver.state().attaching.unpublish = [Some(Status::unavailable("c"))].into();
    let process = world.start();
    world.attach();
    seconds(30).await;
    world.detach();
    seconds(30).await;
    assert!(world.attachment().is_none());
    let count = |operation: &str, code: &str| {
        let labels = [
            ("component", "csi-attacher"),
            ("operation", operation),
            ("driver_name", DRIVER),
            ("grpc_code", code),
            ("class", "retryable"),
        ];
        process.metric("slackwater_failures_total", &labels)
    };
    assert_eq!(count("ControllerPublishVolume", "Internal"), 2.0);
    assert_eq!(count("ControllerUnpublishVolume", "Unavailable"), 1.0);
}
