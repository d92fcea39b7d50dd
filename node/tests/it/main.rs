//! The Linux host: on loop devices, which needs root (without it those tests say that they were not run), and without
//! devices.
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
mod tools;
