//! The decisions: what a claim needs now. Pure: no request, no clock, no randomness, no log line.
//!
//! | Module | Decides |
//! |---|---|
//! | this one | the checks of resize.md 3.2 |
//! | [`size`] | the size to grow to (3.3, 3.11) |
//! | [`attempt`] | the mark, the pauses and the call (3.4, 3.6, 3.7) |
//! | [`record`] | what is written of an answer (3.4, 3.5) |
//! | [`conditions`] | the conditions of the claim |
//! | [`modify`] | changes by attributes classes (5) |

pub mod attempt;
pub mod conditions;
pub mod modify;
pub mod record;
pub mod size;

use std::time::Duration;

use controller::{Event, Next};
use csi::v1::VolumeCapability;
use jiff::{SignedDuration, Timestamp};
use runtime::migration;
use runtime::objects::{Claim, ClaimPhase, Modify, Quantity, ResizeStatus, Volume};

use crate::events;
use crate::observe::{Hold, Memory, Observed, Settings};
use conditions::FILE_SYSTEM_RESIZE_PENDING;

/// What is to be done about a claim.
pub type Plan = controller::Plan<Step, Memory>;

/// One request or one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// PATCH of the claim's status, at the observed version.
    Claim(ClaimChange),
    /// PATCH of the volume with the observed UID.
    Volume(VolumeChange),
    /// ControllerExpandVolume, with the Secret of this run. What it brings is in the memory of the next
    /// observation.
    Expand(Expand),
}

/// The status of a claim as it is to be. Other resources and conditions stay.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimChange {
    /// `capacity.storage`, where it changes.
    pub capacity: Option<Quantity>,
    /// `allocatedResources.storage`, where it changes.
    pub allocated: Option<Quantity>,
    /// `allocatedResourceStatuses.storage`, where it changes; the inner `None` removes it.
    pub resize: Option<Option<ResizeStatus>>,
    /// All conditions, where one changes.
    pub conditions: Option<Vec<k8s_openapi::api::core::v1::PersistentVolumeClaimCondition>>,
    /// The annotation node-expansion-not-required comes or goes.
    pub node_expansion_not_required: Option<bool>,
    /// `modifyVolumeStatus`, where it changes; the inner `None` removes it. Without a target the former one stays.
    pub modify: Option<Option<Modify>>,
    /// `currentVolumeAttributesClassName`, where it changes.
    pub current_class: Option<String>,
}

impl ClaimChange {
    /// A change of nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            capacity: None,
            allocated: None,
            resize: None,
            conditions: None,
            node_expansion_not_required: None,
            modify: None,
            current_class: None,
        }
    }
}

/// A change of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeChange {
    /// The new size, and where wanted the pre-resize annotation.
    Grown {
        /// `spec.capacity.storage`.
        capacity: Quantity,
        /// The annotation.
        before: Option<Quantity>,
    },
    /// The pre-resize annotation goes.
    Unannotate,
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct Expand {
    /// The size to ask for.
    pub target: Quantity,
    /// The driver's volume ID.
    pub volume_handle: String,
    /// How the volume is used.
    pub capability: VolumeCapability,
    /// No other change of the volume is pending (decision 24).
    pub single_change: bool,
    /// The volume is one of an in-tree plugin.
    pub migrated: bool,
}

/// Nothing yet.
fn begin(observed: &Observed<'_>) -> Plan {
    Plan::resting(observed.memory.clone())
}

/// Nothing to do and nothing to remember.
fn nothing() -> Plan {
    Plan::resting(Memory::default())
}

fn wait_until<S, M>(
    plan: controller::Plan<S, M>,
    until: Timestamp,
    now: Timestamp,
) -> controller::Plan<S, M> {
    plan.then(Next::After(between(now, until)))
}

/// Decides what a claim needs. Source: resize.md 3.2.
#[must_use]
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let (claim, memory) = (observed.claim, observed.memory);
    let Some(volume) = observed
        .volume
        .filter(|volume| concerns(claim, volume, observed.settings))
    else {
        return nothing();
    };
    if let Some(attempt) = &memory.attempt {
        if volume.metadata.uid.as_deref() == Some(attempt.volume_uid.as_str()) {
            return record::plan(observed, volume, attempt, now);
        }
        // Another volume of that name: the answer says nothing of it (Q25).
        return nothing();
    }
    if claim.request.is_some_and(Quantity::exceeds_int64) {
        return too_large();
    }
    if wants_more(claim) {
        // A former annotation stays until the claim has what it wants.
        return attempt::plan(observed, volume, now);
    }
    if cleanup_due(claim, volume, observed.settings) {
        return begin(observed)
            .step(Step::Volume(VolumeChange::Unannotate))
            .then(Next::Again);
    }
    nothing()
}

/// CSI carries sizes as int64: nobody can be asked for more, and the claim must change first.
fn too_large() -> Plan {
    let message = "the size that the claim asks for is more than 9223372036854775807 bytes, the most that a CSI driver \
                   can be asked for; lower spec.resources.requests.storage";
    nothing().event(Event::warning(events::FAILED, message.to_owned()))
}

/// Whether the claim may need something of us: cheap, for the triggers.
#[must_use]
pub fn is_due(claim: &Claim, volume: Option<&Volume>, settings: &Settings) -> bool {
    volume.is_some_and(|volume| {
        concerns(claim, volume, settings) && (wants_more(claim) || cleanup_due(claim, volume, settings))
    })
}

/// Whether the claim, whoever's it is, has a wish or a change that is not at its end.
#[must_use]
pub fn wants_something(claim: &Claim) -> bool {
    wants_more(claim)
        || claim.resize.is_some()
        || claim.modify().is_some()
        || claim.wanted_class() != claim.current_class()
}

fn wants_more(claim: &Claim) -> bool {
    claim.request > Some(claim.capacity.unwrap_or_default())
}

fn concerns(claim: &Claim, volume: &Volume, settings: &Settings) -> bool {
    is_ours(claim, volume, settings) && are_bound(claim, volume)
}

/// Row 6. The volume's own source counts; only an in-tree volume is ours by the claim's annotation (Q20), if our driver took
/// over a plugin. Whether it was that of the volume is told where it is translated.
pub(crate) fn is_ours(claim: &Claim, volume: &Volume, settings: &Settings) -> bool {
    match &volume.csi {
        Some(csi) => csi.driver == settings.driver,
        None => {
            claim.storage_resizer.as_deref() == Some(settings.driver.as_str())
                && migration::is_migrated_driver(&settings.driver)
        }
    }
}

/// Rows 2, 5 and 7: bound, and each naming the other.
fn are_bound(claim: &Claim, volume: &Volume) -> bool {
    let reference = volume.claim.as_ref();
    claim.phase == ClaimPhase::Bound
        && claim.volume_name.is_some()
        && claim.volume_name == volume.metadata.name
        && reference.is_some_and(|reference| {
            reference.uid.is_some()
                && reference.uid == claim.metadata.uid
                && Some(&reference.namespace) == claim.metadata.namespace.as_ref()
        })
}

/// The annotation goes when nothing is left of the expansion (resize.md 3.9).
fn cleanup_due(claim: &Claim, volume: &Volume, settings: &Settings) -> bool {
    let size = claim.capacity.unwrap_or_default();
    settings.annotate
        && volume.has_pre_resize_capacity
        && claim.resize.is_none()
        && !conditions::has(claim, FILE_SYSTEM_RESIZE_PENDING)
        && (Some(size) >= volume.capacity || claim.allocated.is_some_and(|allocated| size >= allocated))
}

/// The hold of an attempt at this target, if it lasts.
fn held(memory: &Memory, target: Quantity, now: Timestamp) -> Option<Timestamp> {
    let Hold { until, target: only } = memory.hold?;
    (now < until && only.is_none_or(|only| only == target)).then_some(until)
}

/// Another size has a back-off of its own, except without recovery.
fn backoff_of(observed: &Observed<'_>, target: Quantity) -> String {
    if observed.settings.recover {
        target.to_string()
    } else {
        String::new()
    }
}

fn between(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}

/// The end of a wait.
pub(crate) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
