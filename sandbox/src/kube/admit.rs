//! What schemas, rules of the kinds and field ownership add to a write.

use serde_json::Value;

use super::error::{ApiError, Cause};
use super::state::State;
use super::write::Target;

/// Prunes and sets defaults.
pub(crate) fn prepare(target: &Target<'_>, value: &mut Value) {
    if let Some(custom) = &target.resource.custom {
        custom.prepare(target.version, value);
    }
}

/// What is wrong with a new object, or with an update of `old`.
pub(crate) fn validate(_state: &State, target: &Target<'_>, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    match &target.resource.custom {
        Some(custom) => custom.validate(target.version, new, old),
        None => Vec::new(),
    }
}

/// Notes the owner of the changed fields in `managedFields`.
pub(crate) fn track(_state: &State, _target: &Target<'_>, _old: Option<&Value>, _new: &mut Value) {}

/// Merges an applied configuration into the stored object.
pub(crate) fn apply(
    _state: &State,
    _target: &Target<'_>,
    live: Option<&Value>,
    applied: &Value,
    _force: bool,
) -> Result<Value, ApiError> {
    let mut merged = live.cloned().unwrap_or_default();
    json_patch::merge(&mut merged, applied);
    Ok(merged)
}
