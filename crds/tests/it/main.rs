//! Tests of the snapshot API types.

mod manifests;
