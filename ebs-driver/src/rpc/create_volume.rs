//! CreateVolume. Source: spec 1.5, 1.8, 3.1-3.3, Q1, Q2, Q7-Q10.

mod ask;
mod create;

use csi::v1::volume_content_source::{SnapshotSource, Type, VolumeSource};
use csi::v1::{
    CreateVolumeRequest, CreateVolumeResponse, Topology, Volume as CsiVolume, VolumeContentSource,
};
use tonic::Status;

use super::Call;
use crate::deadline::Deadline;
use crate::driver::Core;
use crate::ec2::types::Volume;
use crate::in_flight::Key;
use crate::size;
use crate::topology;

use ask::{Ask, Basics, Source};

pub(super) async fn call(
    core: &Core,
    request: CreateVolumeRequest,
    call: Call,
) -> Result<CreateVolumeResponse, Status> {
    let basics = Basics::parse(&request)?;
    let _guard = core.in_flight.begin(Key::VolumeName(basics.name.clone()))?;
    let ask = Ask::parse(core, basics, &request)?;
    let volume = create::create(core, &ask, call.deadline).await?;
    Ok(response(&ask, volume))
}

/// The volume that was made under the name of this request before and can serve it. A request that cannot be followed has none:
/// CreateVolume says what is wrong with it.
pub(crate) async fn made(
    core: &Core,
    request: &CreateVolumeRequest,
    deadline: Deadline,
) -> Result<Option<CsiVolume>, Status> {
    let Ok(basics) = Basics::parse(request) else {
        return Ok(None);
    };
    let _guard = core.in_flight.begin(Key::VolumeName(basics.name.clone()))?;
    let Ok(ask) = Ask::parse(core, basics, request) else {
        return Ok(None);
    };
    let made = create::made(core, &ask, deadline).await?;
    Ok(made.and_then(|volume| response(&ask, volume).volume))
}

fn response(ask: &Ask, volume: Volume) -> CreateVolumeResponse {
    let zone = volume.place.zone.as_deref().unwrap_or_default();
    let segments = topology::segments_of(zone, volume.place.outpost_arn.as_deref());
    CreateVolumeResponse {
        volume: Some(CsiVolume {
            capacity_bytes: size::bytes(volume.size_gib),
            volume_context: ask.parameters.context(),
            content_source: content_source(&ask.source),
            accessible_topology: vec![Topology { segments }],
            volume_id: volume.id,
        }),
    }
}

fn content_source(source: &Source) -> Option<VolumeContentSource> {
    let source = match source {
        Source::Nothing => return None,
        Source::Snapshot(id) => Type::Snapshot(SnapshotSource {
            snapshot_id: id.clone(),
        }),
        Source::Volume(id) => Type::Volume(VolumeSource {
            volume_id: id.clone(),
        }),
    };
    Some(VolumeContentSource { r#type: Some(source) })
}
