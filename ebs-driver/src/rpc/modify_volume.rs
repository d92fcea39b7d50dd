//! ControllerModifyVolume, and the service before it. Source: spec 1.1, 1.6, 2.2, 3.5, Q16, Q17.

use std::collections::BTreeMap;

use csi::modify::v1::{ModifyVolumePropertiesRequest, ModifyVolumePropertiesResponse};
use csi::v1::{ControllerModifyVolumeRequest, ControllerModifyVolumeResponse};
use tonic::Status;

use super::{Call, expand_volume, required, status};
use crate::driver::Core;
use crate::expand::Change;
use crate::names::{NODE_LOCAL_PREFIX, without_snow};
use crate::parameters::ChangeParameters;
use crate::tags;

pub(super) async fn call(
    core: &Core,
    request: ControllerModifyVolumeRequest,
    call: Call,
) -> Result<ControllerModifyVolumeResponse, Status> {
    let id = required(&request.volume_id, "volume_id")?;
    if id.starts_with(NODE_LOCAL_PREFIX) {
        return Err(Status::invalid_argument("a node-local volume cannot be modified"));
    }
    modify(core, id, &request.mutable_parameters, call).await?;
    Ok(ControllerModifyVolumeResponse {})
}

/// ModifyVolumeProperties of `modify.v1.Modify`.
pub(super) async fn properties(
    core: &Core,
    request: ModifyVolumePropertiesRequest,
    call: Call,
) -> Result<ModifyVolumePropertiesResponse, Status> {
    let id = required(&request.name, "name")?;
    modify(core, id, &request.parameters, call).await?;
    Ok(ModifyVolumePropertiesResponse {})
}

/// With what every ID of an EBS volume begins, but for those of a Snow device.
const VOLUME_PREFIX: &str = "vol-";

/// A wrong parameter is refused before EC2 is asked; nothing that is asked for needs no call.
async fn modify(
    core: &Core,
    id: &str,
    parameters: &BTreeMap<String, String>,
    call: Call,
) -> Result<(), Status> {
    let parameters = ChangeParameters::parse(parameters).map_err(status::bad)?;
    let tags = tags::of_change(&parameters).map_err(status::bad)?;
    if !without_snow(id).starts_with(VOLUME_PREFIX) {
        // EC2 would call it malformed; for who asks it is a volume that is not there.
        return Err(Status::not_found(format!("there is no volume {id}")));
    }
    let change = Change::of_attributes(parameters, tags);
    if change == Change::default() {
        return Ok(());
    }
    expand_volume::changed(core, id, change, call).await?.attributes?;
    Ok(())
}
