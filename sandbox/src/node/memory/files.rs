//! Files that lie on volumes: what a container writes and reads below its mounts. They are texts, and belong to the volume: its
//! snapshots and clones have them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ::node::HostError;

use super::devices::Device;
use super::{MemoryHost, View, refused};
use crate::ec2::Disk;

impl MemoryHost {
    /// Adds a line to a file on a volume, as `>>` of a shell does.
    ///
    /// # Errors
    /// No volume is mounted there, none with a file system, or only for reading; or it was detached.
    pub fn append(&self, path: &Path, line: &str) -> Result<(), HostError> {
        self.at_once(|view| {
            let (device, inside) = view.file(path, "append")?;
            let is_read_only = |option: &String| option == "ro";
            let mounted = view.mount_of(path);
            if mounted.is_some_and(|mounted| mounted.mount.options.iter().any(is_read_only)) {
                return Err(refused("append", path, ErrorKind::ReadOnlyFilesystem));
            }
            let mut disk: Disk = device.volume.disk.clone();
            *disk.files.entry(inside).or_default() += &format!("{line}\n");
            view.ec2.write_disk(&device.volume.volume_id, disk);
            Ok(())
        })
    }

    /// The text of a file on a volume.
    ///
    /// # Errors
    /// As of [`MemoryHost::append`], but for what is mounted for reading; or there is no such file.
    pub fn read(&self, path: &Path) -> Result<String, HostError> {
        self.at_once(|view| {
            let (device, inside) = view.file(path, "read")?;
            let text = device.volume.disk.files.get(&inside).cloned();
            text.ok_or_else(|| refused("read", path, ErrorKind::NotFound))
        })
    }
}

impl View<'_> {
    /// The device whose file system holds a path, and the path in it.
    fn file(&self, path: &Path, operation: &'static str) -> Result<(&Device, PathBuf), HostError> {
        let no_file = |kind| refused(operation, path, kind);
        let mounted = self.mount_of(path).filter(|mounted| !mounted.is_block);
        let mounted = mounted.ok_or_else(|| no_file(ErrorKind::NotFound))?;
        let volume_id = mounted.volume_id.as_deref();
        let volume_id = volume_id.ok_or_else(|| no_file(ErrorKind::NotFound))?;
        let device = self.device_of(volume_id);
        let device = device.ok_or_else(|| no_file(ErrorKind::NotConnected))?;
        let inside = path.strip_prefix(&mounted.mount.target).unwrap_or(path);
        Ok((device, inside.to_owned()))
    }
}
