//! What a volume needs now: its finalizer, or its end. Pure. Source: sidecars.md 2.11, 7.2, Q13, Q14, Q26, Q39.

use controller::plan::Trouble;
use controller::{CallFailure, Event, Next, Retries, SecretRead};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::storage::v1::StorageClass;
use runtime::migration;
use runtime::objects::{
    DeletionSecret, PROVISIONER_FINALIZER, ReclaimPolicy, SecretName, Volume, VolumePhase, attacher_finalizer,
};

use crate::events;
use crate::observe::Settings;
use crate::plan::parameters;
use crate::plan::secrets::{self, About};

/// After this the user is told that the volume waits to be detached.
const TOLD_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// After this the user is warned of it.
const WARNED_AFTER: SignedDuration = SignedDuration::from_mins(6);
/// An attacher, where there is one, has let a volume go by then.
const ATTACHER_TIME: SignedDuration = SignedDuration::from_secs(15);
/// What is tried, for the back-off.
const DELETE: &str = "delete";

/// What to do about a volume.
pub type Plan = controller::Plan<Step, Memory>;

/// One request or one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// PATCH that adds our finalizer.
    Protect,
    /// PATCH that takes these finalizers away.
    Release(Vec<String>),
    /// DeleteVolume.
    Delete {
        /// The volume.
        handle: String,
        /// It is one of the in-tree plugin.
        is_migrated: bool,
    },
    /// DELETE of the object.
    Remove,
}

/// What DeleteVolume brought.
pub type Answer = Result<(), CallFailure>;

/// What is remembered of a volume between runs. Empty after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What is behind it is deleted; only the object is left (Q13).
    pub is_deleted: bool,
    /// Since then its deletion waits for it to be detached.
    pub waits_since: Option<Timestamp>,
    /// How often that was told: as news, then as a warning.
    pub told: u8,
}

/// Everything that [`plan`] may look at.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The newest known of the volume.
    pub volume: &'a Volume,
    /// A node that it is attached to.
    pub attached_to: Option<&'a str>,
    /// Its class, if it still exists.
    pub class: Option<&'a StorageClass>,
    /// What reading a Secret answered in this run.
    pub secret: Option<&'a SecretRead>,
    /// What DeleteVolume brought.
    pub answer: Option<&'a Answer>,
    /// What is remembered of this very volume.
    pub memory: &'a Memory,
    /// Failures in a row, and the back-off that they led to.
    pub retries: &'a Retries,
    /// How the function is set up.
    pub settings: &'a Settings,
}

/// Whether a volume is ours to look after (2.11 step 1).
#[must_use]
pub fn is_ours(volume: &Volume, settings: &Settings) -> bool {
    let driver = Some(settings.driver.name.as_str());
    let handed_over = volume.migrated_to.as_deref() == driver;
    match volume.provisioned_by.as_deref() {
        Some(by) => Some(by) == driver || Some(by) == settings.in_tree || handed_over,
        None => volume.csi.as_ref().map(|csi| csi.driver.as_str()) == driver || handed_over,
    }
}

/// Whether this process looks after it: one that serves a node alone does so for what can be reached from there.
fn is_here(volume: &Volume, settings: &Settings) -> bool {
    let local = settings.local.as_ref();
    local.is_none_or(|local| local.reaches(migration::affinity_of(volume).as_deref()))
}

/// Decides what a volume needs now.
#[must_use]
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let (volume, memory) = (observed.volume, observed.memory);
    if !is_ours(volume, observed.settings) || !is_here(volume, observed.settings) {
        return Plan::resting(Memory::default());
    }
    let has_finalizer = has(volume, PROVISIONER_FINALIZER);
    let is_going = volume.metadata.deletion_timestamp.is_some();
    let is_wanted = volume.phase == VolumePhase::Released
        && volume.reclaim_policy == ReclaimPolicy::Delete
        && (!is_going || has_finalizer);
    match (observed.answer, is_wanted) {
        (Some(Ok(())), _) => end(volume),
        (Some(Err(failure)), _) => failed(memory, failure),
        // What the API server has refused before waits.
        (None, true) if memory.is_deleted => match observed.retries.held("", now) {
            Some(until) => Plan::resting(memory.clone()).then(Next::Held(until)),
            None => end(volume),
        },
        (None, true) => wanted(observed, now),
        (None, false) if is_going && !has_finalizer => let_go(observed, now),
        (None, false) => keep(volume, has_finalizer, is_going),
    }
}

/// Whether [`plan`] leaves the volume alone whatever else is known: it lives on, with the finalizer or without as it should.
#[must_use]
pub fn rests(volume: &Volume) -> bool {
    volume.phase != VolumePhase::Released
        && volume.metadata.deletion_timestamp.is_none()
        && keep(volume, has(volume, PROVISIONER_FINALIZER), false)
            .actions
            .is_empty()
}

/// Whether [`plan`] asks where the volume is attached.
#[must_use]
pub fn awaits_detachment(volume: &Volume) -> bool {
    volume.phase == VolumePhase::Released || volume.metadata.deletion_timestamp.is_some()
}

/// The finalizer is there while the volume is to be deleted with its claim, and else not (Q14).
fn keep(volume: &Volume, has_finalizer: bool, is_going: bool) -> Plan {
    let plan = Plan::resting(Memory::default());
    match (volume.reclaim_policy, has_finalizer) {
        // What cannot be deleted is not held.
        (ReclaimPolicy::Delete, false)
            if volume.phase == VolumePhase::Bound && !is_going && migration::source_of(volume).is_ok() =>
        {
            plan.step(Step::Protect)
        }
        (ReclaimPolicy::Retain, true) => plan.step(Step::Release(vec![PROVISIONER_FINALIZER.to_owned()])),
        _ => plan,
    }
}

/// What the attacher's finalizer waits for is over. Where the driver attaches without an attacher (`attachRequired: false`) nobody
/// else takes away what the volume was born with.
fn let_go(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let (volume, plan) = (observed.volume, Plan::resting(Memory::default()));
    let finalizer = migration::driver_of(volume).map(attacher_finalizer);
    let finalizer = finalizer.filter(|name| has(volume, name));
    let is_watched = observed.settings.driver.attaches;
    let (Some(finalizer), Some(since), true, None) = (
        finalizer,
        &volume.metadata.deletion_timestamp,
        is_watched,
        observed.attached_to,
    ) else {
        return plan;
    };
    let passed = now.duration_since(since.0);
    if passed < ATTACHER_TIME {
        let rest = (ATTACHER_TIME - passed).min(ATTACHER_TIME);
        return plan.then(Next::After(rest.try_into().unwrap_or_default()));
    }
    plan.step(Step::Release(vec![finalizer]))
}

/// Nothing is behind the object any more: it goes, with what the attacher would take away by a request of its own.
fn end(volume: &Volume) -> Plan {
    let memory = Memory {
        is_deleted: true,
        ..Memory::default()
    };
    let plan = Plan::resting(memory.clone()).remembering_at_once(memory);
    if volume.metadata.deletion_timestamp.is_none() {
        return plan.step(Step::Remove).then(Next::Again);
    }
    let attacher = migration::driver_of(volume).map(attacher_finalizer);
    let ours = [Some(PROVISIONER_FINALIZER.to_owned()), attacher];
    let left: Vec<String> = ours
        .into_iter()
        .flatten()
        .filter(|name| has(volume, name))
        .collect();
    if left.is_empty() {
        return plan;
    }
    plan.step(Step::Release(left))
}

fn failed(memory: &Memory, failure: &CallFailure) -> Plan {
    Plan::resting(memory.clone())
        .event(Event::warning(events::DELETE_FAILED, failure.text.clone()))
        .then(backoff(&failure.text, DELETE))
}

fn backoff(why: &str, of: &str) -> Next {
    Next::Backoff(Trouble {
        why: why.to_owned(),
        of: of.to_owned(),
    })
}

fn wanted(observed: &Observed<'_>, now: Timestamp) -> Plan {
    if let Some(node) = observed.attached_to {
        return attached(observed, node, now);
    }
    let memory = Memory::default();
    let volume = observed.volume;
    let source = match migration::source_of(volume) {
        Ok(source) => source,
        Err(error) => return refused(observed, &error.to_string(), now),
    };
    if let Some(until) = observed.retries.held(DELETE, now) {
        return Plan::resting(memory).then(Next::Held(until));
    }
    match secret_of(observed) {
        Ok(Some(secret)) if observed.secret.is_none_or(|read| read.secret != secret) => {
            Plan::resting(memory).read_secret(secret).then(Next::Again)
        }
        // A Secret that is gone must not keep the volume (2.5).
        Ok(_) => Plan::resting(memory)
            .step(Step::Delete {
                handle: source.volume_handle.clone(),
                is_migrated: migration::is_migrated(volume),
            })
            .then(Next::Again),
        Err(text) => refused(observed, &text, now),
    }
}

fn refused(observed: &Observed<'_>, text: &str, now: Timestamp) -> Plan {
    let plan = Plan::resting(Memory::default());
    match observed.retries.held(text, now) {
        Some(until) => plan.then(Next::Held(until)),
        None => plan
            .event(Event::warning(events::DELETE_FAILED, text.to_owned()))
            .then(backoff(text, text)),
    }
}

/// The end of the attachment is waited for, not tried (Q26).
fn attached(observed: &Observed<'_>, node: &str, now: Timestamp) -> Plan {
    let since = observed.memory.waits_since.unwrap_or(now);
    let waited = now.duration_since(since);
    let name = observed.volume.metadata.name.as_deref().unwrap_or_default();
    let text = format!("persistentvolume {name} is still attached to node {node}");
    let (event, next) = match observed.memory.told {
        _ if waited < TOLD_AFTER => (None, Some(TOLD_AFTER)),
        0 => {
            let text = format!("{text}; it is deleted as soon as it is detached");
            (
                Some(Event::normal(events::DELETE_WAITS, text)),
                Some(WARNED_AFTER),
            )
        }
        1 if waited < WARNED_AFTER => (None, Some(WARNED_AFTER)),
        1 => (Some(Event::warning(events::DELETE_FAILED, text)), None),
        _ => (None, None),
    };
    let told = observed.memory.told + u8::from(event.is_some());
    let mut plan = Plan::resting(Memory {
        is_deleted: false,
        waits_since: Some(since),
        told,
    });
    if let Some(event) = event {
        plan = plan.event(event);
    }
    match next {
        Some(at) => plan.then(Next::After((at - waited).try_into().unwrap_or_default())),
        None => plan,
    }
}

/// The Secret of DeleteVolume (2.5): as the volume says, else as its class does.
fn secret_of(observed: &Observed<'_>) -> Result<Option<SecretName>, String> {
    let volume = observed.volume;
    let claim = volume.claim.as_ref();
    match (&volume.deletion_secret, observed.class, claim) {
        (DeletionSecret::Named(secret), _, _) => Ok(Some((**secret).clone())),
        (DeletionSecret::Unsaid, Some(object), Some(claim)) => {
            let class = match parameters::class(object, observed.settings) {
                None => return Ok(None),
                Some(class) => class?,
            };
            let about = About {
                volume: volume.metadata.name.as_deref().unwrap_or_default(),
                claim: Some((&claim.namespace, &claim.name)),
                annotations: None,
            };
            secrets::of_provisioner(&class.parameters, &about)
        }
        (DeletionSecret::None | DeletionSecret::Unsaid, _, _) => Ok(None),
    }
}

fn has(volume: &Volume, finalizer: &str) -> bool {
    volume
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == finalizer)
}
