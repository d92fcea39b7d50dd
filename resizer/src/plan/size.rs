//! The size to grow to. Source: resize.md 3.3 and 3.11.

use runtime::objects::{Claim, Quantity, ResizeStatus, Volume};

use super::conditions::{self, FILE_SYSTEM_RESIZE_PENDING};
use crate::observe::Observed;

/// How far the expansion is, as it counts: one whose size the claim has reached counts as absent, since nobody will
/// take it away (Q8).
#[must_use]
pub fn stage(claim: &Claim) -> Option<ResizeStatus> {
    let ended = claim
        .allocated
        .is_some_and(|allocated| claim.capacity >= Some(allocated));
    claim
        .resize
        .filter(|stage| !ended && *stage != ResizeStatus::Unknown)
}

/// The target of the next attempt; none while there is no work.
#[must_use]
pub fn target(observed: &Observed<'_>, volume: &Volume) -> Option<Quantity> {
    let claim = observed.claim;
    let wanted = claim.request?;
    let present = volume.capacity.unwrap_or_default();
    let begun = claim.allocated.unwrap_or(wanted);
    if !observed.settings.recover {
        let pending = present >= wanted && conditions::has(claim, FILE_SYSTEM_RESIZE_PENDING);
        return (!pending).then_some(wanted);
    }
    match stage(claim) {
        Some(ResizeStatus::ControllerResizeInProgress)
            if claim.allocated.is_some() && observed.memory.settled == claim.allocated =>
        {
            Some(wanted)
        }
        Some(ResizeStatus::ControllerResizeInProgress) => Some(begun),
        Some(ResizeStatus::ControllerResizeInfeasible) => Some(wanted),
        Some(ResizeStatus::NodeResizePending | ResizeStatus::NodeResizeInProgress) => {
            // A driver may have made less than was asked for (Q9): the node grows to that.
            let is_made = claim.allocated.is_some() && volume.capacity > claim.capacity;
            (present < wanted && present < begun && !is_made).then_some(begun)
        }
        Some(ResizeStatus::NodeResizeInfeasible)
            if present < wanted || observed.settings.controller_expands =>
        {
            Some(begun)
        }
        Some(ResizeStatus::NodeResizeInfeasible) => Some(wanted),
        Some(ResizeStatus::Unknown) | None if present < wanted => Some(wanted),
        Some(ResizeStatus::Unknown) | None => match claim.allocated {
            Some(allocated) => Some(allocated.max(wanted)),
            // An API server without recovery: the node is at work.
            None if conditions::has(claim, FILE_SYSTEM_RESIZE_PENDING) => None,
            None => Some(wanted),
        },
    }
}
