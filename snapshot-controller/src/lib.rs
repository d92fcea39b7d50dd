//! Reconciles VolumeSnapshot, VolumeSnapshotContent and VolumeSnapshotClass.
//!
//! Replaces upstream's `snapshot-controller`: it makes a content for each snapshot of a claim, binds
//! pre-provisioned contents, keeps source claims alive while they are cut, copies what the driver says into
//! the snapshot's status, and takes all of it away again in the right order.
//!
//! ```text
//! watch events -> triggers -> keys -> observe -> plan (pure) -> execute -> overlay of the answers
//! ```
//!
//! | File | Subject |
//! |---|---|
//! | `args.rs` | flags, and the checked [`Config`] |
//! | `run.rs` | start-up, leader election, work |
//! | `triggers.rs` | which keys a change wakes |
//! | `observe.rs` | from the caches to what the decisions read |
//! | [`plan`] | the decisions |
//! | `controller.rs` | one key: observe, plan, execute, until it rests |
//! | `execute.rs`, `claims.rs` | steps to requests |
//! | [`events`] | reasons and texts of the events |
//! | [`secrets`] | secret templates of a class |
//! | `metrics.rs` | metrics |
//! | `error.rs` | why the function ends |

mod args;
mod claims;
mod controller;
mod error;
pub mod events;
mod execute;
mod metrics;
mod observe;
pub mod plan;
mod run;
pub mod secrets;
mod triggers;

pub use args::{Args, Config, ConfigError, OwnArgs};
pub use error::Error;
pub use run::{Prepared, prepare, run};
