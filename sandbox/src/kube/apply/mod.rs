//! Server-side apply and the record of who set which field (`metadata.managedFields`).
//!
//! | Module | Subject |
//! |---|---|
//! | [`fields`] | sets of fields and their `FieldsV1` form |
//! | [`layout`] | which lists and maps merge, which are one value |
//! | [`compare`] | what differs between two objects |
//! | [`merge`] | an applied configuration laid over a live object |
//! | [`record`] | the entries of `managedFields` |
//!
//! The API server merges by the OpenAPI schema of a kind. Here [`layout`] knows the lists and maps of the
//! kinds that Slackwater meets by their field names; any other list is one value.

mod compare;
mod fields;
mod layout;
mod merge;
mod record;

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use self::compare::Difference;
use self::fields::Fields;
use self::layout::Place;
pub use self::record::Operation;
use self::record::{Record, Writer};

/// A field that another manager set to another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The manager that owns the field.
    pub manager: String,
    /// How it was set, where not by an apply: `using v1`, with the subresource before it.
    pub how: String,
    /// The path, `.spec.source`.
    pub field: String,
}

/// An apply was refused because it would change fields of other managers. Status 409, reason `Conflict`,
/// with one cause `FieldManagerConflict` for each conflict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", summary(.conflicts))]
pub struct ApplyConflict {
    /// At least one, ordered by manager and path.
    pub conflicts: Vec<Conflict>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conflict with \"{}\"{}", self.manager, self.how)
    }
}

/// The text of the API server: one conflict on one line, more as a list for each manager.
fn summary(conflicts: &[Conflict]) -> String {
    if let [only] = conflicts {
        return format!("Apply failed with 1 conflict: {only}: {}", only.field);
    }
    let mut text = format!("Apply failed with {} conflicts: ", conflicts.len());
    let mut last = None;
    for conflict in conflicts {
        let owner = format!("conflicts with \"{}\"{}", conflict.manager, conflict.how);
        if last.as_ref() != Some(&owner) {
            if last.is_some() {
                text.push('\n');
            }
            text.push_str(&owner);
            text.push(':');
        }
        text.push_str("\n- ");
        text.push_str(&conflict.field);
        last = Some(owner);
    }
    text
}

/// Lays `applied` over `live` on behalf of `manager`: sets the fields given, removes those that the
/// manager applied before and left out now (unless someone else has them too), and brings
/// `metadata.managedFields` of the answer up to date.
///
/// # Errors
/// Without `force`, when a field would change that another manager set.
pub fn apply(
    live: Option<&Value>,
    applied: &Value,
    manager: &str,
    force: bool,
    now: Timestamp,
) -> Result<Value, ApplyConflict> {
    apply_subresource(live, applied, manager, "", force, now)
}

/// [`apply`] through a subresource (`status`; empty for the object itself), which has its own entry.
///
/// # Errors
/// As [`apply`].
pub fn apply_subresource(
    live: Option<&Value>,
    applied: &Value,
    manager: &str,
    subresource: &str,
    force: bool,
    now: Timestamp,
) -> Result<Value, ApplyConflict> {
    let mut record = Record::read(live.unwrap_or(&Value::Null));
    let own = Writer::new(manager, Operation::Apply, applied, subresource, now);
    let wanted = Fields::of(applied).without_identity();
    let former = record.fields_of(&own);

    let mut merged = match live {
        Some(live) => merge::merge(Place::ROOT, live, applied),
        None => applied.clone(),
    };
    let changed = live
        .map(|live| compare::compare(live, &merged))
        .unwrap_or_default()
        .set();
    let conflicts = record.conflicts(&own, &changed);
    if !conflicts.is_empty() && !force {
        return Err(ApplyConflict { conflicts });
    }
    record.take_from_others(&own, &changed);

    let dropped = former
        .difference(&wanted.with_parents())
        .difference(&record.fields_of_others(&own).with_parents());
    merge::remove(&mut merged, &dropped);
    record.set(own, &wanted);
    record.write(&mut merged);
    Ok(merged)
}

/// Records a write that is not an apply: what changed between `old` and `new` belongs to `manager` now.
/// The entries start from those of `new` where the client sent any, else from those of `old`.
pub fn track(
    old: Option<&Value>,
    new: &mut Value,
    manager: &str,
    operation: Operation,
    subresource: &str,
    now: Timestamp,
) {
    let mut record = Record::take(new).unwrap_or_else(|| Record::read(old.unwrap_or(&Value::Null)));
    let own = Writer::new(manager, operation, new, subresource, now);
    let Difference {
        added,
        modified,
        removed,
    } = compare::compare(old.unwrap_or(&Value::Null), new);
    let (set, removed) = (
        added.union(modified).without_identity(),
        removed.without_identity(),
    );
    if !set.is_empty() || !removed.is_empty() {
        record.take_from_others(&own, &set);
        record.take_from_others(&own, &removed);
        let kept = record.fields_of(&own).difference(&removed).union(set);
        record.set(own, &kept);
    }
    record.write(new);
}

#[cfg(test)]
mod tests;
