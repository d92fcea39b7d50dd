//! Which changes wake a claim. Our own writes do not: what they lead to is in the plan that made them.
//! Source: resize.md 3.1, 3.6.

use runtime::objects::{Claim, Volume};
use runtime::{Change, Source};

use crate::observe::Settings;
use crate::plan::is_due;

/// Whether a change of a claim is worth a look.
pub(crate) fn claim_wakes(change: &Change<Claim>, volume: Option<&Volume>, settings: &Settings) -> bool {
    let Some(new) = &change.new else {
        // What is remembered of it goes.
        return true;
    };
    match change.source {
        Source::OwnWrite => false,
        Source::Subscribed | Source::Resync => is_due(new, volume, settings),
        Source::Watch => {
            let concerned = match &change.old {
                None => true,
                Some(old) if old.metadata.uid != new.metadata.uid => true,
                Some(old) if settings.recover => differ(old, new),
                // Only growth counts without recovery (resize.md 3.11).
                Some(old) => old.request < new.request || settled_anew(old, new),
            };
            concerned && is_due(new, volume, settings)
        }
    }
}

fn differ(old: &Claim, new: &Claim) -> bool {
    old.request != new.request || settled_anew(old, new)
}

fn settled_anew(old: &Claim, new: &Claim) -> bool {
    old.capacity != new.capacity
        || old.resize != new.resize
        || old.allocated != new.allocated
        || old.phase != new.phase
        || old.volume_name != new.volume_name
        || old.storage_resizer != new.storage_resizer
        || old.conditions != new.conditions
}

/// Whether a change of a volume is worth a look at its claim: it has come, or what a call is made from has changed.
pub(crate) fn volume_wakes(change: &Change<Volume>) -> bool {
    let Some(new) = &change.new else { return false };
    match (&change.old, change.source) {
        (_, Source::OwnWrite | Source::Subscribed | Source::Resync) => false,
        (None, Source::Watch) => true,
        (Some(old), Source::Watch) => {
            old.metadata.uid != new.metadata.uid
                || old.claim != new.claim
                || old.csi != new.csi
                || old.access_modes != new.access_modes
                || old.capacity != new.capacity
        }
    }
}
