//! NodePublishVolume and NodeUnpublishVolume. Source: spec 4.1; cases 85, 86.

use std::path::Path;

use ::node::filesystem::mount_options;
use ::node::staging::{bind_device, bind_directory, bind_options, take_away};
use ::node::{Host, HostError, Mount};
use csi::v1::volume_capability::{AccessType, MountVolume};
use csi::v1::{NodePublishVolumeRequest, NodeUnpublishVolumeRequest};
use tonic::Status;

use super::stage::{check_capability, guard, place, resolved};
use super::{Core, device, status};
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
    let fs_type = mount.fs_type.to_lowercase();
    let options = mount_options(bind_options(is_read_only), &mount.mount_flags, &fs_type);
    bind_directory(host, staging, target, options).await.map_err(of)
}

async fn block(
    host: &dyn Host,
    target: &Path,
    (device_path, volume_id, partition): &(String, String, Option<u32>),
    is_read_only: bool,
) -> Result<(), HostError> {
    let device = device::find(host, device_path, volume_id, *partition).await?;
    let options = mount_options(bind_options(is_read_only), &[], "");
    bind_device(host, &device.path, target, options).await
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
