//! A machine for tests without root: folders and files are real, mounts and file systems are in memory, and a file is its
//! own loop device. Behind the feature `testing`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::error::HostError;
use crate::host::Host;
use crate::loops::Loops;
use crate::types::{BlockDevice, Check, Contents, Mount, MountRequest, PathKind, Statistics, Usage};

/// The usual size of a device that is no file, and that of what every path lies on, in bytes.
const GIB: u64 = 1 << 30;

/// Writes a program, a line of shell, in place of what was there.
///
/// Another process writes it: a child that is begun meanwhile copies what this one has open, and a program that anybody has
/// open for writing cannot be run.
///
/// # Errors
/// It cannot be written.
pub fn program(path: &Path, line: &str) -> io::Result<()> {
    let mut writer = Command::new("sh")
        .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(mut to) = writer.stdin.take() {
        write!(to, "#!/bin/sh\n{line}\n")?;
    }
    match writer.wait()?.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{} cannot be written", path.display()))),
    }
}

/// The machine. Every device that is asked for is there.
#[derive(Debug, Default)]
pub struct Machine {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mounts: Vec<Mount>,
    /// Type and size of the file systems that were made, by device.
    made: BTreeMap<PathBuf, (String, u64)>,
    /// Files that are loop devices, with the size that the device has.
    loops: BTreeMap<PathBuf, u64>,
    formats: u32,
    /// The size of a device that is no file, where it is not one GiB.
    device_size: Option<u64>,
    /// Capabilities that the process lacks.
    lacks_growing: bool,
}

impl Machine {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A machine whose devices, but for loop devices, have so many bytes.
    #[must_use]
    pub fn with_device_size(bytes: u64) -> Self {
        let machine = Self::default();
        machine.with(|state| state.device_size = Some(bytes));
        machine
    }

    /// How often a file system was made.
    #[must_use]
    pub fn formats(&self) -> u32 {
        self.with(|state| state.formats)
    }

    /// The files that are loop devices.
    #[must_use]
    pub fn loops(&self) -> BTreeSet<PathBuf> {
        self.with(|state| state.loops.keys().cloned().collect())
    }

    /// Lets the kernel forbid to grow what is mounted, or not.
    pub fn forbid_growing(&self, is_forbidden: bool) {
        self.with(|state| state.lacks_growing = is_forbidden);
    }
}

impl State {
    fn size(&self, device: &Path) -> u64 {
        let size = self.loops.get(device).copied();
        size.unwrap_or(self.device_size.unwrap_or(GIB))
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::Io {
        operation: "change",
        path,
        source,
    }
}

fn length(file: &Path) -> Result<u64, HostError> {
    Ok(std::fs::metadata(file).map_err(failed(file))?.len())
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
            size: self.with(|state| state.size(path)),
            is_read_only: false,
            is_partition: false,
        }))
    }

    async fn contents(&self, device: &Path) -> Result<Contents, HostError> {
        let made = self.with(|state| state.made.get(device).map(|(fs_type, _)| fs_type.clone()));
        Ok(made.map_or(Contents::Blank, Contents::FileSystem))
    }

    async fn format(&self, device: &Path, fs_type: &str, _: &[String]) -> Result<(), HostError> {
        self.with(|state| {
            let size = state.size(device);
            state.made.insert(device.to_owned(), (fs_type.to_owned(), size));
            state.formats += 1;
        });
        Ok(())
    }

    async fn check(&self, _: &Path) -> Result<Check, HostError> {
        Ok(Check::Clean)
    }

    async fn file_system_size(&self, device: &Path, _: &str, _: Option<&Path>) -> Result<u64, HostError> {
        Ok(self.with(|state| state.made.get(device).map_or(GIB, |(_, size)| *size)))
    }

    async fn grow(&self, device: &Path, fs_type: &str, at: Option<&Path>) -> Result<(), HostError> {
        self.with(|state| {
            if at.is_some() && state.lacks_growing {
                return Err(HostError::CapabilityLacking {
                    operation: format!("growing the mounted {fs_type}"),
                    capability: "CAP_SYS_RESOURCE",
                    advice: "grant it",
                });
            }
            let size = state.size(device);
            state.made.insert(device.to_owned(), (fs_type.to_owned(), size));
            Ok(())
        })
    }

    async fn mounts(&self) -> Result<Vec<Mount>, HostError> {
        Ok(self.with(|state| state.mounts.clone()))
    }

    async fn mount(&self, request: &MountRequest) -> Result<(), HostError> {
        self.with(|state| {
            let below = Mount::at(&state.mounts, Path::new(&request.source));
            let source = below.map_or(request.source.clone(), |mount| mount.source.clone());
            let fs_type = below.map_or("ext4".to_owned(), |mount| mount.fs_type.clone());
            state.mounts.push(Mount {
                source,
                root: PathBuf::from("/"),
                target: request.target.clone(),
                fs_type: request.fs_type.clone().unwrap_or(fs_type),
                options: request.options.clone(),
            });
        });
        Ok(())
    }

    async fn unmount(&self, target: &Path) -> Result<(), HostError> {
        self.with(|state| {
            if let Some(at) = state.mounts.iter().rposition(|mount| mount.target == target) {
                state.mounts.remove(at);
            }
        });
        Ok(())
    }

    async fn kind(&self, path: &Path) -> Result<Option<PathKind>, HostError> {
        Ok(std::fs::metadata(path).ok().map(|found| {
            if found.is_dir() {
                PathKind::Directory
            } else if self.with(|state| Mount::at(&state.mounts, path).is_some()) {
                PathKind::BlockDevice
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
        let removed = match std::fs::metadata(path) {
            Err(_) => return Ok(()),
            Ok(found) if found.is_dir() => std::fs::remove_dir(path),
            Ok(_) => std::fs::remove_file(path),
        };
        removed.map_err(failed(path))
    }

    async fn statistics(&self, _: &Path) -> Result<Statistics, HostError> {
        let bytes = Usage {
            total: GIB,
            used: 0,
            available: GIB,
        };
        Ok(Statistics { bytes, inodes: None })
    }
}

#[async_trait]
impl Loops for Machine {
    async fn over(&self, file: &Path) -> Result<Vec<PathBuf>, HostError> {
        length(file)?;
        let is_one = self.with(|state| state.loops.contains_key(file));
        Ok(is_one.then(|| file.to_owned()).into_iter().collect())
    }

    async fn attach(&self, file: &Path) -> Result<PathBuf, HostError> {
        self.follow_size(file).await?;
        Ok(file.to_owned())
    }

    async fn follow_size(&self, device: &Path) -> Result<(), HostError> {
        let size = length(device)?;
        self.with(|state| state.loops.insert(device.to_owned(), size));
        Ok(())
    }

    async fn detach(&self, device: &Path) -> Result<(), HostError> {
        self.with(|state| state.loops.remove(device));
        Ok(())
    }
}
