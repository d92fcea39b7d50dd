//! The generated service traits over the calls. Every error is logged once, here; secrets are never part of one.

use std::sync::Arc;

use csi::v1::controller_server::Controller;
use csi::v1::group_controller_server::GroupController;
use csi::v1::identity_server::Identity;
use csi::v1::*;
use tonic::{Request, Response, Status};

use super::{changes, groups, health, identity, snapshots, volumes};
use crate::driver::Core;

/// `csi.v1.Identity`.
pub(crate) struct IdentityService(Arc<Core>);

/// `csi.v1.Controller`.
pub(crate) struct ControllerService(Arc<Core>);

/// `csi.v1.GroupController`.
pub(crate) struct GroupControllerService(Arc<Core>);

impl IdentityService {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }
}

impl ControllerService {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }
}

impl GroupControllerService {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }
}

pub(crate) type Answer<T> = Result<Response<T>, Status>;

pub(crate) fn answer<T>(rpc: &'static str, result: Result<T, Status>) -> Answer<T> {
    if let Err(status) = &result {
        let code = csi::status::code_name(status.code());
        tracing::warn!(rpc, code, "{}", status.message());
    }
    result.map(Response::new)
}

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn get_plugin_info(&self, _: Request<GetPluginInfoRequest>) -> Answer<GetPluginInfoResponse> {
        answer("GetPluginInfo", Ok(identity::info(&self.0)))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Answer<GetPluginCapabilitiesResponse> {
        let capabilities = identity::of_plugin(&self.0.config.capabilities);
        answer(
            "GetPluginCapabilities",
            Ok(GetPluginCapabilitiesResponse { capabilities }),
        )
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Answer<ProbeResponse> {
        answer("Probe", identity::probe(&self.0).await)
    }
}

#[tonic::async_trait]
impl Controller for ControllerService {
    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Answer<ControllerGetCapabilitiesResponse> {
        let capabilities = identity::of_controller(&self.0.config.capabilities);
        answer(
            "ControllerGetCapabilities",
            Ok(ControllerGetCapabilitiesResponse { capabilities }),
        )
    }

    async fn create_volume(&self, request: Request<CreateVolumeRequest>) -> Answer<CreateVolumeResponse> {
        let made = volumes::create(&self.0, request.into_inner()).await;
        answer("CreateVolume", made)
    }

    async fn delete_volume(&self, request: Request<DeleteVolumeRequest>) -> Answer<DeleteVolumeResponse> {
        let done = volumes::delete(&self.0, request.get_ref()).await;
        answer("DeleteVolume", done.map(|()| DeleteVolumeResponse {}))
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Answer<ValidateVolumeCapabilitiesResponse> {
        let told = volumes::validate(&self.0, request.into_inner()).await;
        answer("ValidateVolumeCapabilities", told)
    }

    async fn list_volumes(&self, request: Request<ListVolumesRequest>) -> Answer<ListVolumesResponse> {
        let told = volumes::list(&self.0, request.get_ref()).await;
        answer("ListVolumes", told)
    }

    async fn controller_get_volume(
        &self,
        request: Request<ControllerGetVolumeRequest>,
    ) -> Answer<ControllerGetVolumeResponse> {
        let told = volumes::get(&self.0, request.into_inner()).await;
        answer("ControllerGetVolume", told)
    }

    async fn get_capacity(&self, request: Request<GetCapacityRequest>) -> Answer<GetCapacityResponse> {
        let told = volumes::capacity(&self.0, request.get_ref()).await;
        answer("GetCapacity", told)
    }

    async fn controller_publish_volume(
        &self,
        request: Request<ControllerPublishVolumeRequest>,
    ) -> Answer<ControllerPublishVolumeResponse> {
        let done = changes::publish(&self.0, request.into_inner()).await;
        answer(
            "ControllerPublishVolume",
            done.map(|()| ControllerPublishVolumeResponse::default()),
        )
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<ControllerUnpublishVolumeRequest>,
    ) -> Answer<ControllerUnpublishVolumeResponse> {
        let done = changes::unpublish(&self.0, request.into_inner()).await;
        answer(
            "ControllerUnpublishVolume",
            done.map(|()| ControllerUnpublishVolumeResponse {}),
        )
    }

    async fn controller_expand_volume(
        &self,
        request: Request<ControllerExpandVolumeRequest>,
    ) -> Answer<ControllerExpandVolumeResponse> {
        let done = changes::expand(&self.0, request.into_inner()).await;
        answer("ControllerExpandVolume", done)
    }

    async fn controller_modify_volume(
        &self,
        request: Request<ControllerModifyVolumeRequest>,
    ) -> Answer<ControllerModifyVolumeResponse> {
        let done = changes::modify(&self.0, request.into_inner()).await;
        answer(
            "ControllerModifyVolume",
            done.map(|()| ControllerModifyVolumeResponse {}),
        )
    }

    async fn create_snapshot(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Answer<CreateSnapshotResponse> {
        let made = snapshots::create(&self.0, request.into_inner()).await;
        answer("CreateSnapshot", made)
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Answer<DeleteSnapshotResponse> {
        let done = snapshots::delete(&self.0, request.into_inner()).await;
        answer("DeleteSnapshot", done.map(|()| DeleteSnapshotResponse {}))
    }

    async fn list_snapshots(&self, request: Request<ListSnapshotsRequest>) -> Answer<ListSnapshotsResponse> {
        let told = snapshots::list(&self.0, request.into_inner()).await;
        answer("ListSnapshots", told)
    }

    async fn get_snapshot(&self, request: Request<GetSnapshotRequest>) -> Answer<GetSnapshotResponse> {
        let told = snapshots::get(&self.0, request.into_inner()).await;
        answer("GetSnapshot", told)
    }

    async fn controller_get_volume_health(
        &self,
        request: Request<ControllerGetVolumeHealthRequest>,
    ) -> Answer<ControllerGetVolumeHealthResponse> {
        let told = health::get(&self.0, request.into_inner()).await;
        let message = |health| ControllerGetVolumeHealthResponse {
            volume_health: Some(health),
        };
        answer("ControllerGetVolumeHealth", told.map(message))
    }

    async fn controller_list_volume_health(
        &self,
        request: Request<ControllerListVolumeHealthRequest>,
    ) -> Answer<ControllerListVolumeHealthResponse> {
        let told = health::list(&self.0, request.get_ref()).await;
        answer("ControllerListVolumeHealth", told)
    }
}

#[tonic::async_trait]
impl GroupController for GroupControllerService {
    async fn group_controller_get_capabilities(
        &self,
        _: Request<GroupControllerGetCapabilitiesRequest>,
    ) -> Answer<GroupControllerGetCapabilitiesResponse> {
        let capabilities = identity::of_groups(&self.0.config.capabilities);
        answer(
            "GroupControllerGetCapabilities",
            Ok(GroupControllerGetCapabilitiesResponse { capabilities }),
        )
    }

    async fn create_volume_group_snapshot(
        &self,
        request: Request<CreateVolumeGroupSnapshotRequest>,
    ) -> Answer<CreateVolumeGroupSnapshotResponse> {
        let made = groups::create(&self.0, request.into_inner()).await;
        let message = |group| CreateVolumeGroupSnapshotResponse {
            group_snapshot: Some(group),
        };
        answer("CreateVolumeGroupSnapshot", made.map(message))
    }

    async fn get_volume_group_snapshot(
        &self,
        request: Request<GetVolumeGroupSnapshotRequest>,
    ) -> Answer<GetVolumeGroupSnapshotResponse> {
        let told = groups::get(&self.0, request.into_inner()).await;
        let message = |group| GetVolumeGroupSnapshotResponse {
            group_snapshot: Some(group),
        };
        answer("GetVolumeGroupSnapshot", told.map(message))
    }

    async fn delete_volume_group_snapshot(
        &self,
        request: Request<DeleteVolumeGroupSnapshotRequest>,
    ) -> Answer<DeleteVolumeGroupSnapshotResponse> {
        let done = groups::delete(&self.0, request.into_inner()).await;
        answer(
            "DeleteVolumeGroupSnapshot",
            done.map(|()| DeleteVolumeGroupSnapshotResponse {}),
        )
    }
}
