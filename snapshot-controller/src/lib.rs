//! Reconciles VolumeSnapshot, VolumeSnapshotContent and VolumeSnapshotClass, and their kin for groups.
//!
//! Replaces upstream's `snapshot-controller`: it makes a content for each snapshot of a claim, binds
//! pre-provisioned contents, keeps source claims alive while they are cut, copies what the driver says into
//! the snapshot's status, and takes all of it away again in the right order.
//!
//! ```text
//! changes of caches ── triggers ── queues ── the frame (crate `controller`): observe, plan (pure), take
//! ```
//!
//! | File | Subject |
//! |---|---|
//! | `args.rs` | flags, and the checked [`Config`] |
//! | `run.rs` | start-up and work |
//! | `triggers.rs` | which keys a change concerns |
//! | `observe.rs` | from the caches to what the decisions read |
//! | [`plan`] | the decisions |
//! | `controllers.rs` | all of this as the frame runs it, a kind each |
//! | `execute.rs`, `claims.rs` | steps to requests |
//! | [`events`] | reasons and texts of the events |
//! | `metrics.rs` | metrics |
//! | `group/` | the same for the group kinds: caches, triggers, requests, and when there are any |
//! | [`webhook`] | the conversion webhook of the group kinds, a process of its own |

mod args;
mod claims;
mod controllers;
pub mod events;
mod execute;
mod group;
mod metrics;
mod observe;
pub mod plan;
mod run;
mod triggers;
pub mod webhook;

pub use args::{Args, Config, OwnArgs};
pub use run::ENTRY;
