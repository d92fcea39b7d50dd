//! Patches: from a stored object and a patch to a new object.

use serde_json::Value;

use super::error::ApiError;
use super::openapi::Schema;
use super::strategic;

/// The media types of PATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    /// Only for built-in types: see [`strategic`].
    Strategic,
    Apply,
}

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

impl PatchKind {
    /// Chooses by the Content-Type header.
    ///
    /// # Errors
    /// UnsupportedMediaType.
    pub fn negotiate(content_type: &str, custom: bool) -> Result<Self, ApiError> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            JSON => Ok(Self::Json),
            MERGE => Ok(Self::Merge),
            STRATEGIC if !custom => Ok(Self::Strategic),
            APPLY => Ok(Self::Apply),
            _ if custom => Err(ApiError::unsupported_media_type(&[JSON, MERGE, APPLY].join(", "))),
            _ => Err(ApiError::unsupported_media_type(
                &[JSON, MERGE, STRATEGIC, APPLY].join(", "),
            )),
        }
    }

    /// Applies a patch that is not [`PatchKind::Apply`].
    ///
    /// # Errors
    /// BadRequest for a body that is no such patch, Invalid (422) for a JSON patch that cannot be applied.
    pub fn patch(self, schema: Option<Schema>, object: &Value, body: &[u8]) -> Result<Value, ApiError> {
        let mut patched = object.clone();
        if self == Self::Json {
            let wrong = |error| ApiError::bad_request(format!("error decoding patch: {error}"));
            let patch: Vec<Value> = serde_json::from_slice(body).map_err(wrong)?;
            let patch: json_patch::Patch =
                serde_json::from_value(Value::Array(patch)).map_err(|_| ApiError::unprocessable_patch())?;
            for operation in patch.0 {
                let operation = or_add(&patched, operation);
                if !tests_absence(&patched, &operation) {
                    json_patch::patch(&mut patched, std::slice::from_ref(&operation))
                        .map_err(|_| ApiError::unprocessable_patch())?;
                }
            }
        } else {
            let wrong = |error| ApiError::bad_request(format!("error decoding patch: {error}"));
            let patch: Value = serde_json::from_slice(body).map_err(wrong)?;
            if !patch.is_object() {
                return Err(ApiError::bad_request(
                    "error decoding patch: a merge patch is a JSON object",
                ));
            }
            if self == Self::Strategic {
                return strategic::patch(schema, object, &patch);
            }
            json_patch::merge(&mut patched, &patch);
        }
        Ok(patched)
    }
}

/// The API server adds with `replace` what an object lacks.
fn or_add(object: &Value, operation: json_patch::PatchOperation) -> json_patch::PatchOperation {
    let json_patch::PatchOperation::Replace(replace) = operation else {
        return operation;
    };
    let parent = replace
        .path
        .split_back()
        .and_then(|(parent, _)| parent.resolve(object).ok());
    if parent.is_some_and(Value::is_object) {
        json_patch::PatchOperation::Add(json_patch::AddOperation {
            path: replace.path,
            value: replace.value,
        })
    } else {
        json_patch::PatchOperation::Replace(replace)
    }
}

/// True for a `test` for null of a member that its object lacks: the API server lets it pass.
fn tests_absence(object: &Value, operation: &json_patch::PatchOperation) -> bool {
    let json_patch::PatchOperation::Test(test) = operation else {
        return false;
    };
    let Some((parent, member)) = test.path.split_back() else {
        return false;
    };
    test.value.is_null()
        && parent
            .resolve(object)
            .ok()
            .and_then(Value::as_object)
            .is_some_and(|members| !members.contains_key(&*member.decoded()))
}

/// Reads the body of an apply patch: YAML, of which JSON is a part.
///
/// # Errors
/// BadRequest.
pub(crate) fn parse_apply(body: &[u8]) -> Result<Value, ApiError> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let wrong = |why: String| ApiError::bad_request(format!("error decoding YAML: {why}"));
    let text = std::str::from_utf8(body).map_err(|error| wrong(error.to_string()))?;
    serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))
}
