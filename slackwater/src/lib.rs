//! The Slackwater binary: every mode, the controller in one process, and the quick start.
//!
//! | Module | Subject |
//! |---|---|
//! | `alone` | a process with one thing to do |
//! | [`mode`] | which mode is meant, by argument or file name |
//! | [`controller`] | functions in one process, one or several |
//! | [`driver`] | the modes of the EBS CSI driver |
//! | `ending` | how a process ends |
//! | `file_driver` | the CSI driver over files on this machine |
//! | `fips` | what is asked of the cryptography |
//! | [`quickstart`] | all of it on a sandbox |
//! | [`run`] | from the command line to the exit code |
//! | [`selftest`] | whether the driver and its sidecars work in a cluster |
//! | `traces` | spans on their way to an OpenTelemetry collector |

mod alone;
pub mod controller;
pub mod driver;
mod ending;
mod file_driver;
mod fips;
pub mod mode;
pub mod quickstart;
mod run;
pub mod selftest;
mod traces;

pub use run::run;

/// The version of the program, with the leading `v` of upstream's images.
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
