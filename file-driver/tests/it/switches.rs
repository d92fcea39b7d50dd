//! Each capability can be switched off: it is not told, and its call says so.

use clap::ValueEnum;
use csi::v1::*;
use file_driver::Capability;
use tonic::Code;

use crate::world::{Process, Reply, World, block, of_snapshot, of_volume, refused, volume};

/// Names of all capabilities that the services tell.
async fn told(driver: &Process) -> Vec<String> {
    let timeout = std::time::Duration::from_secs(5);
    let channel = &driver.channel;
    let plugin = csi::identity::plugin_capabilities(channel, timeout)
        .await
        .unwrap();
    let mut all: Vec<String> = plugin
        .services
        .iter()
        .map(|service| service.as_str_name().to_owned())
        .collect();
    all.extend(plugin.expansion.iter().map(|way| way.as_str_name().to_owned()));
    let controller = csi::identity::controller_capabilities(channel, timeout).await;
    all.extend(
        controller
            .iter()
            .flatten()
            .map(|rpc| rpc.as_str_name().to_owned()),
    );
    let groups = csi::identity::group_controller_capabilities(channel, timeout).await;
    all.extend(groups.iter().flatten().map(|rpc| rpc.as_str_name().to_owned()));
    let node = csi::identity::node_capabilities(channel, timeout).await.unwrap();
    all.extend(node.iter().map(|rpc| format!("NODE_{}", rpc.as_str_name())));
    all.sort();
    all
}

#[tokio::test]
async fn what_is_switched_off_is_not_told() {
    let all: Vec<String> = told(&World::new().start()).await;
    assert_eq!(all.len(), Capability::value_variants().len());
    for off in Capability::value_variants() {
        let left = told(&World::without(&[*off]).start()).await;
        let mut expected = all.clone();
        expected.retain(|name| match off {
            // Without the service nobody tells of its parts.
            Capability::ControllerService => {
                name.starts_with("NODE_")
                    || [
                        "GROUP",
                        "_ACCESSIBILITY_",
                        "LINE",
                        "CREATE_DELETE_GET_VOLUME_GROUP",
                    ]
                    .iter()
                    .any(|part| name.contains(part))
            }
            Capability::GroupControllerService => {
                *name != off.to_string() && name != "CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT"
            }
            _ => *name != off.to_string(),
        });
        assert_eq!(left, expected, "without {off}");
    }
}

/// A call that needs a capability, on a volume that is there.
async fn call(driver: &Process, off: Capability, id: &str) -> Option<Reply<()>> {
    let mut controller = driver.channel.controller();
    let volume_id = || id.to_owned();
    Some(match off {
        Capability::CreateDeleteVolume => driver.create(volume("w")).await.map(drop),
        Capability::PublishUnpublishVolume => driver.publish(id, false).await,
        Capability::PublishReadonly => driver.publish(id, true).await,
        Capability::ListVolumes => {
            let request = ListVolumesRequest::default();
            controller.list_volumes(request).await.map(drop)
        }
        Capability::GetCapacity => {
            let request = GetCapacityRequest::default();
            controller.get_capacity(request).await.map(drop)
        }
        Capability::CreateDeleteSnapshot => driver.take("s", id).await.map(drop),
        Capability::ListSnapshots => {
            let request = ListSnapshotsRequest::default();
            controller.list_snapshots(request).await.map(drop)
        }
        Capability::GetSnapshot => {
            let request = GetSnapshotRequest::default();
            controller.get_snapshot(request).await.map(drop)
        }
        Capability::CloneVolume => driver.create(of_volume("w", id)).await.map(drop),
        Capability::ExpandVolume => driver.expand(id, 1).await.map(drop),
        Capability::ModifyVolume => driver.modify(id, "comment", "a").await,
        Capability::GetVolume => {
            let request = ControllerGetVolumeRequest {
                volume_id: volume_id(),
            };
            controller.controller_get_volume(request).await.map(drop)
        }
        Capability::GetVolumeHealth => {
            let request = ControllerGetVolumeHealthRequest::default();
            controller.controller_get_volume_health(request).await.map(drop)
        }
        Capability::ListVolumeHealth => {
            let request = ControllerListVolumeHealthRequest::default();
            controller.controller_list_volume_health(request).await.map(drop)
        }
        Capability::CreateDeleteGetVolumeGroupSnapshot => driver.take_group("g", &[id]).await.map(drop),
        _ => return node_call(driver, off).await,
    })
}

/// The same of the node service, on no volume.
async fn node_call(driver: &Process, off: Capability) -> Option<Reply<()>> {
    let mut node = driver.channel.node();
    Some(match off {
        Capability::NodeStageUnstageVolume => {
            let request = NodeStageVolumeRequest::default();
            node.node_stage_volume(request).await.map(drop)
        }
        Capability::NodeGetVolumeStats => {
            let request = NodeGetVolumeStatsRequest::default();
            node.node_get_volume_stats(request).await.map(drop)
        }
        Capability::NodeExpandVolume => {
            let request = NodeExpandVolumeRequest::default();
            node.node_expand_volume(request).await.map(drop)
        }
        Capability::NodeGetVolumeHealth => {
            let request = NodeGetVolumeHealthRequest::default();
            node.node_get_volume_health(request).await.map(drop)
        }
        Capability::NodeGetStorageHealth => {
            let request = NodeGetStorageHealthRequest::default();
            node.node_get_storage_health(request).await.map(drop)
        }
        _ => return None,
    })
}

#[tokio::test]
async fn a_call_that_is_switched_off_says_so() {
    let mut refusals = 0;
    for off in Capability::value_variants() {
        let mut world = World::new();
        let id = world.start().create(volume("v")).await.unwrap().volume_id;
        world.config.capabilities = file_driver::Capabilities::without(&[*off]);
        if let Some(reply) = call(&world.start(), *off, &id).await {
            refused(reply, Code::Unimplemented, &format!("--without={off}"));
            refusals += 1;
        }
    }
    assert_eq!(refusals, 20);
}

#[tokio::test]
async fn a_service_that_is_switched_off_is_not_there() {
    let world = World::without(&[Capability::ControllerService, Capability::GroupControllerService]);
    let driver = world.start();
    refused(driver.create(volume("v")).await, Code::Unimplemented, "");
    refused(driver.take_group("g", &["v"]).await, Code::Unimplemented, "");
}

#[tokio::test]
async fn what_depends_on_a_capability_goes_with_it() {
    let mut world = World::new();
    let driver = world.start();
    let id = driver.create(volume("v")).await.unwrap().volume_id;
    let snapshot = driver.take("s", &id).await.unwrap().snapshot_id;
    driver.publish(&id, false).await.unwrap();
    drop(driver);

    let without = |off: &[Capability]| file_driver::Capabilities::without(off);
    world.config.capabilities = without(&[
        Capability::CreateDeleteSnapshot,
        Capability::Online,
        Capability::NodeExpandVolume,
        Capability::VolumeAccessibilityConstraints,
        Capability::ListVolumesPublishedNodes,
        Capability::SingleNodeMultiWriter,
    ]);
    let driver = world.start();
    let restored = driver.create(of_snapshot("r", &snapshot)).await;
    refused(restored, Code::Unimplemented, "CREATE_DELETE_SNAPSHOT");
    let grown = driver.expand(&id, 2 << 20).await;
    refused(grown, Code::FailedPrecondition, "ONLINE");
    driver.unpublish(&id, "").await.unwrap();
    let grown = driver.expand(&id, 2 << 20).await.unwrap();
    assert!(!grown.node_expansion_required);
    let made = driver.create(volume("w")).await.unwrap();
    assert!(made.accessible_topology.is_empty());
    let mut writer = volume("x");
    let mode = volume_capability::access_mode::Mode::SingleNodeSingleWriter;
    writer.volume_capabilities[0].access_mode = Some(volume_capability::AccessMode { mode: mode.into() });
    refused(
        driver.create(writer).await,
        Code::InvalidArgument,
        "SINGLE_NODE_MULTI_WRITER",
    );
    drop(driver);

    world.config.capabilities = without(&[Capability::Offline]);
    let driver = world.start();
    refused(
        driver.expand(&id, 3 << 20).await,
        Code::FailedPrecondition,
        "OFFLINE",
    );
    let request = ControllerExpandVolumeRequest {
        volume_id: id.clone(),
        capacity_range: crate::world::at_least(3 << 20),
        volume_capability: Some(block()),
        ..Default::default()
    };
    driver.publish(&id, false).await.unwrap();
    let grown = driver
        .channel
        .controller()
        .controller_expand_volume(request)
        .await;
    assert!(
        !grown.unwrap().into_inner().node_expansion_required,
        "a block device needs no growing"
    );
}
