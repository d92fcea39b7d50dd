//! A Linux machine: devices from `dev` and `sys`, mounts by system calls, file systems by the usual programs.
//!
//! | Module | Subject |
//! |---|---|
//! | `devices` | device files, sizes, serial numbers |
//! | `loops` | loop devices, by losetup(8) |
//! | `mounts` | the mount table, mount and unmount |
//! | `nvme` | log pages of NVMe disks |
//! | `options` | mount options as mount(8) takes them |
//! | `paths` | paths without links |
//! | `size` | how far a file system reaches |
//! | `tools` | programs, how long they may take, and what their ends mean |
//!
//! Nothing here is unsafe but the one ioctl of `nvme`: mounts go through `rustix`, device sizes are found by seeking.

mod devices;
mod host;
mod loops;
mod mounts;
mod nvme;
mod options;
mod paths;
mod size;
mod tools;

use std::path::PathBuf;

use self::tools::Tools;

/// Where a machine keeps what this needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Roots {
    /// Devices and the links to them.
    pub dev: PathBuf,
    /// What the kernel tells of devices.
    pub sys: PathBuf,
    /// What the kernel tells of this process.
    pub proc: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            dev: "/dev".into(),
            sys: "/sys".into(),
            proc: "/proc".into(),
        }
    }
}

/// The machine that this process runs on. Its acts are those of the process: they need its rights.
#[derive(Clone, Debug, Default)]
pub struct LinuxHost {
    roots: Roots,
    tools: Tools,
}

impl LinuxHost {
    /// A machine with these roots. Links below another `dev` may lead to devices of the real one.
    #[must_use]
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            tools: Tools::default(),
        }
    }

    /// The same machine with programs from this folder alone, in place of those of `PATH`.
    #[must_use]
    pub fn with_tools(mut self, folder: impl Into<PathBuf>) -> Self {
        self.tools.folder = Some(folder.into());
        self
    }
}
