//! Bringing a volume's device to where pods see it, and away: the order of the primitive acts, the same for every driver.
//! Every function can be repeated.

use std::path::{Path, PathBuf};

use crate::error::HostError;
use crate::filesystem::{self, Preparation};
use crate::host::Host;
use crate::options;
use crate::types::{BlockDevice, Check, Mount, MountRequest, PathKind};

/// So many mounts on top of each other are taken away.
const MOST_MOUNTS: u32 = 16;

/// A device with a file system, and where it is to be mounted.
#[derive(Clone, Debug)]
pub struct Staging {
    /// The volume, for the log.
    pub volume: String,
    /// Its device.
    pub device: BlockDevice,
    /// Where; without links ([`Host::resolved`]).
    pub target: PathBuf,
    /// Which file system, as [`filesystem::wanted`] gives it.
    pub fs_type: String,
    /// How it is made where the device is blank: the arguments of `mkfs.<fs_type>`.
    pub mkfs_options: Vec<String>,
    /// How it is mounted.
    pub options: Vec<String>,
}

impl Staging {
    fn is_read_only(&self) -> bool {
        self.device.is_read_only || options::is_read_only(&self.options)
    }

    fn request(&self) -> MountRequest {
        MountRequest {
            source: self.device.path.display().to_string(),
            target: self.target.clone(),
            fs_type: Some(self.fs_type.clone()),
            options: self.options.clone(),
        }
    }
}

/// Makes the file system where the device is blank, checks it where it is not, mounts it, and lets it be as large as its
/// device.
///
/// # Errors
/// [`HostError::Busy`] when something else is mounted there, [`HostError::OtherData`] when the device holds something
/// else; what the host refuses.
pub async fn stage(host: &dyn Host, staging: &Staging) -> Result<(), HostError> {
    let is_mounted = is_staged(host, staging).await?;
    if !is_mounted {
        host.make_directory(&staging.target).await?;
        prepare(host, staging).await?;
        host.mount(&staging.request()).await?;
    }
    if staging.is_read_only() {
        return Ok(());
    }
    grow_staged(host, staging, is_mounted).await
}

/// Whether the device is mounted where it is to be. What is left there of a device that is gone is taken away: after a
/// forced detachment the volume comes back under another name. That is never done under open files: who has them would
/// go on with a file system that nobody sees any more.
async fn is_staged(host: &dyn Host, staging: &Staging) -> Result<bool, HostError> {
    let target = &staging.target;
    for _ in 0..MOST_MOUNTS {
        let mounts = host.mounts().await?;
        let Some(mount) = Mount::at(&mounts, target) else {
            return Ok(false);
        };
        if is_of(host, mount, &staging.device).await? {
            return Ok(true);
        }
        if !is_gone(host, mount).await {
            let device = staging.device.path.display();
            return Err(HostError::Busy {
                path: target.clone(),
                detail: format!("{} is mounted there, not {device}", mount.source),
            });
        }
        let (volume, source) = (&staging.volume, &mount.source);
        tracing::warn!(volume, source, target = %target.display(), "the device of a mount is gone: it is unmounted");
        host.unmount(target).await?;
    }
    Err(HostError::Busy {
        path: target.clone(),
        detail: "more lies there than can be unmounted".to_owned(),
    })
}

/// Whether a mount is that of a device that does not exist any more. Only the mount of a whole file system is: for a bound
/// folder the kernel may name a device that never had a file, such as `/dev/root`. A device that cannot be looked at is
/// there.
async fn is_gone(host: &dyn Host, mount: &Mount) -> bool {
    let source = Path::new(&mount.source);
    let is_of_device = mount.root == Path::new("/") && source.starts_with("/dev");
    is_of_device && matches!(host.block_device(source).await, Ok(None))
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

async fn prepare(host: &dyn Host, staging: &Staging) -> Result<(), HostError> {
    let Staging {
        volume,
        device,
        fs_type,
        ..
    } = staging;
    let contents = host.contents(&device.path).await?;
    match filesystem::preparation(&contents, fs_type, staging.is_read_only()) {
        Preparation::Nothing => Ok(()),
        Preparation::Format => {
            tracing::info!(volume, device = %device.path.display(), fs_type, "formatting a blank device");
            host.format(&device.path, fs_type, &staging.mkfs_options).await
        }
        Preparation::Check => match host.check(&device.path).await? {
            Check::Clean | Check::Repaired => Ok(()),
            Check::Unknown(reason) => {
                tracing::warn!(volume, reason, "the file system is not checked");
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
            wanted: fs_type.clone(),
        }),
    }
}

/// Grows a file system that is smaller than its device. Where the process may not do that while it is mounted, and
/// nobody uses it yet, it is taken away for the time.
async fn grow_staged(host: &dyn Host, staging: &Staging, was_mounted: bool) -> Result<(), HostError> {
    let (device, fs_type) = (&staging.device, &staging.fs_type);
    match grow(host, device, fs_type, &staging.target).await {
        Err(HostError::CapabilityLacking { operation, .. }) if !was_mounted => {
            let volume = &staging.volume;
            tracing::info!(volume, operation, "growing the file system unmounted");
            host.unmount(&staging.target).await?;
            host.grow(&device.path, fs_type, None).await?;
            host.mount(&staging.request()).await
        }
        outcome => outcome,
    }
}

/// Grows a mounted file system that is noticeably smaller than its device.
///
/// # Errors
/// What the host refuses; [`HostError::CapabilityLacking`] where it can only be grown while it is not mounted.
pub async fn grow(host: &dyn Host, device: &BlockDevice, fs_type: &str, at: &Path) -> Result<(), HostError> {
    let size = host.file_system_size(&device.path, fs_type, Some(at)).await?;
    if filesystem::can_grow(size, device.size) {
        host.grow(&device.path, fs_type, Some(at)).await?;
    }
    Ok(())
}

/// The mount at a path, and the device that is mounted there.
///
/// # Errors
/// [`HostError::DeviceMissing`] when there is none.
pub async fn mounted_device(host: &dyn Host, path: &Path) -> Result<(Mount, BlockDevice), HostError> {
    let mounts = host.mounts().await?;
    let mount = Mount::at(&mounts, path).ok_or_else(|| HostError::DeviceMissing(path.to_owned()))?;
    let device = host.block_device(Path::new(&mount.source)).await?;
    let device = device.ok_or_else(|| HostError::DeviceMissing(mount.source.clone().into()))?;
    Ok((mount.clone(), device))
}

/// Shows a folder, such as the one where a volume is staged, at another place.
///
/// # Errors
/// What the host refuses.
pub async fn bind_directory(
    host: &dyn Host,
    source: &Path,
    target: &Path,
    options: Vec<String>,
) -> Result<(), HostError> {
    if is_there(host, target, &options).await? {
        return Ok(());
    }
    host.make_directory(target).await?;
    host.mount(&bind(source, target, options)).await
}

/// Shows a device as a file at another place.
///
/// # Errors
/// What the host refuses.
pub async fn bind_device(
    host: &dyn Host,
    device: &Path,
    target: &Path,
    options: Vec<String>,
) -> Result<(), HostError> {
    if is_there(host, target, &options).await? {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        host.make_directory(parent).await?;
    }
    host.make_file(target).await?;
    let outcome = host.mount(&bind(device, target, options)).await;
    if outcome.is_err() {
        host.remove(target).await?;
    }
    outcome
}

fn bind(source: &Path, target: &Path, options: Vec<String>) -> MountRequest {
    MountRequest {
        source: source.display().to_string(),
        target: target.to_owned(),
        fs_type: None,
        options,
    }
}

/// The options that every bind mount begins with.
#[must_use]
pub fn bind_options(is_read_only: bool) -> &'static [&'static str] {
    if is_read_only { &["bind", "ro"] } else { &["bind"] }
}

/// Whether something is mounted at the target and answers; what does not answer is taken away, what is of a device that is
/// gone, and what can be written to where it must not.
async fn is_there(host: &dyn Host, target: &Path, options: &[String]) -> Result<bool, HostError> {
    if host.kind(target).await? == Some(PathKind::Corrupted) {
        tracing::warn!(target = %target.display(), "a mount that does not answer is mounted again");
        host.unmount(target).await?;
        return Ok(false);
    }
    let mounts = host.mounts().await?;
    let Some(mount) = Mount::at(&mounts, target) else {
        return Ok(false);
    };
    if is_gone(host, mount).await {
        tracing::warn!(target = %target.display(), "a mount whose device is gone is mounted again");
        host.unmount(target).await?;
        return Ok(false);
    }
    // A bind mount becomes read-only by a second act, before which the process may have died.
    if options::is_read_only(options) && !mount.is_read_only() {
        tracing::warn!(target = %target.display(), "a mount that is to be read-only and is not is mounted again");
        host.unmount(target).await?;
        return Ok(false);
    }
    Ok(true)
}

/// Unmounts whatever is mounted at a path and removes it; OK when nothing is there.
///
/// # Errors
/// [`HostError::Busy`] when it is in use.
pub async fn take_away(host: &dyn Host, target: &Path) -> Result<(), HostError> {
    for _ in 0..MOST_MOUNTS {
        if Mount::at(&host.mounts().await?, target).is_none() {
            break;
        }
        host.unmount(target).await?;
    }
    host.remove(target).await
}
