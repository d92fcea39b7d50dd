//! NodePublishVolume and NodeUnpublishVolume.

use std::path::{Path, PathBuf};

use csi::v1::{NodePublishVolumeRequest, NodeUnpublishVolumeRequest};
use node::filesystem::mount_options;
use node::staging::{bind_device, bind_directory, bind_options, take_away};
use node::{HostError, Mount};
use tonic::Status;

use super::{shows, stage};
use crate::capability::Capability;
use crate::driver::Core;
use crate::folder::Volume;
use crate::plan::usage::Usage;
use crate::plan::{Refusal, required};
use crate::rpc::status::of_host;

pub(super) async fn publish(core: &Core, request: &NodePublishVolumeRequest) -> Result<(), Status> {
    required(&request.volume_id, "volume_id")?;
    let target = required(&request.target_path, "target_path")?;
    let usage = core.usage(request.volume_capability.as_ref())?;
    let staging = match request.staging_target_path.as_str() {
        _ if !core.has(Capability::NodeStageUnstageVolume) => None,
        "" => return Err(Refusal::Precondition("staging_target_path is missing".to_owned()).into()),
        path => Some(core.resolved(path).await?),
    };
    let _turn = core.devices.lock().await;
    let volume = core.volume(&request.volume_id).await?;
    let target = core.resolved(target).await?;
    let is_read_only = request.readonly || usage.is_read_only;
    check_target(core, &target, is_read_only).await?;
    if usage.is_single_writer {
        check_alone(core, &volume, staging.as_deref(), &target).await?;
    }
    show(core, &volume, usage, staging, target, is_read_only).await
}

/// Refuses a place where the volume is shown in another way.
async fn check_target(core: &Core, target: &Path, is_read_only: bool) -> Result<(), Status> {
    let mounts = core.machine.host.mounts().await;
    let mounts = mounts.map_err(|error| of_host(&error))?;
    match Mount::at(&mounts, target) {
        Some(mount) if mount.is_read_only() != is_read_only => Err(Refusal::AlreadyExists(format!(
            "{} is mounted with other rights; unpublish it first",
            target.display()
        ))
        .into()),
        _ => Ok(()),
    }
}

/// Refuses a second place for a volume that may be written at one alone.
async fn check_alone(
    core: &Core,
    volume: &Volume,
    staging: Option<&Path>,
    target: &Path,
) -> Result<(), Status> {
    let of = |error: HostError| of_host(&error);
    let (host, loops) = (&core.machine.host, &core.machine.loops);
    let devices = loops.over(&volume.data).await.map_err(of)?;
    let mounts = host.mounts().await.map_err(of)?;
    let is_other = |mount: &&Mount| {
        let is_of_volume = devices.iter().any(|device| shows(mount, device, host.dev()));
        is_of_volume && mount.target != target && Some(mount.target.as_path()) != staging
    };
    match mounts.iter().find(is_other) {
        None => Ok(()),
        Some(mount) => Err(Refusal::Precondition(format!(
            "{} is published at {} already, and SINGLE_NODE_SINGLE_WRITER allows one place",
            volume.id,
            mount.target.display()
        ))
        .into()),
    }
}

async fn show(
    core: &Core,
    volume: &Volume,
    usage: Usage,
    staging: Option<PathBuf>,
    target: PathBuf,
    is_read_only: bool,
) -> Result<(), Status> {
    let of = |error: HostError| of_host(&error);
    let host = core.machine.host.as_ref();
    match (usage.mount, staging) {
        (None, _) => {
            let device = core.attach(volume).await.map_err(of)?;
            let options = mount_options(bind_options(is_read_only), &[], "");
            bind_device(host, &device.path, &target, options)
                .await
                .map_err(of)
        }
        (Some((fs_type, flags)), None) => {
            let first: &[&str] = if is_read_only { &["ro"] } else { &[] };
            let options = mount_options(first, &flags, &fs_type);
            stage::mount(core, volume, fs_type, options, target)
                .await
                .map_err(of)
        }
        (Some((fs_type, flags)), Some(staging)) => {
            let mounts = host.mounts().await.map_err(of)?;
            // Without this the folder below it would be published.
            if Mount::at(&mounts, &staging).is_none() {
                let text = format!(
                    "{} is not staged: nothing is mounted at {}",
                    volume.id,
                    staging.display()
                );
                return Err(Refusal::Precondition(text).into());
            }
            let options = mount_options(bind_options(is_read_only), &flags, &fs_type);
            bind_directory(host, &staging, &target, options).await.map_err(of)
        }
    }
}

pub(super) async fn unpublish(core: &Core, request: &NodeUnpublishVolumeRequest) -> Result<(), Status> {
    required(&request.volume_id, "volume_id")?;
    let target = required(&request.target_path, "target_path")?;
    let _turn = core.devices.lock().await;
    let target = core.resolved(target).await?;
    take_away(core.machine.host.as_ref(), &target)
        .await
        .map_err(|error| of_host(&error))?;
    core.release_if_there(&request.volume_id).await
}
