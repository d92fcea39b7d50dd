//! Volumes of an in-tree plugin that the driver took over.

use controller::testing::{Process, seconds};

use crate::world::{MARK, MIGRATED_DRIVER, VOLUME, World};

/// Calls of this name that were measured for in-tree volumes, and for others.
fn measured(process: &Process, rpc: &str) -> [f64; 2] {
    let method = format!("/csi.v1.{rpc}");
    ["true", "false"].map(|migrated| {
        let labels = [
            ("driver_name", MIGRATED_DRIVER),
            ("method_name", &method),
            ("grpc_status_code", "OK"),
            ("migrated", migrated),
        ];
        process.metric("csi_sidecar_operations_seconds", &labels)
    })
}

#[tokio::test(start_paused = true)]
async fn resize_case_63_and_64_an_in_tree_volume_is_expanded_once_it_is_handed_over() {
    let world = World::migrated();
    let process = world.start();
    world.ask("20Gi");
    seconds(5).await;
    assert_eq!(world.driver.asked(), [0; 0]);
    assert_eq!(
        world.requests().iter().filter(|request| *request == MARK).count(),
        0
    );
    world.hand_over(MIGRATED_DRIVER);
    seconds(2).await;
    assert_eq!(world.driver.asked(), [20]);
    assert_eq!(world.driver.state().expanded[0].volume_id, "vol-1");
    assert_eq!(world.grown(), "20Gi 10Gi");
    assert_eq!(world.reasons(), ["Resizing", "FileSystemResizeRequired"]);
    assert_eq!(
        measured(&process, "Controller/ControllerExpandVolume"),
        [1.0, 0.0]
    );
    world.node_finishes();
    seconds(5).await;
    assert_eq!(
        (world.grown(), world.shown()),
        ("20Gi -".into(), "20Gi 20Gi - []".into())
    );
}

#[tokio::test(start_paused = true)]
async fn resize_case_117_the_class_of_an_in_tree_volume_stands_on_its_claim_alone() {
    let world = World::migrated();
    let process = world.start();
    seconds(5).await;
    let begun = world.requests();
    world.want("gold");
    seconds(5).await;
    assert_eq!(world.requests()[begun.len()..], [MARK, MARK]);
    assert!(!world.requests().contains(&VOLUME.to_owned()));
    assert_eq!(world.classes(), "- gold - - []");
    assert_eq!(world.reasons(), ["VolumeModify", "VolumeModifySuccessful"]);
    assert_eq!(world.driver.state().modified[0].volume_id, "vol-1");
    assert_eq!(
        measured(&process, "Controller/ControllerModifyVolume"),
        [1.0, 0.0]
    );
}

#[tokio::test(start_paused = true)]
async fn resize_case_63_calls_for_other_volumes_say_so_and_other_drivers_say_nothing() {
    let world = World::migrated();
    let mut own = crate::world::volume();
    own["metadata"]["name"] = "w".into();
    own["spec"]["csi"]["driver"] = MIGRATED_DRIVER.into();
    world.bind("d", own);
    let process = world.start();
    world.ask_of("d", "20Gi");
    seconds(5).await;
    assert_eq!(
        measured(&process, "Controller/ControllerExpandVolume"),
        [0.0, 1.0]
    );
    assert!(process.stop().await.unwrap().is_ok());

    let world = World::bound();
    let process = world.start();
    world.ask("20Gi");
    seconds(5).await;
    let labels = [
        ("method_name", "/csi.v1.Controller/ControllerExpandVolume"),
        ("migrated", ""),
    ];
    assert_eq!(process.metric("csi_sidecar_operations_seconds", &labels), 1.0);
}
