//! Programs that are missing or fail. A file stands for the device: none of them gets as far as to touch it.

use std::path::{Path, PathBuf};

use node::linux::LinuxHost;
use node::testing::program;
use node::{Check, Host, HostError};
use tempfile::TempDir;

/// A machine with these programs, each of which is a line of shell, and a device.
fn machine(programs: &[(&str, &str)]) -> (LinuxHost, PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let tools = folder.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    for (name, line) in programs {
        program(&tools.join(name), line).unwrap();
    }
    let device = folder.path().join("device");
    std::fs::write(&device, [0; 8192]).unwrap();
    (LinuxHost::default().with_tools(tools), device, folder)
}

fn text<T: std::fmt::Debug>(outcome: Result<T, HostError>) -> String {
    outcome.unwrap_err().to_string()
}

#[tokio::test]
async fn a_missing_tool_is_named_with_the_package_that_holds_it() {
    let (host, device, _folder) = machine(&[]);
    let at = Path::new("/nowhere");
    let rows = [
        (text(host.contents(&device).await), "blkid", "util-linux"),
        (
            text(host.format(&device, "ext4", &[]).await),
            "mkfs.ext4",
            "e2fsprogs",
        ),
        (
            text(host.format(&device, "xfs", &[]).await),
            "mkfs.xfs",
            "xfsprogs",
        ),
        (
            text(host.grow(&device, "ext4", Some(at)).await),
            "resize2fs",
            "e2fsprogs",
        ),
        (
            text(host.grow(&device, "ext4", None).await),
            "e2fsck",
            "e2fsprogs",
        ),
        (
            text(host.grow(&device, "xfs", Some(at)).await),
            "xfs_growfs",
            "xfsprogs",
        ),
        (
            text(host.file_system_size(&device, "xfs", Some(at)).await),
            "xfs_growfs",
            "xfsprogs",
        ),
    ];
    for (found, tool, package) in rows {
        assert_eq!(found, format!("{tool} is not installed; install {package}"));
    }
    let check = host.check(&device).await.unwrap();
    assert_eq!(check, Check::Unknown("fsck is not installed".into()));
    assert_eq!(std::fs::read(&device).unwrap(), [0; 8192]);
}

#[tokio::test]
async fn what_a_failing_tool_said_is_told_in_one_line() {
    let failing = "echo first; echo 'no space' >&2; exit 3";
    let (host, device, _folder) = machine(&[
        ("mkfs.ext4", failing),
        ("blkid", failing),
        ("e2fsck", failing),
        ("xfs_growfs", failing),
        ("fsck", "echo 'inode 7 is bad'; exit 4"),
    ]);
    let at = Some(Path::new("/nowhere"));
    let rows = [
        (text(host.format(&device, "ext4", &[]).await), "mkfs.ext4"),
        (text(host.contents(&device).await), "blkid"),
        (text(host.grow(&device, "ext4", None).await), "e2fsck"),
        (text(host.grow(&device, "xfs", at).await), "xfs_growfs"),
    ];
    for (found, tool) in rows {
        assert_eq!(found, format!("{tool} failed (exit code 3): first; no space"));
    }
    let check = host.check(&device).await.unwrap();
    assert_eq!(check, Check::Broken("inode 7 is bad".into()));
    assert_eq!(std::fs::read(&device).unwrap(), [0; 8192]);
}

#[tokio::test]
async fn a_capability_that_is_lacking_is_told_from_other_failures() {
    let refused = "echo 'resize2fs: Permission denied to resize filesystem' >&2; exit 1";
    let (host, device, _folder) = machine(&[("resize2fs", refused)]);
    let grown = host.grow(&device, "ext4", Some(Path::new("/nowhere"))).await;
    let expected = format!(
        "growing the mounted ext4 on {} needs CAP_SYS_RESOURCE, which this process lacks; grant it, use xfs, or let \
         the volume be staged anew, which grows it unmounted",
        device.display()
    );
    assert_eq!(text(grown), expected);
    let (host, device, _folder) = machine(&[("resize2fs", "echo 'no space' >&2; exit 1")]);
    let grown = host.grow(&device, "ext4", Some(Path::new("/nowhere"))).await;
    assert!(matches!(grown, Err(HostError::ToolFailed { .. })), "{grown:?}");
}

/// On a paused clock any time limit is over before the program is.
#[tokio::test(start_paused = true)]
async fn ebs_case_170_checks_and_growth_without_a_mount_take_whatever_they_take() {
    let slow = "sleep 0.3; exit 0";
    let (host, device, _folder) = machine(&[
        ("fsck", slow),
        ("e2fsck", slow),
        ("resize2fs", slow),
        ("blkid", slow),
    ]);
    assert_eq!(host.check(&device).await.unwrap(), Check::Clean);
    host.grow(&device, "ext4", None).await.unwrap();
    // What only asks has a limit.
    let asked = host.contents(&device).await;
    assert!(matches!(asked, Err(HostError::ToolTimeout { .. })), "{asked:?}");
}
