//! The livenessprobe: kubelet asks it over HTTP whether a CSI driver is well, and it asks the driver over its socket.
//!
//! Replaces upstream's `livenessprobe`. It needs no Kubernetes API. Behaviour: `docs/spec/sidecars.md` 5.
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | flags and their checks |
//! | `probe` | one look at the driver |
//! | [`run`](mod@run) | the process |

pub mod args;
mod probe;
pub mod run;

pub use args::{Args, ArgsError};
pub use run::{Error, run};

/// The name of the mode of the binary, upstream's.
pub const NAME: &str = "livenessprobe";
