//! CreateVolume, DeleteVolume, ValidateVolumeCapabilities, ListVolumes, ControllerGetVolume, GetCapacity.

use std::path::PathBuf;

use csi::v1::validate_volume_capabilities_response::Confirmed;
use csi::v1::volume_content_source::{SnapshotSource, Type as ContentType, VolumeSource};
use csi::v1::{
    ControllerGetVolumeRequest, ControllerGetVolumeResponse, CreateVolumeRequest, CreateVolumeResponse,
    DeleteVolumeRequest, GetCapacityRequest, GetCapacityResponse, ListVolumesRequest, ListVolumesResponse,
    ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse, Volume as VolumeMessage,
    VolumeContentSource, controller_get_volume_response, list_volumes_response,
};
use tonic::Status;

use super::{number, volume_in};
use crate::capability::Capability;
use crate::driver::{Core, Failure};
use crate::folder::{Folder, Id, Kind, NewData, Source, Volume};
use crate::plan::page::page;
use crate::plan::size::{MOST, Range, STEP};
use crate::plan::volume::{Create, NewVolume};
use crate::plan::{Refusal, parameters, required, topology, usage, volume};

impl Core {
    pub(super) fn can_tell_writers(&self) -> bool {
        self.has(Capability::SingleNodeMultiWriter)
    }

    /// A volume as CSI describes it.
    fn shown(&self, volume: &Volume) -> VolumeMessage {
        let place = self
            .has(Capability::VolumeAccessibilityConstraints)
            .then(|| self.here.clone());
        let content_source = volume.record.source.as_ref().map(|source| VolumeContentSource {
            r#type: Some(match source {
                Source::Snapshot(id) => ContentType::Snapshot(SnapshotSource {
                    snapshot_id: id.to_string(),
                }),
                Source::Volume(id) => ContentType::Volume(VolumeSource {
                    volume_id: id.to_string(),
                }),
            }),
        });
        VolumeMessage {
            capacity_bytes: number(volume.bytes.unwrap_or_default()),
            volume_id: volume.id.to_string(),
            content_source,
            accessible_topology: place.into_iter().collect(),
            ..VolumeMessage::default()
        }
    }

    fn nodes(&self, volume: &Volume) -> Vec<String> {
        let are_told = self.has(Capability::ListVolumesPublishedNodes);
        let nodes = volume.record.published.keys().cloned();
        if are_told { nodes.collect() } else { Vec::new() }
    }

    /// What CreateVolume asks for, checked.
    fn new_volume(&self, request: CreateVolumeRequest) -> Result<NewVolume, Refusal> {
        required(&request.name, "name")?;
        usage::read_all(&request.volume_capabilities, self.can_tell_writers())?;
        parameters::check(&request.parameters)?;
        if !request.mutable_parameters.is_empty() {
            self.need(Capability::ModifyVolume)?;
        }
        parameters::check_mutable(&request.mutable_parameters)?;
        topology::check(&self.here, request.accessibility_requirements.as_ref())?;
        Ok(NewVolume {
            range: Range::read(request.capacity_range.as_ref())?,
            source: self.source(request.volume_content_source)?,
            name: request.name,
            mutable: request.mutable_parameters,
        })
    }

    fn source(&self, asked: Option<VolumeContentSource>) -> Result<Option<Source>, Refusal> {
        const FIELD: &str = "volume_content_source";
        let Some(asked) = asked else {
            return Ok(None);
        };
        let source = match asked.r#type {
            None => return Err(Refusal::invalid(FIELD, "has neither snapshot nor volume")),
            Some(ContentType::Snapshot(SnapshotSource { snapshot_id: id })) => {
                self.need(Capability::CreateDeleteSnapshot)?;
                let found = Id::parse(Kind::Snapshot, required(&id, "snapshot_id")?);
                Source::Snapshot(found.ok_or_else(|| Refusal::not_found("snapshot", &id))?)
            }
            Some(ContentType::Volume(VolumeSource { volume_id: id })) => {
                self.need(Capability::CloneVolume)?;
                let found = Id::parse(Kind::Volume, required(&id, "volume_id")?);
                Source::Volume(found.ok_or_else(|| Refusal::not_found("volume", &id))?)
            }
        };
        Ok(Some(source))
    }
}

pub(super) async fn create(
    core: &Core,
    request: CreateVolumeRequest,
) -> Result<CreateVolumeResponse, Status> {
    core.need(Capability::CreateDeleteVolume)?;
    let ask = core.new_volume(request)?;
    let capacity = core.config.capacity_bytes;
    let made = core.in_folder(move |folder| make(folder, ask, capacity)).await?;
    Ok(CreateVolumeResponse {
        volume: Some(core.shown(&made)),
    })
}

/// The data of what a volume is made from, and their size in bytes.
fn data_of(folder: &Folder, source: &Source) -> Result<(PathBuf, u64), Failure> {
    let found = match source {
        Source::Snapshot(id) => folder
            .snapshot(id)?
            .map(|snapshot| (snapshot.data, snapshot.bytes)),
        Source::Volume(id) => match folder.volume(id)? {
            Some(Volume {
                data,
                bytes: Some(bytes),
                ..
            }) => Some((data, bytes)),
            _ => None,
        },
    };
    let (what, id) = match source {
        Source::Snapshot(id) => ("snapshot", id),
        Source::Volume(id) => ("volume", id),
    };
    Ok(found.ok_or_else(|| Refusal::not_found(what, id.as_str()))?)
}

fn make(folder: &Folder, ask: NewVolume, capacity: u64) -> Result<Volume, Failure> {
    let id = Id::named(Kind::Volume, &ask.name);
    let existing = folder.volume(&id)?;
    let source = match (&existing, &ask.source) {
        (None, Some(source)) => Some(data_of(folder, source)?),
        _ => None,
    };
    let free = capacity.saturating_sub(folder.used_bytes()?);
    let bytes = source.as_ref().map(|(_, bytes)| *bytes);
    if let Create::Make(record, bytes) = volume::create(ask, existing.as_ref(), bytes, free)? {
        let data = NewData {
            bytes,
            from: source.as_ref().map(|(path, _)| path.as_path()),
            is_allocated: parameters::is_allocated(&record.mutable),
        };
        folder.create_volume(&id, &record, data)?;
    }
    volume_in(folder, id.as_str(), "volume_id")
}

pub(super) async fn delete(core: &Core, request: &DeleteVolumeRequest) -> Result<(), Status> {
    core.need(Capability::CreateDeleteVolume)?;
    let text = required(&request.volume_id, "volume_id")?;
    let Some(id) = Id::parse(Kind::Volume, text) else {
        return Ok(());
    };
    // Nothing is attached between the look and the deletion.
    let _turn = core.devices.lock().await;
    let of_look = id.clone();
    let found = core.in_folder(move |folder| Ok(folder.volume(&of_look)?)).await?;
    let is_attached = match &found {
        Some(volume) => core.is_attached(volume).await?,
        None => false,
    };
    core.in_folder(move |folder| {
        if let Some(found) = folder.volume(&id)? {
            volume::delete(&found, is_attached)?;
            folder.delete_volume(&id)?;
        }
        Ok(())
    })
    .await
}

pub(super) async fn validate(
    core: &Core,
    request: ValidateVolumeCapabilitiesRequest,
) -> Result<ValidateVolumeCapabilitiesResponse, Status> {
    required(&request.volume_id, "volume_id")?;
    if request.volume_capabilities.is_empty() {
        return Err(Refusal::invalid("volume_capabilities", "is missing").into());
    }
    let id = request.volume_id.clone();
    core.in_folder(move |folder| volume_in(folder, &id, "volume_id"))
        .await?;
    let checked = usage::read_all(&request.volume_capabilities, core.can_tell_writers())
        .and_then(|_| parameters::check(&request.parameters))
        .and_then(|()| parameters::check_mutable(&request.mutable_parameters));
    Ok(match checked {
        Ok(()) => ValidateVolumeCapabilitiesResponse {
            confirmed: Some(Confirmed {
                volume_context: request.volume_context,
                volume_capabilities: request.volume_capabilities,
                parameters: request.parameters,
                mutable_parameters: request.mutable_parameters,
            }),
            message: String::new(),
        },
        Err(refusal) => ValidateVolumeCapabilitiesResponse {
            confirmed: None,
            message: refusal.to_string(),
        },
    })
}

pub(super) async fn list(core: &Core, request: &ListVolumesRequest) -> Result<ListVolumesResponse, Status> {
    core.need(Capability::ListVolumes)?;
    let all = core.in_folder(|folder| Ok(folder.volumes()?)).await?;
    let (token, most) = (&request.starting_token, request.max_entries);
    let (page, next_token) = page(all, |volume| &volume.id, Kind::Volume, token, most)?;
    let entry = |volume: &Volume| list_volumes_response::Entry {
        volume: Some(core.shown(volume)),
        status: Some(list_volumes_response::VolumeStatus {
            published_node_ids: core.nodes(volume),
        }),
    };
    Ok(ListVolumesResponse {
        entries: page.iter().map(entry).collect(),
        next_token,
    })
}

pub(super) async fn get(
    core: &Core,
    request: ControllerGetVolumeRequest,
) -> Result<ControllerGetVolumeResponse, Status> {
    core.need(Capability::GetVolume)?;
    let found = core.in_folder(move |folder| volume_in(folder, &request.volume_id, "volume_id"));
    let found = found.await?;
    Ok(ControllerGetVolumeResponse {
        volume: Some(core.shown(&found)),
        status: Some(controller_get_volume_response::VolumeStatus {
            published_node_ids: core.nodes(&found),
        }),
    })
}

pub(super) async fn capacity(
    core: &Core,
    request: &GetCapacityRequest,
) -> Result<GetCapacityResponse, Status> {
    core.need(Capability::GetCapacity)?;
    let is_elsewhere = request
        .accessible_topology
        .as_ref()
        .is_some_and(|asked| !topology::is_within(&core.here, asked));
    let is_possible = request
        .volume_capabilities
        .iter()
        .all(|asked| usage::read(asked, "volume_capabilities", core.can_tell_writers()).is_ok())
        && parameters::check(&request.parameters).is_ok();
    if is_elsewhere || !is_possible {
        return Ok(GetCapacityResponse::default());
    }
    let used = core.in_folder(|folder| Ok(folder.used_bytes()?)).await?;
    Ok(GetCapacityResponse {
        available_capacity: number(core.config.capacity_bytes.saturating_sub(used)),
        maximum_volume_size: Some(number(MOST)),
        minimum_volume_size: Some(number(STEP)),
    })
}
