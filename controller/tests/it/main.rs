//! The frame around a sidecar that has nothing else.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod smallest;

use std::collections::BTreeMap;
use std::sync::Mutex;

use controller::testing::resources::VOLUMES;
use controller::testing::{Driver, World, seconds};
use csi::v1::controller_service_capability::rpc;
use sandbox::faults::{Call, Fault, Faults, Refusal, Schedule, Transport};
use serde_json::json;
use tonic::Status;

fn world() -> World {
    let mut world = World::new(smallest::ENTRY, Driver::new("d.csi", &[rpc::Type::ExpandVolume]));
    world.flags = "--gibibytes=5".into();
    for (name, driver, size) in [
        ("small", "d.csi", "1Gi"),
        ("large", "d.csi", "8Gi"),
        ("foreign", "other.csi", "1Gi"),
    ] {
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
                "csi": {"driver": driver, "volumeHandle": format!("vol-{name}")},
            },
        });
        world.create(VOLUMES, volume);
    }
    world
}

fn capacity(world: &World, name: &str) -> String {
    let volume = world.get(VOLUMES, "", name).unwrap();
    volume["spec"]["capacity"]["storage"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_is_a_plan_and_its_steps() {
    let world = world();
    let process = world.start();
    seconds(5).await;
    assert_eq!(world.requests(), ["patch persistentvolumes 200"]);
    assert_eq!(world.driver.asked(), [5]);
    let sizes = ["small", "large", "foreign"].map(|name| capacity(&world, name));
    assert_eq!(sizes, ["5Gi", "8Gi", "1Gi"]);
    process.stop().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_frame_tells_waits_and_tries_again() {
    let world = world();
    world.driver.refuse(&Status::unavailable("not now"), 2);
    let _process = world.start();
    seconds(30).await;
    assert_eq!(world.driver.count("ControllerExpandVolume"), 3);
    assert_eq!(world.reasons(), ["ExpansionFailed"]);
    assert_eq!(capacity(&world, "small"), "5Gi");
}

/// What befalls the requests of a verb to the API server, one after the other; nothing when there are no more.
struct Befalls(Mutex<BTreeMap<&'static str, Vec<Fault>>>);

impl Schedule for Befalls {
    fn fault(&self, call: &Call) -> Fault {
        let mut rest = self.0.lock().unwrap();
        let verb = call.name.split(' ').next().unwrap_or_default();
        let faults = rest
            .get_mut(verb)
            .filter(|_| !call.watch && call.transport == Transport::Kubernetes);
        match faults {
            Some(faults) if !faults.is_empty() => faults.remove(0),
            _ => Fault::None,
        }
    }
}

fn befalls(faults: &[(&'static str, Refusal, usize)]) -> Faults {
    let all = faults
        .iter()
        .map(|(verb, refusal, times)| (*verb, vec![Fault::Refuse(*refusal); *times]));
    Faults::new(Befalls(Mutex::new(all.collect())))
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_201_an_api_server_that_asks_for_a_second_is_asked_less_and_less_often() {
    let world = world();
    let process = world.start_with(befalls(&[("PATCH", Refusal::Throttled, 100)]));
    seconds(60).await;
    let tries = |(call, _): &(Call, Fault)| call.name.starts_with("PATCH");
    let tries = process.faults.calls().iter().filter(|call| tries(call)).count();
    assert!((5..=7).contains(&tries), "{tries} tries in a minute");
    // Throttling is told to nobody.
    assert_eq!(world.reasons(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn sidecars_case_202_a_request_that_was_not_taken_is_counted_once() {
    for (faults, expected) in [
        (vec![("PATCH", Refusal::Conflict, 1)], "conflict"),
        // Nothing has changed: it was no race.
        (vec![("PATCH", Refusal::FailedTest, 1)], "retryable"),
        // What it is now cannot be read.
        (
            vec![("PATCH", Refusal::Conflict, 1), ("GET", Refusal::ServerError, 1)],
            "retryable",
        ),
    ] {
        let world = world();
        let process = world.start_with(befalls(&faults));
        seconds(30).await;
        assert_eq!(capacity(&world, "small"), "5Gi", "{faults:?}");
        for class in ["conflict", "retryable"] {
            let counted = process.metric("slackwater_failures_total", &[("class", class)]);
            let count = if class == expected { 1.0 } else { 0.0 };
            assert!((counted - count).abs() < 0.1, "{faults:?}: {class} {counted}");
        }
    }
}
