//! A device at an instance: links as udev makes them, and the serial number that the kernel shows of an EBS volume.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::{StorageError, io};

/// What was made for a device at an instance; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    links: Vec<PathBuf>,
    of_kernel: PathBuf,
}

impl Place {
    /// Makes the links of a volume below the folder of an instance: by the name that was given to AttachVolume, if it
    /// is below `/dev`, and by ID.
    pub(super) fn make(
        instance: &Path,
        name: &str,
        volume_id: &str,
        device: &Path,
    ) -> Result<Self, StorageError> {
        let dev = instance.join("dev");
        let id = volume_id.replace('-', "");
        let kernel_name = device.file_name().unwrap_or_default();
        let mut place = Self {
            links: Vec::new(),
            of_kernel: instance.join("sys/class/block").join(kernel_name),
        };
        let by_id = format!("disk/by-id/nvme-Amazon_Elastic_Block_Store_{id}");
        let names = below_dev(name).into_iter().chain([PathBuf::from(by_id)]);
        for link in names.map(|name| dev.join(name)) {
            place.link(link, device)?;
        }
        let of_disk = place.of_kernel.join("device");
        std::fs::create_dir_all(&of_disk).map_err(io("make", &of_disk))?;
        let serial = of_disk.join("serial");
        std::fs::write(&serial, id).map_err(io("write", &serial))?;
        Ok(place)
    }

    fn link(&mut self, link: PathBuf, device: &Path) -> Result<(), StorageError> {
        if let Some(folder) = link.parent() {
            std::fs::create_dir_all(folder).map_err(io("make", folder))?;
        }
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io("remove", &link)(error)),
            _ => {}
        }
        symlink(device, &link).map_err(io("link", &link))?;
        self.links.push(link);
        Ok(())
    }
}

/// The name of a device below `/dev`; none for what is not there.
fn below_dev(name: &str) -> Option<PathBuf> {
    let name = Path::new(name).strip_prefix("/dev").ok()?;
    let is_plain = name.components().all(|part| matches!(part, Component::Normal(_)));
    (is_plain && name != Path::new("")).then(|| name.to_owned())
}

impl Drop for Place {
    fn drop(&mut self) {
        for link in &self.links {
            let _ = std::fs::remove_file(link);
        }
        let _ = std::fs::remove_dir_all(&self.of_kernel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_dev_are_linked() {
        assert_eq!(below_dev("/dev/xvdaa"), Some("xvdaa".into()));
        for name in ["xvdaa", "/dev", "/dev/../etc/passwd", "/etc/passwd"] {
            assert_eq!(below_dev(name), None, "{name}");
        }
    }
}
