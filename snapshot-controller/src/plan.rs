//! The decisions: what is to be written for one object, from what was observed.
//!
//! Everything below this module is pure: no I/O, no clock, no random numbers, no log line. Progress is read
//! from the objects, never from a counter, so that a crash between two steps is only another observation.
//!
//! | Module | Decides |
//! |---|---|
//! | [`create`] | dynamic snapshots: inputs, and the steps up to the content |
//! | [`class`] | the named or default class |
//! | [`bind`] | pre-provisioned snapshots |
//! | [`status`] | what a snapshot's status takes from its content |
//! | [`refusal`] | how a user's mistake is shown |
//! | [`delete`] | deletion of a snapshot |
//! | [`protect`] | when a claim may lose its finalizer |
//! | [`content`] | the controller's share of a content |
//! | [`group`] | group snapshots, their contents and members |
//! | [`topology`] | the node of a content, with distributed snapshotting |

pub mod bind;
pub mod class;
pub mod content;
pub mod create;
pub mod delete;
pub mod group;
pub mod protect;
pub mod refusal;
pub mod status;
pub mod topology;

use std::sync::Arc;

use controller::patch::Change;
use controller::{Action, Next};
use crds::group::v1::VolumeGroupSnapshot;
use crds::names;
use crds::v1::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::ObjectKey;
use runtime::objects::{Claim, Volume};

use refusal::Refusal;
use topology::NodeFacts;

/// What the caches say about an object that another one refers to.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Lookup<T> {
    /// Nothing refers to it, so nothing was looked up.
    #[default]
    NotReferenced,
    /// Referred to and not there.
    Absent,
    /// A write of ours had an unclear outcome: only a read can tell.
    Unknown,
    /// There.
    Found(T),
}

impl<T> Lookup<T> {
    /// The object, if it is there.
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(object) => Some(object),
            Self::NotReferenced | Self::Absent | Self::Unknown => None,
        }
    }
}

/// Options that change decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Record the volume mode of the source in the content (`--prevent-volume-mode-conversion`).
    pub record_volume_mode: bool,
    /// Label contents with the node that has the volume (`--enable-distributed-snapshotting`).
    pub distributed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            record_volume_mode: true,
            distributed: false,
        }
    }
}

/// All that the decisions about one VolumeSnapshot read.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The snapshot.
    pub snapshot: Arc<VolumeSnapshot>,
    /// The content by [`content_name`].
    pub content: Lookup<Arc<VolumeSnapshotContent>>,
    /// The API server has refused the last POST of it for what it is.
    pub is_content_refused: bool,
    /// The class that `spec.volumeSnapshotClassName` names.
    pub class: Lookup<Arc<VolumeSnapshotClass>>,
    /// Every class marked as default, for any driver, in the order of names.
    pub default_classes: Vec<Arc<VolumeSnapshotClass>>,
    /// The source claim.
    pub claim: Lookup<Arc<Claim>>,
    /// The volume that the source claim names.
    pub volume: Lookup<Arc<Volume>>,
    /// Pending claims that are to be filled from this snapshot, in order.
    pub restores: Vec<ObjectKey>,
    /// Nodes in the order of names; empty unless [`Options::distributed`].
    pub nodes: Vec<Arc<NodeFacts>>,
    /// Every kind above is followed at this moment. Else what is missing may only not be known yet.
    pub is_live: bool,
    /// Contents and claims are, by which a deletion is decided.
    pub sees_users: bool,
    /// The group that the snapshot is a member of; unknown until it is known whether there are group kinds.
    pub group: Lookup<Arc<VolumeGroupSnapshot>>,
    /// Options of the controller.
    pub options: Options,
}

/// What is to be done about one object now. Nothing is remembered between runs.
pub type Plan = controller::Plan<Step, ()>;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// PATCH of the snapshot: finalizers and class name.
    PatchSnapshot(Change),
    /// PATCH of the snapshot's status.
    PatchSnapshotStatus(Change),
    /// PATCH, or PUT under upstream's role, of a claim's finalizers.
    ChangeClaim(ClaimChange),
    /// POST of a content. "Already exists" is followed by a read and another plan, which checks its owner.
    CreateContent(Box<VolumeSnapshotContent>),
    /// PATCH of a content's metadata and spec.
    PatchContent {
        /// Name of the content.
        name: String,
        /// What it is for.
        intent: ContentIntent,
        /// The change.
        change: Change,
    },
    /// DELETE of a content with a precondition of the UID. "Not found" is success.
    DeleteContent {
        /// Name of the content.
        name: String,
        /// UID of the content.
        uid: String,
    },
    /// GET of a content after a POST whose outcome is not known.
    ReadContent {
        /// Name of the content.
        name: String,
    },
    /// GET of the snapshot that a content names, before it is believed to be gone.
    ReadSnapshot {
        /// Namespace of the snapshot.
        namespace: String,
        /// Name of the snapshot.
        name: String,
    },
}

/// A change of our finalizer on a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimChange {
    /// The claim.
    pub key: ObjectKey,
    /// UID of the claim that was observed.
    pub uid: String,
    /// What is to become of the finalizer.
    pub intent: ClaimIntent,
    /// The same as a patch.
    pub change: Change,
}

/// What is to become of our finalizer on a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimIntent {
    /// Add it.
    Protect,
    /// Remove it.
    Release,
}

/// What a change of a content is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentIntent {
    /// The reference, and what belongs to a binding.
    Bind,
    /// Our finalizer, before it can be deleted.
    Protect,
    /// The mark that its snapshot is going.
    Mark,
    /// The end of our finalizer.
    Release,
}

impl From<Step> for Action<Step> {
    fn from(step: Step) -> Self {
        Self::Step(step)
    }
}

/// Nothing to do until something changes.
fn settled() -> Plan {
    Plan::resting(())
}

/// These, then wait for a change.
fn then_await(actions: Vec<Action<Step>>) -> Plan {
    Plan { actions, ..settled() }
}

/// These, then look at once: their answers decide what follows.
fn then_again(actions: Vec<Action<Step>>) -> Plan {
    then_await(actions).then(Next::Again)
}

/// These, then with back-off, and earlier when something that was observed changes: a user or an administrator has to
/// act.
fn then_retry(actions: Vec<Action<Step>>, refusal: &Refusal) -> Plan {
    then_await(actions).then(Next::backoff(refusal.to_string()))
}

/// Decides what is to be done about one VolumeSnapshot.
///
/// Reads: everything observed. Errors: none (total). Source: spec snapshot 2.3.
#[must_use]
pub fn plan(observed: &Observed, now: Timestamp) -> Plan {
    if is_deleting(&*observed.snapshot) {
        return delete::plan(observed);
    }
    match Source::of(&observed.snapshot) {
        Source::Invalid => refusal::show(
            observed,
            Refusal::lowering(
                crate::events::SNAPSHOT_VALIDATION_ERROR,
                "exactly one of persistentVolumeClaimName and volumeSnapshotContentName must be set in spec.source"
                    .to_owned(),
            ),
            now,
        ),
        Source::PreProvisioned(_) => bind::plan(observed, now),
        Source::Dynamic(_) => create::plan(observed, now),
        Source::Member => bind::plan_member(observed, now),
    }
}

/// Where a snapshot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// A claim of this name is to be cut.
    Dynamic(&'a str),
    /// A content of this name was made by hand.
    PreProvisioned(&'a str),
    /// The snapshot is a member of a group, whatever its source: it is never cut alone.
    Member,
    /// Neither, or both.
    Invalid,
}

impl<'a> Source<'a> {
    /// Reads `spec.source` and the owner references.
    #[must_use]
    pub fn of(snapshot: &'a VolumeSnapshot) -> Self {
        let source = &snapshot.spec.source;
        match (
            source.persistent_volume_claim_name.as_deref(),
            source.volume_snapshot_content_name.as_deref(),
        ) {
            (Some(_), None) if is_member(snapshot) => Self::Member,
            (Some(claim), None) => Self::Dynamic(claim),
            (None, Some(content)) => Self::PreProvisioned(content),
            (None, None) | (Some(_), Some(_)) => Self::Invalid,
        }
    }
}

/// True for an object that was asked to go.
pub fn is_deleting(object: &impl ResourceExt) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// True for a snapshot that a group owns, whatever the version of the owner's API (spec snapshot Q31).
#[must_use]
pub fn is_member(snapshot: &VolumeSnapshot) -> bool {
    group::member::owner(snapshot).is_some()
}

/// The name of the content that belongs to a snapshot: the bound one; else the one that a pre-provisioned
/// snapshot points to; else the one derived from the UID, or for a member from its name. None for members that are not
/// bound and have another name, and for invalid sources.
///
/// Source: spec snapshot 1.5, 2.8, Q16.
#[must_use]
pub fn content_name(snapshot: &VolumeSnapshot) -> Option<String> {
    let bound = snapshot
        .status
        .as_ref()
        .and_then(|status| status.bound_volume_snapshot_content_name.clone())
        .filter(|name| !name.is_empty());
    match Source::of(snapshot) {
        Source::PreProvisioned(name) => Some(name.to_owned()),
        Source::Dynamic(_) => bound.or_else(|| snapshot.uid().map(|uid| names::dynamic_content_name(&uid))),
        Source::Member => {
            bound.or_else(|| names::group::member_content_name(snapshot.metadata.name.as_deref()?))
        }
        Source::Invalid => bound,
    }
}

/// True once the snapshot's status says that it is ready.
#[must_use]
pub fn is_ready(snapshot: &VolumeSnapshot) -> bool {
    snapshot.status.as_ref().and_then(|status| status.ready_to_use) == Some(true)
}

/// True for a dynamic snapshot whose content may be made, or made anew: it was never cut, and its status does
/// not bind it to a content of another name.
#[must_use]
pub fn may_be_created(snapshot: &VolumeSnapshot) -> bool {
    let derived = snapshot.uid().map(|uid| names::dynamic_content_name(&uid));
    !was_cut(snapshot) && derived.is_some() && content_name(snapshot) == derived
}

/// True once the snapshot was cut: its content must then never be made anew (spec snapshot Q8).
#[must_use]
pub fn was_cut(snapshot: &VolumeSnapshot) -> bool {
    snapshot.status.as_ref().is_some_and(|status| {
        status.creation_time.is_some() || status.restore_size.is_some() || status.ready_to_use == Some(true)
    })
}

/// True when the content's reference names this very snapshot: name, namespace and UID.
#[must_use]
pub fn refers_to(content: &VolumeSnapshotContent, snapshot: &VolumeSnapshot) -> bool {
    names(content, snapshot) && content.spec.volume_snapshot_ref.uid == snapshot.metadata.uid
}

/// True when the two are bound: the content's reference names this very snapshot; or it has lost the UID, as when its
/// manifest is applied again, and the snapshot names the content back.
#[must_use]
pub fn is_bound(content: &VolumeSnapshotContent, snapshot: &VolumeSnapshot) -> bool {
    refers_to(content, snapshot) || (may_bind(content, snapshot) && names_back(snapshot, content))
}

/// True when the snapshot's status names the content, or its UID does. What `spec.source` names alone is a wish.
fn names_back(snapshot: &VolumeSnapshot, content: &VolumeSnapshotContent) -> bool {
    let bound = snapshot
        .status
        .as_ref()
        .and_then(|status| status.bound_volume_snapshot_content_name.clone());
    let named = match Source::of(snapshot) {
        Source::PreProvisioned(_) => bound,
        Source::Dynamic(_) | Source::Member | Source::Invalid => content_name(snapshot),
    };
    named.is_some() && named == content.metadata.name
}

/// True when the content's reference names this snapshot and holds no UID yet, or its UID.
#[must_use]
pub fn may_bind(content: &VolumeSnapshotContent, snapshot: &VolumeSnapshot) -> bool {
    let uid = content
        .spec
        .volume_snapshot_ref
        .uid
        .as_deref()
        .unwrap_or_default();
    names(content, snapshot) && (uid.is_empty() || Some(uid) == snapshot.metadata.uid.as_deref())
}

fn names(content: &VolumeSnapshotContent, snapshot: &VolumeSnapshot) -> bool {
    let reference = &content.spec.volume_snapshot_ref;
    reference.name == snapshot.metadata.name && reference.namespace == snapshot.metadata.namespace
}
