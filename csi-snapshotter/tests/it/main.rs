//! The csi-snapshotter: its flags, its plans, and the whole of it in the sandbox.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod args;
mod build;
mod group_world;
mod groups;
mod plan;
mod simulation;
mod world;
