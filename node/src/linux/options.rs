//! What mount(8) makes of options, for the kernel. Source: util-linux 2.38, mount(8) and what it was seen to do.

use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::error::HostError;
use crate::types::MountRequest;

/// Options as the kernel takes them.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    /// Of the mount.
    pub(super) flags: Flags,
    /// Set one by one once it is mounted.
    pub(super) propagation: Vec<MountPropagationFlags>,
    /// The rest, for the file system.
    pub(super) data: Vec<&'a str>,
}

/// Flags, none at first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flags(pub(super) MountFlags);

impl Default for Flags {
    fn default() -> Self {
        Self(MountFlags::empty())
    }
}

/// `MS_I_VERSION` of the kernel, which `rustix` has no name for.
const IVERSION: MountFlags = MountFlags::from_bits_retain(1 << 23);
/// What a file system that anybody may mount must not have.
const OWNER: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
const USER: MountFlags = OWNER.union(MountFlags::NOEXEC);

/// What an option does.
enum Effect {
    Set(MountFlags),
    Clear(MountFlags),
    Propagate(MountPropagationFlags),
    /// It is for tables, tools and people.
    None,
    /// It would mount something else than the volume.
    Refused,
    /// It is for the file system.
    Data,
}

fn effect(option: &str) -> Effect {
    use Effect::{Clear, Propagate, Set};
    let recursive = MountPropagationFlags::REC;
    match option {
        "ro" => Set(MountFlags::RDONLY),
        "rw" => Clear(MountFlags::RDONLY),
        "noatime" => Set(MountFlags::NOATIME),
        "atime" => Clear(MountFlags::NOATIME),
        "nodiratime" => Set(MountFlags::NODIRATIME),
        "diratime" => Clear(MountFlags::NODIRATIME),
        "relatime" => Set(MountFlags::RELATIME),
        "norelatime" => Clear(MountFlags::RELATIME),
        "strictatime" => Set(MountFlags::STRICTATIME),
        "nostrictatime" => Clear(MountFlags::STRICTATIME),
        "lazytime" => Set(MountFlags::LAZYTIME),
        "nolazytime" => Clear(MountFlags::LAZYTIME),
        "nodev" => Set(MountFlags::NODEV),
        "dev" => Clear(MountFlags::NODEV),
        "noexec" => Set(MountFlags::NOEXEC),
        "exec" => Clear(MountFlags::NOEXEC),
        "nosuid" => Set(MountFlags::NOSUID),
        "suid" => Clear(MountFlags::NOSUID),
        "nosymfollow" => Set(MountFlags::NOSYMFOLLOW),
        "symfollow" => Clear(MountFlags::NOSYMFOLLOW),
        "sync" => Set(MountFlags::SYNCHRONOUS),
        "async" => Clear(MountFlags::SYNCHRONOUS),
        "dirsync" => Set(MountFlags::DIRSYNC),
        "silent" => Set(MountFlags::SILENT),
        "loud" => Clear(MountFlags::SILENT),
        "iversion" => Set(IVERSION),
        "noiversion" => Clear(IVERSION),
        "mand" => Set(MountFlags::PERMIT_MANDATORY_FILE_LOCKING),
        "nomand" => Clear(MountFlags::PERMIT_MANDATORY_FILE_LOCKING),
        "user" | "users" => Set(USER),
        "owner" | "group" => Set(OWNER),
        "bind" => Set(MountFlags::BIND),
        "private" => Propagate(MountPropagationFlags::PRIVATE),
        "rprivate" => Propagate(MountPropagationFlags::PRIVATE | recursive),
        "shared" => Propagate(MountPropagationFlags::SHARED),
        "rshared" => Propagate(MountPropagationFlags::SHARED | recursive),
        "slave" => Propagate(MountPropagationFlags::DOWNSTREAM),
        "rslave" => Propagate(MountPropagationFlags::DOWNSTREAM | recursive),
        "unbindable" => Propagate(MountPropagationFlags::UNBINDABLE),
        "runbindable" => Propagate(MountPropagationFlags::UNBINDABLE | recursive),
        "auto" | "noauto" | "defaults" | "nofail" | "_netdev" | "nouser" | "nousers" | "noowner"
        | "nogroup" | "X-mount.mkdir" => Effect::None,
        "remount" | "move" | "rbind" | "loop" => Effect::Refused,
        _ => by_prefix(option),
    }
}

fn by_prefix(option: &str) -> Effect {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| option.starts_with(prefix));
    if begins(&["X-mount.mkdir="]) {
        Effect::None
    } else if begins(&["loop=", "offset=", "sizelimit=", "encryption=", "X-mount."]) {
        Effect::Refused
    } else if begins(&["x-", "X-", "comment=", "helper=", "uhelper="]) {
        Effect::None
    } else {
        Effect::Data
    }
}

impl<'a> Options<'a> {
    /// Reads the options of a mount, each by itself; of two that exclude each other the later one counts.
    ///
    /// # Errors
    /// For an option that would mount something else.
    pub(super) fn read(request: &MountRequest, options: &'a [String]) -> Result<Self, HostError> {
        let mut read = Self::default();
        for option in options.iter().map(String::as_str) {
            match effect(option) {
                Effect::Set(flags) => read.flags.0 |= flags,
                Effect::Clear(flags) => read.flags.0 &= !flags,
                Effect::Propagate(how) => read.propagation.push(how),
                Effect::None => {}
                Effect::Refused => return Err(refused(request, option)),
                Effect::Data => read.data.push(option),
            }
        }
        Ok(read)
    }
}

/// The option that is to blame.
pub(super) fn refused(request: &MountRequest, option: &str) -> HostError {
    HostError::MountOption {
        option: option.to_owned(),
        source_path: request.source.clone().into(),
        fs_type: request.fs_type.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::options::single;

    fn read(text: &str) -> Result<(MountFlags, usize, Vec<String>), String> {
        let options = single(&[text.to_owned()]);
        let request = MountRequest::default();
        let read = Options::read(&request, &options).map_err(|error| error.to_string())?;
        let data = read.data.into_iter().map(str::to_owned).collect();
        Ok((read.flags.0, read.propagation.len(), data))
    }

    #[test]
    fn flags_are_told_from_options_of_the_file_system() {
        let (flags, _, data) =
            read("ro,noatime,nouuid,defaults,x-systemd.automount,context=\"a:b:s0:c1,c2\"").unwrap();
        assert_eq!(flags, MountFlags::RDONLY | MountFlags::NOATIME);
        assert_eq!(data, ["nouuid", "context=\"a:b:s0:c1,c2\""]);
    }

    #[test]
    fn ebs_case_114_the_later_of_two_counts() {
        let none = MountFlags::empty();
        for (text, expected) in [
            ("ro,rw", none),
            ("sync,async", none),
            ("noatime,atime", none),
            ("silent,loud,nostrictatime,noiversion,nouser,comment=x", none),
            ("user", USER),
            ("user,exec", OWNER),
            ("exec,user", USER),
            ("group", OWNER),
            ("iversion", IVERSION),
        ] {
            let (flags, propagated, data) = read(text).unwrap();
            assert_eq!((flags, propagated, data.len()), (expected, 0, 0), "{text}");
        }
        assert_eq!(read("private,rshared").unwrap().1, 2);
        for text in ["remount", "loop", "offset=4096", "X-mount.subdir=a"] {
            let error = read(&format!("noatime,{text}")).unwrap_err();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    const KNOWN: [&str; 16] = [
        "ro",
        "rw",
        "noatime",
        "atime",
        "nodev",
        "dev",
        "user",
        "exec",
        "private",
        "rshared",
        "defaults",
        "loop",
        "remount",
        "nouuid",
        "x-a",
        "comment=x",
    ];

    /// Options of mount(8), such as file systems have, and others.
    fn option() -> impl Strategy<Value = String> {
        prop_oneof![
            proptest::sample::select(&KNOWN[..]).prop_map(str::to_owned),
            "[a-zA-Z_-]{1,10}(=[a-z0-9:]{0,8})?",
            "[a-z]{1,8}=\"[a-z:,]{0,12}\"",
        ]
    }

    proptest! {
        #[test]
        fn options_mean_the_same_however_they_are_given(options in proptest::collection::vec(option(), 0..8), item in 1..4_usize) {
            let each = single(&options);
            prop_assert_eq!(&each, &options);
            // As many in one item as it may be.
            let grouped: Vec<String> = options.chunks(item).map(|some| some.join(",")).collect();
            prop_assert_eq!(single(&grouped), options.clone());
            let request = MountRequest::default();
            match Options::read(&request, &each) {
                Ok(read) => {
                    // Nothing is lost and nothing invented: what the file system gets was given, in that order.
                    let mut given = options.iter();
                    prop_assert!(read.data.iter().all(|data| given.any(|option| option == data)));
                    let last = options.iter().rfind(|option| ["ro", "rw"].contains(&option.as_str()));
                    let is_read_only = last.is_some_and(|option| option == "ro");
                    prop_assert_eq!(read.flags.0.contains(MountFlags::RDONLY), is_read_only);
                    prop_assert_eq!(crate::options::is_read_only(&each), is_read_only);
                }
                Err(error) => {
                    let text = error.to_string();
                    prop_assert!(options.iter().any(|option| text.contains(&format!("{option:?}"))), "{text}");
                }
            }
        }

        #[test]
        fn no_option_panics(options in proptest::collection::vec(any::<String>(), 0..4)) {
            let each = single(&options);
            let _ = Options::read(&MountRequest::default(), &each);
            prop_assert_eq!(single(&each.clone()), each);
        }
    }
}
