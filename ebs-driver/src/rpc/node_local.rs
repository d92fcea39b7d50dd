//! Handles that name a device present on every node. Source: spec 3.9, case 59.

use csi::v1::ControllerPublishVolumeResponse;
use tonic::Status;

use super::Call;
use super::publish_volume::instance;
use crate::driver::Core;
use crate::names::{DEVICE_PATH, NODE_LOCAL_PREFIX, VOLUME_ID};

/// The device path of `local-ebs://dev/xvdbz`.
fn device(handle: &str) -> Option<String> {
    let name = handle.strip_prefix(NODE_LOCAL_PREFIX)?.strip_prefix("dev/")?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then(|| format!("/dev/{name}"))
}

/// Names the device and the volume behind it; nothing is attached.
pub(super) async fn publish(
    core: &Core,
    handle: &str,
    node_id: &str,
    call: Call,
) -> Result<ControllerPublishVolumeResponse, Status> {
    if !core.config.has_node_local_volumes {
        return Err(Status::invalid_argument(
            "node-local volumes need --enable-node-local-volumes",
        ));
    }
    let device = device(handle).ok_or_else(|| {
        Status::invalid_argument(format!(
            "{handle} names no device; node-local volumes are named as {NODE_LOCAL_PREFIX}dev/xvdbz"
        ))
    })?;
    let instance = instance(core, node_id, call)
        .await
        .map_err(|error| Status::internal(error.message()))?;
    if instance.root_device.as_ref() == Some(&device) {
        return Err(Status::internal(format!(
            "{device} is the root device of instance {node_id}"
        )));
    }
    let mut mappings = instance.mappings.into_iter();
    let volume_id = mappings
        .find(|mapping| mapping.device == device)
        .and_then(|mapping| mapping.volume_id)
        .ok_or_else(|| Status::not_found(format!("instance {node_id} has no volume at {device}")))?;
    Ok(ControllerPublishVolumeResponse {
        publish_context: [
            (DEVICE_PATH.to_owned(), device),
            (VOLUME_ID.to_owned(), volume_id),
        ]
        .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_name_devices() {
        assert_eq!(device("local-ebs://dev/xvdbz").as_deref(), Some("/dev/xvdbz"));
        for bad in [
            "local-ebs://xvdbz",
            "local-ebs://dev/",
            "local-ebs://dev/../x",
            "vol-1",
        ] {
            assert_eq!(device(bad), None, "{bad}");
        }
    }
}
