//! Device files, their sizes and serial numbers.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Roots;
use crate::error::HostError;
use crate::types::{BlockDevice, PathKind};

/// Errors of paths whose file system does not answer.
const CORRUPTED: [i32; 5] = [
    5,   // EIO
    103, // ECONNABORTED
    107, // ENOTCONN
    112, // EHOSTDOWN
    116, // ESTALE
];

pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::Io {
        operation,
        path,
        source,
    }
}

/// What is at a path, links followed.
pub(super) fn kind(path: &Path) -> Result<Option<PathKind>, HostError> {
    let file_type = match std::fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error().is_some_and(|code| CORRUPTED.contains(&code)) => {
            return Ok(Some(PathKind::Corrupted));
        }
        Err(error) => return Err(io("stat", path)(error)),
    };
    Ok(Some(if file_type.is_dir() {
        PathKind::Directory
    } else if file_type.is_block_device() {
        PathKind::BlockDevice
    } else if file_type.is_file() {
        PathKind::File
    } else {
        PathKind::Other
    }))
}

/// The device at a path.
pub(super) fn block_device(roots: &Roots, path: &Path) -> Result<Option<BlockDevice>, HostError> {
    match kind(path)? {
        None => return Ok(None),
        Some(PathKind::BlockDevice) => {}
        Some(_) => return Err(HostError::NotADevice(path.to_owned())),
    }
    let path = path.canonicalize().map_err(io("resolve", path))?;
    let size = File::open(&path)
        .and_then(|mut file| file.seek(SeekFrom::End(0)))
        .map_err(io("open", &path))?;
    let of_kernel = of_kernel(roots, &path)?;
    let read = |file: &str| {
        let text = std::fs::read_to_string(of_kernel.join(file)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    // A partition's disk is the folder above it, where the kernel resolves the link of the class.
    let of_disk = || {
        let disk = of_kernel.canonicalize().ok()?;
        let text = std::fs::read_to_string(disk.parent()?.join("device/serial")).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let is_partition = read("partition").is_some();
    let serial = read("device/serial").or_else(|| is_partition.then(of_disk).flatten());
    Ok(Some(BlockDevice {
        serial,
        size,
        is_read_only: read("ro").as_deref() == Some("1"),
        is_partition,
        path,
    }))
}

/// The folder of a device in sysfs, by its number where the path has a name of its own, as what kubelet publishes has.
fn of_kernel(roots: &Roots, path: &Path) -> Result<PathBuf, HostError> {
    let named = roots
        .sys
        .join("class/block")
        .join(path.file_name().unwrap_or_default());
    if named.exists() {
        return Ok(named);
    }
    let number = path.metadata().map_err(io("look at", path))?.rdev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    Ok(roots.sys.join("dev/block").join(format!("{major}:{minor}")))
}

/// Reads a part of a device.
pub(super) fn read_at(device: &Path, offset: u64, length: usize) -> Result<Vec<u8>, HostError> {
    let mut bytes = vec![0; length];
    let read = || {
        let mut file = File::open(device)?;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)
    };
    match { read }() {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(HostError::DeviceMissing(device.to_owned()))
        }
        Err(error) => Err(io("read", device)(error)),
    }
}

/// Refuses a device that anybody uses: the kernel gives it to one exclusive user.
pub(super) fn check_free(device: &Path) -> Result<(), HostError> {
    use std::os::unix::fs::OpenOptionsExt;
    /// `O_EXCL`, which on a block device means: not while it is mounted or otherwise claimed.
    const EXCLUSIVE: i32 = 0o200;
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(EXCLUSIVE)
        .open(device);
    match opened {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(HostError::DeviceMissing(device.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(HostError::Busy {
            path: device.to_owned(),
            detail: "it is mounted, or used by the kernel or another program".to_owned(),
        }),
        Err(error) => Err(io("open", device)(error)),
    }
}
