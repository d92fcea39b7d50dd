//! The attacher: its flags, its plans, and the whole of it in the sandbox.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod args;
mod plan;
mod simulation;
mod world;
