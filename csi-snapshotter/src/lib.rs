//! Drives a CSI driver from VolumeSnapshotContent objects
