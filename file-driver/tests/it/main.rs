//! The driver over folders of its own: its calls, what is switched off, crashes, and a real machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod bad_input;
mod crash;
mod groups;
mod node;
mod properties;
mod real;
mod snapshots;
mod switches;
mod volumes;
mod world;
