//! A CSI driver in memory whose answers are scripted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use csi::v1::controller_server::{Controller, ControllerServer};
use csi::v1::controller_service_capability::{Rpc, Type, rpc};
use csi::v1::identity_server::{Identity, IdentityServer};
use csi::v1::*;
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

pub const DRIVER: &str = "d.csi";

/// Clones are the same driver.
#[derive(Clone)]
pub struct Driver {
    state: Arc<Mutex<State>>,
}

/// How the driver behaves, and what it was asked.
pub struct State {
    /// Seconds since the start, and the bytes asked for.
    pub calls: Vec<(u64, i64)>,
    pub last: Option<ControllerExpandVolumeRequest>,
    /// The last caller said that nothing else is pending.
    pub single_change: bool,
    pub capability_calls: usize,
    /// Answers to the next calls; `None` means "as usual".
    pub answers: VecDeque<Option<Answer>>,
    pub node_stage: bool,
    /// How long each call takes.
    pub takes: Duration,
    pub running: usize,
    pub most_running: usize,
    pub capabilities: Vec<rpc::Type>,
    pub serves_controller: bool,
    started: Instant,
}

/// A scripted answer.
#[derive(Clone)]
pub enum Answer {
    Refuse(Status),
    /// OK with this capacity.
    Capacity(i64),
}

impl Driver {
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                calls: Vec::new(),
                last: None,
                single_change: false,
                capability_calls: 0,
                answers: VecDeque::new(),
                node_stage: true,
                takes: Duration::ZERO,
                running: 0,
                most_running: 0,
                capabilities: vec![rpc::Type::ExpandVolume],
                serves_controller: true,
                started: Instant::now(),
            })),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn routes(&self) -> Routes {
        Routes::new(IdentityServer::new(self.clone())).add_service(ControllerServer::new(self.clone()))
    }

    /// The sizes asked for, in GiB.
    pub fn asked(&self) -> Vec<i64> {
        self.state().calls.iter().map(|(_, bytes)| bytes >> 30).collect()
    }

    pub fn times(&self) -> Vec<u64> {
        self.state().calls.iter().map(|(at, _)| *at).collect()
    }

    pub fn refuse(&self, status: &Status, times: usize) {
        let refusals = std::iter::repeat_n(Some(Answer::Refuse(status.clone())), times);
        self.state().answers.extend(refusals);
    }
}

#[tonic::async_trait]
impl Identity for Driver {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: DRIVER.into(),
            ..Default::default()
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        use plugin_capability::service::Type as Service;
        use plugin_capability::{Service as Named, Type};
        let serves = self.state().serves_controller;
        let controller = PluginCapability {
            r#type: Some(Type::Service(Named {
                r#type: Service::ControllerService.into(),
            })),
        };
        Ok(Response::new(GetPluginCapabilitiesResponse {
            capabilities: serves.then_some(controller).into_iter().collect(),
        }))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        Ok(Response::new(ProbeResponse { ready: Some(true) }))
    }
}

#[tonic::async_trait]
impl Controller for Driver {
    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<ControllerGetCapabilitiesResponse>, Status> {
        self.state().capability_calls += 1;
        let capabilities = self.state().capabilities.clone();
        let capabilities = capabilities
            .into_iter()
            .map(|capability| ControllerServiceCapability {
                r#type: Some(Type::Rpc(Rpc {
                    r#type: capability.into(),
                })),
            });
        Ok(Response::new(ControllerGetCapabilitiesResponse {
            capabilities: capabilities.collect(),
        }))
    }

    async fn controller_expand_volume(
        &self,
        request: Request<ControllerExpandVolumeRequest>,
    ) -> Result<Response<ControllerExpandVolumeResponse>, Status> {
        let single_change = csi::hints::is_single_change(request.metadata());
        let request = request.into_inner();
        let bytes = request.capacity_range.unwrap().required_bytes;
        let (takes, answer) = {
            let mut state = self.state();
            let at = state.started.elapsed().as_secs();
            state.calls.push((at, bytes));
            state.last = Some(request);
            state.single_change = single_change;
            state.running += 1;
            state.most_running = state.most_running.max(state.running);
            (state.takes, state.answers.pop_front().flatten())
        };
        tokio::time::sleep(takes).await;
        let mut state = self.state();
        state.running -= 1;
        match answer {
            Some(Answer::Refuse(status)) => Err(status),
            other => Ok(Response::new(ControllerExpandVolumeResponse {
                capacity_bytes: match other {
                    Some(Answer::Capacity(bytes)) => bytes,
                    _ => bytes,
                },
                node_expansion_required: state.node_stage,
            })),
        }
    }

    async fn create_snapshot(
        &self,
        _: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotResponse>, Status> {
        Err(Status::unimplemented("CreateSnapshot"))
    }

    async fn delete_snapshot(
        &self,
        _: Request<DeleteSnapshotRequest>,
    ) -> Result<Response<DeleteSnapshotResponse>, Status> {
        Err(Status::unimplemented("DeleteSnapshot"))
    }

    async fn list_snapshots(
        &self,
        _: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        Err(Status::unimplemented("ListSnapshots"))
    }

    async fn create_volume(
        &self,
        _: Request<CreateVolumeRequest>,
    ) -> Result<Response<CreateVolumeResponse>, Status> {
        Err(Status::unimplemented("CreateVolume"))
    }

    async fn delete_volume(
        &self,
        _: Request<DeleteVolumeRequest>,
    ) -> Result<Response<DeleteVolumeResponse>, Status> {
        Err(Status::unimplemented("DeleteVolume"))
    }

    async fn controller_publish_volume(
        &self,
        _: Request<ControllerPublishVolumeRequest>,
    ) -> Result<Response<ControllerPublishVolumeResponse>, Status> {
        Err(Status::unimplemented("ControllerPublishVolume"))
    }

    async fn controller_unpublish_volume(
        &self,
        _: Request<ControllerUnpublishVolumeRequest>,
    ) -> Result<Response<ControllerUnpublishVolumeResponse>, Status> {
        Err(Status::unimplemented("ControllerUnpublishVolume"))
    }

    async fn validate_volume_capabilities(
        &self,
        _: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<ValidateVolumeCapabilitiesResponse>, Status> {
        Err(Status::unimplemented("ValidateVolumeCapabilities"))
    }

    async fn list_volumes(
        &self,
        _: Request<ListVolumesRequest>,
    ) -> Result<Response<ListVolumesResponse>, Status> {
        Err(Status::unimplemented("ListVolumes"))
    }

    async fn get_capacity(
        &self,
        _: Request<GetCapacityRequest>,
    ) -> Result<Response<GetCapacityResponse>, Status> {
        Err(Status::unimplemented("GetCapacity"))
    }

    async fn get_snapshot(
        &self,
        _: Request<GetSnapshotRequest>,
    ) -> Result<Response<GetSnapshotResponse>, Status> {
        Err(Status::unimplemented("GetSnapshot"))
    }

    async fn controller_get_volume(
        &self,
        _: Request<ControllerGetVolumeRequest>,
    ) -> Result<Response<ControllerGetVolumeResponse>, Status> {
        Err(Status::unimplemented("ControllerGetVolume"))
    }

    async fn controller_modify_volume(
        &self,
        _: Request<ControllerModifyVolumeRequest>,
    ) -> Result<Response<ControllerModifyVolumeResponse>, Status> {
        Err(Status::unimplemented("ControllerModifyVolume"))
    }
}
