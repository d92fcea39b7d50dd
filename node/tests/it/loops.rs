//! A loop device over a sparse file, with a link to it as udev would make one.

use std::path::{Path, PathBuf};
use std::process::Command;

use node::linux::{LinuxHost, Roots};
use tempfile::TempDir;

/// A machine whose only link is `xvdaa`.
pub struct Machine {
    pub host: LinuxHost,
    pub folder: TempDir,
    pub device: PathBuf,
}

/// `SLACKWATER_ROOT_TESTS=required` makes it a failure that a test cannot run.
const REQUIRED: &str = "SLACKWATER_ROOT_TESTS";

fn run(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// A blank device of this size; none, with a line that says so, where this cannot be had.
pub fn machine(test: &str, mebibytes: u64) -> Option<Machine> {
    let made = (has_tools() && run("id", &["-u"]).as_deref() == Some("0"))
        .then(|| with_device(mebibytes))
        .flatten();
    if made.is_none() {
        let needs = "needs root, loop devices, e2fsprogs and xfsprogs";
        let is_required = std::env::var(REQUIRED).as_deref() == Ok("required");
        assert!(!is_required, "{test} {needs}");
        eprintln!("not run: {test} {needs}");
    }
    made
}

fn has_tools() -> bool {
    let has = |tool: &str| Command::new(tool).arg("-V").output().is_ok();
    ["mkfs.ext4", "resize2fs", "mkfs.xfs", "xfs_growfs"]
        .into_iter()
        .all(has)
}

fn with_device(mebibytes: u64) -> Option<Machine> {
    let folder = tempfile::tempdir().ok()?;
    let image = folder.path().join("image");
    let file = std::fs::File::create(&image).ok()?;
    file.set_len(mebibytes << 20).ok()?;
    let device = PathBuf::from(run("losetup", &["--find", "--show", image.to_str()?])?);
    let dev = folder.path().join("dev");
    std::fs::create_dir(&dev).ok()?;
    std::os::unix::fs::symlink(&device, dev.join("xvdaa")).ok()?;
    let roots = Roots {
        dev,
        ..Roots::default()
    };
    Some(Machine {
        host: LinuxHost::new(roots),
        folder,
        device,
    })
}

impl Machine {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The volume grows: the device is larger from now on.
    pub fn enlarge(&self, mebibytes: u64) {
        let image = std::fs::OpenOptions::new().write(true).open(self.path("image"));
        image.unwrap().set_len(mebibytes << 20).unwrap();
        run("losetup", &["--set-capacity", self.device.to_str().unwrap()]).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for name in ["bound", "block", "mounted"] {
            while run("umount", &[self.path(name).to_str().unwrap_or_default()]).is_some() {}
        }
        detach(&self.device);
    }
}

fn detach(device: &Path) {
    run("losetup", &["--detach", device.to_str().unwrap_or_default()]);
}
