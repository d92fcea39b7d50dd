//! Reconciles VolumeSnapshot, VolumeSnapshotContent and VolumeSnapshotClass
