//! Devices, their contents, mounts, statistics.

use std::path::{Path, PathBuf};

/// A block device of the machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlockDevice {
    /// Where it is, links resolved, such as `/dev/nvme1n1`.
    pub path: PathBuf,
    /// The serial number that the disk shows, if it shows one; an EBS volume's is its ID without the dash.
    pub serial: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The kernel refuses to write to it.
    pub is_read_only: bool,
    /// A part of a disk, which does not grow with it.
    pub is_partition: bool,
}

impl BlockDevice {
    /// Where the partition with this number is: `nvme1n1p2`, `xvdaa2`. The kernel puts a `p` between two digits.
    #[must_use]
    pub fn partition_path(&self, number: u32) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let separator = if name.ends_with(|c: char| c.is_ascii_digit()) {
            "p"
        } else {
            ""
        };
        self.path.with_file_name(format!("{name}{separator}{number}"))
    }
}

/// What lies on a device, as far as its signatures tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Contents {
    /// No signature at all.
    Blank,
    /// A file system, or something else with a type, such as `ext4`, `xfs`, `LVM2_member`.
    FileSystem(String),
    /// A partition table, such as `gpt`, `dos`.
    PartitionTable(String),
}

impl std::fmt::Display for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blank => write!(f, "nothing"),
            Self::FileSystem(name) => write!(f, "{name}"),
            Self::PartitionTable(name) => write!(f, "a partition table ({name})"),
        }
    }
}

/// What a check of a file system ended with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Check {
    /// Nothing was wrong.
    Clean,
    /// Errors were found and corrected.
    Repaired,
    /// Errors were found and not corrected; what the tool said.
    Broken(String),
    /// It could not be checked, for this reason; nothing is known.
    Unknown(String),
}

/// What is at a path, links followed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PathKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A block device, or a file on which one is bind-mounted.
    BlockDevice,
    /// A mount whose file system does not answer any more.
    Corrupted,
    /// A socket, a pipe, a character device.
    Other,
}

/// One mount.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mount {
    /// What is mounted: a device such as `/dev/nvme1n1`, a remote such as `fs-1:/`, or the kernel's name of it.
    pub source: String,
    /// Which part of the source is mounted: `/` for all of it. A bind-mounted device file has its name below the
    /// root of its device file system here, such as `/nvme1n1`.
    pub root: PathBuf,
    /// Where it is.
    pub target: PathBuf,
    /// Type of the file system.
    pub fs_type: String,
    /// Options of the mount and of its file system.
    pub options: Vec<String>,
}

impl Mount {
    /// The mount that is seen at this path: of several at one target the last.
    #[must_use]
    pub fn at<'a>(mounts: &'a [Self], target: &Path) -> Option<&'a Self> {
        mounts.iter().rev().find(|mount| mount.target == target)
    }

    /// Whether it can only be read.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.options.iter().any(|option| option == "ro")
    }
}

/// What to mount.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MountRequest {
    /// A device, a remote, or with option `bind` a path.
    pub source: String,
    /// Where; it exists.
    pub target: PathBuf,
    /// Type of the file system; none with option `bind`.
    pub fs_type: Option<String>,
    /// Options as those of mount(8).
    pub options: Vec<String>,
}

/// How much of something there is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// In all.
    pub total: u64,
    /// Used.
    pub used: u64,
    /// Free for users.
    pub available: u64,
}

/// Statistics of a mounted file system.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Statistics {
    /// Bytes.
    pub bytes: Usage,
    /// Inodes, where the file system counts them.
    pub inodes: Option<Usage>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_as_the_kernel_does() {
        let rows = [
            ("/dev/nvme1n1", 1, "/dev/nvme1n1p1"),
            ("/dev/xvdaa", 2, "/dev/xvdaa2"),
            ("/dev/loop7", 12, "/dev/loop7p12"),
        ];
        for (path, number, expected) in rows {
            let device = BlockDevice {
                path: path.into(),
                serial: None,
                size: 0,
                is_read_only: false,
                is_partition: false,
            };
            assert_eq!(device.partition_path(number), Path::new(expected));
        }
    }

    #[test]
    fn the_last_mount_of_a_target_is_seen() {
        let mount = |source: &str| Mount {
            source: source.into(),
            target: "/a".into(),
            ..Mount::default()
        };
        let mounts = [mount("/dev/b"), mount("/dev/c")];
        assert_eq!(Mount::at(&mounts, Path::new("/a")).unwrap().source, "/dev/c");
        assert_eq!(Mount::at(&mounts, Path::new("/b")), None);
    }
}
