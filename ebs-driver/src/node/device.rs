//! Which device is the volume's. Source: spec 4.2; cases 80-82.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use ::node::{BlockDevice, Host, HostError};

/// How often to look for a device that is not there yet, or has not grown yet, and the pause between.
pub(super) const LOOKS: u32 = 4;
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Where the volume's device may be, in the order in which it is looked for: the name that was sent to EC2, which udev
/// may have made a link, and the link by volume ID. A name that is not below `/dev` is none.
#[must_use]
pub fn candidates(dev: &Path, device_path: &str, volume_id: &str) -> Vec<PathBuf> {
    let mut candidates = Vec::new();
    if let Ok(name) = Path::new(device_path).strip_prefix("/dev") {
        let is_plain = name.components().all(|part| matches!(part, Component::Normal(_)));
        if is_plain && name != Path::new("") {
            candidates.push(dev.join(name));
        }
    }
    let id = serial_of(volume_id);
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let link = format!("disk/by-id/nvme-Amazon_Elastic_Block_Store_{id}");
        candidates.push(dev.join(link));
    }
    candidates
}

/// A volume ID as serial numbers hold it: without dashes.
#[must_use]
pub fn serial_of(volume_id: &str) -> String {
    volume_id.replace('-', "")
}

/// The volume that a serial number names, if it names one.
#[must_use]
pub fn volume_in_serial(serial: &str) -> Option<&str> {
    let start = serial.find("vol")?;
    let rest = &serial[start..];
    let end = rest
        .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()))
        .unwrap_or(rest.len());
    Some(&rest[..end]).filter(|id| id.len() > 3)
}

/// Refuses a device that says to be another volume's. One that says nothing passes: Xen instances show no serial.
///
/// # Errors
/// [`HostError::AnotherVolume`].
pub fn check(device: &BlockDevice, volume_id: &str) -> Result<(), HostError> {
    match device.serial.as_deref().and_then(volume_in_serial) {
        Some(found) if found != serial_of(volume_id) => Err(HostError::AnotherVolume {
            device: device.path.clone(),
            wanted: volume_id.to_owned(),
            found: found.replacen("vol", "vol-", 1),
        }),
        _ => Ok(()),
    }
}

/// Whether a device has yet to grow to what the volume has in EC2. A partition does not grow with its disk.
#[must_use]
pub fn is_too_small(device: &BlockDevice, required_bytes: u64) -> bool {
    !device.is_partition && device.size < required_bytes
}

/// The number of a partition; 0 and empty mean the whole device.
///
/// # Errors
/// The text, when it is no number.
pub fn partition(text: &str) -> Result<Option<u32>, &str> {
    match text {
        "" | "0" => Ok(None),
        number => number.parse().map(Some).map_err(|_| number),
    }
}

/// Finds the device, or the partition on it, waiting some seconds for it to appear.
///
/// # Errors
/// When it is missing, or only devices of other volumes are there.
pub async fn find(
    host: &dyn Host,
    device_path: &str,
    volume_id: &str,
    partition: Option<u32>,
) -> Result<BlockDevice, HostError> {
    let candidates = candidates(host.dev(), device_path, volume_id);
    let mut missing = HostError::DeviceMissing(PathBuf::from(device_path));
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        for candidate in &candidates {
            let Some(device) = host.block_device(candidate).await? else {
                continue;
            };
            if let Err(error) = check(&device, volume_id) {
                missing = error;
                continue;
            }
            let Some(number) = partition else {
                return Ok(device);
            };
            let path = device.partition_path(number);
            match host.block_device(&path).await? {
                Some(device) => return Ok(device),
                None => missing = HostError::DeviceMissing(path),
            }
        }
        if matches!(missing, HostError::AnotherVolume { .. }) {
            break;
        }
    }
    Err(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_looked_for_by_name_and_by_id() {
        let names = |path: &str, id: &str| {
            let found = candidates(Path::new("/d"), path, id).into_iter();
            found.map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        let by_id = "/d/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0a";
        assert_eq!(names("/dev/xvdaa", "vol-0a"), ["/d/xvdaa", by_id]);
        assert_eq!(names("/dev/../etc/shadow", "vol-0a"), [by_id]);
        assert_eq!(names("/etc/shadow", "vol-/../x"), Vec::<String>::new());
    }

    #[test]
    fn ebs_case_81_a_serial_names_its_volume() {
        let rows = [
            (None, true),
            (Some(""), true),
            (Some("Amazon Elastic Block Store"), true),
            (Some("vol0a1b"), true),
            (Some("xx vol0a1b yy"), true),
            (Some("vol0a1c"), false),
        ];
        for (serial, passes) in rows {
            let device = BlockDevice {
                path: "/dev/nvme1n1".into(),
                serial: serial.map(str::to_owned),
                size: 1,
                is_read_only: false,
                is_partition: false,
            };
            assert_eq!(check(&device, "vol-0a1b").is_ok(), passes, "{serial:?}");
        }
    }

    #[test]
    fn ebs_case_182_a_disk_grows_with_its_volume_and_a_partition_does_not() {
        const GIB: u64 = 1 << 30;
        // size, partition, required, expected
        let rows = [
            (GIB, false, 0, false),
            (2 * GIB, false, 2 * GIB, false),
            (2 * GIB, false, GIB + 1, false),
            (GIB, false, 2 * GIB, true),
            (GIB, true, 2 * GIB, false),
        ];
        for (size, is_partition, required, expected) in rows {
            let device = BlockDevice {
                path: "/dev/nvme1n1".into(),
                serial: None,
                size,
                is_read_only: false,
                is_partition,
            };
            assert_eq!(
                is_too_small(&device, required),
                expected,
                "{size} {is_partition} {required}"
            );
        }
    }

    #[test]
    fn partitions_are_numbers() {
        assert_eq!(partition(""), Ok(None));
        assert_eq!(partition("0"), Ok(None));
        assert_eq!(partition("2"), Ok(Some(2)));
        assert_eq!(partition("-1"), Err("-1"));
        assert_eq!(partition("x"), Err("x"));
    }
}
