//! Volumes that the in-tree plugin of EBS made, in the whole suite.

use sandbox::ec2::Ec2Options;
use sandbox::faults::Faults;
use serde_json::json;

use crate::world::{FAST, World};

#[tokio::test(start_paused = true)]
async fn resize_case_63_117_an_in_tree_volume_is_cut_grown_and_changed_as_any_other() {
    let world = World::new(11, Ec2Options::instant()).await;
    let handle = world.ec2.create_volume_fixture("us-east-1a", 10, &[]).unwrap();
    world.add_in_tree_claim("old", &handle);
    let _process = world.start(Faults::none()).await;
    world.create_snapshot("s", "old", "delete");
    world.until("ready", |world| world.is_ready("s")).await;
    let [content] = world.contents().try_into().unwrap();
    assert_eq!(content["spec"]["driver"], "ebs.csi.aws.com");
    assert_eq!(content["spec"]["source"], json!({ "volumeHandle": handle }));
    assert_eq!(world.ec2_snapshots()[0].volume_id, handle);

    // The expand controller hands the claim over, kubelet does its part.
    world.expand("old", "20Gi");
    world
        .until("expanded", |world| world.is_expanded("old", "20Gi"))
        .await;
    assert_eq!(world.ec2.state().volumes[&handle].size_gib, 20);
    let annotation = "/metadata/annotations/volume.kubernetes.io~1storage-resizer";
    let claim = world.claim("old").unwrap();
    assert_eq!(claim.pointer(annotation), Some(&json!("ebs.csi.aws.com")));

    world.want_class("old", "fast");
    let is_fast = |world: &World| {
        let status = &world.claim("old").unwrap()["status"];
        status["currentVolumeAttributesClassName"] == "fast" && status["modifyVolumeStatus"].is_null()
    };
    world.until("changed", is_fast).await;
    let state = world.ec2.state();
    assert_eq!(
        (state.volumes[&handle].size_gib, state.volumes[&handle].iops),
        (20, Some(FAST))
    );
    assert!(world.volume("pv-old").unwrap()["spec"]["volumeAttributesClassName"].is_null());

    world.delete_snapshot("s");
    world.until("gone", |world| world.contents().is_empty()).await;
    assert!(world.ec2_snapshots().is_empty());
}
