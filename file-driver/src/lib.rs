//! A CSI driver whose volumes are sparse files in a folder: for tests and demonstrations, not for production.
//!
//! It has every part of CSI that the suite works with, each of which can be switched off ([`Capability`]), so that the
//! sidecars can be tried against drivers that have it and against drivers that lack it. Nothing of it is in memory
//! alone: each call reads the folder, and each change is one rename or one growth of a file.
//!
//! ```text
//! CSI request -> rpc, node: parse -> plan: decision without I/O -> folder: crash-safe files
//!                                                               -> node::Host, node::Loops: the machine
//! ```
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | flags and their checks |
//! | [`capability`] | what can be switched off |
//! | [`driver`] | what all services share |
//! | [`folder`] | volumes, snapshots and groups as files |
//! | [`plan`] | decisions without I/O |
//! | `rpc` | the Identity, Controller and GroupController services |
//! | `node` | the Node service |

pub mod args;
pub mod capability;
pub mod driver;
pub mod folder;
mod node;
pub mod plan;
mod rpc;

pub use args::{Args, ArgsError};
pub use capability::{Capabilities, Capability};
pub use driver::{Config, Driver};

/// The name of the driver where no flag names another one.
pub const NAME: &str = "file.csi.slackwater";

/// The name of the mode of the binary.
pub const MODE: &str = "file-csi-driver";
