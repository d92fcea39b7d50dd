//! What lies on volumes, for machines that keep no data: a snapshot takes it along, a volume made of it has it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ::node::Contents;

use super::model::volume::{Attachment, Volume};
use super::state::Call;
use super::{Ec2, Region};

/// What lies on a volume, as far as it can be told without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// A file system or a partition table, if any.
    pub contents: Contents,
    /// Bytes up to which the file system reaches.
    pub bytes: u64,
    /// The texts of its files, by their paths from its root.
    pub files: BTreeMap<PathBuf, String>,
}

impl Default for Disk {
    /// A blank one.
    fn default() -> Self {
        Self {
            contents: Contents::Blank,
            bytes: 0,
            files: BTreeMap::new(),
        }
    }
}

impl Disk {
    /// A file system of this type, which reaches so far.
    #[must_use]
    pub fn file_system(fs_type: &str, bytes: u64) -> Self {
        Self {
            contents: Contents::FileSystem(fs_type.to_owned()),
            bytes,
            files: BTreeMap::new(),
        }
    }
}

/// A volume as the instance sees it that it is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedVolume {
    /// ID of the volume.
    pub volume_id: String,
    /// The name that was given to AttachVolume, such as `/dev/xvdaa`.
    pub device: String,
    /// Size in bytes.
    pub bytes: u64,
    /// What lies on it.
    pub disk: Disk,
}

impl Ec2 {
    /// The volumes that are attached to an instance now, in the order of their IDs. Those that are being detached
    /// count until they are gone.
    #[must_use]
    pub fn attached_volumes(&self, instance_id: &str) -> Vec<AttachedVolume> {
        let now = self.clock().now();
        let here = |one: &&Attachment| one.instance_id == instance_id && now >= one.attached_at;
        self.settled(|region| {
            let volumes = region.state.volumes.values();
            let attached = volumes.filter_map(|volume| {
                let attachment = volume.attachments.iter().find(here)?;
                Some(seen(volume, &attachment.device))
            });
            attached.collect()
        })
    }

    /// What lies on a volume; `None` when there is no such volume.
    #[must_use]
    pub fn disk(&self, volume_id: &str) -> Option<Disk> {
        self.settled(|region| {
            let volume = region.state.volumes.get(volume_id);
            volume.map(|volume| volume.disk.clone())
        })
    }

    /// Puts something on a volume, as its machine does or someone before it did; without effect when there is no
    /// such volume.
    pub fn write_disk(&self, volume_id: &str, disk: Disk) {
        self.settled(|region| {
            if let Some(volume) = region.state.volumes.get_mut(volume_id) {
                volume.disk = disk;
            }
        });
    }

    /// Acts once what time has brought is written down.
    pub(super) fn settled<T>(&self, act: impl FnOnce(&mut Region) -> T) -> T {
        let now = self.clock().now();
        self.with(|region| {
            let call = Call {
                now,
                options: &region.options,
                random: self.random(),
                fails_later: false,
            };
            region.state.settle(&call);
            region.reconcile_quietly(now);
            act(region)
        })
    }
}

fn seen(volume: &Volume, device: &str) -> AttachedVolume {
    AttachedVolume {
        volume_id: volume.id.clone(),
        device: device.to_owned(),
        bytes: u64::from(volume.shape.size_gib) << 30,
        disk: volume.disk.clone(),
    }
}
