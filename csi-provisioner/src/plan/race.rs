//! A claim that binds at once, where each node has a provisioner of its own: one of them takes it. Pure. Source: sidecars.md 2.12.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use controller::Next;
use csi::v1::GetCapacityRequest;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::StorageClass;
use runtime::objects::Wish;

use super::{Obstacle, Plan, Step, is_for_first_consumer, later, obstructed, parameters, request};
use crate::local::LocalNode;
use crate::observe::{Answer, Memory, Observed, Race};
use crate::topology;

/// What the driver is asked before the claim is taken: for room in any of these places.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Bytes that the claim asks for.
    pub bytes: i64,
    /// One request for each place.
    pub requests: Vec<GetCapacityRequest>,
}

/// What a claim without a node needs of the provisioner of this one.
pub(super) fn plan(
    observed: &Observed<'_>,
    wish: &Wish,
    object: &StorageClass,
    local: &LocalNode,
    now: Timestamp,
) -> Plan {
    let nothing = Plan::resting(Memory::default());
    if is_for_first_consumer(object) || !local.immediate || observed.has_volume {
        return nothing;
    }
    let Some(class) = parameters::class(object, observed.settings) else {
        return nothing;
    };
    let is_elsewhere = matches!(observed.topology, Err(topology::Trouble::Refused(_)));
    if is_elsewhere && class.as_ref().is_ok_and(|class| !class.allowed.is_empty()) {
        return nothing;
    }
    let race = match &observed.memory.race {
        Some(race) => *race,
        None => begin(observed, local, 0, now),
    };
    let waiting = Plan::resting(Memory {
        race: Some(race),
        ..Memory::default()
    });
    if now < race.until {
        return waiting.then(Next::Held(race.until));
    }
    match observed.answer {
        Some(Answer::Room(false)) => {
            let race = leave(local, race.lost, now);
            return Plan::resting(Memory {
                race: Some(race),
                ..Memory::default()
            })
            .then(Next::Held(race.until));
        }
        Some(Answer::Room(true)) => return select(observed, local, race, now),
        _ => {}
    }
    // What stands in the way is told by the node that takes the claim.
    let prepared = class
        .map_err(Obstacle::from)
        .and_then(|class| request::prepare(observed, wish, &class));
    match prepared {
        Ok(prepared) if observed.settings.driver.tells_room => waiting
            .step(Step::Measure(Arc::new(measure(prepared.begun.request))))
            .then(Next::Again),
        Ok(_) | Err(Obstacle::Refused(_) | Obstacle::LeftToPopulator | Obstacle::NodeGone { .. }) => {
            select(observed, local, race, now)
        }
        Err(unread) => obstructed(observed, unread, now),
    }
}

/// Takes the claim. Where another writer was faster, longer is waited the next time.
fn select(observed: &Observed<'_>, local: &LocalNode, race: Race, now: Timestamp) -> Plan {
    let again = begin(observed, local, race.lost.saturating_add(1), now);
    Plan::resting(Memory::default())
        .remembering_at_once(Memory {
            race: Some(again),
            ..Memory::default()
        })
        .step(Step::Select(local.name.clone()))
        .then(Next::Again)
}

/// There is no room here: others have the longest time to take the claim.
pub(super) fn leave(local: &LocalNode, lost: u32, now: Timestamp) -> Race {
    Race {
        until: later(now, local.delays.1),
        lost,
    }
}

/// All nodes wait differently long, so that they do not write at once: up to the base delay less, by claim, node and attempt. The
/// version makes the order another one each time that the claim is given back.
fn begin(observed: &Observed<'_>, local: &LocalNode, lost: u32, now: Timestamp) -> Race {
    let (base, most) = local.delays;
    let mut hasher = DefaultHasher::new();
    let claim = &observed.claim.metadata;
    (&claim.uid, &claim.resource_version, &local.name, lost).hash(&mut hasher);
    let share = f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or_default()) / f64::from(u32::MAX);
    let delay = base
        .saturating_mul(1_u32.checked_shl(lost.min(31)).unwrap_or(u32::MAX))
        .min(most);
    let delay = delay.saturating_sub(base.mul_f64(share));
    Race {
        until: later(now, delay),
        lost,
    }
}

fn measure(request: csi::v1::CreateVolumeRequest) -> Measure {
    let places = request.accessibility_requirements.map(|places| places.requisite);
    let places: Vec<_> = match places.filter(|places| !places.is_empty()) {
        Some(places) => places.into_iter().map(Some).collect(),
        None => vec![None],
    };
    let bytes = request.capacity_range.map_or(0, |range| range.required_bytes);
    let ask = |place| GetCapacityRequest {
        volume_capabilities: request.volume_capabilities.clone(),
        parameters: request.parameters.clone(),
        accessible_topology: place,
    };
    Measure {
        bytes,
        requests: places.into_iter().map(ask).collect(),
    }
}
