//! What this process remembers of attachments: names on their way to EC2, names that EC2 refused, detachments that
//! are pending. Losing it costs a retry, never a volume. Source: spec 3.6, 3.7, 3.11, 6.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::attach::{pick_card, pick_device};
use crate::ec2::types::{AttachmentState, Initialization, Instance};

/// How long a refused name and the cards of a type are remembered after their last use.
const MEMORY: Duration = Duration::from_secs(3600);
/// How long a finished attachment holds its name: DescribeInstances may lag behind it.
const SETTLING: Duration = Duration::from_secs(120);
/// How long the filling of a volume is remembered.
const FILLED: Duration = Duration::from_secs(6 * 3600);
/// Only detachments that take longer are worth a series.
const PENDING: Duration = Duration::from_secs(60);
/// What nobody asked for in this time, which is longer than the longest pause between polls, is no longer known to be on its way.
const IDLE: Duration = Duration::from_secs(900);

/// A volume on its way to an instance.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reserved {
    /// The device name.
    pub device: String,
    /// The EBS card.
    pub card: Option<i32>,
}

/// All device names are taken.
#[derive(Clone, Debug, Error)]
#[error("instance {0} has no device name left")]
pub struct NoName(String);

/// Volume ID and instance ID.
type Pair = (String, String);

/// The memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Attachments {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// By instance ID and volume ID; with the end of the attachment where it has ended well.
    reserved: BTreeMap<Pair, (Reserved, Option<Instant>)>,
    /// By instance ID and device.
    bad: BTreeMap<Pair, Instant>,
    /// EBS cards by instance type.
    cards: BTreeMap<String, (u32, Instant)>,
    /// What is known of the filling of volumes, and when to ask again.
    filling: BTreeMap<String, (Initialization, Instant)>,
    /// By volume ID and instance ID.
    detaching: BTreeMap<Pair, Detaching>,
    /// By instance ID and volume ID: when it was first and last seen in state `attaching`.
    attaching: BTreeMap<Pair, (Instant, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Detaching {
    since: Instant,
    touched: Instant,
    state: AttachmentState,
}

fn pair(left: &str, right: &str) -> Pair {
    (left.to_owned(), right.to_owned())
}

impl Attachments {
    fn with<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut state, Instant::now())
    }

    /// What was chosen for this volume before.
    #[must_use]
    pub fn reserved(&self, instance_id: &str, volume_id: &str) -> Option<Reserved> {
        self.with(|state, now| {
            state.expire(now);
            let known = state.reserved.get(&pair(instance_id, volume_id));
            known.map(|(reserved, _)| reserved.clone())
        })
    }

    /// Chooses a name and a card that neither EC2 nor another attachment of this process uses.
    ///
    /// # Errors
    /// When no name is left.
    pub fn reserve(&self, instance: &Instance, volume_id: &str, cards: u32) -> Result<Reserved, NoName> {
        self.with(|state, now| {
            state.expire(now);
            let of_instance = |(id, _): &Pair| *id == instance.id;
            let flying: Vec<(&str, &Reserved)> = state
                .reserved
                .iter()
                .filter(|(pair, _)| of_instance(pair))
                .map(|((_, volume), (reserved, _))| (volume.as_str(), reserved))
                .collect();
            let mapped = instance.mappings.iter().map(|mapping| mapping.device.clone());
            let taken: BTreeSet<String> = flying
                .iter()
                .map(|(_, reserved)| reserved.device.clone())
                .chain(mapped)
                .collect();
            let bad = state.bad.keys().filter(|pair| of_instance(pair));
            let bad: BTreeSet<String> = bad.map(|(_, device)| device.clone()).collect();
            let device = pick_device(&taken, &bad).ok_or_else(|| NoName(instance.id.clone()))?;
            let is_mapped = |volume: &str| crate::attach::mapped(instance, volume).is_some();
            let of_flying = flying.iter().filter(|(volume, _)| !is_mapped(volume));
            let used = of_flying.map(|(_, reserved)| reserved.card);
            let used = used.chain(instance.mappings.iter().map(|mapping| mapping.card));
            let card = pick_card(cards, used);
            let reserved = Reserved { device, card };
            let key = pair(&instance.id, volume_id);
            state.reserved.insert(key, (reserved.clone(), None));
            Ok(reserved)
        })
    }

    /// The volume is attached: its name was good, and is free for others once EC2 surely shows it.
    pub fn attached(&self, instance_id: &str, volume_id: &str) {
        self.with(|state, now| {
            if let Some((reserved, end)) = state.reserved.get_mut(&pair(instance_id, volume_id)) {
                *end = Some(now);
                let key = pair(instance_id, &reserved.device);
                state.bad.remove(&key);
            }
        });
    }

    /// The volume is neither there nor on its way.
    pub fn release(&self, instance_id: &str, volume_id: &str) {
        self.with(|state, _| drop(state.reserved.remove(&pair(instance_id, volume_id))));
    }

    /// EC2 says that this name is in use.
    pub fn mark_bad(&self, instance_id: &str, device: &str) {
        self.with(|state, now| {
            state.bad.insert(pair(instance_id, device), now);
        });
    }

    /// The EBS cards of an instance type, if they are known.
    #[must_use]
    pub fn cards(&self, instance_type: &str) -> Option<u32> {
        self.with(|state, now| {
            state.expire(now);
            let (cards, used) = state.cards.get_mut(instance_type)?;
            *used = now;
            Some(*cards)
        })
    }

    /// EC2 has told the EBS cards of an instance type.
    pub fn learn_cards(&self, instance_type: &str, cards: u32) {
        self.with(|state, now| {
            state.cards.insert(instance_type.to_owned(), (cards, now));
        });
    }

    /// What is known of the filling of a volume, and from when on it is worth asking again.
    #[must_use]
    pub fn filling(&self, volume_id: &str) -> Option<(Initialization, Instant)> {
        self.with(|state, now| {
            state
                .filling
                .retain(|_, (_, again)| now.saturating_duration_since(*again) < FILLED);
            state.filling.get(volume_id).copied()
        })
    }

    /// EC2 has told how far a volume is filled.
    pub fn learn_filling(&self, volume_id: &str, filling: Initialization, again: Instant) {
        self.with(|state, _| {
            state.filling.insert(volume_id.to_owned(), (filling, again));
        });
    }

    /// For how long the volume has been seen on its way to the instance, where it was seen so now; anything else begins anew.
    /// EC2 tells when it began by its own clock, which may be far from ours.
    #[must_use]
    pub fn attaching(&self, instance_id: &str, volume_id: &str, is_attaching: bool) -> Duration {
        self.with(|state, now| {
            let is_fresh = |last: Instant| now.duration_since(last) < IDLE;
            state.attaching.retain(|_, (_, last)| is_fresh(*last));
            let key = pair(instance_id, volume_id);
            if !is_attaching {
                state.attaching.remove(&key);
                return Duration::ZERO;
            }
            let (first, last) = state.attaching.entry(key).or_insert((now, now));
            *last = now;
            now.duration_since(*first)
        })
    }

    /// A detachment is pending in this state.
    pub fn detaching(&self, volume_id: &str, instance_id: &str, attachment: AttachmentState) {
        self.with(|state, now| {
            let entry = state.detaching.entry(pair(volume_id, instance_id));
            let entry = entry.or_insert(Detaching {
                since: now,
                touched: now,
                state: attachment,
            });
            entry.touched = now;
            entry.state = attachment;
        });
    }

    /// A detachment has ended.
    pub fn detached(&self, volume_id: &str, instance_id: &str) {
        self.with(|state, _| {
            state.detaching.remove(&pair(volume_id, instance_id));
            state.reserved.remove(&pair(instance_id, volume_id));
        });
    }

    /// The detachments that have been pending for more than a minute: volume, instance and state, and for how long.
    #[must_use]
    pub fn pending(&self) -> Vec<([String; 3], Duration)> {
        self.with(|state, now| {
            state
                .detaching
                .retain(|_, entry| now.duration_since(entry.touched) < IDLE);
            let pending = state.detaching.iter();
            let pending = pending.map(|((volume, instance), entry)| {
                let labels = [volume.clone(), instance.clone(), entry.state.name().to_owned()];
                (labels, now.duration_since(entry.since))
            });
            pending.filter(|(_, age)| *age > PENDING).collect()
        })
    }
}

impl State {
    fn expire(&mut self, now: Instant) {
        self.bad.retain(|_, used| now.duration_since(*used) < MEMORY);
        self.cards
            .retain(|_, (_, used)| now.duration_since(*used) < MEMORY);
        self.reserved
            .retain(|_, (_, end)| end.is_none_or(|end| now.duration_since(end) < SETTLING));
    }
}
