//! The Identity, Controller and GroupController services: parse, decide, act.
//!
//! | Module | Subject |
//! |---|---|
//! | `services` | the generated traits |
//! | `identity` | who the driver is, and what it can do |
//! | `volumes` | making, showing and deleting volumes |
//! | `changes` | publishing, growing and changing them |
//! | `snapshots`, `groups` | snapshots, and groups of them |
//! | `health` | volumes whose data are gone; the disk that is nearly full |
//! | `status` | errors as statuses |

mod changes;
mod groups;
pub(crate) mod health;
mod identity;
mod services;
mod snapshots;
pub(crate) mod status;
mod volumes;

pub(crate) use services::{Answer, ControllerService, GroupControllerService, IdentityService, answer};

use crate::driver::Failure;
use crate::folder::{Folder, Id, Kind, Volume};
use crate::plan::{Refusal, required};

/// The volume with the ID in this field.
pub(crate) fn volume_in(folder: &Folder, text: &str, field: &'static str) -> Result<Volume, Failure> {
    let id = Id::parse(Kind::Volume, required(text, field)?);
    let found = match id {
        Some(id) => folder.volume(&id)?,
        None => None,
    };
    Ok(found.ok_or_else(|| Refusal::not_found("volume", text))?)
}

/// Bytes as CSI has them.
pub(crate) fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
