//! A machine on which every device is there: folders are real, mounts are in memory.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use node::{BlockDevice, Check, Contents, Host, HostError, Mount, MountRequest, PathKind, Statistics, Usage};

#[derive(Default)]
pub struct Machine {
    mounts: Mutex<Vec<Mount>>,
}

impl Machine {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<Mount>) -> T) -> T {
        act(&mut self.mounts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::Io {
        operation: "change",
        path,
        source,
    }
}

#[async_trait]
impl Host for Machine {
    fn dev(&self) -> &Path {
        Path::new("/dev")
    }

    async fn block_device(&self, path: &Path) -> Result<Option<BlockDevice>, HostError> {
        Ok(Some(BlockDevice {
            path: path.to_owned(),
            serial: None,
            size: 1 << 30,
            is_read_only: false,
        }))
    }

    async fn contents(&self, _: &Path) -> Result<Contents, HostError> {
        Ok(Contents::Blank)
    }

    async fn format(&self, _: &Path, _: &str, _: &[String]) -> Result<(), HostError> {
        Ok(())
    }

    async fn check(&self, _: &Path) -> Result<Check, HostError> {
        Ok(Check::Clean)
    }

    async fn file_system_size(&self, _: &Path, _: &str, _: Option<&Path>) -> Result<u64, HostError> {
        Ok(1 << 30)
    }

    async fn grow(&self, _: &Path, _: &str, _: Option<&Path>) -> Result<(), HostError> {
        Ok(())
    }

    async fn mounts(&self) -> Result<Vec<Mount>, HostError> {
        Ok(self.with(|mounts| mounts.clone()))
    }

    async fn mount(&self, request: &MountRequest) -> Result<(), HostError> {
        self.with(|mounts| {
            let below = Mount::at(mounts, Path::new(&request.source));
            let source = below.map_or(request.source.clone(), |mount| mount.source.clone());
            mounts.push(Mount {
                source,
                root: PathBuf::from("/"),
                target: request.target.clone(),
                fs_type: request.fs_type.clone().unwrap_or_else(|| "ext4".to_owned()),
                options: request.options.clone(),
            });
        });
        Ok(())
    }

    async fn unmount(&self, target: &Path) -> Result<(), HostError> {
        self.with(|mounts| {
            if let Some(at) = mounts.iter().rposition(|mount| mount.target == target) {
                mounts.remove(at);
            }
        });
        Ok(())
    }

    async fn kind(&self, path: &Path) -> Result<Option<PathKind>, HostError> {
        Ok(std::fs::metadata(path).ok().map(|found| {
            if found.is_dir() {
                PathKind::Directory
            } else {
                PathKind::File
            }
        }))
    }

    async fn make_directory(&self, path: &Path) -> Result<(), HostError> {
        std::fs::create_dir_all(path).map_err(failed(path))
    }

    async fn make_file(&self, path: &Path) -> Result<(), HostError> {
        std::fs::write(path, "").map_err(failed(path))
    }

    async fn remove(&self, path: &Path) -> Result<(), HostError> {
        match self.kind(path).await? {
            None => Ok(()),
            Some(PathKind::Directory) => std::fs::remove_dir(path).map_err(failed(path)),
            Some(_) => std::fs::remove_file(path).map_err(failed(path)),
        }
    }

    async fn statistics(&self, _: &Path) -> Result<Statistics, HostError> {
        let bytes = Usage {
            total: 1 << 30,
            used: 0,
            available: 1 << 30,
        };
        Ok(Statistics { bytes, inodes: None })
    }
}
