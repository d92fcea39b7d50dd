//! The generated service traits over the calls. Every error is logged once, here.

use std::sync::Arc;

use csi::given_up::to_the_end;
use csi::v1::identity_server::Identity;
use csi::v1::node_server::Node;
use csi::v1::node_service_capability::rpc::Type as Rpc;
use csi::v1::node_service_capability::{Rpc as RpcMessage, Type};
use csi::v1::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetCapabilitiesRequest,
    NodeGetCapabilitiesResponse, NodeGetInfoRequest, NodeGetInfoResponse, NodeGetStorageHealthRequest,
    NodeGetStorageHealthResponse, NodeGetVolumeHealthRequest, NodeGetVolumeHealthResponse,
    NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse, NodePublishVolumeRequest,
    NodePublishVolumeResponse, NodeServiceCapability, NodeStageVolumeRequest, NodeStageVolumeResponse,
    NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse, NodeUnstageVolumeRequest,
    NodeUnstageVolumeResponse, ProbeRequest, ProbeResponse,
};
use tonic::Request;

use super::{Core, expand, info, publish, stage, stats};
use crate::rpc::{Answer, answer, identity, unimplemented};

/// `csi.v1.Identity` of mode `node`: healthy while it answers.
#[derive(Debug)]
pub(super) struct NodeIdentity;

/// `csi.v1.Node`.
pub(super) struct Service {
    core: Arc<Core>,
}

impl Service {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

#[tonic::async_trait]
impl Identity for NodeIdentity {
    async fn get_plugin_info(&self, _: Request<GetPluginInfoRequest>) -> Answer<GetPluginInfoResponse> {
        answer("GetPluginInfo", Ok(identity::plugin_info()))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Answer<GetPluginCapabilitiesResponse> {
        answer("GetPluginCapabilities", Ok(identity::plugin_capabilities()))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Answer<ProbeResponse> {
        answer("Probe", Ok(ProbeResponse::default()))
    }
}

#[tonic::async_trait]
impl Node for Service {
    async fn node_stage_volume(
        &self,
        request: Request<NodeStageVolumeRequest>,
    ) -> Answer<NodeStageVolumeResponse> {
        let core = self.core.clone();
        let done = to_the_end(async move { stage::stage(&core, request.get_ref()).await }).await;
        answer("NodeStageVolume", done.map(|()| NodeStageVolumeResponse {}))
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Answer<NodeUnstageVolumeResponse> {
        let core = self.core.clone();
        let done = to_the_end(async move { stage::unstage(&core, request.get_ref()).await }).await;
        answer("NodeUnstageVolume", done.map(|()| NodeUnstageVolumeResponse {}))
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Answer<NodePublishVolumeResponse> {
        let core = self.core.clone();
        let done = to_the_end(async move { publish::publish(&core, request.get_ref()).await }).await;
        answer("NodePublishVolume", done.map(|()| NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Answer<NodeUnpublishVolumeResponse> {
        let core = self.core.clone();
        let done = to_the_end(async move { publish::unpublish(&core, request.get_ref()).await }).await;
        answer(
            "NodeUnpublishVolume",
            done.map(|()| NodeUnpublishVolumeResponse {}),
        )
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<NodeGetVolumeStatsRequest>,
    ) -> Answer<NodeGetVolumeStatsResponse> {
        answer(
            "NodeGetVolumeStats",
            stats::stats(&self.core, request.get_ref()).await,
        )
    }

    async fn node_expand_volume(
        &self,
        request: Request<NodeExpandVolumeRequest>,
    ) -> Answer<NodeExpandVolumeResponse> {
        let core = self.core.clone();
        let done = to_the_end(async move { expand::expand(&core, request.get_ref()).await }).await;
        answer("NodeExpandVolume", done)
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Answer<NodeGetCapabilitiesResponse> {
        let capability = |rpc: Rpc| NodeServiceCapability {
            r#type: Some(Type::Rpc(RpcMessage { r#type: rpc.into() })),
        };
        let all = [Rpc::StageUnstageVolume, Rpc::ExpandVolume, Rpc::GetVolumeStats];
        let capabilities = all.into_iter().map(capability).collect();
        answer(
            "NodeGetCapabilities",
            Ok(NodeGetCapabilitiesResponse { capabilities }),
        )
    }

    async fn node_get_volume_health(
        &self,
        _: Request<NodeGetVolumeHealthRequest>,
    ) -> Answer<NodeGetVolumeHealthResponse> {
        unimplemented("NodeGetVolumeHealth")
    }

    async fn node_get_storage_health(
        &self,
        _: Request<NodeGetStorageHealthRequest>,
    ) -> Answer<NodeGetStorageHealthResponse> {
        unimplemented("NodeGetStorageHealth")
    }

    async fn node_get_info(&self, _: Request<NodeGetInfoRequest>) -> Answer<NodeGetInfoResponse> {
        answer("NodeGetInfo", info::info(&self.core).await)
    }
}
