//! The services of the scripted driver.

use csi::v1::controller_server::Controller;
use csi::v1::controller_service_capability::{Rpc, Type as ControllerType};
use csi::v1::identity_server::Identity;
use csi::v1::node_server::Node;
use csi::v1::plugin_capability::service::Type as ServiceType;
use csi::v1::plugin_capability::{Service, Type as PluginType};
use csi::v1::*;
use tonic::{Request, Response, Status};

use super::driver::{Answer, Driver, bytes_of};

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Identity for Driver {
    async fn get_plugin_info(&self, _: Request<GetPluginInfoRequest>) -> Reply<GetPluginInfoResponse> {
        Ok(Response::new(GetPluginInfoResponse {
            name: self.state().name.clone(),
            ..Default::default()
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Reply<GetPluginCapabilitiesResponse> {
        let service = |service: ServiceType| PluginCapability {
            r#type: Some(PluginType::Service(Service {
                r#type: service.into(),
            })),
        };
        let state = self.state();
        let services = [
            (state.serves_controller, ServiceType::ControllerService),
            (
                state.volumes.have_topology,
                ServiceType::VolumeAccessibilityConstraints,
            ),
        ];
        let served = services
            .into_iter()
            .filter(|(is_served, _)| *is_served)
            .map(|(_, one)| service(one));
        Ok(Response::new(GetPluginCapabilitiesResponse {
            capabilities: served.collect(),
        }))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Reply<ProbeResponse> {
        let ready = self.state().probe.pop_front().unwrap_or(Ok(true))?;
        Ok(Response::new(ProbeResponse { ready: Some(ready) }))
    }
}

#[tonic::async_trait]
impl Node for Driver {
    async fn node_get_info(&self, _: Request<NodeGetInfoRequest>) -> Reply<NodeGetInfoResponse> {
        Ok(Response::new(NodeGetInfoResponse {
            accessible_topology: self.state().volumes.is_at.clone(),
            ..NodeGetInfoResponse::default()
        }))
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Reply<NodeGetCapabilitiesResponse> {
        let mut state = self.state();
        state.note("NodeGetCapabilities".to_owned());
        let Some(nodes_expand) = state.nodes_expand else {
            return Err(Status::unimplemented("Node is not served here"));
        };
        let expands = NodeServiceCapability {
            r#type: Some(node_service_capability::Type::Rpc(node_service_capability::Rpc {
                r#type: node_service_capability::rpc::Type::ExpandVolume.into(),
            })),
        };
        Ok(Response::new(NodeGetCapabilitiesResponse {
            capabilities: nodes_expand.then_some(expands).into_iter().collect(),
        }))
    }
}

#[tonic::async_trait]
impl Controller for Driver {
    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Reply<ControllerGetCapabilitiesResponse> {
        let mut state = self.state();
        state.note("ControllerGetCapabilities".to_owned());
        let capability = |capability: &controller_service_capability::rpc::Type| {
            let r#type = (*capability).into();
            ControllerServiceCapability {
                r#type: Some(ControllerType::Rpc(Rpc { r#type })),
            }
        };
        Ok(Response::new(ControllerGetCapabilitiesResponse {
            capabilities: state.capabilities.iter().map(capability).collect(),
        }))
    }

    async fn create_snapshot(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Reply<CreateSnapshotResponse> {
        let request = request.into_inner();
        let answer = {
            let mut state = self.state();
            state.note(format!("CreateSnapshot {}", request.name));
            state.created.push(request.clone());
            state.create.pop_front().flatten()
        };
        if let Some(Answer::After(delay)) = answer {
            tokio::time::sleep(delay).await;
        }
        let mut state = self.state();
        let snapshot = match answer {
            Some(Answer::Refuse(status)) => return Err(status),
            Some(Answer::TakeAndFail(status)) => {
                state.take(&request);
                return Err(status);
            }
            Some(Answer::Empty) => None,
            Some(Answer::Other(handle)) => {
                state.add(&handle, &request.source_volume_id, 5 << 30);
                state.described(&handle)
            }
            Some(Answer::After(_) | Answer::Capacity(_)) | None => state.take(&request),
        };
        Ok(Response::new(CreateSnapshotResponse { snapshot }))
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Reply<DeleteSnapshotResponse> {
        let request = request.into_inner();
        let mut state = self.state();
        state.note(format!("DeleteSnapshot {}", request.snapshot_id));
        state.deleted.push(request.clone());
        if let Some(Some(status)) = state.delete.pop_front() {
            return Err(status);
        }
        state.snapshots.remove(&request.snapshot_id);
        Ok(Response::new(DeleteSnapshotResponse {}))
    }

    async fn list_snapshots(&self, request: Request<ListSnapshotsRequest>) -> Reply<ListSnapshotsResponse> {
        let handle = request.into_inner().snapshot_id;
        let mut state = self.state();
        state.note(format!("ListSnapshots {handle}"));
        let entry = |snapshot| list_snapshots_response::Entry {
            snapshot: Some(snapshot),
        };
        Ok(Response::new(ListSnapshotsResponse {
            entries: state.described(&handle).map(entry).into_iter().collect(),
            ..Default::default()
        }))
    }

    async fn controller_expand_volume(
        &self,
        request: Request<ControllerExpandVolumeRequest>,
    ) -> Reply<ControllerExpandVolumeResponse> {
        let single_change = csi::hints::is_single_change(request.metadata());
        let request = request.into_inner();
        let bytes = bytes_of(&request);
        let (takes, answer) = {
            let mut state = self.state();
            state.note(format!("ControllerExpandVolume {}", request.volume_id));
            state.expanded.push(request);
            state.single_change = single_change;
            state.running += 1;
            state.most_running = state.most_running.max(state.running);
            (state.takes, state.expand.pop_front().flatten())
        };
        tokio::time::sleep(takes).await;
        let mut state = self.state();
        state.running -= 1;
        let capacity_bytes = match answer {
            Some(Answer::Refuse(status)) => return Err(status),
            Some(Answer::Capacity(capacity)) => capacity,
            _ => bytes,
        };
        Ok(Response::new(ControllerExpandVolumeResponse {
            capacity_bytes,
            node_expansion_required: state.node_stage,
        }))
    }

    async fn create_volume(&self, request: Request<CreateVolumeRequest>) -> Reply<CreateVolumeResponse> {
        let volume = Some(self.make_volume(request.into_inner()).await?);
        Ok(Response::new(CreateVolumeResponse { volume }))
    }

    async fn delete_volume(&self, request: Request<DeleteVolumeRequest>) -> Reply<DeleteVolumeResponse> {
        self.drop_volume(request.into_inner())?;
        Ok(Response::new(DeleteVolumeResponse {}))
    }

    async fn controller_publish_volume(
        &self,
        request: Request<ControllerPublishVolumeRequest>,
    ) -> Reply<ControllerPublishVolumeResponse> {
        self.publish(request).await
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<ControllerUnpublishVolumeRequest>,
    ) -> Reply<ControllerUnpublishVolumeResponse> {
        self.unpublish(request).await
    }

    async fn validate_volume_capabilities(
        &self,
        _: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Reply<ValidateVolumeCapabilitiesResponse> {
        Err(Status::unimplemented("ValidateVolumeCapabilities"))
    }

    async fn list_volumes(&self, request: Request<ListVolumesRequest>) -> Reply<ListVolumesResponse> {
        self.list(request).await
    }

    async fn get_capacity(&self, request: Request<GetCapacityRequest>) -> Reply<GetCapacityResponse> {
        Ok(Response::new(self.measure(request.into_inner())?))
    }

    async fn get_snapshot(&self, _: Request<GetSnapshotRequest>) -> Reply<GetSnapshotResponse> {
        Err(Status::unimplemented("GetSnapshot"))
    }

    async fn controller_get_volume(
        &self,
        _: Request<ControllerGetVolumeRequest>,
    ) -> Reply<ControllerGetVolumeResponse> {
        Err(Status::unimplemented("ControllerGetVolume"))
    }

    async fn controller_modify_volume(
        &self,
        request: Request<ControllerModifyVolumeRequest>,
    ) -> Reply<ControllerModifyVolumeResponse> {
        let single_change = csi::hints::is_single_change(request.metadata());
        let request = request.into_inner();
        let (takes, refusal) = {
            let mut state = self.state();
            state.note(format!("ControllerModifyVolume {}", request.volume_id));
            state.modified.push(request);
            state.single_change = single_change;
            (state.modify_takes, state.modify.pop_front().flatten())
        };
        tokio::time::sleep(takes).await;
        refusal.map_or_else(|| Ok(Response::new(ControllerModifyVolumeResponse {})), Err)
    }
}
