//! The frame around a sidecar that has nothing else.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod smallest;

use controller::testing::resources::VOLUMES;
use controller::testing::{Driver, World, seconds};
use csi::v1::controller_service_capability::rpc;
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
