//! NodeStageVolume and NodeUnstageVolume. Source: spec 4.1, 4.3, 4.4; cases 80-85.

use std::path::{Path, PathBuf};

use ::node::{BlockDevice, Check, Host, HostError, Mount, MountRequest};
use csi::v1::volume_capability::AccessType;
use csi::v1::{NodeStageVolumeRequest, NodeUnstageVolumeRequest};
use tonic::Status;

use super::filesystem::{self, Preparation};
use super::{Core, device, status};
use crate::in_flight::{Guard, Key};
use crate::names::{DEVICE_PATH, NODE_LOCAL_PREFIX, VOLUME_ID};
use crate::parameters::FormatOptions;
use crate::rpc::{capability, required};

/// So many mounts on top of each other are taken away.
const MOST_MOUNTS: u32 = 16;

/// What is asked, checked.
struct Ask {
    volume_id: String,
    device_path: String,
    partition: Option<u32>,
    target: PathBuf,
    fs_type: String,
    format: FormatOptions,
    options: Vec<String>,
    is_read_only: bool,
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
        let fs_type = filesystem::wanted(&mount.fs_type).map_err(|name| {
            Status::invalid_argument(format!("file system {name:?} is not one of ext3, ext4, xfs"))
        })?;
        let format = filesystem::format_options(&request.volume_context, &fs_type)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (device_path, volume_id, partition) =
            place(volume_id, &request.publish_context, &request.volume_context)?;
        let options = filesystem::mount_options(&[], &mount.mount_flags, &fs_type);
        Ok(Some(Self {
            volume_id,
            device_path,
            partition,
            target: target.into(),
            is_read_only: ::node::options::is_read_only(&options),
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
    let host = core.host.as_ref();
    staged(core, host, &ask).await.map_err(|error| status::of(&error))
}

async fn staged(core: &Core, host: &dyn Host, ask: &Ask) -> Result<(), HostError> {
    let device = device::find(host, &ask.device_path, &ask.volume_id, ask.partition).await?;
    host.make_directory(&ask.target).await?;
    let mounts = host.mounts().await?;
    let is_mounted = match Mount::at(&mounts, &ask.target) {
        None => false,
        Some(mount) if is_of(host, mount, &device).await? => true,
        Some(mount) => {
            return Err(HostError::Busy {
                path: ask.target.clone(),
                detail: format!("{} is mounted there, not {}", mount.source, device.path.display()),
            });
        }
    };
    if !is_mounted {
        prepare(core, host, ask, &device).await?;
        host.mount(&request(ask, &device)).await?;
    }
    if ask.is_read_only || device.is_read_only {
        return Ok(());
    }
    grow(host, ask, &device, is_mounted).await
}

fn request(ask: &Ask, device: &BlockDevice) -> MountRequest {
    MountRequest {
        source: device.path.display().to_string(),
        target: ask.target.clone(),
        fs_type: Some(ask.fs_type.clone()),
        options: ask.options.clone(),
    }
}

/// Whether a mount is that of this device, by whatever name it was mounted.
async fn is_of(host: &dyn Host, mount: &Mount, device: &BlockDevice) -> Result<bool, HostError> {
    let source = Path::new(&mount.source);
    if source == device.path {
        return Ok(true);
    }
    if !source.is_absolute() {
        return Ok(false);
    }
    let resolved = host.block_device(source).await?;
    Ok(resolved.is_some_and(|resolved| resolved.path == device.path))
}

async fn prepare(core: &Core, host: &dyn Host, ask: &Ask, device: &BlockDevice) -> Result<(), HostError> {
    let contents = host.contents(&device.path).await?;
    let is_read_only = ask.is_read_only || device.is_read_only;
    match filesystem::preparation(&contents, &ask.fs_type, is_read_only) {
        Preparation::Nothing => Ok(()),
        Preparation::Format => {
            let options = filesystem::mkfs_options(&ask.fs_type, &ask.format, core.config.has_legacy_xfs);
            tracing::info!(
                volume = ask.volume_id,
                device = %device.path.display(),
                fs_type = ask.fs_type,
                "formatting a blank device"
            );
            host.format(&device.path, &ask.fs_type, &options).await
        }
        Preparation::Check => match host.check(&device.path).await? {
            Check::Clean | Check::Repaired => Ok(()),
            Check::Unknown(reason) => {
                tracing::warn!(volume = ask.volume_id, reason, "the file system is not checked");
                Ok(())
            }
            Check::Broken(output) => Err(HostError::ToolFailed {
                tool: "fsck".to_owned(),
                status: "errors were left uncorrected".to_owned(),
                output,
            }),
        },
        Preparation::BlankReadOnly => Err(HostError::Unsupported(format!(
            "mounting the blank device {} read-only, which would have to be formatted first,",
            device.path.display()
        ))),
        Preparation::OtherData => Err(HostError::OtherData {
            device: device.path.clone(),
            found: contents,
            wanted: ask.fs_type.clone(),
        }),
    }
}

/// Grows a file system that is smaller than its device. Where the process may not do that while it is mounted, and
/// nobody uses it yet, it is taken away for the time.
async fn grow(host: &dyn Host, ask: &Ask, device: &BlockDevice, was_mounted: bool) -> Result<(), HostError> {
    let at = Some(ask.target.as_path());
    let size = host.file_system_size(&device.path, &ask.fs_type, at).await?;
    if !filesystem::can_grow(size, device.size) {
        return Ok(());
    }
    match host.grow(&device.path, &ask.fs_type, at).await {
        Err(HostError::CapabilityLacking { operation, .. }) if !was_mounted => {
            tracing::info!(
                volume = ask.volume_id,
                operation,
                "growing the file system unmounted"
            );
            host.unmount(&ask.target).await?;
            host.grow(&device.path, &ask.fs_type, None).await?;
            host.mount(&request(ask, device)).await
        }
        outcome => outcome,
    }
}

pub(super) async fn unstage(core: &Core, request: &NodeUnstageVolumeRequest) -> Result<(), Status> {
    let volume_id = required(&request.volume_id, "volume_id")?;
    let target = required(&request.staging_target_path, "staging_target_path")?;
    let _guard = guard(core, volume_id)?;
    let target = resolved(core, Path::new(target)).await?;
    take_away(core.host.as_ref(), &target)
        .await
        .map_err(|error| status::of(&error))
}

/// Unmounts whatever is mounted at a path and removes it; OK when nothing is there.
pub(super) async fn take_away(host: &dyn Host, target: &Path) -> Result<(), HostError> {
    for _ in 0..MOST_MOUNTS {
        if Mount::at(&host.mounts().await?, target).is_none() {
            break;
        }
        host.unmount(target).await?;
    }
    host.remove(target).await
}
