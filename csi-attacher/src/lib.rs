//! Attaches volumes to nodes as VolumeAttachments ask for: what upstream's `csi-attacher` sidecar does.
//!
//! ```text
//! changes of attachments, volumes and nodes ── triggers ── two queues ── the frame (crate `controller`)
//!     observe: caches, and what is remembered
//!     plan:    pure, all the rules
//!     take:    one request or CSI call a step
//! VolumeAttachment        <── PATCH finalizer and node ID, PATCH finalizer away
//! VolumeAttachment/status <── PATCH attached or error
//! PersistentVolume        <── PATCH finalizer, PATCH finalizer away
//! driver                  <── ControllerPublishVolume, ControllerUnpublishVolume, ListVolumes
//! ```
//!
//! An attachment costs two requests, and a third for the first one of a volume that was not made here; a detachment costs
//! one. No object is read past the caches but Secrets.
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | upstream's flags, and the checked [`Config`] |
//! | [`observe`] | what a plan is made from |
//! | [`source`] | the volume of an attachment as its driver knows it |
//! | [`plan`] | the decisions |
//! | [`patch`] | writes as patches |
//! | `calls` | calls of the driver |
//! | `attachments`, `volumes` | VolumeAttachments, and the finalizer of volumes, as the frame runs them |
//! | `listing` | what the driver lists, compared with what attachments say |
//! | `metrics` | attachments that are under way |
//! | `triggers` | which changes wake an attachment or a volume |
//! | [`events`] | reasons of events |
//! | `driver` | what the driver can do |
//! | `run` | start-up and work |
//!
//! Replaces `kubernetes-csi/external-attacher: cmd/csi-attacher`; specification `sidecars.md` 3.

pub mod args;
mod attachments;
mod calls;
mod driver;
pub mod events;
mod listing;
mod metrics;
pub mod observe;
pub mod patch;
pub mod plan;
mod run;
pub mod source;
mod triggers;
mod volumes;

pub use args::{Args, Config};
pub use run::ENTRY;
