//! NodeStageVolume and NodeUnstageVolume. Source: spec 4.1, 4.3, 4.4; cases 80-85.

use std::path::{Path, PathBuf};

use ::node::HostError;
use ::node::staging::{self, Staging};
use csi::v1::volume_capability::AccessType;
use csi::v1::{NodeStageVolumeRequest, NodeUnstageVolumeRequest};
use tonic::Status;

use super::{Core, device, filesystem, status};
use crate::in_flight::{Guard, Key};
use crate::names::{DEVICE_PATH, NODE_LOCAL_PREFIX, VOLUME_ID};
use crate::parameters::FormatOptions;
use crate::rpc::{capability, required};

/// What is asked, checked.
struct Ask {
    volume_id: String,
    device_path: String,
    partition: Option<u32>,
    target: PathBuf,
    fs_type: String,
    format: FormatOptions,
    options: Vec<String>,
}

/// The path as the mount table has it: kubelet's own folder may be a link.
pub(super) async fn resolved(core: &Core, path: &Path) -> Result<PathBuf, Status> {
    let resolved = core.host.resolved(path).await;
    resolved.map_err(|error| status::of(&error))
}

pub(super) fn guard(core: &Core, volume_id: &str) -> Result<Guard, Status> {
    Ok(core.in_flight.begin(Key::Volume(volume_id.to_owned()))?)
}

/// Refuses capabilities that EBS does not have.
pub(super) fn check_capability(volume_id: &str, wanted: &csi::v1::VolumeCapability) -> Result<(), Status> {
    let is_supported = if volume_id.starts_with(NODE_LOCAL_PREFIX) {
        capability::is_supported_node_local(wanted)
    } else {
        capability::is_supported(wanted)
    };
    if is_supported {
        Ok(())
    } else {
        Err(Status::invalid_argument(
            "EBS supports SINGLE_NODE_WRITER, and MULTI_NODE_MULTI_WRITER for block volumes",
        ))
    }
}

/// The device name, the volume behind it and the partition.
pub(super) fn place(
    volume_id: &str,
    publish: &std::collections::BTreeMap<String, String>,
    context: &std::collections::BTreeMap<String, String>,
) -> Result<(String, String, Option<u32>), Status> {
    let device_path = publish
        .get(DEVICE_PATH)
        .filter(|path| !path.is_empty())
        .ok_or_else(|| Status::invalid_argument(format!("publish_context has no {DEVICE_PATH}")))?;
    let partition = context.get("partition").map(String::as_str).unwrap_or_default();
    let partition = device::partition(partition)
        .map_err(|text| Status::invalid_argument(format!("partition {text:?} is no number")))?;
    let volume = match publish.get(VOLUME_ID) {
        Some(behind) if volume_id.starts_with(NODE_LOCAL_PREFIX) => behind,
        _ => volume_id,
    };
    Ok((device_path.clone(), volume.to_owned(), partition))
}

impl Ask {
    /// None where nothing is to be done: the volume is used as a block device.
    fn parse(request: &NodeStageVolumeRequest) -> Result<Option<Self>, Status> {
        let volume_id = required(&request.volume_id, "volume_id")?;
        let target = required(&request.staging_target_path, "staging_target_path")?;
        let wanted = request
            .volume_capability
            .as_ref()
            .ok_or_else(|| Status::invalid_argument("volume_capability is missing"))?;
        check_capability(volume_id, wanted)?;
        let mount = match &wanted.access_type {
            Some(AccessType::Mount(mount)) => mount,
            _ => return Ok(None),
        };
        let fs_type = ::node::filesystem::wanted(&mount.fs_type).map_err(|name| {
            Status::invalid_argument(format!("file system {name:?} is not one of ext3, ext4, xfs"))
        })?;
        let format = filesystem::format_options(&request.volume_context, &fs_type)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (device_path, volume_id, partition) =
            place(volume_id, &request.publish_context, &request.volume_context)?;
        let options = ::node::filesystem::mount_options(&[], &mount.mount_flags, &fs_type);
        Ok(Some(Self {
            volume_id,
            device_path,
            partition,
            target: target.into(),
            fs_type,
            format,
            options,
        }))
    }
}

pub(super) async fn stage(core: &Core, request: &NodeStageVolumeRequest) -> Result<(), Status> {
    let Some(ask) = Ask::parse(request)? else {
        return Ok(());
    };
    let _guard = guard(core, &request.volume_id)?;
    let target = resolved(core, &ask.target).await?;
    let ask = Ask { target, ..ask };
    staged(core, ask).await.map_err(|error| status::of(&error))
}

async fn staged(core: &Core, ask: Ask) -> Result<(), HostError> {
    let host = core.host.as_ref();
    let device = device::find(host, &ask.device_path, &ask.volume_id, ask.partition).await?;
    let mkfs_options = filesystem::mkfs_options(&ask.fs_type, &ask.format, core.config.has_legacy_xfs);
    let staging = Staging {
        volume: ask.volume_id,
        device,
        target: ask.target,
        fs_type: ask.fs_type,
        mkfs_options,
        options: ask.options,
    };
    staging::stage(host, &staging).await
}

pub(super) async fn unstage(core: &Core, request: &NodeUnstageVolumeRequest) -> Result<(), Status> {
    let volume_id = required(&request.volume_id, "volume_id")?;
    let target = required(&request.staging_target_path, "staging_target_path")?;
    let _guard = guard(core, volume_id)?;
    let target = resolved(core, Path::new(target)).await?;
    staging::take_away(core.host.as_ref(), &target)
        .await
        .map_err(|error| status::of(&error))
}
