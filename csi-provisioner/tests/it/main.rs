//! The function as the binary runs it, and its rules.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod args;
mod deletion;
mod grants;
mod plan;
mod simulation;
mod topology;
mod world;
