//! Makes and deletes volumes as PersistentVolumeClaims and PersistentVolumes ask for: what upstream's `csi-provisioner` sidecar does.
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | upstream's flags, and the checked [`Config`] |
//! | `driver` | what the driver can do |
//! | [`events`] | reasons of events |
//! | `run` | start-up and work |
//!
//! Replaces `kubernetes-csi/external-provisioner: cmd/csi-provisioner`; specification `sidecars.md` 2.

pub mod args;
mod driver;
pub mod events;
mod run;

pub use args::{Args, Config};
pub use driver::Driver;
pub use run::ENTRY;
