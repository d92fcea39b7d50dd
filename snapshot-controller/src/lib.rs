//! Reconciles VolumeSnapshot, VolumeSnapshotContent and VolumeSnapshotClass.
//!
//! Replaces upstream's `snapshot-controller`: it makes a content for each snapshot of a claim, binds
//! pre-provisioned contents, keeps source claims alive while they are cut, copies what the driver says into
//! the snapshot's status, and takes all of it away again in the right order.
//!
//! ```text
//! watch events -> caches -> keys -> observe -> plan (pure) -> execute -> overlay of the answers
//! ```
//!
//! | Module | Subject |
//! |---|---|
//! | [`plan`] | the decisions |
//! | [`events`] | reasons and texts of the events |
//! | [`secrets`] | secret templates of a class |

pub mod events;
pub mod plan;
pub mod secrets;
