//! Drives a CSI driver from VolumeSnapshotContent and VolumeGroupSnapshotContent objects: what upstream's `csi-snapshotter`
//! sidecar does.
//!
//! ```text
//! changes of contents and classes ── triggers ── queue ── the frame (crate `controller`)
//!     observe: caches only
//!     plan:    pure, all the rules
//!     take:    one request or CSI call a step
//! content <── PATCH mark, PATCH status, PATCH mark
//! driver  <── CreateSnapshot, DeleteSnapshot, ListSnapshots; those of groups
//! ```
//!
//! A snapshot costs three requests: the being-created mark before CreateSnapshot, the status with its answer, and
//! the mark away. While it is not ready CreateSnapshot repeats on a timer of its own and nothing is written. A
//! deletion costs one request, the removal of the finalizer (decisions 12 to 15). A group of any size costs as much: both
//! kinds of contents go through the same rules ([`content`]).
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | upstream's flags, and the checked [`Config`] |
//! | [`content`] | contents of both kinds, by what plans ask of them |
//! | [`observe`] | what a plan is made from |
//! | [`plan`] | the decisions |
//! | [`patch`] | steps as patches |
//! | `askers` | what asked for contents |
//! | `calls` | calls of the driver |
//! | `contents` | all of this as the frame runs it, a kind each |
//! | `triggers` | which changes wake a content |
//! | [`events`] | reasons of events |
//! | `driver` | what the driver can do |
//! | `run` | start-up and work |
//!
//! A VolumeSnapshotContent that is a member of a group is only looked at; its group makes and deletes it (snapshot.md 3.3 rows
//! 2, 5, 7; 4.3). Groups are off where the gate `CSIVolumeGroupSnapshot` is, and until the API server serves their kinds. Where
//! the driver has none, those who wait for one are told.
//!
//! Replaces `kubernetes-csi/external-snapshotter: cmd/csi-snapshotter`; specification `snapshot.md` 3 and 4.2.

pub mod args;
mod askers;
mod calls;
pub mod content;
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
