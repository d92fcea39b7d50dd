//! The groups of the scripted driver.

use std::collections::{BTreeMap, VecDeque};

use csi::v1::group_controller_server::GroupController;
use csi::v1::group_controller_service_capability::{Rpc, Type, rpc};
use csi::v1::*;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::driver::{Answer, Driver, DriverState};

/// What the driver holds of groups, and how it behaves.
#[derive(Default)]
pub struct Groups {
    /// Whether it has the service at all.
    pub are_served: bool,
    /// What was asked for by CreateVolumeGroupSnapshot.
    pub created: Vec<CreateVolumeGroupSnapshotRequest>,
    /// What was asked for by GetVolumeGroupSnapshot.
    pub got: Vec<GetVolumeGroupSnapshotRequest>,
    /// What was asked for by DeleteVolumeGroupSnapshot.
    pub deleted: Vec<DeleteVolumeGroupSnapshotRequest>,
    /// Answers to the next CreateVolumeGroupSnapshot calls; `None` means "as usual".
    pub create: VecDeque<Option<Answer>>,
    /// Refusals of the next DeleteVolumeGroupSnapshot calls.
    pub delete: VecDeque<Option<Status>>,
    /// So many of the snapshots of a group are kept back.
    pub lacks: usize,
    /// Snapshots by the handle of their group.
    pub held: BTreeMap<String, Vec<String>>,
    /// Handles by name: CreateVolumeGroupSnapshot is repeatable.
    names: BTreeMap<String, String>,
    taken: BTreeMap<String, Instant>,
}

impl DriverState {
    /// A group that is there without a call: a snapshot of each volume.
    pub fn add_group(&mut self, handle: &str, volumes: &[String]) {
        let mut members = Vec::new();
        for volume in volumes {
            let member = format!("{handle}-of-{volume}");
            self.add(&member, volume, 5 << 30);
            members.push(member);
        }
        self.groups.held.insert(handle.to_owned(), members);
        self.groups.taken.insert(handle.to_owned(), Instant::now());
    }

    /// The group of this name, taken now if there is none.
    fn take_group(&mut self, request: &CreateVolumeGroupSnapshotRequest) -> Option<VolumeGroupSnapshot> {
        if !self.groups.names.contains_key(&request.name) {
            let handle = format!("group-{}", self.groups.names.len() + 1);
            self.add_group(&handle, &request.source_volume_ids);
            self.groups.names.insert(request.name.clone(), handle);
        }
        self.described_group(&self.groups.names[&request.name])
    }

    /// The group as it is now.
    fn described_group(&self, handle: &str) -> Option<VolumeGroupSnapshot> {
        let shown = |member: &String| {
            Some(Snapshot {
                group_snapshot_id: handle.to_owned(),
                ..self.described(member)?
            })
        };
        let ready_to_use = self.groups.taken.get(handle)?.elapsed() >= self.ready_after;
        let members = self.groups.held.get(handle)?;
        let shown: Vec<Snapshot> = members.iter().skip(self.groups.lacks).filter_map(shown).collect();
        Some(VolumeGroupSnapshot {
            group_snapshot_id: handle.to_owned(),
            snapshots: shown,
            creation_time: Some(prost_types::Timestamp {
                seconds: 100,
                nanos: 0,
            }),
            ready_to_use,
        })
    }
}

#[tonic::async_trait]
impl GroupController for Driver {
    async fn group_controller_get_capabilities(
        &self,
        _: Request<GroupControllerGetCapabilitiesRequest>,
    ) -> Result<Response<GroupControllerGetCapabilitiesResponse>, Status> {
        let mut state = self.state();
        state.note("GroupControllerGetCapabilities".to_owned());
        if !state.groups.are_served {
            return Err(Status::unimplemented("GroupControllerGetCapabilities"));
        }
        let all = rpc::Type::CreateDeleteGetVolumeGroupSnapshot;
        Ok(Response::new(GroupControllerGetCapabilitiesResponse {
            capabilities: vec![GroupControllerServiceCapability {
                r#type: Some(Type::Rpc(Rpc { r#type: all.into() })),
            }],
        }))
    }

    async fn create_volume_group_snapshot(
        &self,
        request: Request<CreateVolumeGroupSnapshotRequest>,
    ) -> Result<Response<CreateVolumeGroupSnapshotResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state.note(format!("CreateVolumeGroupSnapshot {}", request.name));
        state.groups.created.push(request.clone());
        let group_snapshot = match state.groups.create.pop_front().flatten() {
            Some(Answer::Refuse(status)) => return Err(status),
            Some(Answer::TakeAndFail(status)) => {
                state.take_group(&request);
                return Err(status);
            }
            Some(Answer::Empty) => None,
            Some(Answer::Other(handle)) => {
                state.add_group(&handle, &request.source_volume_ids);
                state.described_group(&handle)
            }
            Some(Answer::After(_) | Answer::Capacity(_)) | None => state.take_group(&request),
        };
        Ok(Response::new(CreateVolumeGroupSnapshotResponse {
            group_snapshot,
        }))
    }

    async fn get_volume_group_snapshot(
        &self,
        request: Request<GetVolumeGroupSnapshotRequest>,
    ) -> Result<Response<GetVolumeGroupSnapshotResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state.note(format!("GetVolumeGroupSnapshot {}", request.group_snapshot_id));
        let found = state.described_group(&request.group_snapshot_id);
        state.groups.got.push(request);
        let group_snapshot = Some(found.ok_or_else(|| Status::not_found("no such group"))?);
        Ok(Response::new(GetVolumeGroupSnapshotResponse { group_snapshot }))
    }

    async fn delete_volume_group_snapshot(
        &self,
        request: Request<DeleteVolumeGroupSnapshotRequest>,
    ) -> Result<Response<DeleteVolumeGroupSnapshotResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state.note(format!("DeleteVolumeGroupSnapshot {}", request.group_snapshot_id));
        let refused = state.groups.delete.pop_front().flatten();
        let members = request.snapshot_ids.clone();
        let group = request.group_snapshot_id.clone();
        state.groups.deleted.push(request);
        if let Some(status) = refused {
            return Err(status);
        }
        state.groups.held.remove(&group);
        for member in members {
            state.snapshots.remove(&member);
        }
        Ok(Response::new(DeleteVolumeGroupSnapshotResponse {}))
    }
}
