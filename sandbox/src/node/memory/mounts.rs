//! Mounts, and what is seen at a path.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ::node::{Contents, HostError, Mount, MountRequest, PathKind};

use super::{Mounted, View, refused};

/// Options that are not shown.
const HIDDEN: [&str; 3] = ["bind", "defaults", "rw"];

impl View<'_> {
    /// What is seen at a path of the uppermost mount there.
    pub(super) fn mounted_at(&self, path: &Path) -> Option<&Mounted> {
        self.state
            .mounts
            .iter()
            .rev()
            .find(|one| one.mount.target == path)
    }

    /// The mount that holds a path.
    pub(super) fn mount_of(&self, path: &Path) -> Option<&Mounted> {
        path.ancestors().find_map(|above| self.mounted_at(above))
    }

    /// Whether the volume of a mount is still attached.
    pub(super) fn answers(&self, mounted: &Mounted) -> bool {
        let volume_id = mounted.volume_id.as_deref();
        volume_id.is_none_or(|id| self.device_of(id).is_some())
    }

    pub(super) fn kind(&self, path: &Path) -> Option<PathKind> {
        if let Some(mounted) = self.mounted_at(path) {
            return Some(match mounted.is_block {
                true => PathKind::BlockDevice,
                false if self.answers(mounted) => PathKind::Directory,
                false => PathKind::Corrupted,
            });
        }
        if self.device_at(path).is_some() {
            return Some(PathKind::BlockDevice);
        }
        let is_root = path == Path::new("/") || path == Path::new("/dev");
        let known = self.state.paths.get(path).copied();
        known.or(is_root.then_some(PathKind::Directory))
    }

    pub(super) fn mount(&mut self, request: &MountRequest) -> Result<(), HostError> {
        let is_bind = request.options.iter().any(|option| option == "bind");
        let source = Path::new(&request.source);
        let mut mounted = if is_bind {
            self.bound(source)?
        } else {
            self.file_system(source, request)?
        };
        let wanted = if mounted.is_block {
            PathKind::File
        } else {
            PathKind::Directory
        };
        match self.kind(&request.target) {
            None => return Err(refused("mount", &request.target, ErrorKind::NotFound)),
            Some(found) if found != wanted && !(mounted.is_block && found == PathKind::BlockDevice) => {
                return Err(refused("mount", &request.target, ErrorKind::NotADirectory));
            }
            Some(_) => {}
        }
        let is_read_only = request.options.iter().any(|option| option == "ro");
        let first = if is_read_only { "ro" } else { "rw" };
        let others = request.options.iter().map(String::as_str);
        let others = others.filter(|option| !HIDDEN.contains(option) && *option != "ro");
        mounted.mount.options = [first].into_iter().chain(others).map(str::to_owned).collect();
        mounted.mount.target.clone_from(&request.target);
        self.state.mounts.push(mounted);
        Ok(())
    }

    /// What is bound when this path is.
    fn bound(&self, source: &Path) -> Result<Mounted, HostError> {
        if let Some(device) = self.device_at(source) {
            return Ok(Mounted {
                mount: Mount {
                    source: "devtmpfs".to_owned(),
                    root: Path::new("/").join(device.path.file_name().unwrap_or_default()),
                    fs_type: "devtmpfs".to_owned(),
                    ..Mount::default()
                },
                volume_id: Some(device.volume.volume_id.clone()),
                is_block: true,
            });
        }
        if self.kind(source).is_none() {
            return Err(refused("mount", source, ErrorKind::NotFound));
        }
        Ok(self.mount_of(source).cloned().unwrap_or_else(|| Mounted {
            mount: Mount {
                source: "/dev/root".to_owned(),
                root: source.to_owned(),
                fs_type: "ext4".to_owned(),
                ..Mount::default()
            },
            volume_id: None,
            is_block: false,
        }))
    }

    /// The file system of a device.
    fn file_system(&self, source: &Path, request: &MountRequest) -> Result<Mounted, HostError> {
        let device = self.device(source)?;
        let wanted = request.fs_type.as_deref().unwrap_or_default();
        let fits = match &device.volume.disk.contents {
            Contents::FileSystem(found) => found == wanted || is_ext(found) && is_ext(wanted),
            Contents::Blank | Contents::PartitionTable(_) => false,
        };
        if !fits {
            return Err(refused("mount", source, ErrorKind::InvalidInput));
        }
        Ok(Mounted {
            mount: Mount {
                source: device.path.display().to_string(),
                root: PathBuf::from("/"),
                fs_type: wanted.to_owned(),
                ..Mount::default()
            },
            volume_id: Some(device.volume.volume_id.clone()),
            is_block: false,
        })
    }

    /// Whether a file system of this volume is mounted.
    pub(super) fn is_mounted(&self, volume_id: &str) -> bool {
        let of_volume = |one: &Mounted| one.volume_id.as_deref() == Some(volume_id) && !one.is_block;
        self.state.mounts.iter().any(of_volume)
    }
}

fn is_ext(fs_type: &str) -> bool {
    matches!(fs_type, "ext2" | "ext3" | "ext4")
}
