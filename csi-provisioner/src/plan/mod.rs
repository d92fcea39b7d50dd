//! What a claim needs now. Pure. Source: sidecars.md 2.2 to 2.10, Q7 to Q11, Q15, Q20 to Q24, Q27, Q28.

mod outcome;
pub mod parameters;
pub mod race;
pub mod request;
pub mod secrets;
pub mod source;

use std::sync::Arc;
use std::time::Duration;

use controller::plan::Trouble;
use controller::{Action, Event, Next, SecretAnswer, SecretRead};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::storage::v1::StorageClass;
use runtime::objects::{SecretName, Wish};
use runtime::{EventType, ObjectKey, migration};

use crate::observe::{Answer, Begun, Lookup, Made, Memory, NodeGone, Observed, Settings, Stage, Unwanted};
use crate::{events, topology};
use source::SourceKey;

/// After this it is looked again whether the protection of a source is still being taken away.
const LET_GO: Duration = Duration::from_secs(1);
/// How often a request that comes to no end is sent before a class that was made anew is taken.
const TRIES: u32 = 5;
/// How long at most a claim waits for the driver to register at the node that was chosen for it.
const LONGEST_FOR_A_NODE: Duration = Duration::from_secs(120);

/// What to do about a claim.
pub type Plan = controller::Plan<Step, Memory>;

/// One request or one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Puts our finalizer on what the volume is made from.
    Protect(SourceKey),
    /// CreateVolume.
    Create(Arc<Begun>),
    /// Asks for the volume that this CreateVolume may have made before.
    Look(Arc<Begun>),
    /// Waits for the CreateVolume that is running.
    Wait,
    /// POST of the volume.
    Save(Arc<Made>),
    /// DeleteVolume of a volume that is not what was asked for.
    Discard(Arc<Unwanted>),
    /// Takes this selected node from the claim.
    Unselect(String),
    /// GetCapacity, before this node takes the claim.
    Measure(Arc<race::Measure>),
    /// Selects this node, unless somebody else was faster.
    Select(String),
    /// GET of a snapshot.
    ReadSnapshot(ObjectKey),
    /// GET of a snapshot content.
    ReadContent(String),
    /// GET of an attributes class.
    ReadAttributes(String),
    /// GET of a claim that is to be cloned.
    ReadOrigin(ObjectKey),
    /// GET of that claim's volume.
    ReadOriginVolume(String),
}

/// What stands between a claim and its CreateVolume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Something is wrong, and the user is told; tried again after the back-off, and at once when it has changed.
    Refused(String),
    /// Somebody else makes the volume.
    LeftToPopulator,
    /// The selected node is gone.
    NodeGone {
        /// What is missing.
        text: String,
        /// It is the CSINode.
        is_driver_gone: bool,
    },
    /// A Secret must be read first.
    ReadSecret(SecretName),
    /// A snapshot must be read first.
    ReadSnapshot(ObjectKey),
    /// A snapshot content must be read first.
    ReadContent(String),
    /// An attributes class must be read first.
    ReadAttributes(String),
    /// The claim that is to be cloned must be read first.
    ReadOrigin(ObjectKey),
    /// That claim's volume must be read first.
    ReadOriginVolume(String),
}

impl From<String> for Obstacle {
    fn from(text: String) -> Self {
        Self::Refused(text)
    }
}

impl From<topology::Trouble> for Obstacle {
    fn from(trouble: topology::Trouble) -> Self {
        match trouble {
            // These words, as upstream's, are what people search for.
            topology::Trouble::Refused(text) => {
                Self::Refused(format!("error generating accessibility requirements: {text}"))
            }
            topology::Trouble::NodeGone { text, is_driver_gone } => Self::NodeGone { text, is_driver_gone },
        }
    }
}

impl Obstacle {
    pub(crate) fn refused(text: &str) -> Self {
        Self::Refused(text.to_owned())
    }
}

/// Decides what a claim needs now.
#[must_use]
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    match (&observed.memory.stage, observed.answer) {
        (Stage::Begun(_), Some(Answer::Running)) => running(observed),
        (Stage::Begun(begun), Some(Answer::Created(Ok(volume), took))) => {
            outcome::created(observed, begun, volume, *took)
        }
        (Stage::Begun(begun), Some(Answer::Created(Err(failure), _))) => {
            outcome::failed(observed, begun, failure, now)
        }
        (Stage::Unwanted(unwanted), Some(Answer::Discarded(outcome))) => {
            outcome::discarded(unwanted, outcome)
        }
        (Stage::Begun(begun), _) => again(observed, begun, now),
        (Stage::Made(made), _) => match observed.retries.held("", now) {
            Some(until) => held(observed, until),
            None => outcome::save(observed, made),
        },
        (Stage::Unwanted(unwanted), _) => discard(observed, unwanted, now),
        (Stage::Idle, _) => anew(observed, now),
    }
}

/// The handle of the volume that is to be deleted since it is not what was asked for.
#[must_use]
pub fn to_be_discarded<'a>(memory: &'a Memory, answer: Option<&'a Answer>) -> Option<&'a str> {
    match (&memory.stage, answer) {
        (Stage::Begun(begun), Some(Answer::Created(Ok(volume), _))) => {
            let is_wrong = begun.is_migrated || outcome::check(begun, volume).is_err();
            is_wrong.then_some(volume.volume_id.as_str())
        }
        (Stage::Unwanted(unwanted), _) => Some(unwanted.handle.as_str()),
        _ => None,
    }
}

/// CreateVolume takes its time: the user is told that it has begun (7.1).
fn running(observed: &Observed<'_>) -> Plan {
    Plan::resting(observed.memory.clone())
        .event(begins(observed))
        .step(Step::Wait)
        .then(Next::Again)
}

fn begins(observed: &Observed<'_>) -> Event {
    let key = ObjectKey::of(observed.claim);
    Event::normal(
        events::PROVISIONING,
        format!("External provisioner is provisioning volume for claim \"{key}\""),
    )
}

/// The same request again, until it has a final answer: whatever has become of claim, class, snapshot or node (Q27). It may come
/// to no end for its class: once that was made anew the claim begins anew after some tries, as with another process.
fn again(observed: &Observed<'_>, begun: &Arc<Begun>, now: Timestamp) -> Plan {
    if observed.retries.failures() >= TRIES && has_another_class(observed, begun) {
        return Plan::resting(Memory::default()).then(Next::Again);
    }
    let slow = observed.memory.slow.as_ref().map(|slow| slow.until);
    let slow = slow.filter(|until| now < *until);
    if let Some(until) = slow.or_else(|| observed.retries.held(&begun.of, now)) {
        return held(observed, until);
    }
    match newest(observed, begun.secret.as_ref()) {
        Ok(secret) => {
            let begun = (**begun).clone();
            call(observed, Arc::new(Begun { secret, ..begun }), None)
        }
        Err(unread) => obstructed(observed, unread, now),
    }
}

/// DeleteVolume of what is not what was asked for, unless it is another claim's.
fn discard(observed: &Observed<'_>, unwanted: &Arc<Unwanted>, now: Timestamp) -> Plan {
    if let Some(until) = observed.retries.held(&unwanted.of, now) {
        return held(observed, until);
    }
    if let Some(owner) = observed.owner {
        return outcome::owned(&unwanted.handle, owner, &unwanted.why, &unwanted.of);
    }
    match newest(observed, unwanted.secret.as_ref()) {
        Ok(secret) => {
            let unwanted = (**unwanted).clone();
            Plan::resting(observed.memory.clone())
                .step(Step::Discard(Arc::new(Unwanted { secret, ..unwanted })))
                .then(Next::Again)
        }
        Err(unread) => obstructed(observed, unread, now),
    }
}

/// The Secret of a call that is made once more, which may have been mended since; what the call went with where it cannot be read.
fn newest(observed: &Observed<'_>, kept: Option<&SecretRead>) -> Result<Option<SecretRead>, Obstacle> {
    match ready(observed.secret, kept.map(|kept| &kept.secret)) {
        Err(Obstacle::Refused(_)) => Ok(kept.cloned()),
        read => read,
    }
}

fn has_another_class(observed: &Observed<'_>, begun: &Begun) -> bool {
    let wish = observed.claim.wish.as_deref().filter(|_| observed.is_present);
    let class = class_uid(observed);
    wish.is_some_and(|wish| is_ours(wish, observed.settings))
        && class.is_some()
        && class != begun.class.as_deref()
}

/// CreateVolume, for a source that is protected. It is remembered before it is sent.
fn call(observed: &Observed<'_>, begun: Arc<Begun>, unprotected: Option<SourceKey>) -> Plan {
    if let Some(source) = unprotected {
        return Plan::resting(observed.memory.clone())
            .step(Step::Protect(source))
            .then(Next::Again);
    }
    let memory = Memory {
        stage: Stage::Begun(begun.clone()),
        ..Memory::default()
    };
    let mut plan = Plan::resting(memory.clone()).remembering_at_once(memory);
    if observed.retries.failures() > 0 && observed.is_present {
        plan = plan.event(begins(observed));
    }
    plan.step(Step::Create(begun)).then(Next::Again)
}

/// An attempt has failed, for the metrics.
#[must_use]
pub fn is_failure(plan: &Plan) -> bool {
    let warns = plan.actions.iter().any(|action| match action {
        Action::Event(event) => event.kind == EventType::Warning,
        Action::Step(_) | Action::ReadSecret(_) => false,
    });
    matches!(plan.next, Next::Backoff(_)) || (warns && plan.next != Next::Again)
}

fn held(observed: &Observed<'_>, until: Timestamp) -> Plan {
    Plan::resting(observed.memory.clone()).then(Next::Held(until))
}

/// The moment after a wait.
pub(crate) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// A back-off. `of` is what was tried: another try begins one of its own.
fn backoff(why: impl Into<String>, of: &str) -> Next {
    Next::Backoff(Trouble {
        why: why.into(),
        of: of.to_owned(),
    })
}

/// A claim of which nothing is under way (2.2).
fn anew(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let settings = observed.settings;
    let wish = observed.claim.wish.as_deref().filter(|_| observed.is_present);
    let Some(wish) = wish.filter(|wish| is_ours(wish, settings)) else {
        return Plan::resting(Memory::default());
    };
    let Some(object) = observed.class else {
        let why = "its StorageClass does not exist";
        return match observed.retries.held(why, now) {
            Some(until) => held(observed, until),
            None => Plan::resting(observed.memory.clone()).then(backoff(why, why)),
        };
    };
    if let Some(local) = &settings.local {
        match wish.selected_node() {
            Some(node) if node == local.name => {}
            Some(_) => return Plan::resting(Memory::default()),
            None => return race::plan(observed, wish, object, local, now),
        }
    }
    if let Some(node) = &observed.memory.to_unselect
        && wish.selected_node() == Some(node)
    {
        // Refused before.
        return match observed.retries.held("", now) {
            Some(until) => held(observed, until),
            None => Plan::resting(Memory {
                race: observed.memory.race,
                ..Memory::default()
            })
            .remembering_at_once(observed.memory.clone())
            .step(Step::Unselect(node.clone())),
        };
    }
    let waits = is_for_first_consumer(object) && wish.selected_node().is_none();
    if waits || observed.has_volume {
        return Plan::resting(Memory::default());
    }
    let class = match parameters::class(object, settings) {
        None => return of_another(observed, object, now),
        Some(class) => class,
    };
    if observed.is_let_go {
        // Its finalizer may be gone in a moment: then it is put there anew. Until then nothing is asked for.
        return held(observed, later(now, LET_GO));
    }
    let prepared = class
        .map_err(Obstacle::from)
        .and_then(|class| request::prepare(observed, wish, &class));
    match prepared {
        Ok(prepared) => due(observed, prepared, now),
        Err(obstacle) => obstructed(observed, obstacle, now),
    }
}

/// Whether a claim is for this driver (2.2 steps 3 and 4).
#[must_use]
pub fn is_ours(wish: &Wish, settings: &Settings) -> bool {
    let driver = Some(settings.driver.name.as_str());
    let named = wish.provisioner();
    let is_taken_over = named.is_some() && named == settings.in_tree;
    named.is_some() && (named == driver || (is_taken_over && wish.migrated_to() == driver))
}

/// The class binds only once the scheduler chose a node.
#[must_use]
pub fn is_for_first_consumer(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// A class that is not of the driver is no concern of ours. Of one whose in-tree plugin the driver took over nobody else would
/// tell that it is not translated here.
fn of_another(observed: &Observed<'_>, object: &StorageClass, now: Timestamp) -> Plan {
    let (plan, driver) = (Plan::resting(Memory::default()), &observed.settings.driver.name);
    let plugin = &object.provisioner;
    if !migration::is_migrated_driver(driver) || !plugin.starts_with(migration::IN_TREE) {
        return plan;
    }
    let text = format!(
        "the StorageClass names the in-tree plugin {plugin}, which is not translated for {driver} here: make the claim anew with a \
         class whose provisioner is {driver}"
    );
    refused(observed, plan, text, now)
}

/// Nothing stands in the way but time.
fn due(observed: &Observed<'_>, prepared: request::Prepared, now: Timestamp) -> Plan {
    let memory = observed.memory;
    let begun = prepared.begun;
    let slow = memory
        .slow
        .as_ref()
        .filter(|slow| slow.of == begun.of && now < slow.until);
    let until = slow.map(|slow| slow.until);
    if let Some(until) = until.or_else(|| observed.retries.held(&begun.of, now)) {
        return held(observed, until);
    }
    let unprotected = begun.source.clone().filter(|_| prepared.is_unprotected);
    let begun = Arc::new(begun);
    if let Some(Answer::Unprotected) = observed.answer {
        return call(observed, begun, None);
    }
    found(observed, &begun, now).unwrap_or_else(|| call(observed, begun, unprotected))
}

/// What is to be done before anything else can be asked for, where a volume may have been made before: to look for it, and to
/// take it (Q4). None where there is none.
fn found(observed: &Observed<'_>, begun: &Arc<Begun>, now: Timestamp) -> Option<Plan> {
    if !observed.may_be_made {
        return None;
    }
    let resting = Plan::resting(observed.memory.clone());
    match observed.answer {
        Some(Answer::Looked(Ok(Some(volume)), took)) if outcome::check(begun, volume).is_ok() => {
            Some(outcome::created(observed, begun, volume, *took))
        }
        // What cannot serve is left as it is: CreateVolume says what is in the way.
        Some(Answer::Looked(Ok(_), _)) => None,
        Some(Answer::Looked(Err(failure), _)) => Some(
            resting
                .event(Event::warning(events::FAILED, failure.text.clone()))
                .then(backoff(failure.text.clone(), &begun.of)),
        ),
        _ => Some(match observed.retries.held(&begun.of, now) {
            Some(until) => held(observed, until),
            None => resting.step(Step::Look(begun.clone())).then(Next::Again),
        }),
    }
}

/// Before another node is asked for: the volume may have been made for this one (Q4).
fn found_anywhere(observed: &Observed<'_>, now: Timestamp) -> Option<Plan> {
    if !observed.may_be_made {
        return None;
    }
    let anywhere = Ok(None);
    let observed = Observed {
        topology: &anywhere,
        ..*observed
    };
    let wish = observed.claim.wish.as_deref()?;
    let class = parameters::class(observed.class?, observed.settings)?;
    let prepared = class
        .map_err(Obstacle::from)
        .and_then(|class| request::prepare(&observed, wish, &class));
    match prepared {
        Ok(prepared) => found(&observed, &Arc::new(prepared.begun), now),
        // What cannot be asked for here is looked for again on the next node.
        Err(Obstacle::Refused(_) | Obstacle::LeftToPopulator | Obstacle::NodeGone { .. }) => None,
        Err(unread) => {
            let mut plan = obstructed(&observed, unread, now);
            plan.memory.node_gone.clone_from(&observed.memory.node_gone);
            Some(plan)
        }
    }
}

fn obstructed(observed: &Observed<'_>, obstacle: Obstacle, now: Timestamp) -> Plan {
    let resting = Plan::resting(Memory {
        node_gone: None,
        ..observed.memory.clone()
    });
    match obstacle {
        Obstacle::Refused(text) => refused(observed, resting, text, now),
        Obstacle::LeftToPopulator => left_to_populator(observed),
        Obstacle::NodeGone { text, is_driver_gone } => node_gone(observed, text, is_driver_gone, now),
        Obstacle::ReadSecret(secret) => resting.read_secret(secret).then(Next::Again),
        Obstacle::ReadSnapshot(key) => resting.step(Step::ReadSnapshot(key)).then(Next::Again),
        Obstacle::ReadContent(name) => resting.step(Step::ReadContent(name)).then(Next::Again),
        Obstacle::ReadAttributes(name) => resting.step(Step::ReadAttributes(name)).then(Next::Again),
        Obstacle::ReadOrigin(key) => resting.step(Step::ReadOrigin(key)).then(Next::Again),
        Obstacle::ReadOriginVolume(name) => resting.step(Step::ReadOriginVolume(name)).then(Next::Again),
    }
}

/// Told once a try; what was wrong and is so no more is not waited for.
fn refused(observed: &Observed<'_>, resting: Plan, text: String, now: Timestamp) -> Plan {
    match observed.retries.held(&text, now) {
        Some(until) => resting.then(Next::Held(until)),
        None => resting
            .event(Event::warning(events::FAILED, text.clone()))
            .then(backoff(text.clone(), &text)),
    }
}

/// Once a claim (Q20).
fn left_to_populator(observed: &Observed<'_>) -> Plan {
    let plan = Plan::resting(Memory {
        left_to_populator: true,
        ..Memory::default()
    });
    if observed.memory.left_to_populator {
        return plan;
    }
    plan.event(Event::normal(
        events::PROVISIONING,
        "Assuming an external populator will provision the volume".to_owned(),
    ))
}

/// The scheduler is asked for another node, but not at once: the node may only be late, and after a restart a volume may be
/// in the making for it (Q4, Q24).
fn node_gone(observed: &Observed<'_>, text: String, is_driver_gone: bool, now: Timestamp) -> Plan {
    let node = observed.claim.wish.as_ref().and_then(|wish| wish.selected_node());
    let node = node.unwrap_or_default();
    let known = observed
        .memory
        .node_gone
        .as_ref()
        .filter(|gone| gone.node == node);
    let since = known.map_or(now, |gone| gone.since);
    let patience = match is_driver_gone {
        true => (observed.settings.timeout * 2).min(LONGEST_FOR_A_NODE),
        false => Duration::from_secs(request::NODE_PATIENCE_SECONDS),
    };
    let until = later(since, patience);
    if now >= until {
        if let Some(plan) = found_anywhere(observed, now) {
            return plan;
        }
        let why = format!("{text}; another node is asked for");
        return outcome::unselect(node.to_owned(), &why, Memory::default());
    }
    let plan = Plan::resting(Memory {
        node_gone: Some(NodeGone {
            node: node.to_owned(),
            since,
        }),
        ..observed.memory.clone()
    });
    let plan = match known {
        Some(_) => plan,
        None => plan.event(Event::warning(events::FAILED, text)),
    };
    plan.then(Next::Held(until))
}

/// The Secret of a call, once it is read.
fn ready(read: Option<&SecretRead>, named: Option<&SecretName>) -> Result<Option<SecretRead>, Obstacle> {
    let Some(named) = named else {
        return Ok(None);
    };
    let Some(read) = read.filter(|read| read.secret == *named) else {
        return Err(Obstacle::ReadSecret(named.clone()));
    };
    let SecretName { namespace, name } = named;
    match &read.answer {
        SecretAnswer::Found(_) => Ok(Some(read.clone())),
        SecretAnswer::NotFound => Err(Obstacle::Refused(format!(
            "error getting secret {name} in namespace {namespace}: it does not exist"
        ))),
        SecretAnswer::Refused(text) => Err(Obstacle::Refused(format!(
            "error getting secret {name} in namespace {namespace}: {text}"
        ))),
    }
}

/// What a request is made from that people change to help it: another one of these is another try (Q8).
fn fingerprint(observed: &Observed<'_>) -> String {
    let attributes = match observed.attributes {
        Lookup::Found(class) => class.metadata.resource_version.as_deref(),
        Lookup::Unread | Lookup::Unserved | Lookup::Absent => None,
    };
    let wish = observed.claim.wish.as_ref();
    let node = wish.and_then(|wish| wish.selected_node());
    let parts = [
        class_uid(observed),
        observed.claim.wanted_class(),
        attributes,
        node,
    ];
    let parts = parts.map(|part| part.unwrap_or("-"));
    // What can be changed of a class that is there.
    let edited = observed
        .class
        .map(|class| (&class.allowed_topologies, &class.mount_options));
    let edited = serde_json::to_string(&edited).unwrap_or_default();
    format!("create {} {edited}", parts.join(" "))
}

fn class_uid<'a>(observed: &Observed<'a>) -> Option<&'a str> {
    observed.class.and_then(|class| class.metadata.uid.as_deref())
}

/// The labels `class` and `source` of the metrics (2.13).
#[must_use]
pub fn labels(observed: &Observed<'_>) -> [String; 2] {
    let claim = observed.claim;
    let class = observed.class.and_then(|class| class.metadata.name.clone());
    let source = claim.data_source.as_ref().map(|source| source.kind.clone());
    [class.unwrap_or_default(), source.unwrap_or_default()]
}
