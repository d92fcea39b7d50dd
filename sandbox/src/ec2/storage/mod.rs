//! Volumes with data: each is a sparse file, an attached one is a loop device with the links that a node service looks
//! for, a snapshot is a copy of the file. It needs root.
//!
//! After every request what is there is brought in line with what EC2 says ([`Storage::reconcile`]), before the answer
//! is given: whoever sees a volume as attached finds its device, whoever sees a modification in effect finds it larger.
//!
//! | Module | Subject |
//! |---|---|
//! | `files` | sparse files and their copies |
//! | `loops` | loop devices, and what is mounted from them |
//! | `places` | links and serial numbers, one set an instance |

mod files;
mod loops;
mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use ::node::linux::{LinuxHost, Roots};
use jiff::Timestamp;
use thiserror::Error;

use self::loops::LoopDevice;
use self::places::Place;
use super::Ec2;
use super::model::volume::Volume;
use super::state::State;

const PARTS: [&str; 3] = ["volumes", "snapshots", "instances"];

/// Why data could not be kept.
#[derive(Debug, Error)]
pub enum StorageError {
    /// This machine or this process cannot have loop devices.
    #[error(
        "loop devices cannot be had here ({reason}); run as root on Linux with losetup and the loop driver"
    )]
    NoLoopDevices {
        /// What was missing.
        reason: String,
    },
    /// A program failed.
    #[error("{tool} failed: {output}")]
    Tool {
        /// With its arguments.
        tool: String,
        /// What it said.
        output: String,
    },
    /// The operating system refused.
    #[error("{operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
}

fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    let path = path.to_owned();
    move |source| StorageError::Io {
        operation,
        path,
        source,
    }
}

/// Where the data of volumes and snapshots are kept. When it is dropped nothing is left: what is mounted from its
/// devices is unmounted, devices are released, and what it put into its folder is removed.
#[derive(Debug)]
pub struct Storage {
    folder: PathBuf,
    volumes: BTreeMap<String, Backed>,
    snapshots: BTreeSet<String>,
    /// Devices without a volume, that something is mounted from.
    pulled_out: Vec<LoopDevice>,
}

/// A volume with its file.
#[derive(Debug, Default)]
struct Backed {
    bytes: u64,
    device: Option<LoopDevice>,
    places: BTreeMap<String, Place>,
}

impl Storage {
    /// Keeps data in this folder, which is made if it is not there. Two cannot have the same.
    ///
    /// # Errors
    /// [`StorageError::NoLoopDevices`] where it cannot work; when the folder cannot be made or is used already.
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self, StorageError> {
        let folder = folder.into();
        loops::check()?;
        std::fs::create_dir_all(&folder).map_err(io("make", &folder))?;
        for part in PARTS {
            let path = folder.join(part);
            std::fs::create_dir(&path).map_err(io("make", &path))?;
        }
        Ok(Self {
            folder,
            volumes: BTreeMap::new(),
            snapshots: BTreeSet::new(),
            pulled_out: Vec::new(),
        })
    }

    fn volume_file(&self, id: &str) -> PathBuf {
        self.folder.join("volumes").join(id)
    }

    fn snapshot_file(&self, id: &str) -> PathBuf {
        self.folder.join("snapshots").join(id)
    }

    fn instance(&self, id: &str) -> PathBuf {
        self.folder.join("instances").join(id)
    }

    /// Where the machine of an instance finds its devices.
    fn roots(&self, instance_id: &str) -> Result<Roots, StorageError> {
        let folder = self.instance(instance_id);
        let (dev, sys) = (folder.join("dev"), folder.join("sys"));
        for path in [&dev, &sys] {
            std::fs::create_dir_all(path).map_err(io("make", path))?;
        }
        Ok(Roots {
            dev,
            sys,
            ..Roots::default()
        })
    }

    /// Brings what is there in line with what EC2 says. A volume that cannot be filled and a snapshot that cannot be
    /// taken end in state `error`.
    ///
    /// # Errors
    /// What else failed; it is tried again the next time.
    pub(super) fn reconcile(&mut self, state: &mut State, now: Timestamp) -> Result<(), StorageError> {
        self.take_snapshots(state, now);
        self.fill_volumes(state);
        self.forget(state)?;
        for (id, volume) in &state.volumes {
            self.resize(id, volume)?;
            self.place(id, volume, now)?;
        }
        self.release_pulled_out()
    }

    fn take_snapshots(&mut self, state: &mut State, now: Timestamp) {
        for (id, snapshot) in &mut state.snapshots {
            if snapshot.fails || !self.snapshots.insert(id.clone()) {
                continue;
            }
            let source = self.volume_file(&snapshot.volume_id);
            if let Err(error) = files::copy(&source, &self.snapshot_file(id)) {
                tracing::error!(snapshot = id, %error, "the snapshot is not taken");
                snapshot.fails = true;
                snapshot.completed_at = snapshot.completed_at.min(now);
            }
        }
    }

    fn fill_volumes(&mut self, state: &mut State) {
        for (id, volume) in &mut state.volumes {
            if volume.fails || self.volumes.contains_key(id) {
                continue;
            }
            let of_snapshot = volume.snapshot_id.as_deref().map(|id| self.snapshot_file(id));
            let of_volume = volume.source_volume_id.as_deref().map(|id| self.volume_file(id));
            let file = self.volume_file(id);
            let made = match of_snapshot.or(of_volume) {
                Some(source) => files::copy(&source, &file),
                None => files::create(&file),
            };
            match made {
                Ok(()) => {
                    self.volumes.insert(id.clone(), Backed::default());
                }
                Err(error) => {
                    tracing::error!(volume = id, %error, "the volume is not made");
                    volume.fails = true;
                }
            }
        }
    }

    fn forget(&mut self, state: &State) -> Result<(), StorageError> {
        let gone = |id: &&String| !state.volumes.contains_key(*id);
        for id in self.volumes.keys().filter(gone).cloned().collect::<Vec<_>>() {
            if let Some(mut backed) = self.volumes.remove(&id) {
                backed.places.clear();
                let released = backed.device.take().map(LoopDevice::release);
                files::remove(&self.volume_file(&id))?;
                released.transpose()?;
            }
        }
        let gone = |id: &&String| !state.snapshots.contains_key(*id);
        for id in self.snapshots.iter().filter(gone).cloned().collect::<Vec<_>>() {
            self.snapshots.remove(&id);
            files::remove(&self.snapshot_file(&id))?;
        }
        Ok(())
    }

    /// Makes the file and the device as large as the volume.
    fn resize(&mut self, id: &str, volume: &Volume) -> Result<(), StorageError> {
        let (file, bytes) = (self.volume_file(id), u64::from(volume.shape.size_gib) << 30);
        let Some(backed) = self.volumes.get_mut(id).filter(|backed| backed.bytes != bytes) else {
            return Ok(());
        };
        files::resize(&file, bytes)?;
        if let Some(device) = &backed.device {
            device.follow_file()?;
        }
        backed.bytes = bytes;
        Ok(())
    }

    /// Gives back devices that were pulled out, once nothing is mounted from them any more.
    fn release_pulled_out(&mut self) -> Result<(), StorageError> {
        for device in std::mem::take(&mut self.pulled_out) {
            if device.is_mounted()? {
                self.pulled_out.push(device);
            } else {
                device.release()?;
            }
        }
        Ok(())
    }

    /// Attaches and detaches. A root volume has no device: nobody asks for its data.
    fn place(&mut self, id: &str, volume: &Volume, now: Timestamp) -> Result<(), StorageError> {
        let wanted: BTreeMap<&str, &str> = volume
            .attachments
            .iter()
            .filter(|one| now >= one.attached_at && !one.delete_on_termination)
            .map(|one| (one.instance_id.as_str(), one.device.as_str()))
            .collect();
        let file = self.volume_file(id);
        let folders: Vec<(&str, &str, PathBuf)> = wanted
            .iter()
            .map(|(instance, device)| (*instance, *device, self.instance(instance)))
            .collect();
        let Some(backed) = self.volumes.get_mut(id) else {
            return Ok(());
        };
        backed
            .places
            .retain(|instance, _| wanted.contains_key(instance.as_str()));
        if wanted.is_empty() {
            let Some(device) = backed.device.take() else {
                return Ok(());
            };
            if volume.was_pulled_out() {
                pull_out(&device, &file)?;
                self.pulled_out.push(device);
                return Ok(());
            }
            return device.release();
        }
        let device = match backed.device.take() {
            Some(device) => device,
            None => LoopDevice::over(&file)?,
        };
        let device = backed.device.insert(device);
        for (instance, name, folder) in folders {
            if !backed.places.contains_key(instance) {
                let place = Place::make(&folder, name, id, device.path())?;
                backed.places.insert(instance.to_owned(), place);
            }
        }
        Ok(())
    }
}

/// Leaves the device with nothing behind it: whatever is asked of it fails from now on. The data stay with the volume.
fn pull_out(device: &LoopDevice, file: &Path) -> Result<(), StorageError> {
    let kept = file.with_extension("kept");
    files::copy(file, &kept)?;
    files::resize(file, 0)?;
    device.follow_file()?;
    std::fs::rename(&kept, file).map_err(io("replace", file))
}

impl Drop for Storage {
    fn drop(&mut self) {
        let volumes = std::mem::take(&mut self.volumes).into_values();
        let devices = volumes.filter_map(|backed| backed.device);
        for device in devices.chain(std::mem::take(&mut self.pulled_out)) {
            if let Err(error) = device.release() {
                tracing::warn!(%error, "a loop device is left");
            }
        }
        for part in PARTS {
            let path = self.folder.join(part);
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "data of volumes are left");
            }
        }
        // Only if it is empty: others may have put something there.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

impl Ec2 {
    /// Keeps the data of volumes from now on. Volumes that exist are blank.
    ///
    /// # Errors
    /// When the devices of volumes that exist cannot be made.
    pub fn keep_data(&self, storage: Storage) -> Result<(), StorageError> {
        let now = self.clock().now();
        self.with(|region| {
            region.storage = Some(storage);
            region.reconcile(now)
        })
    }

    /// Keeps no data any more: all that was kept is gone, and its devices with it. The end of EC2 does the same.
    pub fn discard_data(&self) {
        let storage = self.with(|region| region.storage.take());
        drop(storage);
    }

    /// The machine of an instance with real devices; `None` where no data are kept.
    ///
    /// # Errors
    /// When its folders cannot be made.
    pub fn linux_host(&self, instance_id: &str) -> Result<Option<LinuxHost>, StorageError> {
        self.with(|region| {
            let roots = region.storage.as_ref().map(|storage| storage.roots(instance_id));
            Ok(roots.transpose()?.map(LinuxHost::new))
        })
    }
}
