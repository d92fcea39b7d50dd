//! The Slackwater binary: every mode, the controller in one process, and the quick start.
//!
//! | Module | Subject |
//! |---|---|
//! | [`mode`] | which mode is meant, by argument or file name |
//! | [`controller`] | functions in one process, one or several |
//! | [`driver`] | the modes of the EBS CSI driver |
//! | `ending` | how a process ends |
//! | [`quickstart`] | all of it on a sandbox |
//! | [`run`] | from the command line to the exit code |
//! | `webhook` | the process of the conversion webhook |

pub mod controller;
pub mod driver;
mod ending;
pub mod mode;
pub mod quickstart;
mod run;
mod webhook;

pub use run::run;

/// The version of the program, with the leading `v` of upstream's images.
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
