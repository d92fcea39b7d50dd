//! Devices of the machine that take places of attachments where those are shared: NVMe instance store volumes, GPUs
//! and other accelerators (EC2's guide on volume limits). They are counted instead of looked up by type.

use std::fs;
use std::path::Path;

/// The model of instance store volumes; that of EBS volumes is `Amazon Elastic Block Store`.
const INSTANCE_STORE: &str = "Amazon EC2 NVMe Instance Storage";
/// PCI classes (the upper 16 of 24 bits) of 3D controllers and processing accelerators. The console of an instance is
/// a VGA controller and does not count.
const ACCELERATORS: [&str; 2] = ["0x0302", "0x1200"];

/// How many there are. What cannot be read counts as none: the limit is then that of a machine without them.
#[must_use]
pub fn count(sys: &Path) -> u32 {
    let stores = matching(&sys.join("class/nvme"), "model", |model| model == INSTANCE_STORE);
    let accelerators = matching(&sys.join("bus/pci/devices"), "class", |class| {
        ACCELERATORS.iter().any(|known| class.starts_with(known))
    });
    u32::try_from(stores + accelerators).unwrap_or(u32::MAX)
}

/// The entries of a folder whose file of this name has such a content.
fn matching(folder: &Path, file: &str, is_counted: impl Fn(&str) -> bool) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs::read_to_string(entry.path().join(file)).ok())
        .filter(|text| is_counted(text.trim()))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_stores_and_accelerators_count() {
        let sys = tempfile::tempdir().unwrap();
        assert_eq!(count(sys.path()), 0);
        for (entry, file, text) in [
            (
                "class/nvme/nvme0",
                "model",
                "Amazon Elastic Block Store              \n",
            ),
            (
                "class/nvme/nvme1",
                "model",
                "Amazon EC2 NVMe Instance Storage        \n",
            ),
            ("bus/pci/devices/0000:00:03.0", "class", "0x030000\n"),
            ("bus/pci/devices/0000:00:1e.0", "class", "0x030200\n"),
            ("bus/pci/devices/0000:00:1f.0", "class", "0x120000\n"),
        ] {
            let folder = sys.path().join(entry);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(file), text).unwrap();
        }
        assert_eq!(count(sys.path()), 3);
    }
}
