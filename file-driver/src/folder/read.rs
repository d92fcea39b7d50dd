//! What is in the folder. Nothing of it is remembered from call to call.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::{
    DATA, Folder, FolderError, GROUPS, Group, GroupRecord, Id, Kind, RECORD, SNAPSHOTS, Snapshot,
    SnapshotRecord, VOLUMES, Volume,
};

impl Folder {
    /// The volume with this ID, if it is there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn volume(&self, id: &Id) -> Result<Option<Volume>, FolderError> {
        let place = self.place(VOLUMES, id);
        let Some(record) = record(&place)? else {
            return Ok(None);
        };
        let data = place.join(DATA);
        Ok(Some(Volume {
            id: id.clone(),
            record,
            bytes: length(&data)?,
            data,
        }))
    }

    /// All volumes, by ID.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn volumes(&self) -> Result<Vec<Volume>, FolderError> {
        let ids = self.ids(VOLUMES, Kind::Volume)?;
        let found = ids.iter().map(|id| self.volume(id).transpose());
        found.flatten().collect()
    }

    /// The snapshot with this ID, alone or in a group.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn snapshot(&self, id: &Id) -> Result<Option<Snapshot>, FolderError> {
        if let Some(alone) = snapshot(&self.root.join(SNAPSHOTS), id, None)? {
            return Ok(Some(alone));
        }
        for group in self.ids(GROUPS, Kind::Group)? {
            let member = snapshot(&self.place(GROUPS, &group), id, Some(&group))?;
            if member.is_some() {
                return Ok(member);
            }
        }
        Ok(None)
    }

    /// All snapshots, those in groups too, by ID.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, FolderError> {
        let mut all = Vec::new();
        for id in self.ids(SNAPSHOTS, Kind::Snapshot)? {
            all.extend(snapshot(&self.root.join(SNAPSHOTS), &id, None)?);
        }
        for id in self.ids(GROUPS, Kind::Group)? {
            all.extend(self.group(&id)?.into_iter().flat_map(|group| group.members));
        }
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(all)
    }

    /// The group with this ID.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn group(&self, id: &Id) -> Result<Option<Group>, FolderError> {
        let place = self.place(GROUPS, id);
        let Some(record) = record::<GroupRecord>(&place)? else {
            return Ok(None);
        };
        let name = format!("{GROUPS}/{id}");
        let mut members = Vec::new();
        for member in self.ids(&name, Kind::Snapshot)? {
            members.extend(snapshot(&place, &member, Some(id))?);
        }
        Ok(Some(Group {
            id: id.clone(),
            record,
            members,
        }))
    }

    /// The bytes that all volumes and snapshots have together, holes counted.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn used_bytes(&self) -> Result<u64, FolderError> {
        let volumes: u64 = self.volumes()?.iter().filter_map(|volume| volume.bytes).sum();
        let snapshots: u64 = self.snapshots()?.iter().map(|snapshot| snapshot.bytes).sum();
        Ok(volumes + snapshots)
    }

    /// The share of the file system of this folder that is free, and its size in bytes.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn disk(&self) -> Result<(u64, u64), FolderError> {
        let found = rustix::fs::statvfs(&self.root);
        let found = found.map_err(|error| FolderError::io("look at", &self.root)(error.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok((bytes(found.f_bavail), bytes(found.f_blocks)))
    }

    /// IDs of one kind below a folder, in order. What is no ID is nobody's.
    fn ids(&self, folder: &str, kind: Kind) -> Result<Vec<Id>, FolderError> {
        let names = self.names(folder)?;
        let mut ids: Vec<Id> = names.iter().filter_map(|name| Id::parse(kind, name)).collect();
        ids.sort();
        Ok(ids)
    }

    pub(super) fn names(&self, folder: &str) -> Result<Vec<String>, FolderError> {
        let path = self.root.join(folder);
        let failed = || FolderError::io("read", &path);
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }
}

fn snapshot(above: &Path, id: &Id, group: Option<&Id>) -> Result<Option<Snapshot>, FolderError> {
    let place = above.join(id.as_str());
    let Some(record) = record::<SnapshotRecord>(&place)? else {
        return Ok(None);
    };
    let data = place.join(DATA);
    Ok(Some(Snapshot {
        id: id.clone(),
        record,
        group: group.cloned(),
        bytes: length(&data)?.unwrap_or_default(),
        data,
    }))
}

fn record<R: DeserializeOwned>(place: &Path) -> Result<Option<R>, FolderError> {
    let path = place.join(RECORD);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FolderError::io("read", &path)(error)),
    };
    let record = serde_json::from_slice(&text);
    record
        .map(Some)
        .map_err(|source| FolderError::Record { path, source })
}

fn length(data: &Path) -> Result<Option<u64>, FolderError> {
    match fs::metadata(data) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FolderError::io("look at", data)(error)),
    }
}
