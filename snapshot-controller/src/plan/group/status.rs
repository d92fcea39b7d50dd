//! What a group's status takes from its content (spec snapshot 4.1).

use controller::patch::{self, Change, Members};
use controller::{Action, Event};
use crds::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotContent};
use serde_json::json;

use super::super::status::{error_field, rfc3339_seconds};
use super::{Source, Step, bound_name, is_ready};
use crate::events::group as events;

/// The steps that make the group's status follow its content: at most one PATCH and the events that it announces.
/// Nothing when the status says it all. `readyToUse` is the content's, and never falls while that is there and bound.
#[must_use]
pub fn follow(group: &VolumeGroupSnapshot, content: &VolumeGroupSnapshotContent) -> Vec<Action<Step>> {
    let (own, from) = (group.status.as_ref(), content.status.as_ref());
    let mut fields = Members::new();
    let mut told: Vec<Event> = Vec::new();
    if bound_name(group).is_none() {
        fields.push((
            "boundVolumeGroupSnapshotContentName",
            Some(json!(content.metadata.name)),
        ));
        if matches!(Source::of(group), Source::Dynamic(_)) {
            told.push(events::creating(group));
        }
    }
    let known = own.and_then(|status| status.creation_time.as_ref());
    let cut = from.and_then(|status| status.creation_time.as_ref());
    if let (None, Some(cut)) = (known, cut) {
        fields.push(("creationTime", Some(json!(rfc3339_seconds(cut.0)))));
        told.push(events::created(group));
    }
    let ready = is_ready(group) || from.and_then(|status| status.ready_to_use) == Some(true);
    if own.and_then(|status| status.ready_to_use) != Some(ready) {
        fields.push(("readyToUse", Some(json!(ready))));
        if ready {
            told.push(events::ready(group));
        }
    }
    let error = from.and_then(|status| status.error.as_ref());
    fields.extend(error_field(
        own.and_then(|status| status.error.as_ref()),
        error.filter(|_| !ready),
    ));
    if fields.is_empty() {
        return Vec::new();
    }
    let operations = patch::status(&group.metadata, group.status.is_some(), fields);
    let mut actions = vec![Step::PatchGroupStatus(Change::json(operations)).into()];
    actions.extend(told.into_iter().map(Action::Event));
    actions
}
