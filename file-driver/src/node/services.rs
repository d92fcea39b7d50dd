//! The generated service trait over the calls.

use std::sync::Arc;

use csi::given_up::to_the_end;
use csi::v1::node_server::Node;
use csi::v1::node_service_capability::{Rpc, Type};
use csi::v1::*;
use tonic::Request;

use super::{publish, stage, watch};
use crate::capability::{Capability, Told};
use crate::driver::Core;
use crate::rpc::{Answer, answer};

/// `csi.v1.Node`.
pub(crate) struct NodeService(Arc<Core>);

impl NodeService {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }
}

#[tonic::async_trait]
impl Node for NodeService {
    async fn node_get_info(&self, _: Request<NodeGetInfoRequest>) -> Answer<NodeGetInfoResponse> {
        let core = &self.0;
        let has_place = core.has(Capability::VolumeAccessibilityConstraints);
        answer(
            "NodeGetInfo",
            Ok(NodeGetInfoResponse {
                node_id: core.config.node_id.clone(),
                max_volumes_per_node: core.config.max_volumes.into(),
                accessible_topology: has_place.then(|| core.here.clone()),
            }),
        )
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Answer<NodeGetCapabilitiesResponse> {
        let told = self.0.config.capabilities.told().filter_map(|told| match told {
            Told::Node(rpc) => Some(Type::Rpc(Rpc { r#type: rpc.into() })),
            _ => None,
        });
        let capabilities = told.map(|told| NodeServiceCapability { r#type: Some(told) });
        answer(
            "NodeGetCapabilities",
            Ok(NodeGetCapabilitiesResponse {
                capabilities: capabilities.collect(),
            }),
        )
    }

    async fn node_stage_volume(
        &self,
        request: Request<NodeStageVolumeRequest>,
    ) -> Answer<NodeStageVolumeResponse> {
        let core = self.0.clone();
        let done = to_the_end(async move { stage::stage(&core, request.get_ref()).await }).await;
        answer("NodeStageVolume", done.map(|()| NodeStageVolumeResponse {}))
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Answer<NodeUnstageVolumeResponse> {
        let core = self.0.clone();
        let done = to_the_end(async move { stage::unstage(&core, request.get_ref()).await }).await;
        answer("NodeUnstageVolume", done.map(|()| NodeUnstageVolumeResponse {}))
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Answer<NodePublishVolumeResponse> {
        let core = self.0.clone();
        let done = to_the_end(async move { publish::publish(&core, request.get_ref()).await }).await;
        answer("NodePublishVolume", done.map(|()| NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Answer<NodeUnpublishVolumeResponse> {
        let core = self.0.clone();
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
        let told = watch::stats(&self.0, request.get_ref()).await;
        answer("NodeGetVolumeStats", told)
    }

    async fn node_expand_volume(
        &self,
        request: Request<NodeExpandVolumeRequest>,
    ) -> Answer<NodeExpandVolumeResponse> {
        let core = self.0.clone();
        let done = to_the_end(async move { watch::expand(&core, request.get_ref()).await }).await;
        answer("NodeExpandVolume", done)
    }

    async fn node_get_volume_health(
        &self,
        request: Request<NodeGetVolumeHealthRequest>,
    ) -> Answer<NodeGetVolumeHealthResponse> {
        let told = watch::volume_health(&self.0, request.get_ref()).await;
        let message = |health| NodeGetVolumeHealthResponse {
            volume_health: Some(health),
        };
        answer("NodeGetVolumeHealth", told.map(message))
    }

    async fn node_get_storage_health(
        &self,
        _: Request<NodeGetStorageHealthRequest>,
    ) -> Answer<NodeGetStorageHealthResponse> {
        answer("NodeGetStorageHealth", watch::storage_health(&self.0).await)
    }
}
