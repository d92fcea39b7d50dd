//! ControllerPublishVolume and its reverse, ControllerExpandVolume, ControllerModifyVolume.

use std::collections::BTreeMap;

use csi::v1::{
    ControllerExpandVolumeRequest, ControllerExpandVolumeResponse, ControllerModifyVolumeRequest,
    ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest,
};
use tonic::Status;

use super::{number, volume_in};
use crate::capability::Capability;
use crate::driver::Core;
use crate::folder::{Id, Kind, Volume};
use crate::plan::size::Range;
use crate::plan::{Refusal, parameters, required, usage, volume};

pub(super) async fn publish(core: &Core, request: ControllerPublishVolumeRequest) -> Result<(), Status> {
    core.need(Capability::PublishUnpublishVolume)?;
    required(&request.volume_id, "volume_id")?;
    required(&request.node_id, "node_id")?;
    let asked = request.volume_capability.as_ref();
    let asked = asked.ok_or_else(|| Refusal::invalid("volume_capability", "is missing"))?;
    usage::read(asked, "volume_capability", core.can_tell_writers())?;
    if request.readonly {
        core.need(Capability::PublishReadonly)?;
    }
    let (node, most) = (core.config.node_id.clone(), core.config.max_volumes);
    core.in_folder(move |folder| {
        let found = volume_in(folder, &request.volume_id, "volume_id")?;
        if request.node_id != node {
            return Err(Refusal::not_found("node", &request.node_id).into());
        }
        let all = folder.volumes()?;
        let is_other = |other: &&Volume| other.id != found.id && other.record.published.contains_key(&node);
        let others = all.iter().filter(is_other).count();
        if let Some(record) = volume::publish(&found, &node, request.readonly, others, most)? {
            folder.write_volume(&found.id, &record)?;
        }
        Ok(())
    })
    .await
}

pub(super) async fn unpublish(core: &Core, request: ControllerUnpublishVolumeRequest) -> Result<(), Status> {
    core.need(Capability::PublishUnpublishVolume)?;
    let text = required(&request.volume_id, "volume_id")?;
    let Some(id) = Id::parse(Kind::Volume, text) else {
        return Ok(());
    };
    core.in_folder(move |folder| {
        let found = folder.volume(&id)?;
        if let Some(record) = found.and_then(|found| volume::unpublish(&found, &request.node_id)) {
            folder.write_volume(&id, &record)?;
        }
        Ok(())
    })
    .await
}

pub(super) async fn expand(
    core: &Core,
    request: ControllerExpandVolumeRequest,
) -> Result<ControllerExpandVolumeResponse, Status> {
    core.need(Capability::ExpandVolume)?;
    required(&request.volume_id, "volume_id")?;
    if request.capacity_range.is_none() {
        return Err(Refusal::invalid("capacity_range", "is missing").into());
    }
    let range = Range::read(request.capacity_range.as_ref())?;
    let is_block = match &request.volume_capability {
        Some(asked) => usage::read(asked, "volume_capability", core.can_tell_writers())?.is_block(),
        None => false,
    };
    let ways = (core.has(Capability::Online), core.has(Capability::Offline));
    let id = request.volume_id.clone();
    let found = core
        .in_folder(move |folder| volume_in(folder, &id, "volume_id"))
        .await?;
    let is_attached = core.is_attached(&found).await?;
    let capacity = core.config.capacity_bytes;
    let bytes = core
        .in_folder(move |folder| {
            let found = volume_in(folder, &request.volume_id, "volume_id")?;
            let free = capacity.saturating_sub(folder.used_bytes()?);
            let is_in_use = is_attached || !found.record.published.is_empty();
            let bytes = volume::expand(&found, &range, is_in_use, ways, free)?;
            if found.bytes.is_some_and(|now| bytes > now) {
                if parameters::is_allocated(&found.record.mutable) {
                    folder.allocate_volume(&found.id, bytes)?;
                }
                folder.resize_volume(&found.id, bytes)?;
            }
            Ok(bytes)
        })
        .await?;
    Ok(ControllerExpandVolumeResponse {
        capacity_bytes: number(bytes),
        node_expansion_required: core.has(Capability::NodeExpandVolume) && !is_block,
    })
}

pub(super) async fn modify(core: &Core, request: ControllerModifyVolumeRequest) -> Result<(), Status> {
    core.need(Capability::ModifyVolume)?;
    let change: BTreeMap<String, String> = request.mutable_parameters;
    core.in_folder(move |folder| {
        let found = volume_in(folder, &request.volume_id, "volume_id")?;
        parameters::check_mutable(&change)?;
        let mut record = found.record.clone();
        record.mutable = parameters::changed(&record.mutable, &change);
        if record == found.record {
            return Ok(());
        }
        if parameters::is_allocated(&record.mutable) {
            folder.allocate_volume(&found.id, found.bytes.unwrap_or_default())?;
        }
        Ok(folder.write_volume(&found.id, &record)?)
    })
    .await
}
