//! NodePublishVolume and NodeUnpublishVolume. Source: spec 4.1; cases 85, 86.

use std::path::Path;

use ::node::{Host, HostError, Mount, MountRequest, PathKind};
use csi::v1::volume_capability::{AccessType, MountVolume};
use csi::v1::{NodePublishVolumeRequest, NodeUnpublishVolumeRequest};
use tonic::Status;

use super::stage::{check_capability, guard, place, resolved, take_away};
use super::{Core, device, filesystem, status};
use crate::rpc::required;

pub(super) async fn publish(core: &Core, request: &NodePublishVolumeRequest) -> Result<(), Status> {
    let volume_id = required(&request.volume_id, "volume_id")?;
    let staging = required(&request.staging_target_path, "staging_target_path")?;
    let target = Path::new(required(&request.target_path, "target_path")?);
    let wanted = request
        .volume_capability
        .as_ref()
        .ok_or_else(|| Status::invalid_argument("volume_capability is missing"))?;
    check_capability(volume_id, wanted)?;
    let host = core.host.as_ref();
    let target = resolved(core, target).await?;
    match &wanted.access_type {
        Some(AccessType::Mount(mount)) => {
            let _guard = guard(core, volume_id)?;
            let staging = resolved(core, Path::new(staging)).await?;
            mounted(host, &staging, &target, mount, request.readonly).await
        }
        _ => {
            let place = place(volume_id, &request.publish_context, &request.volume_context)?;
            let _guard = guard(core, volume_id)?;
            block(host, &target, &place, request.readonly)
                .await
                .map_err(|error| status::of(&error))
        }
    }
}

async fn mounted(
    host: &dyn Host,
    staging: &Path,
    target: &Path,
    mount: &MountVolume,
    is_read_only: bool,
) -> Result<(), Status> {
    let of = |error: HostError| status::of(&error);
    let mounts = host.mounts().await.map_err(of)?;
    // Without this the folder below it would be published, and data would go to the root volume.
    if Mount::at(&mounts, staging).is_none() {
        return Err(Status::failed_precondition(format!(
            "the volume is not staged: nothing is mounted at {}",
            staging.display()
        )));
    }
    if is_there(host, &mounts, target).await.map_err(of)? {
        return Ok(());
    }
    host.make_directory(target).await.map_err(of)?;
    let fs_type = mount.fs_type.to_lowercase();
    let request = MountRequest {
        source: staging.display().to_string(),
        target: target.to_owned(),
        fs_type: None,
        options: filesystem::mount_options(first(is_read_only), &mount.mount_flags, &fs_type),
    };
    host.mount(&request).await.map_err(of)
}

fn first(is_read_only: bool) -> &'static [&'static str] {
    if is_read_only { &["bind", "ro"] } else { &["bind"] }
}

/// Whether something is mounted at the target and answers; what does not answer is taken away.
async fn is_there(host: &dyn Host, mounts: &[Mount], target: &Path) -> Result<bool, HostError> {
    if host.kind(target).await? == Some(PathKind::Corrupted) {
        tracing::warn!(target = %target.display(), "a mount that does not answer is mounted again");
        host.unmount(target).await?;
        return Ok(false);
    }
    Ok(Mount::at(mounts, target).is_some())
}

async fn block(
    host: &dyn Host,
    target: &Path,
    (device_path, volume_id, partition): &(String, String, Option<u32>),
    is_read_only: bool,
) -> Result<(), HostError> {
    let device = device::find(host, device_path, volume_id, *partition).await?;
    if is_there(host, &host.mounts().await?, target).await? {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        host.make_directory(parent).await?;
    }
    host.make_file(target).await?;
    let request = MountRequest {
        source: device.path.display().to_string(),
        target: target.to_owned(),
        fs_type: None,
        options: filesystem::mount_options(first(is_read_only), &[], ""),
    };
    let outcome = host.mount(&request).await;
    if outcome.is_err() {
        host.remove(target).await?;
    }
    outcome
}

pub(super) async fn unpublish(core: &Core, request: &NodeUnpublishVolumeRequest) -> Result<(), Status> {
    let volume_id = required(&request.volume_id, "volume_id")?;
    let target = required(&request.target_path, "target_path")?;
    let _guard = guard(core, volume_id)?;
    let target = resolved(core, Path::new(target)).await?;
    take_away(core.host.as_ref(), &target)
        .await
        .map_err(|error| status::of(&error))
}
