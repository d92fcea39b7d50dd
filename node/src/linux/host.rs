//! The trait over the machine. What may wait for a device runs beside the other tasks.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{LinuxHost, devices, mounts, nvme, paths, size, tools};
use crate::error::HostError;
use crate::host::Host;
use crate::nvme::Disks;
use crate::types::{BlockDevice, Check, Contents, Mount, MountRequest, PathKind, Statistics, Usage};

/// Runs what may block. It cannot be given up in the middle: its result is then dropped.
pub(super) async fn blocking<T: Send + 'static>(
    path: &Path,
    act: impl FnOnce() -> Result<T, HostError> + Send + 'static,
) -> Result<T, HostError> {
    match tokio::task::spawn_blocking(act).await {
        Ok(outcome) => outcome,
        Err(error) => Err(devices::io("look at", path)(std::io::Error::other(error))),
    }
}

#[async_trait]
impl Host for LinuxHost {
    fn dev(&self) -> &Path {
        &self.roots.dev
    }

    async fn block_device(&self, path: &Path) -> Result<Option<BlockDevice>, HostError> {
        let (roots, of_act) = (self.roots.clone(), path.to_owned());
        blocking(path, move || devices::block_device(&roots, &of_act)).await
    }

    async fn contents(&self, device: &Path) -> Result<Contents, HostError> {
        let of_act = device.to_owned();
        blocking(device, move || devices::read_at(&of_act, 0, 4096)).await?;
        tools::contents(&self.tools, device).await
    }

    async fn format(&self, device: &Path, fs_type: &str, options: &[String]) -> Result<(), HostError> {
        let of_act = device.to_owned();
        blocking(device, move || devices::check_free(&of_act)).await?;
        tools::format(&self.tools, device, fs_type, options).await
    }

    async fn check(&self, device: &Path) -> Result<Check, HostError> {
        tools::check(&self.tools, device).await
    }

    async fn file_system_size(
        &self,
        device: &Path,
        fs_type: &str,
        mount_point: Option<&Path>,
    ) -> Result<u64, HostError> {
        size::of(&self.tools, device, fs_type, mount_point).await
    }

    async fn grow(&self, device: &Path, fs_type: &str, mount_point: Option<&Path>) -> Result<(), HostError> {
        tools::grow(&self.tools, device, fs_type, mount_point).await
    }

    async fn mounts(&self) -> Result<Vec<Mount>, HostError> {
        let proc = self.roots.proc.clone();
        blocking(&self.roots.proc, move || mounts::table(&proc)).await
    }

    async fn mount(&self, request: &MountRequest) -> Result<(), HostError> {
        if mounts::needs_helper(request) {
            return tools::mount(&self.tools, request).await;
        }
        let of_act = request.clone();
        blocking(&request.target, move || mounts::mount_natively(&of_act)).await
    }

    async fn unmount(&self, target: &Path) -> Result<(), HostError> {
        let of_act = target.to_owned();
        blocking(target, move || mounts::unmount_one(&of_act)).await
    }

    async fn resolved(&self, path: &Path) -> Result<PathBuf, HostError> {
        let of_act = path.to_owned();
        blocking(path, move || paths::resolved(&of_act)).await
    }

    async fn kind(&self, path: &Path) -> Result<Option<PathKind>, HostError> {
        let of_act = path.to_owned();
        blocking(path, move || devices::kind(&of_act)).await
    }

    async fn make_directory(&self, path: &Path) -> Result<(), HostError> {
        let of_act = path.to_owned();
        blocking(path, move || {
            use std::os::unix::fs::DirBuilderExt;
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o755);
            builder
                .create(&of_act)
                .map_err(devices::io("make directory", &of_act))
        })
        .await
    }

    async fn make_file(&self, path: &Path) -> Result<(), HostError> {
        let of_act = path.to_owned();
        blocking(path, move || {
            let mut options = std::fs::OpenOptions::new();
            options.create(true).append(true);
            let made = options.open(&of_act).map(drop);
            made.map_err(devices::io("make file", &of_act))
        })
        .await
    }

    async fn remove(&self, path: &Path) -> Result<(), HostError> {
        let of_act = path.to_owned();
        blocking(path, move || {
            let removed = match std::fs::symlink_metadata(&of_act) {
                Ok(metadata) if metadata.is_dir() => std::fs::remove_dir(&of_act),
                Ok(_) => std::fs::remove_file(&of_act),
                Err(error) => Err(error),
            };
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(devices::io("remove", &of_act)(error))
                }
                _ => Ok(()),
            }
        })
        .await
    }

    async fn statistics(&self, path: &Path) -> Result<Statistics, HostError> {
        let of_act = path.to_owned();
        blocking(path, move || {
            let answer =
                rustix::fs::statvfs(&of_act).map_err(|error| devices::io("statfs", &of_act)(error.into()))?;
            let bytes = |blocks: u64| blocks.saturating_mul(answer.f_frsize);
            Ok(Statistics {
                bytes: Usage {
                    total: bytes(answer.f_blocks),
                    used: bytes(answer.f_blocks.saturating_sub(answer.f_bfree)),
                    available: bytes(answer.f_bavail),
                },
                inodes: (answer.f_files > 0).then(|| Usage {
                    total: answer.f_files,
                    used: answer.f_files.saturating_sub(answer.f_ffree),
                    available: answer.f_ffree,
                }),
            })
        })
        .await
    }
}

impl Disks for LinuxHost {
    fn mounts(&self) -> Result<Vec<Mount>, HostError> {
        mounts::table(&self.roots.proc)
    }

    fn serial(&self, disk: &Path) -> Option<String> {
        let name = disk.file_name()?;
        let path = self
            .roots
            .sys
            .join("class/block")
            .join(name)
            .join("device/serial");
        let text = std::fs::read_to_string(path).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn log_page(&self, disk: &Path, page: u8, length: usize) -> Result<Vec<u8>, HostError> {
        nvme::log_page(disk, page, length)
    }
}
