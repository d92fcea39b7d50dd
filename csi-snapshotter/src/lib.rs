//! Drives a CSI driver from VolumeSnapshotContent objects: what upstream's `csi-snapshotter` sidecar does.
//!
//! ```text
//! changes of contents and classes ── triggers ── queue ── the frame (crate `controller`)
//!     observe: caches only
//!     plan:    pure, all the rules
//!     take:    one request or CSI call a step
//! VolumeSnapshotContent <── PATCH mark, PATCH status, PATCH mark
//! driver                <── CreateSnapshot, DeleteSnapshot, ListSnapshots
//! ```
//!
//! A snapshot costs three requests: the being-created mark before CreateSnapshot, the status with its answer, and
//! the mark away. While it is not ready CreateSnapshot repeats on a timer of its own and nothing is written. A
//! deletion costs one request, the removal of the finalizer (decisions 12 to 15).
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | upstream's flags, and the checked [`Config`] |
//! | [`observe`] | what a plan is made from |
//! | [`plan`] | the decisions |
//! | [`patch`] | steps as patches |
//! | `askers` | the VolumeSnapshots behind contents |
//! | `calls` | calls of the driver |
//! | `contents` | all of this as the frame runs it |
//! | `triggers` | which changes wake a content |
//! | [`events`] | reasons of events |
//! | `driver` | what the driver can do |
//! | `run` | start-up and work |
//!
//! Groups are not handled yet: contents that belong to one are left to their group (snapshot.md 3.3 rows 2, 5, 7).
//!
//! Replaces `kubernetes-csi/external-snapshotter: cmd/csi-snapshotter`; specification `snapshot.md` 3.

pub mod args;
mod askers;
mod calls;
mod contents;
mod driver;
pub mod events;
pub mod observe;
pub mod patch;
pub mod plan;
mod run;
mod triggers;

pub use args::{Args, Config, ConfigError};
pub use run::ENTRY;
