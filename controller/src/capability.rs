//! The volume capability of a call. Source: resize.md 3.10, sidecars.md 1.6.

use csi::v1::VolumeCapability;
use csi::v1::volume_capability::access_mode::Mode;
use csi::v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use runtime::objects::{AccessModes, Volume, VolumeMode};

/// What a capability says besides what the object of the volume does.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The file system that it is mounted with; empty for the driver's own.
    pub fs_type: &'a str,
    /// The driver has SINGLE_NODE_MULTI_WRITER.
    pub single_node_multi_writer: bool,
}

/// Access modes that CSI cannot express.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessModeError {
    /// With others.
    #[error("ReadWriteOncePod access mode must not be used with other access modes")]
    PodWithOthers,
    /// Both.
    #[error("CSI does not support ReadOnlyMany and ReadWriteOnce on the same PersistentVolume")]
    ManyAndOnce,
    /// None that is known.
    #[error("the PersistentVolume has no supported access mode")]
    None,
}

/// The capability of a volume.
///
/// # Errors
/// Its access modes fit no mode of CSI.
pub fn of(volume: &Volume, access: &Access<'_>) -> Result<VolumeCapability, AccessModeError> {
    let access_type = if volume.mode == Some(VolumeMode::Block) {
        AccessType::Block(BlockVolume {})
    } else {
        AccessType::Mount(MountVolume {
            fs_type: access.fs_type.to_owned(),
            mount_flags: volume.mount_options.iter().map(ToString::to_string).collect(),
            ..MountVolume::default()
        })
    };
    with(volume.access_modes, access.single_node_multi_writer, access_type)
}

/// The capability of a volume with these access modes that is reached in this way.
///
/// # Errors
/// The access modes fit no mode of CSI.
pub fn with(
    modes: AccessModes,
    single_node_multi_writer: bool,
    access_type: AccessType,
) -> Result<VolumeCapability, AccessModeError> {
    let mode = access_mode(modes, single_node_multi_writer)?;
    Ok(VolumeCapability {
        access_mode: Some(AccessMode { mode: mode.into() }),
        access_type: Some(access_type),
    })
}

fn access_mode(modes: AccessModes, single_node_multi_writer: bool) -> Result<Mode, AccessModeError> {
    let others = modes.read_write_once || modes.read_only_many || modes.read_write_many;
    if modes.read_write_once_pod {
        return match (others, single_node_multi_writer) {
            (true, _) => Err(AccessModeError::PodWithOthers),
            (false, true) => Ok(Mode::SingleNodeSingleWriter),
            (false, false) => Ok(Mode::SingleNodeWriter),
        };
    }
    if modes.read_write_many {
        return Ok(Mode::MultiNodeMultiWriter);
    }
    match (modes.read_only_many, modes.read_write_once) {
        (true, true) => Err(AccessModeError::ManyAndOnce),
        (true, false) => Ok(Mode::MultiNodeReaderOnly),
        (false, true) if single_node_multi_writer => Ok(Mode::SingleNodeMultiWriter),
        (false, true) => Ok(Mode::SingleNodeWriter),
        (false, false) => Err(AccessModeError::None),
    }
}
