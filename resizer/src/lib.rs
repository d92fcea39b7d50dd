//! Expands volumes from the sizes that PersistentVolumeClaims ask for: what upstream's `csi-resizer` sidecar does.
//!
//! ```text
//! changes of claims and volumes ── triggers ── queue ── the frame (crate `controller`)
//!     observe: caches, and what is remembered
//!     plan:    pure, all the rules
//!     take:    one request or CSI call a step
//! PersistentVolumeClaim/status <── PATCH mark, PATCH outcome
//! PersistentVolume             <── PATCH size, PATCH annotation
//! driver                       <── ControllerExpandVolume
//! ```
//!
//! An expansion costs four requests with a stage on the node and three without: the mark before the call, the size
//! of the volume, the outcome, and later the annotation away; and exactly one call (decisions 25 and 26). A good
//! answer is remembered until it is written, so that a refused write never repeats the call.
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | upstream's flags, and the checked [`Config`] |
//! | [`observe`] | what a plan is made from |
//! | [`plan`] | the decisions |
//! | [`patch`] | writes as patches |
//! | `calls` | calls of the driver |
//! | `claims` | all of this as the frame runs it |
//! | `triggers` | which changes wake a claim |
//! | `usage` | whether a volume is in use |
//! | [`events`] | reasons of events |
//! | `driver` | what the driver can do |
//! | `run` | start-up and work |
//!
//! The modify controller (VolumeAttributesClass) is not built yet.
//!
//! Replaces `kubernetes-csi/external-resizer: cmd/csi-resizer`; specification `resize.md`.

pub mod args;
mod calls;
mod claims;
mod driver;
pub mod events;
pub mod observe;
pub mod patch;
pub mod plan;
mod run;
mod triggers;
mod usage;

pub use args::{Args, Config};
pub use run::ENTRY;
