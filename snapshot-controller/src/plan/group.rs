//! The decisions about group snapshots (spec snapshot 4). They share the parts of the decisions about single ones.
//!
//! | Module | Decides |
//! |---|---|
//! | [`create`] | groups of claims: inputs, and the steps up to the content |
//! | [`selector`] | which claims a group takes |
//! | [`bind`] | a group and a content that exists; pre-provisioned groups |
//! | [`status`] | what a group's status takes from its content |
//! | [`member`] | members: how they are made, and what belongs to one |
//! | [`delete`] | deletion of a group |
//! | [`content`] | the controller's share of a group's content |

pub mod bind;
pub mod content;
pub mod create;
pub mod delete;
pub mod member;
pub mod selector;
pub mod status;

use std::sync::Arc;

use controller::patch::Change;
use controller::{Action, Next};
use crds::group::v1::{
    VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent, VolumeSnapshotInfo,
};
use crds::names::group as names;
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use runtime::ObjectKey;
use runtime::objects::{Claim, Volume};

use super::refusal::{self, Refusal};
use super::{ContentIntent, Lookup, Options, is_deleting};
use crate::events::group::VALIDATION_ERROR;

/// All that the decisions about one VolumeGroupSnapshot read.
#[derive(Clone, Debug)]
pub struct ObservedGroup {
    /// The group.
    pub group: Arc<VolumeGroupSnapshot>,
    /// The content by [`content_name`].
    pub content: Lookup<Arc<VolumeGroupSnapshotContent>>,
    /// The class that `spec.volumeGroupSnapshotClassName` names.
    pub class: Lookup<Arc<VolumeGroupSnapshotClass>>,
    /// Every class marked as default, for any driver, in the order of names.
    pub default_classes: Vec<Arc<VolumeGroupSnapshotClass>>,
    /// What the content's status lists, and what was made of it.
    pub members: Vec<ObservedMember>,
    /// The snapshots that the group owns, in the order of names.
    pub owned: Vec<Arc<VolumeSnapshot>>,
    /// Pending claims that are to be filled from one of them, in order.
    pub restores: Vec<ObjectKey>,
    /// Every kind above is followed at this moment. Else what is missing may only not be known yet.
    pub is_live: bool,
    /// Contents, those of its members, these and claims are, by which a deletion is decided.
    pub sees_users: bool,
    /// Options of the controller.
    pub options: Options,
}

/// One member that the driver has made.
#[derive(Clone, Debug)]
pub struct ObservedMember {
    /// What the driver said of it.
    pub info: VolumeSnapshotInfo,
    /// The VolumeSnapshot of its name.
    pub snapshot: Lookup<Arc<VolumeSnapshot>>,
    /// The VolumeSnapshotContent of its name.
    pub content: Lookup<Arc<VolumeSnapshotContent>>,
    /// The PersistentVolume of its handle; the one of a claim of the group's namespace, if there are several.
    pub volume: Option<Arc<Volume>>,
}

/// A claim that the selector of a group selects, and its volume.
#[derive(Clone, Debug)]
pub struct SelectedClaim {
    /// The claim.
    pub claim: Arc<Claim>,
    /// The volume that it names.
    pub volume: Lookup<Arc<Volume>>,
}

/// What is to be done about a group or its content now. Nothing is remembered between runs.
pub type Plan = controller::Plan<Step, ()>;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// PATCH of the group: finalizer and class name.
    PatchGroup(Change),
    /// PATCH of the group's status.
    PatchGroupStatus(Change),
    /// LIST of the claims in the group's namespace that this selector selects.
    ListClaims {
        /// Namespace of the group.
        namespace: String,
        /// The selector as the API server reads it.
        selector: String,
    },
    /// POST of the group's content. "Already exists" is followed by a read and another plan, which checks its owner.
    CreateContent(Box<VolumeGroupSnapshotContent>),
    /// PATCH of the content's metadata and spec.
    PatchContent {
        /// What it is for.
        intent: ContentIntent,
        /// The change.
        change: Change,
    },
    /// DELETE of the content that was observed. "Not found" is success.
    DeleteContent,
    /// GET of a content after a POST whose outcome is not known.
    ReadContent {
        /// Name of the content.
        name: String,
    },
    /// GET of the group that a content names, before it is believed to be gone.
    ReadGroup {
        /// Namespace of the group.
        namespace: String,
        /// Name of the group.
        name: String,
    },
    /// POST of a member. "Already exists" is followed by a read and another plan.
    CreateMember(Box<VolumeSnapshot>),
    /// POST of a member's content, likewise.
    CreateMemberContent(Box<VolumeSnapshotContent>),
    /// GET of a member's content after a POST whose outcome is not known.
    ReadMemberContent {
        /// Name of the content.
        name: String,
    },
    /// PATCH of the status of a member's content: what the driver said of it.
    PatchMemberContentStatus {
        /// The content that was observed.
        content: Arc<VolumeSnapshotContent>,
        /// The change.
        change: Change,
    },
    /// DELETE of a member. "Not found" is success.
    DeleteMember(Arc<VolumeSnapshot>),
    /// DELETE of a member's content that has no member. "Not found" is success.
    DeleteMemberContent(Arc<VolumeSnapshotContent>),
}

impl From<Step> for Action<Step> {
    fn from(step: Step) -> Self {
        Self::Step(step)
    }
}

fn settled() -> Plan {
    Plan::resting(())
}

fn then_await(actions: Vec<Action<Step>>) -> Plan {
    Plan { actions, ..settled() }
}

fn then_again(actions: Vec<Action<Step>>) -> Plan {
    then_await(actions).then(Next::Again)
}

fn then_retry(actions: Vec<Action<Step>>, refusal: &Refusal) -> Plan {
    then_await(actions).then(Next::backoff(refusal.to_string()))
}

fn refuse(observed: &ObservedGroup, refusal: &Refusal, now: Timestamp) -> Plan {
    let patch = Step::PatchGroupStatus;
    refusal::told(&*observed.group, observed.is_live, refusal, now, patch)
}

/// Decides what is to be done about one VolumeGroupSnapshot. `selected` is what a LIST of this run brought.
///
/// Reads: everything observed. Errors: none (total). Source: spec snapshot 4.1.
#[must_use]
pub fn plan(observed: &ObservedGroup, selected: Option<&[SelectedClaim]>, now: Timestamp) -> Plan {
    if is_deleting(&*observed.group) {
        return delete::plan(observed);
    }
    match Source::of(&observed.group) {
        Source::Invalid => refuse(
            observed,
            &Refusal::lowering(
                VALIDATION_ERROR,
                "exactly one of selector and volumeGroupSnapshotContentName must be set in spec.source"
                    .to_owned(),
            ),
            now,
        ),
        Source::PreProvisioned(_) => bind::plan(observed, now),
        Source::Dynamic(selector) => create::plan(observed, selector, selected, now),
    }
}

/// Where a group comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source<'a> {
    /// The claims that this selects are to be cut.
    Dynamic(&'a LabelSelector),
    /// A content of this name was made by hand.
    PreProvisioned(&'a str),
    /// Neither, or both.
    Invalid,
}

impl<'a> Source<'a> {
    /// Reads `spec.source`.
    #[must_use]
    pub fn of(group: &'a VolumeGroupSnapshot) -> Self {
        let source = &group.spec.source;
        match (
            &source.selector,
            source.volume_group_snapshot_content_name.as_deref(),
        ) {
            (Some(selector), None) => Self::Dynamic(selector),
            (None, Some(content)) => Self::PreProvisioned(content),
            (None, None) | (Some(_), Some(_)) => Self::Invalid,
        }
    }
}

/// The name of the content that belongs to a group: the one that a pre-provisioned group points to; else the bound one;
/// else the one derived from the UID. Source: spec snapshot 1.5, Q32.
#[must_use]
pub fn content_name(group: &VolumeGroupSnapshot) -> Option<String> {
    let bound = bound_name(group).map(str::to_owned);
    match Source::of(group) {
        Source::PreProvisioned(name) => Some(name.to_owned()),
        Source::Dynamic(_) => bound.or_else(|| group.uid().map(|uid| names::dynamic_content_name(&uid))),
        Source::Invalid => bound,
    }
}

/// The content that the group's status names.
#[must_use]
pub fn bound_name(group: &VolumeGroupSnapshot) -> Option<&str> {
    let status = group.status.as_ref()?;
    let name = status.bound_volume_group_snapshot_content_name.as_deref();
    name.filter(|name| !name.is_empty())
}

/// True once the group's status says that it is ready.
#[must_use]
pub fn is_ready(group: &VolumeGroupSnapshot) -> bool {
    group.status.as_ref().and_then(|status| status.ready_to_use) == Some(true)
}

/// True for a group whose content may be made, or made anew: it was never cut, and its status does not bind it to a
/// content of another name (spec snapshot Q8).
#[must_use]
pub fn may_be_created(group: &VolumeGroupSnapshot) -> bool {
    let was_cut = group
        .status
        .as_ref()
        .is_some_and(|status| status.creation_time.is_some() || status.ready_to_use == Some(true));
    let derived = group.uid().map(|uid| names::dynamic_content_name(&uid));
    !was_cut && derived.is_some() && content_name(group) == derived
}

/// True when the content's reference names this very group: name, namespace and UID. The rules of the kind let nobody
/// take the UID away again.
#[must_use]
pub fn is_bound(content: &VolumeGroupSnapshotContent, group: &VolumeGroupSnapshot) -> bool {
    refers(content, group)
        && content.spec.volume_group_snapshot_ref.uid == group.metadata.uid
        && group.metadata.uid.is_some()
}

/// True when the content's reference names this group and holds no UID yet, or its UID.
#[must_use]
pub fn may_bind(content: &VolumeGroupSnapshotContent, group: &VolumeGroupSnapshot) -> bool {
    let uid = content.spec.volume_group_snapshot_ref.uid.as_deref();
    let uid = uid.unwrap_or_default();
    refers(content, group) && (uid.is_empty() || Some(uid) == group.metadata.uid.as_deref())
}

fn refers(content: &VolumeGroupSnapshotContent, group: &VolumeGroupSnapshot) -> bool {
    let reference = &content.spec.volume_group_snapshot_ref;
    reference.name == group.metadata.name && reference.namespace == group.metadata.namespace
}

/// The content that a group owns: found, and bound to it.
#[must_use]
pub fn owned_content(observed: &ObservedGroup) -> Option<&VolumeGroupSnapshotContent> {
    let content = observed.content.found()?;
    is_bound(content, &observed.group).then_some(content)
}

/// The read that tells what became of the POST of the content.
fn read_again(observed: &ObservedGroup) -> Step {
    Step::ReadContent {
        name: content_name(&observed.group).unwrap_or_default(),
    }
}
