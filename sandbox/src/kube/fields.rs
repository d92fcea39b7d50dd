//! Fields that a kind does not have (`fieldValidation`).
//!
//! Clients that ask for nothing get no answer either: the API server would warn.

use serde_json::Value;

use super::error::{ApiError, Cause};
use super::openapi::Schema;
use super::state::State;
use super::write::Target;

/// What the client wants to be told of unknown fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directive {
    Ignore,
    Warn,
    Strict,
}

impl Directive {
    /// Reads the query parameter.
    ///
    /// # Errors
    /// Invalid.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "" | "Ignore" => Ok(Self::Ignore),
            "Warn" => Ok(Self::Warn),
            "Strict" => Ok(Self::Strict),
            other => {
                let message = format!(
                    "Invalid value: \"{other}\": fieldValidation must be one of: \"Strict\", \"Warn\", or \"Ignore\""
                );
                let cause = Cause::new("FieldValueInvalid", "fieldValidation", message);
                Err(ApiError::invalid("CreateOptions", "meta.k8s.io", "", vec![cause]))
            }
        }
    }
}

/// The paths of the fields that the type of `target` does not have, in order.
pub(crate) fn unknown(state: &State, target: &Target<'_>, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match &target.resource.custom {
        Some(custom) => custom.unknown(target.version, object, &mut found),
        None => {
            let api_version = target.resource.api_version(target.version);
            if let Some(schema) = state.schemas.of(&api_version, &target.resource.kind) {
                walk(schema, &mut String::new(), object, &mut found);
            }
        }
    }
    found
}

fn walk(schema: Schema<'_>, path: &mut String, value: &Value, found: &mut Vec<String>) {
    let length = path.len();
    match value {
        Value::Object(members) if schema.lists_members() => {
            for (name, child) in members {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                match schema.member(name) {
                    Some(member) => walk(member, path, child, found),
                    None => found.push(path.clone()),
                }
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.item() else { return };
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                walk(schema, path, item, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// The texts of unknown fields, in warnings and errors.
pub(crate) fn texts(unknown: &[String]) -> Vec<String> {
    let texts = unknown.iter().map(|path| format!("unknown field \"{path}\""));
    texts.collect()
}
