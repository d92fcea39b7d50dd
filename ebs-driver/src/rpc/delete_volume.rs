//! DeleteVolume. Source: spec 1.6, 1.8, Q21.

use csi::v1::{DeleteVolumeRequest, DeleteVolumeResponse};
use tonic::Status;

use super::{Call, required};
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::in_flight::Key;

pub(super) async fn call(
    core: &Core,
    request: &DeleteVolumeRequest,
    call: Call,
) -> Result<DeleteVolumeResponse, Status> {
    let id = required(&request.volume_id, "volume_id")?;
    let _guard = core.in_flight.begin(Key::Volume(id.to_owned()))?;
    match core.ec2.delete_volume(id, call.deadline).await {
        Err(error) if !Purpose::DeleteVolume.is_done(&error) => Err(Purpose::DeleteVolume.status(&error)),
        _ => Ok(DeleteVolumeResponse {}),
    }
}
