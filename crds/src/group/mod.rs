//! The kinds of `groupsnapshot.storage.k8s.io`: snapshots of several volumes, taken at one moment.

pub mod v1;
