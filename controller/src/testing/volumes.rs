//! The volumes of the scripted driver.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use csi::v1::{
    CreateVolumeRequest, DeleteVolumeRequest, GetCapacityRequest, GetCapacityResponse, Topology, Volume,
};
use tonic::Status;

use super::driver::Driver;

/// What the driver holds of volumes, and how it behaves.
#[derive(Default)]
pub struct Volumes {
    /// It says that it knows where its volumes are.
    pub have_topology: bool,
    /// Where it says that new ones are; where it is asked for them without this.
    pub places: Option<Vec<Topology>>,
    /// What was asked for by CreateVolume.
    pub created: Vec<CreateVolumeRequest>,
    /// What was asked for by DeleteVolume.
    pub deleted: Vec<DeleteVolumeRequest>,
    /// Answers to the next CreateVolume calls; `None` means "as usual".
    pub create: VecDeque<Option<VolumeAnswer>>,
    /// Refusals of the next DeleteVolume calls.
    pub delete: VecDeque<Option<Status>>,
    /// How long CreateVolume takes.
    pub takes: Duration,
    /// Where its node service says that it is.
    pub is_at: Option<Topology>,
    /// Bytes that are free, but for the places below.
    pub room: i64,
    /// Bytes that are free in places, by their labels as `key=value`.
    pub rooms: BTreeMap<String, i64>,
    /// What was asked for by GetCapacity.
    pub measured: Vec<GetCapacityRequest>,
    /// Refusals of the next GetCapacity calls.
    pub measure: VecDeque<Option<Status>>,
    /// By name: CreateVolume is repeatable.
    pub made: BTreeMap<String, Volume>,
    number: u64,
}

/// A scripted answer to CreateVolume.
pub enum VolumeAnswer {
    /// Nothing is made.
    Refuse(Status),
    /// The volume is made and the caller does not learn it.
    MakeAndFail(Status),
    /// The volume is made so.
    Made(fn(&mut Volume)),
}

impl Volumes {
    fn make(&mut self, request: &CreateVolumeRequest, change: fn(&mut Volume)) -> Volume {
        if let Some(made) = self.made.get(&request.name) {
            return made.clone();
        }
        self.number += 1;
        let asked = request.accessibility_requirements.as_ref();
        let first = asked.and_then(|asked| asked.preferred.first()).cloned();
        let mut volume = Volume {
            volume_id: format!("vol-{}", self.number),
            capacity_bytes: request
                .capacity_range
                .as_ref()
                .map_or(0, |range| range.required_bytes),
            content_source: request.volume_content_source.clone(),
            accessible_topology: self.places.clone().unwrap_or_else(|| first.into_iter().collect()),
            volume_context: BTreeMap::new(),
        };
        change(&mut volume);
        self.made.insert(request.name.clone(), volume.clone());
        volume
    }
}

impl Driver {
    /// Refuses so many of the next CreateVolume calls.
    pub fn refuse_volumes(&self, status: &Status, times: usize) {
        let refusals = std::iter::repeat_with(|| Some(VolumeAnswer::Refuse(status.clone())));
        self.state().volumes.create.extend(refusals.take(times));
    }

    pub(super) async fn make_volume(&self, request: CreateVolumeRequest) -> Result<Volume, Status> {
        let (answer, takes) = {
            let mut state = self.state();
            state.note(format!("CreateVolume {}", request.name));
            state.volumes.created.push(request.clone());
            (state.volumes.create.pop_front().flatten(), state.volumes.takes)
        };
        tokio::time::sleep(takes).await;
        let volumes = &mut self.state().volumes;
        match answer {
            Some(VolumeAnswer::Refuse(status)) => Err(status),
            Some(VolumeAnswer::MakeAndFail(status)) => {
                volumes.make(&request, |_| {});
                Err(status)
            }
            Some(VolumeAnswer::Made(change)) => Ok(volumes.make(&request, change)),
            None => Ok(volumes.make(&request, |_| {})),
        }
    }

    pub(super) fn measure(&self, request: GetCapacityRequest) -> Result<GetCapacityResponse, Status> {
        let mut state = self.state();
        let place = request.accessible_topology.clone().unwrap_or_default();
        let labels: Vec<String> = place
            .segments
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let labels = labels.join(",");
        state.note(format!("GetCapacity {labels}"));
        let volumes = &mut state.volumes;
        volumes.measured.push(request);
        if let Some(Some(status)) = volumes.measure.pop_front() {
            return Err(status);
        }
        Ok(GetCapacityResponse {
            available_capacity: volumes.rooms.get(&labels).copied().unwrap_or(volumes.room),
            ..GetCapacityResponse::default()
        })
    }

    pub(super) fn drop_volume(&self, request: DeleteVolumeRequest) -> Result<(), Status> {
        let mut state = self.state();
        state.note(format!("DeleteVolume {}", request.volume_id));
        let volumes = &mut state.volumes;
        volumes.deleted.push(request.clone());
        if let Some(Some(status)) = volumes.delete.pop_front() {
            return Err(status);
        }
        volumes
            .made
            .retain(|_, volume| volume.volume_id != request.volume_id);
        Ok(())
    }
}
