//! The node-driver-registrar: it tells the kubelet of a node that there is a CSI driver, and where.
//!
//! Replaces upstream's `csi-node-driver-registrar`. It needs no Kubernetes API. Behaviour: `docs/spec/sidecars.md` 4.
//!
//! ```text
//! kubelet -- GetInfo, NotifyRegistrationStatus --> <registration folder>/<driver>-reg.sock
//! ```
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | flags and their checks |
//! | `socket` | the socket that is ours and no other's |
//! | `service` | what the kubelet is answered |
//! | `health` | whether the socket answers |
//! | [`run`](mod@run) | the process |
//! | [`v1`] | generated from `proto/pluginregistration.proto` |

pub mod args;
mod health;
pub mod run;
mod service;
mod socket;

/// Messages, client and server of kubelet's plugin registration.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::too_many_lines,
    unused_qualifications
)]
pub mod v1 {
    tonic::include_proto!("pluginregistration");
}

pub use args::{Args, ArgsError};
pub use run::{Error, run};

/// The name of the mode of the binary.
pub const NAME: &str = "node-driver-registrar";
