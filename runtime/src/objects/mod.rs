//! Names of objects, and core types that hold only the fields that are read.
//!
//! The full PVC and PV of a cluster are most of upstream's memory (spec snapshot Q44): [`Claim`] and
//! [`Volume`] decode the needed fields only, so that the others are never allocated.

mod claim;
mod key;
mod metadata;
mod volume;

pub use claim::{Claim, ClaimPhase, DataSource};
pub use key::ObjectKey;
pub use volume::{ClaimReference, CsiSource, Volume, VolumeMode};
