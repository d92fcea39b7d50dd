//! The mount table, mount and unmount. Types that need a helper (nfs, efs) go through mount(8).

use std::ffi::CString;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};

use super::devices::io;
use crate::error::HostError;
use crate::types::{Mount, MountRequest};

/// Types that the kernel mounts without a helper.
const NATIVE: [&str; 5] = ["ext2", "ext3", "ext4", "xfs", "btrfs"];
/// Options that are for tables and tools, not for the kernel.
const FOR_TOOLS: [&str; 13] = [
    "async",
    "atime",
    "auto",
    "defaults",
    "dev",
    "diratime",
    "exec",
    "nofail",
    "noauto",
    "rw",
    "suid",
    "_netdev",
    "norelatime",
];

/// Options as the kernel takes them: flags, and the rest for the file system.
pub(super) fn split(options: &[String]) -> (MountFlags, Vec<&str>) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in options.iter().map(String::as_str) {
        flags |= match option {
            "ro" => MountFlags::RDONLY,
            "noatime" => MountFlags::NOATIME,
            "nodiratime" => MountFlags::NODIRATIME,
            "relatime" => MountFlags::RELATIME,
            "strictatime" => MountFlags::STRICTATIME,
            "lazytime" => MountFlags::LAZYTIME,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "nosuid" => MountFlags::NOSUID,
            "nosymfollow" => MountFlags::NOSYMFOLLOW,
            "sync" => MountFlags::SYNCHRONOUS,
            "dirsync" => MountFlags::DIRSYNC,
            "silent" => MountFlags::SILENT,
            "bind" => MountFlags::BIND,
            other => {
                if !FOR_TOOLS.contains(&other) && !other.starts_with("x-") {
                    data.push(other);
                }
                MountFlags::empty()
            }
        };
    }
    (flags, data)
}

/// Whether mount(8) and its helpers are needed.
pub(super) fn needs_helper(request: &MountRequest) -> bool {
    let is_bind = request.options.iter().any(|option| option == "bind");
    !is_bind
        && request
            .fs_type
            .as_deref()
            .is_none_or(|fs_type| !NATIVE.contains(&fs_type))
}

/// Mounts without a helper.
pub(super) fn mount_natively(request: &MountRequest) -> Result<(), HostError> {
    let (flags, data) = split(&request.options);
    let target = request.target.as_path();
    let refused = |error: Errno| refusal(request, error);
    if flags.contains(MountFlags::BIND) {
        mount_bind(request.source.as_str(), target).map_err(refused)?;
        // The kernel takes the flags of a bind mount only afterwards.
        if flags != MountFlags::BIND
            && let Err(error) = mount_remount(target, flags, "")
        {
            let _ = unmount(target, UnmountFlags::empty());
            return Err(refused(error));
        }
        return Ok(());
    }
    let data = CString::new(data.join(","))
        .map_err(|_| HostError::Unsupported("a mount option with a zero byte".to_owned()))?;
    let fs_type = request.fs_type.as_deref().unwrap_or_default();
    mount(request.source.as_str(), target, fs_type, flags, data.as_c_str()).map_err(refused)
}

fn refusal(request: &MountRequest, error: Errno) -> HostError {
    match error {
        Errno::BUSY => HostError::Busy {
            path: request.source.clone().into(),
            detail: format!("it cannot be mounted at {}", request.target.display()),
        },
        Errno::PERM => HostError::CapabilityLacking {
            operation: format!("mounting {}", request.source),
            capability: "CAP_SYS_ADMIN",
            advice: "run the node service as a privileged container",
        },
        Errno::NODEV => HostError::Unsupported(format!(
            "the file system {}, which this kernel does not know,",
            request.fs_type.as_deref().unwrap_or_default()
        )),
        error => io("mount", &request.target)(error.into()),
    }
}

/// Takes the uppermost mount away; OK when there is none.
pub(super) fn unmount_one(target: &Path) -> Result<(), HostError> {
    match unmount(target, UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(Errno::BUSY) => Err(HostError::Busy {
            path: target.to_owned(),
            detail: "files on it are open".to_owned(),
        }),
        Err(error) => Err(io("unmount", target)(error.into())),
    }
}

/// The mounts of `<proc>/self/mountinfo`.
pub(super) fn table(proc: &Path) -> Result<Vec<Mount>, HostError> {
    let path = proc.join("self/mountinfo");
    let bytes = std::fs::read(&path).map_err(io("read", &path))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter_map(parse).collect())
}

/// One line: ID, parent, device, root, target, options, optional fields, `-`, type, source, options of the file
/// system.
fn parse(line: &str) -> Option<Mount> {
    let (own, of_file_system) = line.split_once(" - ")?;
    let own: Vec<&str> = own.split(' ').collect();
    let of_file_system: Vec<&str> = of_file_system.split(' ').collect();
    let mut options: Vec<String> = own.get(5)?.split(',').map(str::to_owned).collect();
    let others = of_file_system.get(2).copied().unwrap_or_default().split(',');
    for option in others.filter(|option| !option.is_empty()) {
        if !options.iter().any(|known| known == option) && option != "rw" && option != "ro" {
            options.push(option.to_owned());
        }
    }
    Some(Mount {
        root: PathBuf::from(unescaped(own.get(3)?)),
        target: PathBuf::from(unescaped(own.get(4)?)),
        fs_type: (*of_file_system.first()?).to_owned(),
        source: unescaped(of_file_system.get(1)?),
        options,
    })
}

/// Spaces and the like stand as `\040`.
fn unescaped(text: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(code);
                rest = &after[3..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn flags_are_told_from_options_of_the_file_system() {
        let given = options("ro,noatime,nouuid,defaults,x-systemd.automount,context=a:b");
        let (flags, data) = split(&given);
        assert_eq!(flags, MountFlags::RDONLY | MountFlags::NOATIME);
        assert_eq!(data, ["nouuid", "context=a:b"]);
    }

    #[test]
    fn only_foreign_types_need_a_helper() {
        let request = |fs_type: Option<&str>, given: &str| MountRequest {
            fs_type: fs_type.map(str::to_owned),
            options: options(given),
            ..MountRequest::default()
        };
        assert!(!needs_helper(&request(Some("xfs"), "ro")));
        assert!(!needs_helper(&request(None, "bind,ro")));
        assert!(needs_helper(&request(Some("efs"), "tls")));
    }

    #[test]
    fn lines_of_the_table_are_read() {
        let line = r"36 35 259:1 / /a\040b rw,noatime shared:1 - ext4 /dev/nvme1n1 rw,errors=remount-ro";
        let mount = parse(line).unwrap();
        assert_eq!(mount.target, Path::new("/a b"));
        assert_eq!(
            (mount.source.as_str(), mount.fs_type.as_str()),
            ("/dev/nvme1n1", "ext4")
        );
        assert_eq!(mount.options, ["rw", "noatime", "errors=remount-ro"]);
        let bound = parse("40 35 0:6 /nvme1n1 /target rw - devtmpfs udev rw").unwrap();
        assert_eq!(
            (bound.root.as_path(), bound.source.as_str()),
            (Path::new("/nvme1n1"), "udev")
        );
        assert_eq!(parse("nonsense"), None);
    }
}
