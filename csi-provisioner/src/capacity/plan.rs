//! What the objects of one class and place need. Pure. Source: sidecars.md 2.11.

use std::sync::Arc;
use std::time::Duration;

use controller::plan::Trouble;
use controller::{CallFailure, Next, Retries};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::storage::v1::CSIStorageCapacity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use runtime::objects::Quantity;

/// What is tried, for the back-off.
const ASK: &str = "GetCapacity";

/// What to do about them.
pub type Plan = controller::Plan<Step, Memory>;

/// One request or one call. Objects are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// GetCapacity.
    Ask,
    /// POST of an object that says this.
    Create(Room),
    /// PATCH of the object, to say this and to have our owner.
    Update(String, Room),
    /// DELETE of the object.
    Delete(String),
}

/// What the driver says of the room for volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes that are free.
    pub available: i64,
    /// The largest volume that can be made, in bytes, where the driver says so.
    pub maximum: Option<i64>,
}

/// What GetCapacity brought.
pub type Answer = Result<Room, CallFailure>;

/// What is remembered between runs: what the driver has said, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// None before it was asked, and after a call that failed.
    pub told: Option<(Room, Timestamp)>,
}

/// Everything that [`plan`] may look at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// There are such a class and such a place.
    pub is_wanted: bool,
    /// The objects about them, the one that is to stay first.
    pub objects: &'a [Arc<CSIStorageCapacity>],
    /// Whose they are to be.
    pub owner: Option<&'a OwnerReference>,
    /// What GetCapacity brought.
    pub answer: Option<&'a Answer>,
    /// The room may be another one than was told.
    pub is_stale: bool,
    /// How often the driver is asked without a reason; zero means never.
    pub poll: Duration,
    /// What is remembered.
    pub memory: &'a Memory,
    /// Failures in a row, and the back-off that they led to.
    pub retries: &'a Retries,
}

/// Decides what the objects of a class and place need now.
#[must_use]
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    if !observed.is_wanted {
        return without(Plan::resting(Memory::default()), observed.objects);
    }
    let (room, at) = match (observed.answer, observed.memory.told) {
        (Some(Ok(room)), _) => (*room, now),
        (Some(Err(failure)), _) => return failed(failure),
        (None, Some((room, at)))
            if !observed.is_stale && due(at, observed.poll).is_none_or(|due| now < due) =>
        {
            (room, at)
        }
        (None, _) => return ask(observed, now),
    };
    let memory = Memory {
        told: Some((room, at)),
    };
    let plan = Plan::resting(memory.clone()).remembering_at_once(memory);
    let plan = match observed.objects.split_first() {
        None => plan.step(Step::Create(room)),
        Some((first, others)) if says(first, room, observed.owner) => without(plan, others),
        Some((first, others)) => without(plan.step(Step::Update(name_of(first), room)), others),
    };
    match due(at, observed.poll) {
        Some(due) => plan.then(Next::After(
            due.duration_since(now).try_into().unwrap_or_default(),
        )),
        None => plan,
    }
}

fn ask(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let plan = Plan::resting(observed.memory.clone());
    match observed.retries.held(ASK, now) {
        Some(until) => plan.then(Next::Held(until)),
        None => plan.step(Step::Ask).then(Next::Again),
    }
}

/// What was published stays: the room was so much when the driver was last heard of. It is forgotten here, so that the driver is
/// asked again after the back-off, and not at the next poll.
fn failed(failure: &CallFailure) -> Plan {
    Plan::resting(Memory::default()).then(Next::Backoff(Trouble {
        why: failure.text.clone(),
        of: ASK.to_owned(),
    }))
}

fn without(plan: Plan, objects: &[Arc<CSIStorageCapacity>]) -> Plan {
    let objects = objects.iter();
    objects.fold(plan, |plan, object| plan.step(Step::Delete(name_of(object))))
}

/// When the driver is asked again; none where it is not.
fn due(at: Timestamp, poll: Duration) -> Option<Timestamp> {
    let poll = SignedDuration::try_from(poll)
        .ok()
        .filter(|poll| !poll.is_zero())?;
    at.checked_add(poll).ok()
}

fn name_of(object: &CSIStorageCapacity) -> String {
    object.metadata.name.clone().unwrap_or_default()
}

/// Whether an object says this, and is its owner's.
fn says(object: &CSIStorageCapacity, room: Room, owner: Option<&OwnerReference>) -> bool {
    let bytes = |quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| {
        Quantity::parse(&quantity.0).map(Quantity::bytes)
    };
    object.capacity.as_ref().map(bytes) == Some(Some(room.available))
        && object.maximum_volume_size.as_ref().map(bytes) == room.maximum.map(Some)
        && owner.is_none_or(|owner| is_owned(object, owner))
}

/// Whether it has this owner, who controls it.
#[must_use]
pub fn is_owned(object: &CSIStorageCapacity, owner: &OwnerReference) -> bool {
    let mut owners = object.metadata.owner_references.iter().flatten();
    owners.any(|one| one.controller == Some(true) && one.uid == owner.uid)
}
