//! NodeExpandVolume. Source: spec 4.1; case 88.

use std::path::Path;

use ::node::staging::{grow, mounted_device};
use ::node::{Host, HostError, PathKind};
use csi::v1::{NodeExpandVolumeRequest, NodeExpandVolumeResponse};
use tonic::Status;

use super::stage::{check_capability, guard, resolved};
use super::{Core, device, status};
use crate::names::NODE_LOCAL_PREFIX;
use crate::rpc::{capability, required};

pub(super) async fn expand(
    core: &Core,
    request: &NodeExpandVolumeRequest,
) -> Result<NodeExpandVolumeResponse, Status> {
    let volume_id = required(&request.volume_id, "volume_id")?;
    let path = Path::new(required(&request.volume_path, "volume_path")?);
    if let Some(wanted) = &request.volume_capability {
        check_capability(volume_id, wanted)?;
        if capability::is_block(wanted) {
            return Ok(NodeExpandVolumeResponse::default());
        }
    }
    let _guard = guard(core, volume_id)?;
    let path = resolved(core, path).await?;
    let bytes = grown(core.host.as_ref(), volume_id, &path)
        .await
        .map_err(|error| status::of_growing(&error))?;
    Ok(NodeExpandVolumeResponse {
        capacity_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
    })
}

/// Grows what is mounted at a path; the size of its device. A block device has grown with its volume.
async fn grown(host: &dyn Host, volume_id: &str, path: &Path) -> Result<u64, HostError> {
    if host.kind(path).await? == Some(PathKind::BlockDevice) {
        let device = host.block_device(path).await?;
        return device
            .map(|device| device.size)
            .ok_or_else(|| HostError::DeviceMissing(path.to_owned()));
    }
    let (mount, device) = mounted_device(host, path).await?;
    if !volume_id.starts_with(NODE_LOCAL_PREFIX) {
        device::check(&device, volume_id)?;
    }
    grow(host, &device, &mount.fs_type, path).await?;
    Ok(device.size)
}
