//! The driver over the simulated EC2, on a paused clock, and as a process that reaches it over HTTP.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout
)]

mod attaching;
mod bad_answers;
mod cluster;
mod debug_log;
mod errors_page;
mod expansion;
mod figures;
mod groups;
mod hyperpod;
mod iam;
mod iam_examples;
mod identity;
mod instance;
mod labeler;
mod late_volumes;
mod log;
mod modification;
mod network;
mod nodes;
mod pace;
mod parameters_page;
mod pods;
mod properties;
#[cfg(target_os = "linux")]
mod real_devices;
mod replay;
mod scripted;
mod snapshots;
mod socket;
mod volumes;
mod world;
