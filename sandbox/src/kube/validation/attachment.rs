//! VolumeAttachment: its spec stays, and what its status may hold.

use serde_json::Value;

use super::{FieldError, text};

/// Longest message of an error, in bytes.
const LONGEST_MESSAGE: u64 = 1024;
/// Most that the metadata of an attachment may hold, names and values, in bytes.
const MOST_METADATA: u64 = 256 * 1024;

pub(super) fn validate(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let status = &new["status"];
    let metadata = status["attachmentMetadata"].as_object();
    let size: usize = metadata
        .into_iter()
        .flatten()
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum();
    if size as u64 > MOST_METADATA {
        errors.push(FieldError::too_long("status.attachmentMetadata", MOST_METADATA));
    }
    for field in ["attachError", "detachError"] {
        if text(&status[field], "message").len() as u64 > LONGEST_MESSAGE {
            errors.push(FieldError::too_long(
                format!("status.{field}.message"),
                LONGEST_MESSAGE,
            ));
        }
    }
    if old.is_some_and(|old| old["spec"] != new["spec"]) {
        errors.push(FieldError::invalid("spec", &Value::Null, "field is immutable"));
    }
}
