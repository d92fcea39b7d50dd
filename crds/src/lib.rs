//! The snapshot API: `VolumeSnapshot`, `VolumeSnapshotContent` and `VolumeSnapshotClass` of
//! `snapshot.storage.k8s.io/v1`, their kin for groups of `groupsnapshot.storage.k8s.io/v1`, and the custom
//! resource definitions generated from these types.
//!
//! | Module | Subject |
//! |---|---|
//! | [`definitions`] | the CustomResourceDefinitions, and their YAML in `crds/manifests/` |
//! | [`group`] | the types of the group kinds |
//! | [`names`] | finalizers, annotations and labels |
//! | [`v1`] | the types |
//!
//! Fields, validation rules and their messages are those of upstream's definitions (specification
//! `snapshot.md` 1): clients match on them. Descriptions are our own.

// Printer columns of equal type look like repeated attributes.
#![allow(clippy::duplicated_attributes)]

pub mod definitions;
pub mod group;
pub mod names;
mod schemas;
pub mod v1;
