//! What an answer to CreateVolume leads to. Source: sidecars.md 2.9.

use std::sync::Arc;
use std::time::Duration;

use controller::{CallFailure, Event, Next};
use csi::Class;
use csi::v1::{self, volume_content_source};
use jiff::Timestamp;
use runtime::migration;
use tonic::Code;

use super::{Plan, Step, backoff, later, race, request};
use crate::events;
use crate::observe::{Begun, Made, Memory, Observed, Slow, Stage, Unwanted};

/// The driver has made a volume.
pub(super) fn created(
    observed: &Observed<'_>,
    begun: &Arc<Begun>,
    volume: &v1::Volume,
    took: Duration,
) -> Plan {
    if let Err(why) = check(begun, volume) {
        return unwanted(observed, begun, volume, why);
    }
    let mut object = request::volume(observed.settings, begun, volume);
    if begun.is_migrated {
        object = match migration::to_in_tree(&object) {
            Ok(object) => object,
            Err(error) => return unwanted(observed, begun, volume, error.to_string()),
        };
    }
    let made = Arc::new(Made {
        volume: object,
        labels: begun.labels.clone(),
        took,
    });
    save(observed, &made)
}

/// POST of the volume; the driver is not called again whatever becomes of it.
pub(super) fn save(observed: &Observed<'_>, made: &Arc<Made>) -> Plan {
    let plan = Plan::resting(Memory::default())
        .remembering_at_once(Memory {
            stage: Stage::Made(made.clone()),
            ..Memory::default()
        })
        .step(Step::Save(made.clone()));
    if !observed.is_present {
        return plan;
    }
    let name = made.volume.metadata.name.as_deref().unwrap_or_default();
    plan.event(Event::normal(
        events::SUCCEEDED,
        format!("Successfully provisioned volume {name}"),
    ))
}

/// Whether the volume is what was asked for.
pub(super) fn check(begun: &Begun, volume: &v1::Volume) -> Result<(), String> {
    let asked = begun
        .request
        .capacity_range
        .as_ref()
        .map_or(0, |range| range.required_bytes);
    if volume.capacity_bytes != 0 && volume.capacity_bytes < asked {
        return Err(format!(
            "it has {} bytes where {asked} were asked for",
            volume.capacity_bytes
        ));
    }
    let wanted = begun.request.volume_content_source.as_ref();
    match wanted.and_then(|source| source.r#type.as_ref()) {
        // Without its source it would be an empty volume (Q21). Drivers name it in forms of their own: GCE's answers numbers.
        Some(wanted) if volume.content_source.is_none() => {
            let wanted = match wanted {
                volume_content_source::Type::Snapshot(snapshot) => {
                    format!("snapshot {}", snapshot.snapshot_id)
                }
                volume_content_source::Type::Volume(volume) => format!("volume {}", volume.volume_id),
            };
            Err(format!(
                "it was to be made from {wanted}, and the driver says that it was made from nothing"
            ))
        }
        _ => Ok(()),
    }
}

/// It must go before another one is asked for (Q22).
fn unwanted(observed: &Observed<'_>, begun: &Begun, volume: &v1::Volume, why: String) -> Plan {
    if let Some(owner) = observed.owner {
        return owned(&volume.volume_id, owner, &why, &begun.of);
    }
    let text = format!(
        "the CSI driver made volume {} for the claim, but {why}; the volume is deleted, and asked for again",
        volume.volume_id
    );
    let unwanted = Arc::new(Unwanted {
        handle: volume.volume_id.clone(),
        why,
        of: begun.of.clone(),
        secret: begun.secret.clone(),
        is_migrated: begun.is_migrated,
    });
    let memory = Memory {
        stage: Stage::Unwanted(unwanted.clone()),
        ..Memory::default()
    };
    Plan::resting(memory.clone())
        .remembering_at_once(memory)
        .event(Event::warning(events::FAILED, text))
        .step(Step::Discard(unwanted))
        .then(Next::Again)
}

/// A driver that answers the volume of another claim does not have it deleted.
pub(super) fn owned(handle: &str, owner: &str, why: &str, of: &str) -> Plan {
    let text = format!(
        "the CSI driver answered volume {handle}, which PersistentVolume {owner} has already, and {why}: it is not deleted; look \
         for the fault in the driver"
    );
    Plan::resting(Memory::default())
        .event(Event::warning(events::FAILED, text.clone()))
        .then(backoff(text, of))
}

/// The wrong volume was deleted, or not.
pub(super) fn discarded(unwanted: &Arc<Unwanted>, outcome: &Result<(), CallFailure>) -> Plan {
    match outcome {
        Ok(()) => Plan::resting(Memory::default()).then(backoff(unwanted.why.clone(), &unwanted.of)),
        Err(failure) => {
            let memory = Memory {
                stage: Stage::Unwanted(unwanted.clone()),
                ..Memory::default()
            };
            let text = format!(
                "volume {}, which is not what the claim asks for ({}), cannot be deleted: {}",
                unwanted.handle, unwanted.why, failure.text
            );
            Plan::resting(memory)
                .event(Event::warning(events::FAILED, text.clone()))
                .then(backoff(text, &unwanted.of))
        }
    }
}

/// The driver refused, or nothing is known.
pub(super) fn failed(
    observed: &Observed<'_>,
    begun: &Arc<Begun>,
    failure: &CallFailure,
    now: Timestamp,
) -> Plan {
    let told = |text: String| Event::warning(events::FAILED, text);
    let stage = match failure.class {
        Class::InProgress => Stage::Begun(begun.clone()),
        Class::Ok | Class::Final | Class::Infeasible => Stage::Idle,
    };
    let memory = Memory {
        stage,
        ..Memory::default()
    };
    let longest = observed.settings.retry_interval_max;
    match (failure.code, failure.class, failure.wait(longest)) {
        (Some(Code::ResourceExhausted), ..)
            if observed.settings.topology && is_still_there(observed, begun) =>
        {
            let node = begun.node.clone().unwrap_or_default();
            unselect(node, &failure.text, without_room(observed, now))
        }
        (_, Class::Infeasible, _) => {
            let until = later(now, longest);
            let text = format!(
                "Volume provisioning failed with infeasible error. Retries will be delayed. {}",
                failure.text
            );
            let slow = Slow {
                until,
                of: begun.of.clone(),
            };
            Plan::resting(Memory {
                slow: Some(slow),
                ..memory
            })
            .event(told(text))
            .then(Next::Held(until))
        }
        // A wait that the driver asks for is no failure (decision 125).
        (.., Some(wait)) => {
            let until = later(now, wait);
            let of = begun.of.clone();
            Plan::resting(Memory {
                slow: Some(Slow { until, of }),
                ..memory
            })
            .event(Event::normal(events::PROVISIONING, failure.text.clone()))
            .then(Next::Held(until))
        }
        _ => Plan::resting(memory)
            .event(told(failure.text.clone()))
            .then(backoff(failure.text.clone(), &begun.of)),
    }
}

/// The claim still asks for the node for which there was no room.
fn is_still_there(observed: &Observed<'_>, begun: &Begun) -> bool {
    let selected = observed.claim.wish.as_ref().and_then(|wish| wish.selected_node());
    observed.is_present && selected.is_some() && selected == begun.node.as_deref()
}

/// What a node remembers of a claim that it gives back.
fn without_room(observed: &Observed<'_>, now: Timestamp) -> Memory {
    let local = observed.settings.local.as_ref();
    Memory {
        race: local.map(|local| race::leave(local, 0, now)),
        ..Memory::default()
    }
}

/// The scheduler is to choose another node. The memory is what is left of the attempt.
pub(super) fn unselect(node: String, why: &str, left: Memory) -> Plan {
    Plan::resting(left.clone())
        .remembering_at_once(Memory {
            to_unselect: Some(node.clone()),
            ..left
        })
        .event(Event::warning(events::FAILED, why.to_owned()))
        .step(Step::Unselect(node))
}
