//! The folder in which all of the driver's state is.
//!
//! ```text
//! lock                                     held by the process that uses the folder
//! scratch/                                 what is being made or removed; emptied at the start
//! volumes/vol-.../{record.json,data}
//! snapshots/snap-.../{record.json,data}
//! groups/group-.../record.json
//! groups/group-.../snap-.../{record.json,data}
//! ```
//!
//! What is made comes whole by one rename out of `scratch`, a group with all its members, and goes by one rename into
//! it. So whenever the process dies, a volume, a snapshot or a group is there or is not, and a repeated call finds out
//! which by the ID that follows from its name.

mod files;
mod id;
mod read;
mod records;

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

pub use files::Files;
pub use id::{Id, Kind};
pub use records::{Group, GroupRecord, Snapshot, SnapshotRecord, Source, Volume, VolumeRecord};

const RECORD: &str = "record.json";
const DATA: &str = "data";
const SCRATCH: &str = "scratch";
const VOLUMES: &str = "volumes";
const SNAPSHOTS: &str = "snapshots";
const GROUPS: &str = "groups";

/// Why the folder cannot be worked with.
#[derive(Debug, Error)]
pub enum FolderError {
    /// The operating system refused.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file that is not as this driver writes it.
    #[error("{path} is damaged ({source}); restore it, or remove the folder that it is in")]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Two processes would work on one folder.
    #[error("{path} is used by another process of this driver; stop it, or give each its own --data-dir")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

impl FolderError {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }

    fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == ErrorKind::NotFound)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // To close it is not enough: a program that is just being started has a copy for a moment.
        let _ = self.lock.unlock();
    }
}

/// What the data of something new are.
#[derive(Clone, Copy, Debug)]
pub struct NewData<'a> {
    /// Bytes.
    pub bytes: u64,
    /// What is copied to its beginning.
    pub from: Option<&'a Path>,
    /// Whether it gets all its space at once.
    pub is_allocated: bool,
}

/// The folder. It is used by one process at a time, which does one change at a time.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    files: Files,
    lock: File,
}

impl Folder {
    /// Opens the folder, which is made where it is not there, and removes what a former process left half done.
    ///
    /// # Errors
    /// When it cannot be made or locked.
    pub fn open(root: &Path, files: Files) -> Result<Self, FolderError> {
        let parts = [SCRATCH, VOLUMES, SNAPSHOTS, GROUPS];
        for path in parts.map(|name| root.join(name)) {
            std::fs::create_dir_all(&path).map_err(FolderError::io("make", &path))?;
        }
        let path = root.join("lock");
        let lock = File::create(&path).map_err(FolderError::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse { path: root.into() }),
            Err(TryLockError::Error(error)) => return Err(FolderError::io("lock", &path)(error)),
        }
        let folder = Self {
            root: root.to_owned(),
            files,
            lock,
        };
        for name in folder.names(SCRATCH)? {
            folder.files.remove_tree(&folder.root.join(SCRATCH).join(name))?;
        }
        Ok(folder)
    }

    /// Makes a volume.
    ///
    /// # Errors
    /// What the operating system refuses; then nothing is made.
    pub fn create_volume(
        &self,
        id: &Id,
        record: &VolumeRecord,
        data: NewData<'_>,
    ) -> Result<(), FolderError> {
        self.appear(VOLUMES, id, |at| self.fill(at, record, data))
    }

    /// Removes a volume; OK when it is not there.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn delete_volume(&self, id: &Id) -> Result<(), FolderError> {
        self.vanish(VOLUMES, id)
    }

    /// Writes down anew what is to be known of a volume.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn write_volume(&self, id: &Id, record: &VolumeRecord) -> Result<(), FolderError> {
        let path = self.place(VOLUMES, id).join(RECORD);
        self.files.replace(&path, &text(record, &path)?)
    }

    /// Lets a volume have this many bytes.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn resize_volume(&self, id: &Id, bytes: u64) -> Result<(), FolderError> {
        self.files.resize(&self.place(VOLUMES, id).join(DATA), bytes)
    }

    /// Gives a volume all its space.
    ///
    /// # Errors
    /// When there is not so much, or the file system cannot.
    pub fn allocate_volume(&self, id: &Id, bytes: u64) -> Result<(), FolderError> {
        self.files.allocate(&self.place(VOLUMES, id).join(DATA), bytes)
    }

    /// Takes a snapshot of a file.
    ///
    /// # Errors
    /// What the operating system refuses; then nothing is made.
    pub fn create_snapshot(
        &self,
        id: &Id,
        record: &SnapshotRecord,
        data: NewData<'_>,
    ) -> Result<(), FolderError> {
        self.appear(SNAPSHOTS, id, |at| self.fill(at, record, data))
    }

    /// Removes a snapshot that is of no group; OK when it is not there.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn delete_snapshot(&self, id: &Id) -> Result<(), FolderError> {
        self.vanish(SNAPSHOTS, id)
    }

    /// Takes a group of snapshots: all of them appear at one moment.
    ///
    /// # Errors
    /// What the operating system refuses; then nothing is made.
    pub fn create_group(
        &self,
        id: &Id,
        record: &GroupRecord,
        members: &[(Id, SnapshotRecord, NewData<'_>)],
    ) -> Result<(), FolderError> {
        self.appear(GROUPS, id, |at| {
            for (member, record, data) in members {
                let place = at.join(member.as_str());
                self.files.make_folder(&place)?;
                self.fill(&place, record, *data)?;
                self.files.sync_folder(&place)?;
            }
            let path = at.join(RECORD);
            self.files.write(&path, &text(record, &path)?)
        })
    }

    /// Removes a group with its members; OK when it is not there.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub fn delete_group(&self, id: &Id) -> Result<(), FolderError> {
        self.vanish(GROUPS, id)
    }

    fn place(&self, kind: &str, id: &Id) -> PathBuf {
        self.root.join(kind).join(id.as_str())
    }

    /// Makes something beside, and lets it appear at once.
    fn appear(
        &self,
        kind: &str,
        id: &Id,
        make: impl FnOnce(&Path) -> Result<(), FolderError>,
    ) -> Result<(), FolderError> {
        let beside = self.place(SCRATCH, id);
        self.files.remove_tree(&beside)?;
        let made = self.files.make_folder(&beside).and_then(|()| {
            make(&beside)?;
            self.files.sync_folder(&beside)?;
            self.files.rename(&beside, &self.place(kind, id))
        });
        if made.is_err() {
            // It would lie there until the next start, and may be what fills the disk.
            let _ = self.files.remove_tree(&beside);
        }
        made
    }

    /// Lets something vanish at once, and removes it beside.
    fn vanish(&self, kind: &str, id: &Id) -> Result<(), FolderError> {
        let beside = self.place(SCRATCH, id);
        self.files.remove_tree(&beside)?;
        match self.files.rename(&self.place(kind, id), &beside) {
            Err(error) if error.is_not_found() => return Ok(()),
            outcome => outcome?,
        }
        self.files.remove_tree(&beside)
    }

    fn fill(&self, at: &Path, record: &impl Serialize, data: NewData<'_>) -> Result<(), FolderError> {
        let file = at.join(DATA);
        match data.from {
            Some(from) => self.files.copy(from, &file, data.bytes)?,
            None => self.files.make_sparse(&file, data.bytes)?,
        }
        if data.is_allocated {
            self.files.allocate(&file, data.bytes)?;
        }
        let path = at.join(RECORD);
        self.files.write(&path, &text(record, &path)?)
    }
}

fn text(record: &impl Serialize, path: &Path) -> Result<Vec<u8>, FolderError> {
    let failed = |source| FolderError::Record {
        path: path.to_owned(),
        source,
    };
    let mut text = serde_json::to_vec_pretty(record).map_err(failed)?;
    text.push(b'\n');
    Ok(text)
}
