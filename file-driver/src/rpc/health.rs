//! ControllerGetVolumeHealth, ControllerListVolumeHealth, and what the node service tells of both.

use csi::v1::node_get_storage_health_response::StorageBackendHealth;
use csi::v1::volume_health::VolumeHealthEntry;
use csi::v1::{
    ControllerGetVolumeHealthRequest, ControllerListVolumeHealthRequest, ControllerListVolumeHealthResponse,
    StorageHealthErrorType, VolumeHealth, VolumeHealthErrorType,
};
use tonic::Status;

use super::volume_in;
use crate::capability::Capability;
use crate::driver::Core;
use crate::folder::{Kind, Volume};
use crate::plan::page::page;

/// A disk with less than this share free is nearly full: one in so many.
const NEARLY_FULL: u64 = 20;

/// What is wrong with a volume.
pub(crate) fn of_volume(volume: &Volume) -> VolumeHealth {
    let lost = volume.bytes.is_none().then(|| VolumeHealthEntry {
        status: VolumeHealthErrorType::DataLoss.into(),
        reason: "DataMissing".to_owned(),
        message: format!("{} is not there any more", volume.data.display()),
    });
    VolumeHealth {
        volume_id: volume.id.to_string(),
        health_statuses: lost.into_iter().collect(),
    }
}

/// What is wrong with the disk, of which so many bytes are free.
pub(crate) fn of_disk(free: u64, total: u64) -> Option<StorageBackendHealth> {
    (free < total / NEARLY_FULL).then(|| StorageBackendHealth {
        status: StorageHealthErrorType::StorageDegraded.into(),
        reason: "NearlyFull".to_owned(),
        message: format!("{free} of {total} bytes are left for the volumes, which are sparse"),
        volume_capability: None,
    })
}

pub(super) async fn get(
    core: &Core,
    request: ControllerGetVolumeHealthRequest,
) -> Result<VolumeHealth, Status> {
    core.need(Capability::GetVolumeHealth)?;
    let found = core.in_folder(move |folder| volume_in(folder, &request.volume_id, "volume_id"));
    Ok(of_volume(&found.await?))
}

pub(super) async fn list(
    core: &Core,
    request: &ControllerListVolumeHealthRequest,
) -> Result<ControllerListVolumeHealthResponse, Status> {
    core.need(Capability::ListVolumeHealth)?;
    let mut ill = core.in_folder(|folder| Ok(folder.volumes()?)).await?;
    ill.retain(|volume| !of_volume(volume).health_statuses.is_empty());
    let (token, most) = (&request.starting_token, request.max_entries);
    let (page, next_token) = page(ill, |volume| &volume.id, Kind::Volume, token, most)?;
    Ok(ControllerListVolumeHealthResponse {
        entries: page.iter().map(of_volume).collect(),
        next_token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_nearly_full_below_a_twentieth() {
        assert_eq!(of_disk(5, 100), None);
        assert_eq!(of_disk(4, 100).unwrap().reason, "NearlyFull");
    }
}
