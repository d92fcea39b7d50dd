//! The snapshot API: `VolumeSnapshot`, `VolumeSnapshotContent` and `VolumeSnapshotClass` of
//! `snapshot.storage.k8s.io/v1`, and the custom resource definitions generated from these types.
//!
//! | Module | Subject |
//! |---|---|
//! | [`definitions`] | the three CustomResourceDefinitions, and their YAML in `crds/manifests/` |
//! | [`names`] | finalizers, annotations and labels |
//! | [`v1`] | the types |
//!
//! Fields, validation rules and their messages are those of upstream's definitions (specification
//! `snapshot.md` 1): clients match on them. Descriptions are our own.

// Printer columns of equal type look like repeated attributes.
#![allow(clippy::duplicated_attributes)]

pub mod definitions;
pub mod names;
pub mod v1;
