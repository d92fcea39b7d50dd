use csi::v1::controller_service_capability::Type;
use csi::v1::controller_service_capability::rpc::Type as Rpc;
use csi::v1::plugin_capability::Type as PluginType;
use csi::v1::plugin_capability::service::Type as ServiceType;
use csi::v1::{
    ControllerGetCapabilitiesRequest, GetCapacityRequest, GetPluginCapabilitiesRequest, GetPluginInfoRequest,
    NodeGetInfoRequest, ProbeRequest,
};
use sandbox::ec2::{Fault, When};
use tonic::Code;

use crate::world::{World, code};

#[tokio::test(start_paused = true)]
async fn ebs_case_1_name_and_capabilities() {
    let world = World::new();
    let mut identity = world.channel.identity();
    let info = identity
        .get_plugin_info(GetPluginInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(info.name, "ebs.csi.aws.com");
    assert!(info.vendor_version.starts_with('v'));
    let answer = identity
        .get_plugin_capabilities(GetPluginCapabilitiesRequest {})
        .await
        .unwrap();
    let services: Vec<ServiceType> = answer
        .into_inner()
        .capabilities
        .into_iter()
        .map(|capability| match capability.r#type {
            Some(PluginType::Service(service)) => service.r#type(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        services,
        [
            ServiceType::ControllerService,
            ServiceType::VolumeAccessibilityConstraints,
            ServiceType::GroupControllerService,
        ]
    );
    assert_eq!(world.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_built_is_advertised() {
    let world = World::new();
    let mut controller = world.channel.controller();
    let answer = controller
        .controller_get_capabilities(ControllerGetCapabilitiesRequest {})
        .await
        .unwrap();
    let capabilities: Vec<Rpc> = answer
        .into_inner()
        .capabilities
        .into_iter()
        .map(|capability| match capability.r#type {
            Some(Type::Rpc(rpc)) => rpc.r#type(),
            None => panic!("no type"),
        })
        .collect();
    assert_eq!(
        capabilities,
        [
            Rpc::CreateDeleteVolume,
            Rpc::CloneVolume,
            Rpc::PublishUnpublishVolume,
            Rpc::CreateDeleteSnapshot,
            Rpc::ListSnapshots,
            Rpc::ExpandVolume,
            Rpc::ModifyVolume
        ]
    );
    let capacity = controller.get_capacity(GetCapacityRequest::default()).await;
    assert_eq!(code(capacity), Code::Unimplemented);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_2_a_dry_run_is_asked_once_in_three_hours() {
    let world = World::new();
    let mut identity = world.channel.identity();
    for _ in 0..2 {
        identity.probe(ProbeRequest {}).await.unwrap();
    }
    let calls = world.ec2.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].action, "DescribeAvailabilityZones");
    assert!(calls[0].dry_run);
    tokio::time::advance(std::time::Duration::from_secs(3 * 3600)).await;
    identity.probe(ProbeRequest {}).await.unwrap();
    assert_eq!(world.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_3_a_failing_probe_is_asked_each_time_and_not_repeated() {
    let world = World::new();
    world.ec2.inject("*", When::Always, Fault::error("AuthFailure"));
    let mut identity = world.channel.identity();
    for _ in 0..2 {
        assert_eq!(
            code(identity.probe(ProbeRequest {}).await),
            Code::FailedPrecondition
        );
    }
    assert_eq!(world.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn ebs_case_4_the_controller_has_no_node_service() {
    let world = World::new();
    let answer = world.channel.node().node_get_info(NodeGetInfoRequest {}).await;
    assert_eq!(code(answer), Code::Unimplemented);
}
