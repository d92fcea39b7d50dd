//! Deletion of a group (spec snapshot 4.4).

use controller::patch::{self, Change};
use controller::{Action, Event, Next, UNTIL_GROWN};
use crds::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotContent};
use crds::names::group as names;
use crds::v1::DeletionPolicy;

use super::{
    ContentIntent, Lookup, ObservedGroup, Plan, Refusal, Step, is_bound, is_deleting, owned_content,
    read_again, settled, then_again, then_await, then_retry,
};
use crate::events::SNAPSHOT_DELETE_PENDING;

/// The garbage collector is about to take the owner away from what an orphaning deletion leaves behind.
const ORPHAN: &str = "orphan";

/// Decides about a group that is being deleted. The content's own policy holds, not the class's. Its members are deleted
/// with it, and wait until it is gone; under Delete it waits until its content is. An orphaning deletion keeps the members
/// where their snapshots stay.
///
/// Reads: finalizer, content, members, pending restores. Sends: DELETE vsc, PATCH vgsc, DELETE vgsc, DELETE vs, PATCH vgs.
/// Source: spec snapshot 4.4, Q32, Q38.
#[must_use]
pub fn plan(observed: &ObservedGroup) -> Plan {
    if !patch::has_finalizer(&observed.group.metadata, names::SNAPSHOT_FINALIZER) {
        return settled();
    }
    if observed.content == Lookup::Unknown {
        return then_again(vec![read_again(observed).into()]);
    }
    if !observed.sees_users {
        return settled().then(Next::After(UNTIL_GROWN));
    }
    if !observed.restores.is_empty() {
        return pending(observed);
    }
    let content = owned_content(observed);
    let goes_first = content.filter(|content| content.spec.deletion_policy == DeletionPolicy::Delete);
    if goes_first.is_none() && patch::has_finalizer(&observed.group.metadata, ORPHAN) {
        return settled();
    }
    let mut actions: Vec<Action<Step>> = Vec::new();
    // Before the list that tells them is gone.
    actions.extend(lone_contents(observed).map(Action::from));
    actions.extend(content.and_then(mark).map(Action::from));
    if goes_first.is_some_and(|content| !is_deleting(content)) {
        actions.push(Step::DeleteContent.into());
    }
    let members = observed.owned.iter().filter(|member| !is_deleting(&***member));
    actions.extend(members.map(|member| Step::DeleteMember(member.clone()).into()));
    if goes_first.is_none() {
        actions.push(release(observed).into());
    }
    then_await(actions)
}

/// The handle of a group that takes its snapshots along: under Delete they go with it, also those of members that an
/// orphaning deletion has let go.
#[must_use]
pub fn takes_along<'a>(
    group: &VolumeGroupSnapshot,
    content: &'a VolumeGroupSnapshotContent,
) -> Option<&'a str> {
    let goes = is_deleting(group)
        && is_bound(content, group)
        && content.spec.deletion_policy == DeletionPolicy::Delete;
    let status = content.status.as_ref().filter(|_| goes)?;
    status.volume_group_snapshot_handle.as_deref()
}

/// The contents of members that were never made: upstream's controller makes the content first. Nobody else would know of
/// them, and there is nothing behind them but the group.
fn lone_contents(observed: &ObservedGroup) -> impl Iterator<Item = Step> {
    let members = observed.members.iter();
    let lone = members.filter(|member| member.snapshot == Lookup::Absent);
    let contents = lone.filter_map(|member| member.content.found());
    let unbound = contents.filter(|content| {
        let uid = content.spec.volume_snapshot_ref.uid.as_deref();
        uid.unwrap_or_default().is_empty()
            && patch::has_annotation(&content.metadata, crds::names::GROUP_HANDLE_ANNOTATION)
            && content.spec.deletion_policy == DeletionPolicy::Delete
            && !is_deleting(&***content)
    });
    unbound.map(|content| Step::DeleteMemberContent(content.clone()))
}

/// The PATCH that tells the sidecar that the group is going; nothing when the mark is there.
#[must_use]
pub fn mark(content: &VolumeGroupSnapshotContent) -> Option<Step> {
    let key = names::BEING_DELETED_ANNOTATION;
    (!patch::has_annotation(&content.metadata, key)).then(|| Step::PatchContent {
        intent: ContentIntent::Mark,
        change: patch::annotate(&content.metadata, key, crds::names::MARK_VALUE),
    })
}

fn release(observed: &ObservedGroup) -> Step {
    let metadata = &observed.group.metadata;
    let mut operations = vec![patch::same_object(metadata.uid.as_deref())];
    let ours = [names::SNAPSHOT_FINALIZER];
    operations.extend(patch::remove_finalizers(patch::finalizers(metadata), &ours));
    Step::PatchGroup(Change::json(operations))
}

fn pending(observed: &ObservedGroup) -> Plan {
    let claims: Vec<String> = observed.restores.iter().map(ToString::to_string).collect();
    let refusal = Refusal::keeping(
        SNAPSHOT_DELETE_PENDING,
        format!(
            "A member of the group is being used to restore a PVC: {}",
            claims.join(", ")
        ),
    );
    let told = Event::warning(refusal.reason, refusal.message.clone());
    then_retry(vec![Action::Event(told)], &refusal)
}
