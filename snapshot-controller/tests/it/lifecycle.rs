//! Objects taken away by force, start and stop, metrics, in the sandbox.

use std::time::Duration;

use controller::testing::Process;
use sandbox::kube::Denial;

use crate::scene::BEING_DELETED;
use crate::world::{CONTENTS, SNAPSHOTS, Sidecar, USER, World, seconds};

#[tokio::test(start_paused = true)]
async fn snapshot_case_70_71_a_content_whose_snapshot_was_removed_by_force_can_be_deleted() {
    let world = World::new().await;
    let _process = world.start();
    world.create_snapshot("s");
    seconds(2).await;
    world.remove_by_force(SNAPSHOTS, "default", "s");
    seconds(5).await;
    let content = &world.contents()[0];
    assert!(content["metadata"]["annotations"][BEING_DELETED].is_null());
    let name = content["metadata"]["name"].as_str().unwrap().to_owned();
    world.delete(CONTENTS, "", &name);
    seconds(3).await;
    assert!(world.contents().is_empty());
    assert_eq!(*world.sidecar.deleted.lock().unwrap(), [name]);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_73_a_cut_snapshot_is_not_cut_again_when_its_content_is_removed_by_force() {
    let world = World::new().await;
    let _process = world.start();
    world.create_snapshot("s");
    seconds(2).await;
    let name = world.contents()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    world.remove_by_force(CONTENTS, "", &name);
    seconds(60).await;
    assert!(world.contents().is_empty());
    let status = &world.snapshot("s")["status"];
    assert_eq!(status["readyToUse"], false);
    assert_eq!(status["error"]["message"], "VolumeSnapshotContent is missing");
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_93_operations_are_measured() {
    let world = World::new().await;
    let process = world.start();
    world.create_snapshot("s");
    seconds(3).await;
    let count = |operation: &str, status: &str| {
        process.metric(
            "snapshot_controller_operation_total_seconds",
            &[
                ("driver_name", "d"),
                ("operation_name", operation),
                ("snapshot_type", "dynamic"),
                ("operation_status", status),
            ],
        )
    };
    assert_eq!(count("CreateSnapshot", "success"), 1.0);
    assert_eq!(count("CreateSnapshotAndReady", "success"), 1.0);
    assert_eq!(
        process.metric("snapshot_controller_operations_in_flight", &[]),
        0.0
    );
    world.api.deny(USER, Denial::of("create", CONTENTS));
    world.create_snapshot("never");
    seconds(3).await;
    assert_eq!(
        process.metric("snapshot_controller_operations_in_flight", &[]),
        2.0
    );
    world.delete(SNAPSHOTS, "default", "never");
    seconds(3).await;
    assert_eq!(count("CreateSnapshot", "cancel"), 1.0);
    assert_eq!(count("DeleteSnapshot", "success"), 1.0);
    assert_eq!(
        process.metric("snapshot_controller_operations_in_flight", &[]),
        0.0
    );
}

#[tokio::test(start_paused = true)]
async fn journeys_case_91_a_snapshot_that_is_given_up_is_counted_with_its_age() {
    let world = World::new().await;
    let process = world.start();
    world.api.deny(USER, Denial::of("create", CONTENTS));
    world.create_snapshot("never");
    seconds(600).await;
    let forbidden = process.metric("slackwater_failures_total", &[("class", "forbidden")]);
    assert!(forbidden > 1.0, "{forbidden}");
    world.delete(SNAPSHOTS, "default", "never");
    seconds(3).await;
    let families = process.registry.gather();
    let is_cancelled = |metric: &&prometheus::proto::Metric| {
        let has = |value: &str| metric.get_label().iter().any(|label| label.value() == value);
        has("CreateSnapshotAndReady") && has("cancel")
    };
    let observed: Vec<f64> = families
        .iter()
        .filter(|family| family.name() == "snapshot_controller_operation_total_seconds")
        .flat_map(|family| family.get_metric().iter().filter(is_cancelled))
        .map(|metric| metric.get_histogram().get_sample_sum())
        .collect();
    let [seconds] = observed[..] else {
        panic!("{observed:?}");
    };
    assert!((600.0..605.0).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn journeys_case_92_what_is_under_way_is_counted_after_a_restart() {
    let world = World::with_sidecar(Sidecar {
        ready_after: Some(Duration::from_secs(3600)),
        ..Sidecar::default()
    })
    .await;
    let process = world.start();
    for number in 0..5 {
        world.create_snapshot(&format!("s-{number}"));
    }
    seconds(5).await;
    let in_flight = |process: &Process| process.metric("snapshot_controller_operations_in_flight", &[]);
    assert_eq!(in_flight(&process), 5.0);
    process.kill().await;
    let process = world.start();
    seconds(5).await;
    assert_eq!(in_flight(&process), 5.0);
}

#[tokio::test(start_paused = true)]
async fn journeys_case_102_many_snapshots_are_no_more_series() {
    let world = World::new().await;
    let process = world.start();
    let series = || {
        let families = process.registry.gather();
        let of = |family: &prometheus::proto::MetricFamily| {
            let labels = |metric: &prometheus::proto::Metric| {
                let pairs = metric.get_label().iter().map(|label| format!("{label:?}"));
                format!("{} {}", family.name(), pairs.collect::<String>())
            };
            family.get_metric().iter().map(labels).collect::<Vec<_>>()
        };
        families
            .iter()
            .flat_map(of)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let make = |from: usize, to: usize| {
        for number in from..to {
            world.create_snapshot(&format!("s-{number}"));
        }
    };
    make(0, 10);
    seconds(60).await;
    let few = series();
    make(10, 300);
    seconds(60).await;
    assert_eq!(series(), few);
    assert_eq!(world.contents().len(), 300);
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_12_13_missing_definitions_end_the_controller_unless_they_come() {
    for (flags, appear, ends) in [
        ("--retry-crd-interval-max=3s", None, true),
        ("--retry-crd-interval-max=0s", None, true),
        ("--retry-crd-interval-max=30s", Some(5), false),
    ] {
        let mut world = World::without_definitions(Sidecar::default());
        world.flags = flags.to_owned();
        let process = world.start();
        seconds(appear.unwrap_or(4)).await;
        if appear.is_some() {
            world.define();
        }
        seconds(10).await;
        let ended = process.ended.lock().unwrap();
        assert_eq!(ended.is_some(), ends, "{flags}: {ended:?}");
        if let Some(Err(error)) = &*ended {
            assert!(
                error.to_string().contains("slackwater crds | kubectl apply"),
                "{error}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_case_91_a_stopped_leader_gives_its_lease_back_at_once() {
    let mut world = World::new().await;
    world.flags = "--leader-election=true".to_owned();
    let first = world.start();
    seconds(3).await;
    let second = world.start();
    world.create_snapshot("s");
    seconds(30).await;
    assert_eq!(world.snapshot("s")["status"]["readyToUse"], true);
    assert!(matches!(first.stop().await, Some(Ok(()))));
    world.create_snapshot("t");
    seconds(2).await;
    assert_eq!(world.snapshot("t")["status"]["readyToUse"], true);
    drop(second);
}
