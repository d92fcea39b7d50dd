//! What a snapshot's status takes from its content (spec snapshot 2.7.1).

use controller::patch::{self, Change, Members};
use controller::{Action, Event};
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent, VolumeSnapshotError};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Source, Step};
use crate::events;

/// The steps that make the snapshot's status follow its content: at most one PATCH and the events that it
/// announces. Nothing when the status says it all. `group` is the name of the group that it is a member of.
///
/// `readyToUse` never falls while the content is there and bound: spec snapshot 2.7.2.
#[must_use]
pub fn follow(
    snapshot: &VolumeSnapshot,
    content: &VolumeSnapshotContent,
    group: Option<&str>,
) -> Vec<Action<Step>> {
    let mut fields = Vec::new();
    let mut told = Vec::new();
    bound_name(snapshot, content, &mut fields, &mut told);
    creation_time(snapshot, content, &mut fields, &mut told);
    readiness(snapshot, content, &mut fields, &mut told);
    restore_size(snapshot, content, &mut fields);
    error(snapshot, content, &mut fields, &mut told);
    group_name(snapshot, group, &mut fields);
    let mut actions = Vec::new();
    if let Some(change) = status_patch(snapshot, fields) {
        actions.push(Step::PatchSnapshotStatus(change).into());
        actions.extend(told.into_iter().map(Action::Event));
    }
    actions
}

fn bound_name(
    snapshot: &VolumeSnapshot,
    content: &VolumeSnapshotContent,
    fields: &mut Members,
    told: &mut Vec<Event>,
) {
    let bound = snapshot
        .status
        .as_ref()
        .and_then(|status| status.bound_volume_snapshot_content_name.as_deref());
    if bound.is_some_and(|name| !name.is_empty()) {
        return;
    }
    fields.push((
        "boundVolumeSnapshotContentName",
        Some(json!(content.metadata.name)),
    ));
    if matches!(Source::of(snapshot), Source::Dynamic(_)) {
        told.push(events::creating(snapshot));
    }
}

fn creation_time(
    snapshot: &VolumeSnapshot,
    content: &VolumeSnapshotContent,
    fields: &mut Members,
    told: &mut Vec<Event>,
) {
    let known = snapshot
        .status
        .as_ref()
        .is_some_and(|status| status.creation_time.is_some());
    let cut = content
        .status
        .as_ref()
        .and_then(|status| status.creation_time)
        .and_then(|nanoseconds| Timestamp::from_second(nanoseconds.div_euclid(1_000_000_000)).ok());
    if let (false, Some(cut)) = (known, cut) {
        fields.push(("creationTime", Some(json!(rfc3339_seconds(cut)))));
        told.push(events::created(snapshot));
    }
}

fn readiness(
    snapshot: &VolumeSnapshot,
    content: &VolumeSnapshotContent,
    fields: &mut Members,
    told: &mut Vec<Event>,
) {
    let known = snapshot.status.as_ref().and_then(|status| status.ready_to_use);
    let ready = becomes_ready(snapshot, content);
    if known != Some(ready) {
        fields.push(("readyToUse", Some(json!(ready))));
        if ready {
            told.push(events::ready(snapshot));
        }
    }
}

fn becomes_ready(snapshot: &VolumeSnapshot, content: &VolumeSnapshotContent) -> bool {
    super::is_ready(snapshot) || content.status.as_ref().and_then(|status| status.ready_to_use) == Some(true)
}

fn restore_size(snapshot: &VolumeSnapshot, content: &VolumeSnapshotContent, fields: &mut Members) {
    let known = snapshot
        .status
        .as_ref()
        .and_then(|status| status.restore_size.as_ref());
    let Some(bytes) = content.status.as_ref().and_then(|status| status.restore_size) else {
        return;
    };
    let missing = known.is_none_or(|size| is_zero(&size.0) && bytes > 0);
    if missing {
        fields.push(("restoreSize", Some(json!(quantity(bytes)))));
    }
}

/// The event of the content is in another namespace: who looks at the snapshot is told here.
fn error(
    snapshot: &VolumeSnapshot,
    content: &VolumeSnapshotContent,
    fields: &mut Members,
    told: &mut Vec<Event>,
) {
    let known = snapshot.status.as_ref().and_then(|status| status.error.as_ref());
    let wanted = content
        .status
        .as_ref()
        .and_then(|status| status.error.as_ref())
        .filter(|_| !becomes_ready(snapshot, content));
    let Some(field) = error_field(known, wanted) else {
        return;
    };
    fields.push(field);
    if let Some(message) = wanted.and_then(|error| error.message.as_deref()) {
        told.push(events::failed(snapshot, message));
    }
}

/// The member `error` of a status that is to become this one; nothing when it says the same already.
pub(super) fn error_field(
    known: Option<&VolumeSnapshotError>,
    wanted: Option<&VolumeSnapshotError>,
) -> Option<(&'static str, Option<Value>)> {
    let Some(wanted) = wanted else {
        return known.map(|_| ("error", None));
    };
    if known.map(|error| &error.message) == Some(&wanted.message) {
        return None;
    }
    let mut error = Map::new();
    if let Some(message) = &wanted.message {
        error.insert("message".to_owned(), json!(message));
    }
    if let Some(time) = &wanted.time {
        error.insert("time".to_owned(), json!(rfc3339_seconds(time.0)));
    }
    Some(("error", Some(Value::Object(error))))
}

fn group_name(snapshot: &VolumeSnapshot, group: Option<&str>, fields: &mut Members) {
    let known = snapshot
        .status
        .as_ref()
        .and_then(|status| status.volume_group_snapshot_name.as_deref());
    if let (None, Some(group)) = (known, group) {
        fields.push(("volumeGroupSnapshotName", Some(json!(group))));
    }
}

/// One PATCH of these members of the status, `None` removing one; nothing for no members.
#[must_use]
pub fn status_patch(snapshot: &VolumeSnapshot, fields: Members) -> Option<Change> {
    let patch = |fields| patch::status(&snapshot.metadata, snapshot.status.is_some(), fields);
    (!fields.is_empty()).then(|| Change::json(patch(fields)))
}

/// A moment as Kubernetes writes it: UTC, whole seconds.
#[must_use]
pub fn rfc3339_seconds(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A number of bytes as a canonical quantity: binary suffixes from 1024 on, decimal ones below.
#[must_use]
pub fn quantity(bytes: i64) -> String {
    const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if (-1023..1024).contains(&bytes) {
        return match bytes {
            1000 => "1k".to_owned(),
            -1000 => "-1k".to_owned(),
            _ => bytes.to_string(),
        };
    }
    let (mut mantissa, mut suffix) = (bytes, 0);
    while mantissa % 1024 == 0 && suffix + 1 < BINARY.len() {
        mantissa /= 1024;
        suffix += 1;
    }
    format!("{mantissa}{}", BINARY[suffix])
}

/// True for a quantity of no bytes, with any suffix.
fn is_zero(quantity: &str) -> bool {
    let digits = quantity.trim_start_matches(['+', '-']);
    digits.starts_with(['0', '.'])
        && !digits
            .split(|character: char| character.is_ascii_alphabetic())
            .next()
            .unwrap_or_default()
            .contains(|character: char| ('1'..='9').contains(&character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_case_23_sizes_are_canonical_quantities() {
        for (bytes, text) in [
            (0, "0"),
            (512, "512"),
            (1000, "1k"),
            (1023, "1023"),
            (1024, "1Ki"),
            (5_368_709_120, "5Gi"),
            (1_500_000_000, "1500000000"),
            (i64::MAX, "9223372036854775807"),
            (1 << 62, "4Ei"),
        ] {
            assert_eq!(quantity(bytes), text);
        }
    }

    #[test]
    fn zero_is_known_in_any_notation() {
        for text in ["0", "0Gi", "0.0", "00k", "+0", "0e3"] {
            assert!(is_zero(text), "{text}");
        }
        for text in ["1", "0.5Gi", "10", "5Gi"] {
            assert!(!is_zero(text), "{text}");
        }
    }
}
