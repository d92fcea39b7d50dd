//! The machine as a node service sees it.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::error::HostError;
use crate::types::{BlockDevice, Check, Contents, Mount, MountRequest, PathKind, Statistics};

/// One machine. Every method is one primitive act or question, knows no rule of a driver, and can be repeated.
///
/// Dropping a future gives the act up: a program that it started is killed. What has been done by then stays. Who serves calls
/// lets them end whatever becomes of the caller.
#[async_trait]
pub trait Host: Send + Sync {
    /// The folder of the devices and of the links to them, `/dev` on a machine. What a driver calls `/dev/xvdaa` is
    /// asked for as `xvdaa` below it.
    fn dev(&self) -> &Path;

    /// The device at a path, links followed; `None` when nothing is there, or a link that leads nowhere.
    ///
    /// # Errors
    /// [`HostError::NotADevice`] when something else is there.
    async fn block_device(&self, path: &Path) -> Result<Option<BlockDevice>, HostError>;

    /// What lies on a device, by its signatures. A device that cannot be read is an error, never blank.
    ///
    /// # Errors
    /// When the device cannot be read or the tool is missing or fails.
    async fn contents(&self, device: &Path) -> Result<Contents, HostError>;

    /// Makes a file system on a device, whatever lies there: the caller has looked. `options` are those of
    /// `mkfs.<fs_type>`, in this order.
    ///
    /// # Errors
    /// [`HostError::Busy`] when the device is in use, and when the tool is missing or fails.
    async fn format(&self, device: &Path, fs_type: &str, options: &[String]) -> Result<(), HostError>;

    /// Checks the file system of a device that is not mounted, and repairs what can be repaired safely.
    ///
    /// # Errors
    /// When the check cannot be started or does not end. A missing tool is [`Check::Unknown`].
    async fn check(&self, device: &Path) -> Result<Check, HostError>;

    /// The size in bytes up to which the file system of a device reaches: below that of the device when it can grow.
    /// `mount_point` says where it is mounted, if it is.
    ///
    /// # Errors
    /// [`HostError::Unsupported`] for types of which it is not known how to ask; when the device cannot be read.
    async fn file_system_size(
        &self,
        device: &Path,
        fs_type: &str,
        mount_point: Option<&Path>,
    ) -> Result<u64, HostError>;

    /// Grows the file system to the size of its device. `mount_point` says where it is mounted, if it is.
    ///
    /// # Errors
    /// [`HostError::CapabilityLacking`] when the kernel does not let this process do it,
    /// [`HostError::Unsupported`] for other types and for those that grow only while mounted (xfs, btrfs).
    async fn grow(&self, device: &Path, fs_type: &str, mount_point: Option<&Path>) -> Result<(), HostError>;

    /// All mounts, oldest first.
    ///
    /// # Errors
    /// When the table cannot be read.
    async fn mounts(&self) -> Result<Vec<Mount>, HostError>;

    /// Mounts. With option `bind` flags such as `ro` hold for this mount alone.
    ///
    /// # Errors
    /// [`HostError::Busy`] when the device is in use otherwise; when the kernel or the helper refuses. Then nothing
    /// is left mounted.
    async fn mount(&self, request: &MountRequest) -> Result<(), HostError>;

    /// Takes the uppermost mount of this target away; OK when nothing is mounted there.
    ///
    /// # Errors
    /// [`HostError::Busy`] when it is in use.
    async fn unmount(&self, target: &Path) -> Result<(), HostError>;

    /// The path with every link in it followed, as [`Host::mounts`] has it; what is not there yet is kept. A host without
    /// links has nothing to do.
    ///
    /// # Errors
    /// When the path is not absolute, or cannot be looked at.
    async fn resolved(&self, path: &Path) -> Result<PathBuf, HostError> {
        Ok(path.to_owned())
    }

    /// What is at a path, links followed; `None` when nothing is.
    ///
    /// # Errors
    /// When it cannot be looked at, except for a file system that does not answer ([`PathKind::Corrupted`]).
    async fn kind(&self, path: &Path) -> Result<Option<PathKind>, HostError>;

    /// Makes a directory and those above it, mode 0755; OK when it is there.
    ///
    /// # Errors
    /// When the operating system refuses, or something else is there.
    async fn make_directory(&self, path: &Path) -> Result<(), HostError>;

    /// Makes an empty file in a directory that is there; OK when there is a file already.
    ///
    /// # Errors
    /// When the operating system refuses, or something else is there.
    async fn make_file(&self, path: &Path) -> Result<(), HostError>;

    /// Removes a file, an empty directory or a link, never what is in it; OK when nothing is there.
    ///
    /// # Errors
    /// When the operating system refuses, such as for a directory that is not empty.
    async fn remove(&self, path: &Path) -> Result<(), HostError>;

    /// Statistics of the file system that holds this path.
    ///
    /// # Errors
    /// When the operating system refuses.
    async fn statistics(&self, path: &Path) -> Result<Statistics, HostError>;
}
