//! When a claim may lose the finalizer that keeps it while it is being cut (spec snapshot 2.9, Q17).

use std::sync::Arc;

use controller::patch::{self, Change};
use crds::names;
use crds::v1::VolumeSnapshotContent;
use json_patch::PatchOperation;
use kube::ResourceExt as _;
use runtime::ObjectKey;
use runtime::objects::Claim;

use super::bind::owned_content;
use super::create::inputs;
use super::{
    ClaimChange, ClaimIntent, Lookup, Observed, Plan, Source, Step, is_deleting, is_ready, may_be_created,
    settled, then_await,
};

/// All that the decision about one claim reads.
#[derive(Clone, Debug)]
pub struct ObservedClaim {
    /// The claim.
    pub claim: Arc<Claim>,
    /// The snapshots whose source is the claim, at least those that are neither ready nor being deleted.
    pub snapshots: Vec<Observed>,
}

/// Decides whether a claim still needs our finalizer.
///
/// Sends: PATCH pvc, or nothing. Source: spec snapshot 2.9.
#[must_use]
pub fn plan(observed: &ObservedClaim) -> Plan {
    if !is_protected(&observed.claim) || observed.snapshots.iter().any(needs_claim) {
        return settled();
    }
    let claim = &observed.claim;
    let finalizers = patch::finalizers(&claim.metadata);
    let operations = patch::remove_finalizers(finalizers, &[names::CLAIM_FINALIZER]);
    then_await(vec![change(claim, ClaimIntent::Release, operations).into()])
}

/// True for a snapshot that is not ready, not being deleted, and has a content or is about to get one. One
/// that cannot be taken (no class, wrong driver, ...) holds nothing, and what the driver has refused, or the API server the
/// content of, holds no claim that is to go.
#[must_use]
pub fn needs_claim(observed: &Observed) -> bool {
    let snapshot = &observed.snapshot;
    if is_deleting(&**snapshot) || is_ready(snapshot) || !matches!(Source::of(snapshot), Source::Dynamic(_)) {
        return false;
    }
    let is_going = observed.claim.found().is_some_and(|claim| is_deleting(&**claim));
    match &observed.content {
        Lookup::Found(_) => owned_content(observed).is_some_and(|content| !(is_going && is_refused(content))),
        Lookup::Unknown => true,
        Lookup::Absent | Lookup::NotReferenced => {
            let will_be_taken = may_be_created(snapshot) && inputs(observed).is_ok();
            will_be_taken && !(is_going && observed.is_content_refused)
        }
    }
}

/// The driver has said for good that it takes no snapshot, and no call of it runs.
fn is_refused(content: &VolumeSnapshotContent) -> bool {
    let is_marked = content
        .annotations()
        .contains_key(names::BEING_CREATED_ANNOTATION);
    let status = content.status.as_ref();
    !is_marked && status.is_some_and(|status| status.error.is_some() && status.snapshot_handle.is_none())
}

/// The same for a snapshot that already has its content: a release that crossed its creation is undone.
#[must_use]
pub fn again(observed: &Observed) -> Option<Step> {
    let claim = observed.claim.found()?;
    if is_deleting(&**claim) || !needs_claim(observed) {
        return None;
    }
    protect(claim)
}

/// True when our finalizer is on the claim.
#[must_use]
pub fn is_protected(claim: &Claim) -> bool {
    patch::has_finalizer(&claim.metadata, names::CLAIM_FINALIZER)
}

/// The PATCH that puts our finalizer on the claim; nothing when it is there. It tests the list, so that two
/// snapshots of one claim do not both append it.
#[must_use]
pub fn protect(claim: &Claim) -> Option<Step> {
    if is_protected(claim) {
        return None;
    }
    let present = claim.metadata.finalizers.as_deref();
    let operations = patch::add_finalizers(
        present.filter(|present| !present.is_empty()),
        &[names::CLAIM_FINALIZER],
    );
    Some(change(claim, ClaimIntent::Protect, operations))
}

fn change(claim: &Claim, intent: ClaimIntent, operations: Vec<PatchOperation>) -> Step {
    let uid = claim.metadata.uid.clone().unwrap_or_default();
    let mut all = vec![patch::same_object(Some(&uid))];
    all.extend(operations);
    Step::ChangeClaim(ClaimChange {
        key: ObjectKey::of(claim),
        uid,
        intent,
        change: Change::json(all),
    })
}
