//! Loop devices through losetup(8), and what is mounted from them.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{UnmountFlags, unmount};

use super::{StorageError, io};

const LOSETUP: &str = "losetup";
/// So often mounts are looked for: one may hide another.
const LOOKS: u32 = 8;

/// A loop device over a file.
#[derive(Debug)]
pub(super) struct LoopDevice {
    path: PathBuf,
}

fn losetup(arguments: &[&str], file: Option<&Path>) -> Result<String, StorageError> {
    let mut command = Command::new(LOSETUP);
    command.args(arguments).args(file).env("LC_ALL", "C");
    let output = command.output().map_err(io("run", Path::new(LOSETUP)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(StorageError::Tool {
        tool: format!("{LOSETUP} {}", arguments.join(" ")),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Whether loop devices can be had.
pub(super) fn check() -> Result<(), StorageError> {
    let control = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/loop-control");
    let reason = match control {
        Err(error) => format!("/dev/loop-control: {error}"),
        Ok(_) => match losetup(&["--find"], None) {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        },
    };
    Err(StorageError::NoLoopDevices { reason })
}

impl LoopDevice {
    /// A device over a file.
    pub(super) fn over(file: &Path) -> Result<Self, StorageError> {
        let path = losetup(&["--find", "--show"], Some(file))?;
        Ok(Self { path: path.into() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the size of the file as its own.
    pub(super) fn follow_file(&self) -> Result<(), StorageError> {
        losetup(&["--set-capacity"], Some(&self.path)).map(drop)
    }

    /// Whether something of it is mounted here.
    pub(super) fn is_mounted(&self) -> Result<bool, StorageError> {
        Ok(!self.targets()?.is_empty())
    }

    /// Takes away what is mounted from it, and gives it back.
    pub(super) fn release(self) -> Result<(), StorageError> {
        for _ in 0..LOOKS {
            let targets = self.targets()?;
            if targets.is_empty() {
                break;
            }
            for target in targets.iter().rev() {
                // Who has a file open there keeps it, as with a device that was pulled out.
                let _ = unmount(target, UnmountFlags::DETACH);
            }
        }
        losetup(&["--detach"], Some(&self.path)).map(drop)
    }

    /// Where something of it is mounted, oldest first.
    fn targets(&self) -> Result<Vec<PathBuf>, StorageError> {
        let table = Path::new("/proc/self/mountinfo");
        let text = std::fs::read_to_string(table).map_err(io("read", table))?;
        Ok(targets(&text, &self.path))
    }
}

/// The targets of a device in the kernel's table: where its file system is mounted, or its device file is bound.
fn targets(table: &str, device: &Path) -> Vec<PathBuf> {
    let name = device.file_name().unwrap_or_default();
    let of_line = |line: &str| {
        let (own, of_file_system) = line.split_once(" - ")?;
        let fields: Vec<&str> = own.split(' ').collect();
        let mut of_file_system = of_file_system.split(' ');
        let source = of_file_system.nth(1)?;
        let target = PathBuf::from(plain(fields.get(4)?));
        let is_bound = Path::new(fields.get(3)?).file_name() == Some(name) && is_device(&target);
        (Path::new(source) == device || is_bound).then_some(target)
    };
    table.lines().filter_map(of_line).collect()
}

fn is_device(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device())
}

/// Spaces stand as `\040`.
fn plain(text: &str) -> String {
    text.replace("\\040", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_a_device_are_found() {
        let table = "36 35 7:1 / /a\\040b rw - ext4 /dev/loop1 rw\n37 35 7:2 / /c rw - xfs /dev/loop12 rw\nnonsense\n";
        assert_eq!(targets(table, Path::new("/dev/loop1")), [Path::new("/a b")]);
        assert_eq!(targets(table, Path::new("/dev/loop12")), [Path::new("/c")]);
        assert!(targets(table, Path::new("/dev/loop2")).is_empty());
    }
}
