//! Changes of volumes by attributes classes: what a claim needs now. Pure, as the rest of [`crate::plan`].
//!
//! | Module | Decides |
//! |---|---|
//! | this one | which class to ask for, if any (resize.md 5.1, 5.2) |
//! | [`attempt`] | the class, the pauses, the mark and the call (5.2, 5.3, 5.6) |
//! | [`record`] | what is written of an answer (5.3, 5.4) |

pub mod attempt;
pub mod record;

use std::collections::BTreeMap;

use controller::{CallFailure, Event, Retries, SecretRead};
use jiff::Timestamp;
use runtime::migration;
use runtime::objects::{AttributesClass, Claim, Modify, ModifyStatus, Volume};

use super::conditions::{self, Conditions, MODIFY_VOLUME_ERROR, MODIFYING_VOLUME};
use super::{ClaimChange, are_bound};
use crate::events;
use crate::observe::{Modifying, Settings};

/// What is to be done about a claim's class.
pub type Plan = controller::Plan<Step, Memory>;

/// One request or one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// PATCH of the claim's status, at the observed version.
    Claim(ClaimChange),
    /// PATCH of the volume with the observed UID: it has this class now.
    Volume(String),
    /// ControllerModifyVolume, with the Secret of this run. What it brings is in the memory of the next observation.
    Modify(Call),
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The class that is asked for.
    pub class: String,
    /// The driver's volume ID.
    pub volume_handle: String,
    /// The parameters of the class, and metadata where wanted.
    pub parameters: BTreeMap<String, String>,
    /// No other change of the volume is pending (decision 24).
    pub single_change: bool,
    /// The volume is one of an in-tree plugin.
    pub migrated: bool,
}

/// Everything that [`plan`] may look at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The newest known of the claim.
    pub claim: &'a Claim,
    /// The newest known of the volume that it names.
    pub volume: Option<&'a Volume>,
    /// The class that the claim wants, where it exists.
    pub wanted: Option<&'a AttributesClass>,
    /// The class that the claim's status names as the target, where it exists.
    pub target: Option<&'a AttributesClass>,
    /// Whether a class that is not known does not exist.
    pub classes_followed: bool,
    /// What reading a Secret answered in this run.
    pub secret: Option<&'a SecretRead>,
    /// What is remembered of this very claim.
    pub memory: &'a Memory,
    /// Failures in a row, and the back-off that they led to.
    pub retries: &'a Retries,
    /// How the function is set up.
    pub settings: &'a Settings,
}

/// What came of an attempt, kept until it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The class that was asked for.
    pub class: String,
    /// UID of the volume.
    pub volume_uid: String,
    /// The answer.
    pub outcome: Result<(), CallFailure>,
}

/// What is remembered of a claim between runs. Empty after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What the last attempt brought, while it is not written (Q4).
    pub attempt: Option<Attempt>,
    /// The class for which surely no call is running: none was made, or the last one failed finally.
    pub settled: Option<String>,
    /// An infeasible class is not tried again before.
    pub slow: Option<Slow>,
    /// No attempt before, whatever the back-off and the class, but for the one that the volume has: the driver said so.
    pub hold: Option<Hold>,
    /// The class of which the user was told that it is not there, or that nobody here applies it.
    pub told: Option<String>,
    /// The class that was not there, and since when.
    pub missing: Option<(String, Timestamp)>,
    /// When the text of an error was last written.
    pub error_written: Option<Timestamp>,
}

/// A wait that the driver asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The class with which it was asked last.
    pub class: String,
    /// The end of the wait.
    pub until: Timestamp,
}

/// An infeasible class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// Its name.
    pub class: String,
    /// The end of the wait.
    pub until: Timestamp,
}

/// The rows of resize.md 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision<'a> {
    Nothing,
    /// The wish was taken back.
    Cancel,
    /// The recorded target: its call may be running, or nothing else is wanted.
    Continue(&'a str),
    /// The wanted class.
    Begin(&'a str),
}

/// Decides what a claim needs.
#[must_use]
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let (claim, memory, settings) = (observed.claim, observed.memory, observed.settings);
    let ours = |volume: &&Volume| is_ours(claim, volume, settings);
    let Some(volume) = observed.volume.filter(ours) else {
        return Plan::resting(Memory::default());
    };
    if let Modifying::Off(why) = &settings.modifying {
        return not_applied(observed, why);
    }
    if let Some(attempt) = &memory.attempt {
        if volume.metadata.uid.as_deref() == Some(attempt.volume_uid.as_str()) {
            return record::plan(observed, volume, attempt, now);
        }
        // Another volume of that name: the answer says nothing of it (Q25).
        return Plan::resting(Memory::default());
    }
    match decide(claim, memory.settled.as_deref()) {
        Decision::Nothing => Plan::resting(Memory::default()),
        Decision::Cancel => cancel(observed, now),
        Decision::Continue(class) => attempt::again(observed, volume, class, now),
        Decision::Begin(class) => attempt::begin(observed, volume, class, now),
    }
}

/// Whether the claim may need something of us: cheap, for the triggers.
#[must_use]
pub fn is_due(claim: &Claim, volume: Option<&Volume>, settings: &Settings) -> bool {
    // Most claims have no class, and need no look at their volume.
    claim.attributes.is_some()
        && volume.is_some_and(|volume| is_ours(claim, volume, settings))
        && match decide(claim, None) {
            Decision::Nothing => false,
            Decision::Cancel => has_conditions(claim),
            Decision::Continue(_) | Decision::Begin(_) => true,
        }
}

/// The class of a change that is to begin now and about which nothing was written yet, so that an expansion may mark it
/// together with itself.
#[must_use]
pub fn begins<'a>(
    claim: &'a Claim,
    volume: Option<&Volume>,
    class: Option<&AttributesClass>,
    settings: &Settings,
) -> Option<&'a str> {
    let is_applied = settings.modifying == Modifying::On
        && volume.is_some_and(|volume| is_ours(claim, volume, settings))
        && class.is_some_and(|class| class.driver == settings.driver);
    let is_unwritten = claim.modify().is_none();
    match decide(claim, None) {
        Decision::Begin(class) if is_applied && is_unwritten => Some(class),
        _ => None,
    }
}

/// The mark of an expansion, and with it that of this class.
pub(super) fn marked_with(claim: &Claim, change: ClaimChange, class: &str, now: Timestamp) -> ClaimChange {
    let list = change.conditions.as_deref().unwrap_or(&claim.conditions);
    let conditions = Conditions::over(list, now).modify_begun(in_progress(class));
    ClaimChange {
        conditions: conditions.changed(claim),
        modify: Some(Some(target_of(ModifyStatus::InProgress, class))),
        ..change
    }
}

/// Tells that the class was marked as target.
pub(super) fn begun_event(claim: &Claim, class: &str) -> Event {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let message = format!("external resizer is modifying volume {name} with vac {class}");
    Event::normal(events::MODIFYING, message)
}

fn in_progress(class: &str) -> String {
    format!("Modifying volume to {class:?} is in progress.")
}

fn target_of(status: ModifyStatus, class: &str) -> Modify {
    Modify {
        status,
        target: Some(class.to_owned()),
    }
}

/// Bound, and of our driver. Nobody hands an in-tree volume over for a change by class, so it is the plugin that counts.
fn is_ours(claim: &Claim, volume: &Volume, settings: &Settings) -> bool {
    migration::driver_of(volume) == Some(settings.driver.as_str()) && are_bound(claim, volume)
}

fn decide<'a>(claim: &'a Claim, settled: Option<&str>) -> Decision<'a> {
    let (wanted, modify) = (claim.wanted_class(), claim.modify());
    let running = modify.filter(|modify| modify.status == ModifyStatus::InProgress);
    if let Some(target) = running.and_then(|modify| modify.target.as_deref())
        && (settled != Some(target) || wanted.is_none())
    {
        return Decision::Continue(target);
    }
    match wanted {
        _ if modify.is_none() && wanted == claim.current_class() => Decision::Nothing,
        Some(class) => Decision::Begin(class),
        None => Decision::Cancel,
    }
}

fn has_conditions(claim: &Claim) -> bool {
    [MODIFYING_VOLUME, MODIFY_VOLUME_ERROR]
        .iter()
        .any(|kind| conditions::find(claim, kind).is_some())
}

/// Nothing is running: what was said of it goes. The status and its target stay `[K]`.
fn cancel(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let claim = observed.claim;
    let plan = Plan::resting(Memory::default());
    if !has_conditions(claim) {
        return plan;
    }
    let change = ClaimChange {
        conditions: Conditions::of(claim, now).modify_ended().changed(claim),
        ..ClaimChange::none()
    };
    plan.step(Step::Claim(change)).event(Event::normal(
        events::MODIFY_CANCELLED,
        "Cancelled modify.".to_owned(),
    ))
}

/// Nobody here applies the class: the claim is told so once.
fn not_applied(observed: &Observed<'_>, why: &str) -> Plan {
    let claim = observed.claim;
    let wanted = claim.wanted_class();
    let Some(class) = wanted.filter(|_| wanted != claim.current_class()) else {
        return Plan::resting(Memory::default());
    };
    let plan = Plan::resting(Memory {
        told: Some(class.to_owned()),
        ..Memory::default()
    });
    if observed.memory.told.as_deref() == Some(class) {
        return plan;
    }
    let message = format!("VAC {class:?} is not applied: {why}");
    plan.event(Event::warning(events::MODIFY_FAILED, message))
}
