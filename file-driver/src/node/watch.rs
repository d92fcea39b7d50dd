//! NodeGetVolumeStats, NodeExpandVolume, and the health of volumes and of the disk.

use std::path::{Path, PathBuf};

use csi::v1::volume_usage::Unit;
use csi::v1::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetStorageHealthResponse,
    NodeGetVolumeHealthRequest, NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse, VolumeHealth,
    VolumeUsage,
};
use node::staging::{grow, mounted_device};
use node::{HostError, Mount, PathKind, Usage};
use tonic::Status;

use crate::capability::Capability;
use crate::driver::Core;
use crate::folder::Volume;
use crate::plan::{Refusal, required};
use crate::rpc::status::of_host;
use crate::rpc::{health, number};

/// Where a volume is mounted, without links, and what is there: a block device or a folder.
async fn shown_at(core: &Core, text: &str) -> Result<(PathBuf, PathKind), Status> {
    let of = |error: HostError| of_host(&error);
    let host = &core.machine.host;
    let missing = || Refusal::not_found("volume at", text);
    let kind = host.kind(Path::new(text)).await.map_err(of)?;
    let kind = kind.ok_or_else(missing)?;
    let path = core.resolved(text).await?;
    let mounts = host.mounts().await.map_err(of)?;
    Mount::at(&mounts, &path).ok_or_else(missing)?;
    Ok((path, kind))
}

pub(super) async fn stats(
    core: &Core,
    request: &NodeGetVolumeStatsRequest,
) -> Result<NodeGetVolumeStatsResponse, Status> {
    core.need(Capability::NodeGetVolumeStats)?;
    required(&request.volume_id, "volume_id")?;
    let path = required(&request.volume_path, "volume_path")?;
    let volume = core.volume(&request.volume_id).await?;
    let (path, kind) = shown_at(core, path).await?;
    let usage = match kind {
        PathKind::BlockDevice => {
            let total = number(volume.bytes.unwrap_or_default());
            vec![VolumeUsage {
                total,
                unit: Unit::Bytes.into(),
                ..VolumeUsage::default()
            }]
        }
        PathKind::Corrupted => {
            let text = format!("the file system at {} does not answer", path.display());
            return Err(Status::internal(text));
        }
        _ => {
            let found = core.machine.host.statistics(&path).await;
            let found = found.map_err(|error| of_host(&error))?;
            let inodes = found.inodes.map(|inodes| entry(Unit::Inodes, inodes));
            let bytes = entry(Unit::Bytes, found.bytes);
            std::iter::once(bytes).chain(inodes).collect()
        }
    };
    Ok(NodeGetVolumeStatsResponse { usage })
}

fn entry(unit: Unit, usage: Usage) -> VolumeUsage {
    VolumeUsage {
        unit: unit.into(),
        total: number(usage.total),
        used: number(usage.used),
        available: number(usage.available),
    }
}

pub(super) async fn expand(
    core: &Core,
    request: &NodeExpandVolumeRequest,
) -> Result<NodeExpandVolumeResponse, Status> {
    core.need(Capability::NodeExpandVolume)?;
    required(&request.volume_id, "volume_id")?;
    let path = required(&request.volume_path, "volume_path")?;
    if request.volume_capability.is_some() {
        core.usage(request.volume_capability.as_ref())?;
    }
    let _turn = core.devices.lock().await;
    let volume = core.volume(&request.volume_id).await?;
    let (path, kind) = shown_at(core, path).await?;
    let bytes = grown(core, &volume, &path, kind == PathKind::BlockDevice).await;
    Ok(NodeExpandVolumeResponse {
        capacity_bytes: number(bytes.map_err(|error| of_host(&error))?),
    })
}

/// Lets the device and what lies on it be as large as the file; its bytes.
async fn grown(core: &Core, volume: &Volume, path: &Path, is_block: bool) -> Result<u64, HostError> {
    let device = core.attach(volume).await?;
    if !is_block {
        let host = core.machine.host.as_ref();
        let (mount, _) = mounted_device(host, path).await?;
        grow(host, &device, &mount.fs_type, path).await?;
    }
    Ok(device.size)
}

pub(super) async fn volume_health(
    core: &Core,
    request: &NodeGetVolumeHealthRequest,
) -> Result<VolumeHealth, Status> {
    core.need(Capability::NodeGetVolumeHealth)?;
    required(&request.volume_id, "volume_id")?;
    let volume = core.volume(&request.volume_id).await?;
    if !request.volume_publish_path.is_empty() {
        shown_at(core, &request.volume_publish_path).await?;
    }
    Ok(health::of_volume(&volume))
}

pub(super) async fn storage_health(core: &Core) -> Result<NodeGetStorageHealthResponse, Status> {
    core.need(Capability::NodeGetStorageHealth)?;
    let (free, total) = core.in_folder(|folder| Ok(folder.disk()?)).await?;
    Ok(NodeGetStorageHealthResponse {
        backend_health: health::of_disk(free, total).into_iter().collect(),
    })
}
