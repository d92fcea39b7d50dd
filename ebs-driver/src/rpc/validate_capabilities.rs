//! ValidateVolumeCapabilities. Source: spec 1.6, 3.9, Q3.

use csi::v1::validate_volume_capabilities_response::Confirmed;
use csi::v1::{ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse};
use tonic::Status;

use super::{Call, capability, required};
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::names::NODE_LOCAL_PREFIX;

pub(super) async fn call(
    core: &Core,
    request: ValidateVolumeCapabilitiesRequest,
    call: Call,
) -> Result<ValidateVolumeCapabilitiesResponse, Status> {
    let id = required(&request.volume_id, "volume_id")?;
    if request.volume_capabilities.is_empty() {
        return Err(Status::invalid_argument("volume_capabilities is empty"));
    }
    let is_node_local = id.starts_with(NODE_LOCAL_PREFIX);
    if !is_node_local {
        let found = core.lookups.volumes.get(id, call.deadline).await;
        found
            .map_err(|error| Purpose::Validate.status(&error))?
            .ok_or_else(|| Status::not_found(format!("there is no volume {id}")))?;
    }
    let is_supported = if is_node_local {
        capability::is_supported_node_local
    } else {
        capability::is_supported
    };
    let confirmed = request
        .volume_capabilities
        .iter()
        .all(is_supported)
        .then(|| Confirmed {
            volume_capabilities: request.volume_capabilities,
            ..Confirmed::default()
        });
    Ok(ValidateVolumeCapabilitiesResponse {
        confirmed,
        ..ValidateVolumeCapabilitiesResponse::default()
    })
}
