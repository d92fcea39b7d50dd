//! The types of `groupsnapshot.storage.k8s.io/v1`. `v1beta2`, in which the objects are stored, has the same fields.

mod class;
mod content;
mod snapshot;

pub use class::VolumeGroupSnapshotClass;
pub use content::{
    GroupSnapshotHandles, VolumeGroupSnapshotContent, VolumeGroupSnapshotContentSource,
    VolumeGroupSnapshotContentSpec, VolumeGroupSnapshotContentStatus, VolumeSnapshotInfo,
};
pub use snapshot::{
    VolumeGroupSnapshot, VolumeGroupSnapshotSource, VolumeGroupSnapshotSpec, VolumeGroupSnapshotStatus,
};
