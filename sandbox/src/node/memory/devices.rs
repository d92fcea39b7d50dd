//! Attached volumes as devices.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::node::{BlockDevice, HostError};

use super::View;
use crate::ec2::AttachedVolume;

/// What EC2 calls the root volume's place.
const ROOT: &str = "/dev/xvda";

/// An attached volume.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) path: PathBuf,
    pub(super) volume: AttachedVolume,
}

/// The devices of these volumes. One keeps its number while it is attached; the root volume has number 0, others get
/// the lowest that is free.
pub(super) fn of(numbers: &mut BTreeMap<String, u32>, volumes: Vec<AttachedVolume>) -> Vec<Device> {
    numbers.retain(|id, _| volumes.iter().any(|volume| volume.volume_id == *id));
    let place = |volume: AttachedVolume| {
        let number = match numbers.get(&volume.volume_id) {
            Some(number) => *number,
            None if volume.device == ROOT => 0,
            None => (1..)
                .find(|number| !numbers.values().any(|used| used == number))
                .unwrap_or(u32::MAX),
        };
        numbers.insert(volume.volume_id.clone(), number);
        Device {
            path: format!("/dev/nvme{number}n1").into(),
            volume,
        }
    };
    volumes.into_iter().map(place).collect()
}

impl Device {
    /// Whether this is a name of it: the device file or a link to it.
    fn is_at(&self, path: &Path) -> bool {
        let id = self.volume.volume_id.replace('-', "");
        let by_id = format!("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{id}");
        path == self.path || path == Path::new(&self.volume.device) || path == Path::new(&by_id)
    }

    /// As the kernel shows it.
    pub(super) fn shown(&self) -> BlockDevice {
        BlockDevice {
            path: self.path.clone(),
            serial: Some(self.volume.volume_id.replace('-', "")),
            size: self.volume.bytes,
            is_read_only: false,
            is_partition: false,
        }
    }
}

impl View<'_> {
    /// The device at a path, where it is mounted as a file too.
    pub(super) fn device_at(&self, path: &Path) -> Option<&Device> {
        let bound = self.mounted_at(path).filter(|mounted| mounted.is_block);
        match bound {
            Some(mounted) => self.device_of(mounted.volume_id.as_deref()?),
            None => self.devices.iter().find(|device| device.is_at(path)),
        }
    }

    /// The device of an attached volume.
    pub(super) fn device_of(&self, volume_id: &str) -> Option<&Device> {
        self.devices
            .iter()
            .find(|device| device.volume.volume_id == volume_id)
    }

    /// The device at a path that must be there.
    pub(super) fn device(&self, path: &Path) -> Result<&Device, HostError> {
        self.device_at(path)
            .ok_or_else(|| HostError::DeviceMissing(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ec2::Disk;

    #[test]
    fn a_device_keeps_its_number_while_it_is_attached() {
        let mut numbers = BTreeMap::new();
        let mut paths = |names: &[&str]| {
            let volumes = names.iter().map(|name| AttachedVolume {
                volume_id: format!("vol-{name}"),
                device: if *name == "root" {
                    ROOT.into()
                } else {
                    format!("/dev/xvda{name}")
                },
                bytes: 1,
                disk: Disk::default(),
            });
            let devices = of(&mut numbers, volumes.collect());
            devices
                .iter()
                .map(|device| device.path.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            paths(&["b", "c", "root"]),
            ["/dev/nvme1n1", "/dev/nvme2n1", "/dev/nvme0n1"]
        );
        assert_eq!(paths(&["c", "root"]), ["/dev/nvme2n1", "/dev/nvme0n1"]);
        assert_eq!(
            paths(&["a", "c", "root"]),
            ["/dev/nvme1n1", "/dev/nvme2n1", "/dev/nvme0n1"]
        );
    }
}
