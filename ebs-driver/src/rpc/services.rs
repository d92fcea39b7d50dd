//! The generated service traits over the calls. Every error is logged once, here; secrets are never part of one.

use std::sync::Arc;

use csi::CreateSnapshotHint;
use csi::modify::v1::modify_server::Modify;
use csi::modify::v1::{
    GetCsiDriverModificationCapabilityRequest, GetCsiDriverModificationCapabilityResponse,
    ModifyVolumePropertiesRequest, ModifyVolumePropertiesResponse,
};
use csi::v1::controller_server::Controller;
use csi::v1::group_controller_server::GroupController;
use csi::v1::identity_server::Identity;
use csi::v1::{
    ControllerExpandVolumeRequest, ControllerExpandVolumeResponse, ControllerGetCapabilitiesRequest,
    ControllerGetCapabilitiesResponse, ControllerGetVolumeHealthRequest, ControllerGetVolumeHealthResponse,
    ControllerGetVolumeRequest, ControllerGetVolumeResponse, ControllerListVolumeHealthRequest,
    ControllerListVolumeHealthResponse, ControllerModifyVolumeRequest, ControllerModifyVolumeResponse,
    ControllerPublishVolumeRequest, ControllerPublishVolumeResponse, ControllerUnpublishVolumeRequest,
    ControllerUnpublishVolumeResponse, CreateSnapshotRequest, CreateSnapshotResponse,
    CreateVolumeGroupSnapshotRequest, CreateVolumeGroupSnapshotResponse, CreateVolumeRequest,
    CreateVolumeResponse, DeleteSnapshotRequest, DeleteSnapshotResponse, DeleteVolumeGroupSnapshotRequest,
    DeleteVolumeGroupSnapshotResponse, DeleteVolumeRequest, DeleteVolumeResponse, GetCapacityRequest,
    GetCapacityResponse, GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest,
    GetPluginInfoResponse, GetSnapshotRequest, GetSnapshotResponse, GetVolumeGroupSnapshotRequest,
    GetVolumeGroupSnapshotResponse, GroupControllerGetCapabilitiesRequest,
    GroupControllerGetCapabilitiesResponse, ListSnapshotsRequest, ListSnapshotsResponse, ListVolumesRequest,
    ListVolumesResponse, ProbeRequest, ProbeResponse, ValidateVolumeCapabilitiesRequest,
    ValidateVolumeCapabilitiesResponse,
};
use tonic::{Request, Response, Status};

use super::{
    controller_capabilities, create_snapshot, create_volume, delete_snapshot, delete_volume, expand_volume,
    group_snapshot, identity, list_snapshots, modify_volume, opened, publish_volume, unpublish_volume,
    validate_capabilities,
};
use crate::driver::Core;

/// `csi.v1.Identity`.
#[derive(Debug)]
pub(crate) struct IdentityService {
    core: Arc<Core>,
}

/// `csi.v1.Controller`.
#[derive(Debug)]
pub(crate) struct ControllerService {
    core: Arc<Core>,
}

/// `csi.v1.GroupController`.
#[derive(Debug)]
pub(crate) struct GroupControllerService {
    core: Arc<Core>,
}

impl GroupControllerService {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

/// `modify.v1.Modify`.
#[derive(Debug)]
pub(crate) struct ModifyService {
    core: Arc<Core>,
}

impl ModifyService {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

impl IdentityService {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

impl ControllerService {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

pub(crate) type Answer<T> = Result<Response<T>, Status>;

pub(crate) fn answer<T>(rpc: &'static str, result: Result<T, Status>) -> Answer<T> {
    if let Err(status) = &result {
        tracing::warn!(
            rpc,
            code = csi::status::code_name(status.code()),
            "{}",
            status.message()
        );
    }
    result.map(Response::new)
}

pub(crate) fn unimplemented<T>(rpc: &'static str) -> Answer<T> {
    Err(Status::unimplemented(format!("{rpc} is not part of this driver")))
}

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn get_plugin_info(&self, _: Request<GetPluginInfoRequest>) -> Answer<GetPluginInfoResponse> {
        answer("GetPluginInfo", Ok(identity::plugin_info()))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Answer<GetPluginCapabilitiesResponse> {
        answer("GetPluginCapabilities", Ok(identity::plugin_capabilities()))
    }

    async fn probe(&self, request: Request<ProbeRequest>) -> Answer<ProbeResponse> {
        let (_, call) = opened(request);
        answer("Probe", identity::probe(&self.core, call).await)
    }
}

#[tonic::async_trait]
impl Modify for ModifyService {
    async fn get_csi_driver_modification_capability(
        &self,
        _: Request<GetCsiDriverModificationCapabilityRequest>,
    ) -> Answer<GetCsiDriverModificationCapabilityResponse> {
        answer(
            "GetCSIDriverModificationCapability",
            Ok(GetCsiDriverModificationCapabilityResponse {}),
        )
    }

    async fn modify_volume_properties(
        &self,
        request: Request<ModifyVolumePropertiesRequest>,
    ) -> Answer<ModifyVolumePropertiesResponse> {
        let (message, call) = opened(request);
        let result = modify_volume::properties(&self.core, message, call).await;
        answer("ModifyVolumeProperties", result)
    }
}

#[tonic::async_trait]
impl GroupController for GroupControllerService {
    async fn group_controller_get_capabilities(
        &self,
        _: Request<GroupControllerGetCapabilitiesRequest>,
    ) -> Answer<GroupControllerGetCapabilitiesResponse> {
        answer(
            "GroupControllerGetCapabilities",
            Ok(group_snapshot::capabilities()),
        )
    }

    async fn create_volume_group_snapshot(
        &self,
        request: Request<CreateVolumeGroupSnapshotRequest>,
    ) -> Answer<CreateVolumeGroupSnapshotResponse> {
        let metadata = request.metadata().clone();
        let (message, call) = opened(request);
        let hint = CreateSnapshotHint::read(&metadata);
        let result = group_snapshot::create(&self.core, &message, call, hint).await;
        answer("CreateVolumeGroupSnapshot", result)
    }

    async fn delete_volume_group_snapshot(
        &self,
        request: Request<DeleteVolumeGroupSnapshotRequest>,
    ) -> Answer<DeleteVolumeGroupSnapshotResponse> {
        let (message, call) = opened(request);
        let result = group_snapshot::delete(&self.core, &message, call).await;
        answer("DeleteVolumeGroupSnapshot", result)
    }

    async fn get_volume_group_snapshot(
        &self,
        request: Request<GetVolumeGroupSnapshotRequest>,
    ) -> Answer<GetVolumeGroupSnapshotResponse> {
        let (message, call) = opened(request);
        let result = group_snapshot::get(&self.core, &message, call).await;
        answer("GetVolumeGroupSnapshot", result)
    }
}

#[tonic::async_trait]
impl Controller for ControllerService {
    async fn create_volume(&self, request: Request<CreateVolumeRequest>) -> Answer<CreateVolumeResponse> {
        let (message, call) = opened(request);
        answer(
            "CreateVolume",
            create_volume::call(&self.core, message, call).await,
        )
    }

    async fn delete_volume(&self, request: Request<DeleteVolumeRequest>) -> Answer<DeleteVolumeResponse> {
        let (message, call) = opened(request);
        answer(
            "DeleteVolume",
            delete_volume::call(&self.core, &message, call).await,
        )
    }

    async fn create_snapshot(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Answer<CreateSnapshotResponse> {
        let metadata = request.metadata().clone();
        let (message, call) = opened(request);
        let hint = CreateSnapshotHint::read(&metadata);
        answer(
            "CreateSnapshot",
            create_snapshot::call(&self.core, &message, call, hint).await,
        )
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Answer<DeleteSnapshotResponse> {
        let (message, call) = opened(request);
        answer(
            "DeleteSnapshot",
            delete_snapshot::call(&self.core, &message, call).await,
        )
    }

    async fn list_snapshots(&self, request: Request<ListSnapshotsRequest>) -> Answer<ListSnapshotsResponse> {
        let (message, call) = opened(request);
        answer(
            "ListSnapshots",
            list_snapshots::call(&self.core, &message, call).await,
        )
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Answer<ValidateVolumeCapabilitiesResponse> {
        let (message, call) = opened(request);
        let result = validate_capabilities::call(&self.core, message, call).await;
        answer("ValidateVolumeCapabilities", result)
    }

    async fn controller_expand_volume(
        &self,
        request: Request<ControllerExpandVolumeRequest>,
    ) -> Answer<ControllerExpandVolumeResponse> {
        let (message, call) = opened(request);
        let result = expand_volume::call(&self.core, &message, call).await;
        answer("ControllerExpandVolume", result)
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Answer<ControllerGetCapabilitiesResponse> {
        answer("ControllerGetCapabilities", Ok(controller_capabilities::all()))
    }

    async fn controller_publish_volume(
        &self,
        request: Request<ControllerPublishVolumeRequest>,
    ) -> Answer<ControllerPublishVolumeResponse> {
        let (message, call) = opened(request);
        let result = publish_volume::call(&self.core, &message, call).await;
        answer("ControllerPublishVolume", result)
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<ControllerUnpublishVolumeRequest>,
    ) -> Answer<ControllerUnpublishVolumeResponse> {
        let (message, call) = opened(request);
        let result = unpublish_volume::call(&self.core, &message, call).await;
        answer("ControllerUnpublishVolume", result)
    }

    async fn list_volumes(&self, _: Request<ListVolumesRequest>) -> Answer<ListVolumesResponse> {
        unimplemented("ListVolumes")
    }

    async fn get_capacity(&self, _: Request<GetCapacityRequest>) -> Answer<GetCapacityResponse> {
        unimplemented("GetCapacity")
    }

    async fn get_snapshot(&self, _: Request<GetSnapshotRequest>) -> Answer<GetSnapshotResponse> {
        unimplemented("GetSnapshot")
    }

    async fn controller_get_volume(
        &self,
        _: Request<ControllerGetVolumeRequest>,
    ) -> Answer<ControllerGetVolumeResponse> {
        unimplemented("ControllerGetVolume")
    }

    async fn controller_get_volume_health(
        &self,
        _: Request<ControllerGetVolumeHealthRequest>,
    ) -> Answer<ControllerGetVolumeHealthResponse> {
        unimplemented("ControllerGetVolumeHealth")
    }

    async fn controller_list_volume_health(
        &self,
        _: Request<ControllerListVolumeHealthRequest>,
    ) -> Answer<ControllerListVolumeHealthResponse> {
        unimplemented("ControllerListVolumeHealth")
    }

    async fn controller_modify_volume(
        &self,
        request: Request<ControllerModifyVolumeRequest>,
    ) -> Answer<ControllerModifyVolumeResponse> {
        let (message, call) = opened(request);
        let result = modify_volume::call(&self.core, message, call).await;
        answer("ControllerModifyVolume", result)
    }
}
