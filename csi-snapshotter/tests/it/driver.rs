//! A CSI driver in memory whose answers are scripted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use csi::v1::controller_server::{Controller, ControllerServer};
use csi::v1::controller_service_capability::{Rpc, Type, rpc};
use csi::v1::identity_server::{Identity, IdentityServer};
use csi::v1::*;
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// Clones are the same driver.
#[derive(Clone)]
pub struct Driver {
    state: Arc<Mutex<State>>,
}

/// What the driver holds and how it behaves.
pub struct State {
    pub name: String,
    /// Snapshots by handle.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Handles by name: CreateSnapshot is repeatable.
    pub names: BTreeMap<String, String>,
    /// Calls since the start: seconds and name with its main argument.
    pub calls: Vec<(u64, String)>,
    pub last_create: Option<CreateSnapshotRequest>,
    pub last_list: Option<ListSnapshotsRequest>,
    pub last_delete: Option<DeleteSnapshotRequest>,
    /// Answers to the next CreateSnapshot calls; `None` means "as usual".
    pub create: VecDeque<Option<Answer>>,
    /// Answers to the next DeleteSnapshot calls.
    pub delete: VecDeque<Option<Status>>,
    pub capabilities: Vec<rpc::Type>,
    /// Snapshots are ready this long after they were taken.
    pub ready_after: Duration,
    pub probe: VecDeque<Result<bool, Status>>,
    taken: BTreeMap<String, Instant>,
    started: Instant,
}

/// A scripted answer to CreateSnapshot.
pub enum Answer {
    /// Nothing is taken.
    Refuse(Status),
    /// The snapshot is taken and the caller does not learn it.
    TakeAndFail(Status),
    /// OK without a snapshot.
    Empty,
    /// Another snapshot than before.
    Other(String),
    /// The answer comes after this time.
    After(Duration),
}

impl Driver {
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                name: crate::build::DRIVER.into(),
                snapshots: BTreeMap::new(),
                names: BTreeMap::new(),
                calls: Vec::new(),
                last_create: None,
                last_list: None,
                last_delete: None,
                create: VecDeque::new(),
                delete: VecDeque::new(),
                capabilities: vec![rpc::Type::CreateDeleteSnapshot, rpc::Type::ListSnapshots],
                ready_after: Duration::ZERO,
                probe: VecDeque::new(),
                taken: BTreeMap::new(),
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

    /// The calls of one RPC: seconds since the start.
    pub fn times(&self, rpc: &str) -> Vec<u64> {
        let state = self.state();
        let calls = state
            .calls
            .iter()
            .filter(|(_, name)| name.split(' ').next() == Some(rpc));
        calls.map(|(at, _)| *at).collect()
    }

    pub fn count(&self, rpc: &str) -> usize {
        self.times(rpc).len()
    }
}

impl State {
    fn note(&mut self, call: String) {
        let at = self.started.elapsed().as_secs();
        self.calls.push((at, call));
    }

    pub fn add(&mut self, handle: &str, volume: &str, size_bytes: i64) {
        let snapshot = Snapshot {
            snapshot_id: handle.into(),
            source_volume_id: volume.into(),
            size_bytes,
            creation_time: Some(prost_types::Timestamp {
                seconds: 100,
                nanos: 0,
            }),
            ..Snapshot::default()
        };
        self.snapshots.insert(handle.into(), snapshot);
        self.taken.insert(handle.into(), Instant::now());
    }

    fn take(&mut self, request: &CreateSnapshotRequest) -> Snapshot {
        if !self.names.contains_key(&request.name) {
            let handle = format!("snap-{}", self.names.len() + 1);
            self.add(&handle, &request.source_volume_id, 5 << 30);
            self.names.insert(request.name.clone(), handle);
        }
        self.described(&self.names[&request.name].clone()).unwrap()
    }

    fn described(&self, handle: &str) -> Option<Snapshot> {
        let ready = self.taken.get(handle)?.elapsed() >= self.ready_after;
        Some(Snapshot {
            ready_to_use: ready,
            ..self.snapshots.get(handle)?.clone()
        })
    }
}

#[tonic::async_trait]
impl Identity for Driver {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        let name = self.state().name.clone();
        Ok(Response::new(GetPluginInfoResponse {
            name,
            ..Default::default()
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        Ok(Response::new(GetPluginCapabilitiesResponse::default()))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        let answer = self.state().probe.pop_front().unwrap_or(Ok(true))?;
        Ok(Response::new(ProbeResponse { ready: Some(answer) }))
    }
}

#[tonic::async_trait]
impl Controller for Driver {
    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<ControllerGetCapabilitiesResponse>, Status> {
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

    async fn create_snapshot(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotResponse>, Status> {
        let request = request.into_inner();
        let scripted = {
            let mut state = self.state();
            state.note(format!("CreateSnapshot {}", request.name));
            state.last_create = Some(request.clone());
            state.create.pop_front().flatten()
        };
        if let Some(Answer::After(delay)) = scripted {
            tokio::time::sleep(delay).await;
        }
        let mut state = self.state();
        let snapshot = match scripted {
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
            Some(Answer::After(_)) | None => Some(state.take(&request)),
        };
        Ok(Response::new(CreateSnapshotResponse { snapshot }))
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Result<Response<DeleteSnapshotResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state.note(format!("DeleteSnapshot {}", request.snapshot_id));
        state.last_delete = Some(request.clone());
        if let Some(Some(status)) = state.delete.pop_front() {
            return Err(status);
        }
        state.snapshots.remove(&request.snapshot_id);
        Ok(Response::new(DeleteSnapshotResponse {}))
    }

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state.note(format!("ListSnapshots {}", request.snapshot_id));
        state.last_list = Some(request.clone());
        let entries = state
            .described(&request.snapshot_id)
            .map(|snapshot| list_snapshots_response::Entry {
                snapshot: Some(snapshot),
            });
        Ok(Response::new(ListSnapshotsResponse {
            entries: entries.into_iter().collect(),
            ..Default::default()
        }))
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

    async fn controller_expand_volume(
        &self,
        _: Request<ControllerExpandVolumeRequest>,
    ) -> Result<Response<ControllerExpandVolumeResponse>, Status> {
        Err(Status::unimplemented("ControllerExpandVolume"))
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
