//! What a volume may be used as.

use csi::v1::VolumeCapability;
use csi::v1::volume_capability::AccessType;
use csi::v1::volume_capability::access_mode::Mode;

use super::Refusal;

/// How a volume is used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Usage {
    /// As a file system of this type with these mount options; else as a block device.
    pub mount: Option<(String, Vec<String>)>,
    /// At one place alone.
    pub is_single_writer: bool,
    /// Only to be read.
    pub is_read_only: bool,
}

impl Usage {
    /// Whether it is used as a block device.
    #[must_use]
    pub fn is_block(&self) -> bool {
        self.mount.is_none()
    }
}

/// How a volume is to be used. `can_tell_writers` says whether SINGLE_NODE_MULTI_WRITER is there.
///
/// # Errors
/// [`Refusal::Invalid`] for what is missing, and for what a file of one node cannot be.
pub fn read(
    capability: &VolumeCapability,
    field: &'static str,
    can_tell_writers: bool,
) -> Result<Usage, Refusal> {
    let invalid = |problem: &str| Err(Refusal::invalid(field, problem));
    let mount = match &capability.access_type {
        None => return invalid("has neither block nor mount"),
        Some(AccessType::Block(_)) => None,
        Some(AccessType::Mount(mount)) if !mount.volume_mount_group.is_empty() => {
            return invalid("has a volume_mount_group, which this driver does not know");
        }
        Some(AccessType::Mount(mount)) => {
            let fs_type = node::filesystem::wanted(&mount.fs_type);
            let fs_type = fs_type.map_err(|name| {
                Refusal::invalid(
                    field,
                    format!("has the fs_type {name:?}: not one of ext3, ext4, xfs"),
                )
            })?;
            Some((fs_type, mount.mount_flags.clone()))
        }
    };
    let mode = capability.access_mode.as_ref().map(|mode| mode.mode());
    let (is_single_writer, is_read_only) = match mode {
        None | Some(Mode::Unknown) => return invalid("has no access_mode"),
        Some(Mode::SingleNodeWriter) => (false, false),
        Some(Mode::SingleNodeReaderOnly) => (false, true),
        Some(Mode::SingleNodeSingleWriter) if can_tell_writers => (true, false),
        Some(Mode::SingleNodeMultiWriter) if can_tell_writers => (false, false),
        Some(Mode::SingleNodeSingleWriter | Mode::SingleNodeMultiWriter) => {
            return invalid("has an access_mode of drivers with SINGLE_NODE_MULTI_WRITER");
        }
        Some(Mode::MultiNodeReaderOnly | Mode::MultiNodeSingleWriter | Mode::MultiNodeMultiWriter) => {
            return invalid("has an access_mode of several nodes: the file of a volume is on one node");
        }
    };
    Ok(Usage {
        mount,
        is_single_writer,
        is_read_only,
    })
}

/// How a volume is to be used, all of which must be possible.
///
/// # Errors
/// [`Refusal::Invalid`] for the first that is not, and when none is named.
pub fn read_all(capabilities: &[VolumeCapability], can_tell_writers: bool) -> Result<Vec<Usage>, Refusal> {
    if capabilities.is_empty() {
        return Err(Refusal::invalid("volume_capabilities", "is missing"));
    }
    let read = |capability| read(capability, "volume_capabilities", can_tell_writers);
    capabilities.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use csi::v1::volume_capability::{AccessMode, BlockVolume, MountVolume};

    use super::*;

    fn mount(fs_type: &str) -> Option<AccessType> {
        Some(AccessType::Mount(MountVolume {
            fs_type: fs_type.to_owned(),
            ..MountVolume::default()
        }))
    }

    fn read_one(access_type: Option<AccessType>, mode: Mode, tells: bool) -> Result<Usage, Refusal> {
        let capability = VolumeCapability {
            access_type,
            access_mode: Some(AccessMode { mode: mode.into() }),
        };
        read(&capability, "volume_capability", tells)
    }

    #[test]
    fn what_a_file_cannot_be_is_invalid() {
        let block = || Some(AccessType::Block(BlockVolume {}));
        let rows = [
            (None, Mode::SingleNodeWriter, true, "neither block nor mount"),
            (block(), Mode::Unknown, true, "no access_mode"),
            (block(), Mode::MultiNodeMultiWriter, true, "several nodes"),
            (
                block(),
                Mode::SingleNodeSingleWriter,
                false,
                "SINGLE_NODE_MULTI_WRITER",
            ),
            (mount("btrfs"), Mode::SingleNodeWriter, true, "btrfs"),
        ];
        for (access_type, mode, tells, says) in rows {
            let refusal = read_one(access_type, mode, tells).unwrap_err().to_string();
            assert!(
                refusal.starts_with("volume_capability has") && refusal.contains(says),
                "{refusal}"
            );
        }
    }

    #[test]
    fn the_rest_is_read() {
        let usage = read_one(mount(""), Mode::SingleNodeSingleWriter, true).unwrap();
        assert_eq!(usage.mount, Some(("ext4".to_owned(), Vec::new())));
        assert!(usage.is_single_writer && !usage.is_read_only && !usage.is_block());
        assert!(
            read_one(mount("XFS"), Mode::SingleNodeReaderOnly, false)
                .unwrap()
                .is_read_only
        );
    }
}
