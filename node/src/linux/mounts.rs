//! The mount table, mount and unmount. Types that need a helper (nfs, efs) go through mount(8).

use std::ffi::CString;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{
    FsOpenFlags, MountFlags, UnmountFlags, fsconfig_set_flag, fsconfig_set_string, fsopen, mount, mount_bind,
    mount_change, mount_remount, unmount,
};

use super::devices::io;
use super::options::{self, Options};
use crate::error::HostError;
use crate::options::single;
use crate::types::{Mount, MountRequest};

/// Types that the kernel mounts without a helper.
const NATIVE: [&str; 5] = ["ext2", "ext3", "ext4", "xfs", "btrfs"];
/// Whether mount(8) and its helpers are needed.
pub(super) fn needs_helper(request: &MountRequest) -> bool {
    let is_bind = single(&request.options).iter().any(|option| option == "bind");
    !is_bind
        && request
            .fs_type
            .as_deref()
            .is_none_or(|fs_type| !NATIVE.contains(&fs_type))
}

/// Mounts without a helper.
pub(super) fn mount_natively(request: &MountRequest) -> Result<(), HostError> {
    let singles = single(&request.options);
    let options = Options::read(request, &singles)?;
    mount_with(request, &options)?;
    let target = request.target.as_path();
    for how in &options.propagation {
        if let Err(error) = mount_change(target, *how) {
            let _ = unmount(target, UnmountFlags::empty());
            return Err(refusal(request, error));
        }
    }
    Ok(())
}

fn mount_with(request: &MountRequest, options: &Options<'_>) -> Result<(), HostError> {
    let (flags, target) = (options.flags.0, request.target.as_path());
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
    let data = CString::new(options.data.join(","))
        .map_err(|_| HostError::Unsupported("a mount option with a zero byte".to_owned()))?;
    let fs_type = request.fs_type.as_deref().unwrap_or_default();
    match mount(request.source.as_str(), target, fs_type, flags, data.as_c_str()) {
        // The kernel does not say what is wrong.
        Err(Errno::INVAL) if !options.data.is_empty() => {
            Err(options::refused(request, &suspect(fs_type, &options.data)))
        }
        outcome => outcome.map_err(refused),
    }
}

/// The option that the file system refuses: each is given to it by itself, and nothing is mounted. Where it refuses none
/// by itself, all of them.
fn suspect(fs_type: &str, data: &[&str]) -> String {
    let is_refused = |option: &&&str| {
        let Ok(context) = fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC) else {
            return false;
        };
        let outcome = match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(&context, key, value.trim_matches('"')),
            None => fsconfig_set_flag(&context, **option),
        };
        outcome.is_err()
    };
    data.iter()
        .find(is_refused)
        .map_or_else(|| data.join(","), |option| (*option).to_owned())
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
