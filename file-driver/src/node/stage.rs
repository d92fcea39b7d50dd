//! NodeStageVolume and NodeUnstageVolume.

use std::path::PathBuf;

use csi::v1::{NodeStageVolumeRequest, NodeUnstageVolumeRequest};
use node::HostError;
use node::filesystem::mount_options;
use node::staging::{self, Staging};
use tonic::Status;

use crate::capability::Capability;
use crate::driver::Core;
use crate::folder::Volume;
use crate::plan::required;
use crate::rpc::status::of_host;

pub(super) async fn stage(core: &Core, request: &NodeStageVolumeRequest) -> Result<(), Status> {
    core.need(Capability::NodeStageUnstageVolume)?;
    required(&request.volume_id, "volume_id")?;
    let target = required(&request.staging_target_path, "staging_target_path")?;
    let usage = core.usage(request.volume_capability.as_ref())?;
    let _turn = core.devices.lock().await;
    let volume = core.volume(&request.volume_id).await?;
    // A block device is attached when it is published.
    let Some((fs_type, flags)) = usage.mount else {
        return Ok(());
    };
    let options = mount_options(first(usage.is_read_only), &flags, &fs_type);
    let target = core.resolved(target).await?;
    mount(core, &volume, fs_type, options, target)
        .await
        .map_err(|error| of_host(&error))
}

/// The options that stand before those of the request.
fn first(is_read_only: bool) -> &'static [&'static str] {
    if is_read_only { &["ro"] } else { &[] }
}

/// Mounts a volume's file system.
pub(super) async fn mount(
    core: &Core,
    volume: &Volume,
    fs_type: String,
    options: Vec<String>,
    target: PathBuf,
) -> Result<(), HostError> {
    let device = core.attach(volume).await?;
    let mkfs_options: &[&str] = match fs_type.as_str() {
        "xfs" => &["-f"],
        _ => &["-F", "-m0"],
    };
    let staging = Staging {
        volume: volume.id.to_string(),
        device,
        target,
        fs_type,
        mkfs_options: mkfs_options.iter().map(|option| (*option).to_owned()).collect(),
        options,
    };
    let staged = staging::stage(core.machine.host.as_ref(), &staging).await;
    if staged.is_err() {
        // What is not mounted needs no device; the error that led here counts.
        let _ = core.release(volume).await;
    }
    staged
}

pub(super) async fn unstage(core: &Core, request: &NodeUnstageVolumeRequest) -> Result<(), Status> {
    core.need(Capability::NodeStageUnstageVolume)?;
    required(&request.volume_id, "volume_id")?;
    let target = required(&request.staging_target_path, "staging_target_path")?;
    let _turn = core.devices.lock().await;
    let target = core.resolved(target).await?;
    staging::take_away(core.machine.host.as_ref(), &target)
        .await
        .map_err(|error| of_host(&error))?;
    core.release_if_there(&request.volume_id).await
}
