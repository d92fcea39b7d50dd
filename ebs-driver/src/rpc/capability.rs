//! What a volume may be used as. Source: spec 1.4 (access modes).

use csi::v1::VolumeCapability;
use csi::v1::volume_capability::AccessType;
use csi::v1::volume_capability::access_mode::Mode;

/// Whether EBS can do this: one node for mount and block, several only for block.
pub(crate) fn is_supported(capability: &VolumeCapability) -> bool {
    matches!(
        (mode(capability), &capability.access_type),
        (Mode::SingleNodeWriter, Some(_)) | (Mode::MultiNodeMultiWriter, Some(AccessType::Block(_)))
    )
}

/// Whether a device that is present on every node can do this: both modes for mount and block.
pub(crate) fn is_supported_node_local(capability: &VolumeCapability) -> bool {
    matches!(
        mode(capability),
        Mode::SingleNodeWriter | Mode::MultiNodeMultiWriter
    ) && capability.access_type.is_some()
}

/// Whether the volume is to be attached to several nodes at once.
pub(super) fn is_multi_attach(capability: &VolumeCapability) -> bool {
    mode(capability) == Mode::MultiNodeMultiWriter && is_block(capability)
}

/// Whether the volume is used as a block device.
pub(crate) fn is_block(capability: &VolumeCapability) -> bool {
    matches!(capability.access_type, Some(AccessType::Block(_)))
}

/// The file system asked for; empty when none is named or the volume is used as a block device.
pub(super) fn fs_type(capability: &VolumeCapability) -> &str {
    match &capability.access_type {
        Some(AccessType::Mount(mount)) => &mount.fs_type,
        _ => "",
    }
}

fn mode(capability: &VolumeCapability) -> Mode {
    capability
        .access_mode
        .as_ref()
        .map_or(Mode::Unknown, csi::v1::volume_capability::AccessMode::mode)
}
