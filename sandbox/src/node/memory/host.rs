//! The trait over the machine in memory.

use std::io::ErrorKind;
use std::path::Path;

use ::node::{
    BlockDevice, Check, Contents, Host, HostError, Mount, MountRequest, PathKind, Statistics, Usage,
};
use async_trait::async_trait;

use super::{MemoryHost, View, refused};
use crate::ec2::Disk;

/// Types that can be made, mounted and grown.
const KNOWN: [&str; 5] = ["ext2", "ext3", "ext4", "xfs", "btrfs"];
/// What a new file system uses for itself.
const OWN_BYTES: u64 = 1 << 20;
const BYTES_PER_INODE: u64 = 16 << 10;
const OWN_INODES: u64 = 11;
/// The file system that everything lies on that lies on no other.
const ROOT_BYTES: u64 = 8 << 30;

fn usage(total: u64, own: u64) -> Usage {
    Usage {
        total,
        used: own.min(total),
        available: total.saturating_sub(own),
    }
}

impl View<'_> {
    fn grow(&self, device: &Path, fs_type: &str, mount_point: Option<&Path>) -> Result<(), HostError> {
        let found = self.device(device)?;
        let (volume, disk) = (&found.volume.volume_id, &found.volume.disk);
        if disk.contents == Contents::Blank || !KNOWN.contains(&fs_type) {
            return Err(HostError::Unsupported(format!("growing {fs_type}")));
        }
        let is_there = mount_point.is_none_or(|at| {
            self.mounted_at(at)
                .is_some_and(|mounted| mounted.volume_id.as_ref() == Some(volume))
        });
        if !is_there {
            return Err(refused("grow", device, ErrorKind::NotFound));
        }
        match (fs_type, mount_point) {
            ("xfs" | "btrfs", None) => {
                return Err(HostError::Unsupported(format!(
                    "growing {fs_type} while it is not mounted"
                )));
            }
            (_, None) if self.is_mounted(volume) => return Err(busy(device)),
            _ => {}
        }
        let grown = Disk {
            bytes: found.volume.bytes,
            ..disk.clone()
        };
        self.ec2.write_disk(volume, grown);
        Ok(())
    }

    fn make(&mut self, path: &Path, kind: PathKind) -> Result<(), HostError> {
        match self.kind(path) {
            None => {
                self.state.paths.insert(path.to_owned(), kind);
                Ok(())
            }
            Some(found) if found == kind || kind == PathKind::File && found == PathKind::BlockDevice => {
                Ok(())
            }
            Some(_) => Err(refused("make", path, ErrorKind::AlreadyExists)),
        }
    }

    fn remove(&mut self, path: &Path) -> Result<(), HostError> {
        if self.mounted_at(path).is_some() {
            return Err(refused("remove", path, ErrorKind::ResourceBusy));
        }
        let is_below = |other: &&std::path::PathBuf| other.starts_with(path) && *other != path;
        if self.state.paths.keys().any(|other| is_below(&other)) {
            return Err(refused("remove", path, ErrorKind::DirectoryNotEmpty));
        }
        self.state.paths.remove(path);
        Ok(())
    }

    fn statistics(&self, path: &Path) -> Result<Statistics, HostError> {
        let bytes = match self.mount_of(path) {
            None if self.kind(path).is_none() => return Err(refused("statfs", path, ErrorKind::NotFound)),
            None => ROOT_BYTES,
            Some(mounted) => match mounted.volume_id.as_deref().map(|id| self.device_of(id)) {
                None => ROOT_BYTES,
                Some(Some(device)) => device.volume.disk.bytes,
                Some(None) => return Err(refused("statfs", path, ErrorKind::NotConnected)),
            },
        };
        Ok(Statistics {
            bytes: usage(bytes, OWN_BYTES),
            inodes: Some(usage(bytes / BYTES_PER_INODE, OWN_INODES)),
        })
    }
}

fn busy(device: &Path) -> HostError {
    HostError::Busy {
        path: device.to_owned(),
        detail: "it is mounted".to_owned(),
    }
}

#[async_trait]
impl Host for MemoryHost {
    fn dev(&self) -> &Path {
        Path::new("/dev")
    }

    async fn block_device(&self, path: &Path) -> Result<Option<BlockDevice>, HostError> {
        self.at_once(|view| match (view.device_at(path), view.kind(path)) {
            (Some(device), _) => Ok(Some(device.shown())),
            (None, None | Some(PathKind::BlockDevice)) => Ok(None),
            (None, Some(_)) => Err(HostError::NotADevice(path.to_owned())),
        })
    }

    async fn contents(&self, device: &Path) -> Result<Contents, HostError> {
        self.at_once(|view| Ok(view.device(device)?.volume.disk.contents.clone()))
    }

    async fn format(&self, device: &Path, fs_type: &str, _options: &[String]) -> Result<(), HostError> {
        self.at_once(|view| {
            let found = view.device(device)?;
            if view.is_mounted(&found.volume.volume_id) {
                return Err(busy(device));
            }
            if !KNOWN.contains(&fs_type) {
                return Err(HostError::ToolMissing {
                    tool: format!("mkfs.{fs_type}"),
                    package: "e2fsprogs",
                });
            }
            let made = Disk::file_system(fs_type, found.volume.bytes);
            view.ec2.write_disk(&found.volume.volume_id, made);
            Ok(())
        })
    }

    async fn check(&self, device: &Path) -> Result<Check, HostError> {
        self.at_once(|view| {
            Ok(match &view.device(device)?.volume.disk.contents {
                Contents::FileSystem(name) if KNOWN.contains(&name.as_str()) => Check::Clean,
                found => Check::Unknown(format!("{found} cannot be checked")),
            })
        })
    }

    async fn file_system_size(
        &self,
        device: &Path,
        fs_type: &str,
        _mount_point: Option<&Path>,
    ) -> Result<u64, HostError> {
        self.at_once(|view| {
            let disk = &view.device(device)?.volume.disk;
            match &disk.contents {
                Contents::FileSystem(_) => Ok(disk.bytes),
                _ => Err(HostError::Unsupported(format!("the size of a {fs_type}"))),
            }
        })
    }

    async fn grow(&self, device: &Path, fs_type: &str, mount_point: Option<&Path>) -> Result<(), HostError> {
        self.at_once(|view| view.grow(device, fs_type, mount_point))
    }

    async fn mounts(&self) -> Result<Vec<Mount>, HostError> {
        self.at_once(|view| Ok(view.state.mounts.iter().map(|one| one.mount.clone()).collect()))
    }

    async fn mount(&self, request: &MountRequest) -> Result<(), HostError> {
        self.at_once(|view| view.mount(request))
    }

    async fn unmount(&self, target: &Path) -> Result<(), HostError> {
        self.at_once(|view| {
            let mounts = &mut view.state.mounts;
            if let Some(at) = mounts.iter().rposition(|one| one.mount.target == target) {
                mounts.remove(at);
            }
            Ok(())
        })
    }

    async fn kind(&self, path: &Path) -> Result<Option<PathKind>, HostError> {
        self.at_once(|view| Ok(view.kind(path)))
    }

    async fn make_directory(&self, path: &Path) -> Result<(), HostError> {
        self.at_once(|view| {
            let mut all: Vec<&Path> = path.ancestors().collect();
            all.reverse();
            all.into_iter()
                .try_for_each(|one| view.make(one, PathKind::Directory))
        })
    }

    async fn make_file(&self, path: &Path) -> Result<(), HostError> {
        self.at_once(|view| {
            let parent = path.parent().and_then(|parent| view.kind(parent));
            if parent != Some(PathKind::Directory) {
                return Err(refused("make", path, ErrorKind::NotFound));
            }
            view.make(path, PathKind::File)
        })
    }

    async fn remove(&self, path: &Path) -> Result<(), HostError> {
        self.at_once(|view| view.remove(path))
    }

    async fn statistics(&self, path: &Path) -> Result<Statistics, HostError> {
        self.at_once(|view| view.statistics(path))
    }
}
