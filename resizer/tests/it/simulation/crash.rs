//! Faults and crashes at every call of an expansion.

use std::sync::atomic::{AtomicU64, Ordering};

use controller::testing::resources::{CLAIMS, VOLUMES};
use controller::testing::seconds;
use sandbox::faults::{At, Call, Fault, Faults, Refusal, Schedule};

use crate::world::World;

const DONE: &str = "20Gi 20Gi - []";
const CHANGED: &str = "gold gold - - []";

/// The calls of a healthy expansion, without those that follow kinds.
async fn healthy() -> Vec<Call> {
    let world = World::bound();
    let process = world.start();
    seconds(1).await;
    world.ask("20Gi");
    seconds(5).await;
    world.node_finishes();
    seconds(5).await;
    assert_eq!(world.shown(), DONE);
    process.faults.calls().into_iter().map(|(call, _)| call).collect()
}

#[tokio::test(start_paused = true)]
async fn resize_case_39_100_a_crash_at_any_call_ends_as_without() {
    let calls = healthy().await;
    assert!(calls.len() >= 6, "{calls:?}");
    for call in &calls {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let world = World::bound();
            let faults = Faults::new(At {
                number: call.number,
                fault: fault.clone(),
            });
            let process = world.start_with(faults);
            seconds(1).await;
            world.ask("20Gi");
            seconds(5).await;
            process.kill().await;
            let _process = world.start();
            seconds(10).await;
            world.node_finishes();
            seconds(10).await;
            assert_eq!(world.shown(), DONE, "{fault:?} at {:?}", call);
            assert_eq!(world.grown(), "20Gi -", "{fault:?} at {:?}", call);
            assert!(world.driver.asked().len() <= 2, "{fault:?} at {:?}", call);
        }
    }
}

/// The calls of a healthy change by class.
async fn healthy_change() -> Vec<Call> {
    let world = World::changing();
    let process = world.start();
    seconds(1).await;
    world.want("gold");
    seconds(5).await;
    assert_eq!(world.classes(), CHANGED);
    process.faults.calls().into_iter().map(|(call, _)| call).collect()
}

#[tokio::test(start_paused = true)]
async fn resize_case_89_100_a_crash_at_any_call_of_a_change_ends_as_without() {
    let calls = healthy_change().await;
    assert!(calls.len() >= 6, "{calls:?}");
    for call in &calls {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let world = World::changing();
            let process = world.start_with(Faults::new(At {
                number: call.number,
                fault: fault.clone(),
            }));
            seconds(1).await;
            world.want("gold");
            seconds(5).await;
            process.kill().await;
            let _process = world.start();
            seconds(20).await;
            assert_eq!(world.classes(), CHANGED, "{fault:?} at {call:?}");
            assert!(world.asked_for().len() <= 2, "{fault:?} at {call:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_94_a_refused_write_repeats_no_change() {
    for (resource, numbers, refusal) in [
        ("persistentvolumeclaims", 2..=2, Refusal::Conflict),
        ("persistentvolumeclaims", 2..=4, Refusal::Conflict),
        ("persistentvolumeclaims", 1..=1, Refusal::Conflict),
        ("/persistentvolumes/", 1..=3, Refusal::ServerError),
        ("persistentvolumeclaims", 2..=3, Refusal::ServerError),
    ] {
        let world = World::changing();
        let case = format!("{resource} {numbers:?} {refusal:?}");
        let _process = world.start_with(Faults::new(Refusals {
            resource,
            numbers,
            refusal,
            seen: AtomicU64::new(0),
        }));
        seconds(1).await;
        world.want("gold");
        seconds(30).await;
        assert_eq!(world.classes(), CHANGED, "{case}");
        assert_eq!(world.asked_for(), ["gold"], "{case}");
        assert_eq!(
            world.reasons(),
            ["VolumeModify", "VolumeModifySuccessful"],
            "{case}"
        );
    }
}

/// Refuses some of the PATCHes to a kind, counted from 1.
struct Refusals {
    resource: &'static str,
    numbers: std::ops::RangeInclusive<u64>,
    refusal: Refusal,
    seen: AtomicU64,
}

impl Schedule for Refusals {
    fn fault(&self, call: &Call) -> Fault {
        let concerned = call.name.starts_with("PATCH") && call.name.contains(self.resource);
        let number = self.seen.fetch_add(u64::from(concerned), Ordering::SeqCst) + 1;
        if concerned && self.numbers.contains(&number) {
            return Fault::Refuse(self.refusal);
        }
        Fault::None
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_44_45_and_46_a_refused_write_repeats_no_call() {
    for (resource, numbers, refusal) in [
        ("persistentvolumeclaims", 2..=2, Refusal::Conflict),
        ("persistentvolumeclaims", 2..=4, Refusal::Conflict),
        ("persistentvolumeclaims", 1..=1, Refusal::Conflict),
        ("/persistentvolumes/", 1..=3, Refusal::ServerError),
        ("persistentvolumeclaims", 2..=3, Refusal::ServerError),
    ] {
        let world = World::bound();
        let case = format!("{resource} {numbers:?} {refusal:?}");
        let process = world.start_with(Faults::new(Refusals {
            resource,
            numbers,
            refusal,
            seen: AtomicU64::new(0),
        }));
        seconds(1).await;
        world.ask("20Gi");
        seconds(30).await;
        assert!(world.shown().contains("NodeResizePending"), "{case}");
        assert_eq!(world.driver.asked(), [20], "{case}");
        assert_eq!(
            world.reasons(),
            ["Resizing", "FileSystemResizeRequired"],
            "{case}"
        );
        let gets = process.faults.calls().into_iter();
        let gets = gets.filter(|(call, _)| call.name.starts_with("GET") && call.name.ends_with("/c"));
        assert!(gets.count() <= 2, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn resize_case_120_a_refused_mark_brings_no_larger_size_back() {
    let world = World::bound();
    world.driver.refuse(&tonic::Status::internal("no"), 1);
    let _process = world.start_with(Faults::new(Refusals {
        resource: "persistentvolumeclaims",
        // After the first mark and its error.
        numbers: 3..=3,
        refusal: Refusal::ServerError,
        seen: AtomicU64::new(0),
    }));
    world.ask("20Gi");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(world.driver.asked(), [20]);
    world.ask("15Gi");
    seconds(60).await;
    assert_eq!(world.driver.asked(), [20, 15]);
    assert!(world.shown().starts_with("10Gi 15Gi NodeResizePending"));
}

#[tokio::test(start_paused = true)]
async fn resize_case_47_a_claim_that_is_gone_is_dropped_silently() {
    let world = World::bound();
    world.driver.state().takes = std::time::Duration::from_secs(5);
    let _process = world.start();
    world.ask("20Gi");
    seconds(1).await;
    world.remove_by_force(CLAIMS, "default", "c");
    seconds(60).await;
    assert_eq!(world.driver.asked(), [20]);
    assert_eq!(world.reasons(), ["Resizing"]);
}

#[tokio::test(start_paused = true)]
async fn resize_case_105_a_new_claim_of_that_name_starts_afresh() {
    let world = World::bound();
    world.driver.refuse(&tonic::Status::invalid_argument("no"), 1);
    let _process = world.start();
    world.ask("20Gi");
    seconds(5).await;
    world.remove_by_force(CLAIMS, "default", "c");
    world.remove_by_force(VOLUMES, "", "v");
    seconds(1).await;
    world.bind("c", crate::world::volume());
    world.ask("20Gi");
    seconds(2).await;
    assert_eq!(world.driver.asked(), [20, 20]);
}
