//! NodeExpandVolume. Source: spec 4.1; case 88.

use std::path::Path;

use ::node::staging::{grow, mounted_device};
use ::node::{BlockDevice, Host, HostError, PathKind};
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
    let is_block = match &request.volume_capability {
        Some(wanted) => {
            check_capability(volume_id, wanted)?;
            capability::is_block(wanted)
        }
        None => false,
    };
    let required_bytes = match &request.capacity_range {
        // What lies on the node has the size that it has.
        Some(range) if !volume_id.starts_with(NODE_LOCAL_PREFIX) => range.required_bytes,
        _ => 0,
    };
    let required_bytes = u64::try_from(required_bytes).unwrap_or(0);
    let host = core.host.as_ref();
    let of = |error: HostError| status::of_growing(&error);
    let _guard = guard(core, volume_id)?;
    let path = resolved(core, path).await?;
    if is_block {
        // Nothing lies on it that could grow; its size is told by itself.
        if host.kind(&path).await.map_err(of)? == Some(PathKind::BlockDevice) {
            let device = at_size(host, &path, required_bytes).await.map_err(of)?;
            check_size(&device, volume_id, required_bytes)?;
        }
        return Ok(NodeExpandVolumeResponse::default());
    }
    let device = grown(host, volume_id, &path, required_bytes).await.map_err(of)?;
    check_size(&device, volume_id, required_bytes)?;
    Ok(NodeExpandVolumeResponse {
        capacity_bytes: i64::try_from(device.size).unwrap_or(i64::MAX),
    })
}

/// Grows what is mounted at a path to the size of its device. A block device has grown with its volume.
async fn grown(
    host: &dyn Host,
    volume_id: &str,
    path: &Path,
    required_bytes: u64,
) -> Result<BlockDevice, HostError> {
    if host.kind(path).await? == Some(PathKind::BlockDevice) {
        return at_size(host, path, required_bytes).await;
    }
    let (mount, device) = mounted_device(host, path).await?;
    if !volume_id.starts_with(NODE_LOCAL_PREFIX) {
        device::check(&device, volume_id)?;
    }
    let device = at_size(host, &device.path, required_bytes).await?;
    grow(host, &device, &mount.fs_type, path).await?;
    Ok(device)
}

/// The device, waiting some seconds for the kernel to read the size that it has in EC2.
async fn at_size(host: &dyn Host, path: &Path, required_bytes: u64) -> Result<BlockDevice, HostError> {
    let mut look = 1;
    loop {
        let device = host.block_device(path).await?;
        let device = device.ok_or_else(|| HostError::DeviceMissing(path.to_owned()))?;
        if look == device::LOOKS || !device::is_too_small(&device, required_bytes) {
            return Ok(device);
        }
        look += 1;
        tokio::time::sleep(device::PAUSE).await;
    }
}

/// kubelet believes an OK, and says so on the claim; it comes again after this.
fn check_size(device: &BlockDevice, volume_id: &str, required_bytes: u64) -> Result<(), Status> {
    if !device::is_too_small(device, required_bytes) {
        return Ok(());
    }
    Err(Status::unavailable(format!(
        "{} has {} bytes, and {volume_id} is to have {required_bytes}: the kernel has not read its new size yet",
        device.path.display(),
        device.size
    )))
}
