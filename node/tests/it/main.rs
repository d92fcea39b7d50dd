//! The Linux host on loop devices. It needs root: without it the tests say that they were not run.
#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod loops;
mod real;
