//! The conversion webhook of the group kinds: what upstream's `snapshot-conversion-webhook` does. The API server asks it
//! where the definition of VolumeGroupSnapshotContent names it, when an object of one version is read or written in another.
//!
//! | Module | Subject |
//! |---|---|
//! | `args` | flags |
//! | [`convert`] | one object; pure |
//! | [`review`] | what the API server asks and is answered; pure |
//! | [`certificate`] | certificates that the webhook makes itself |
//! | `serve` | HTTPS |
//!
//! Replaces `kubernetes-csi/external-snapshotter: cmd/snapshot-conversion-webhook`; specification `snapshot.md` 1.4.

mod args;
pub mod certificate;
pub mod convert;
pub mod review;
mod serve;

pub use args::{Args, CertificateIssuer, TwoIssuers};
pub use serve::{ServeError, run, serve};

/// The name of upstream's program.
pub const NAME: &str = "snapshot-conversion-webhook";
