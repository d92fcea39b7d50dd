//! ConversionReview of `apiextensions.k8s.io/v1`: what the API server asks, and the answer.

use serde::Deserialize;
use serde_json::{Value, json};

use super::convert::{ConversionError, convert};

const API_VERSION: &str = "apiextensions.k8s.io/v1";
const KIND: &str = "ConversionReview";

/// A body that is no review: answered by the code 400.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// It cannot be read.
    #[error("the body is no {KIND} of {API_VERSION}: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It is something else.
    #[error("the body is {kind:?} of {api_version:?}; this is asked by a {KIND} of {API_VERSION}")]
    Other {
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    request: Request,
}

#[derive(Default, Deserialize)]
struct Request {
    #[serde(default)]
    uid: String,
    #[serde(default, rename = "desiredAPIVersion")]
    desired: String,
    #[serde(default)]
    objects: Vec<Value>,
}

/// The answer to a review. One object that cannot be converted fails it whole, with the reason: the API server wants all or
/// none.
///
/// # Errors
/// [`ReviewError`].
pub fn answer(body: &[u8]) -> Result<Value, ReviewError> {
    let review: Review = serde_json::from_slice(body)?;
    if (review.api_version.as_str(), review.kind.as_str()) != (API_VERSION, KIND) {
        return Err(ReviewError::Other {
            api_version: review.api_version,
            kind: review.kind,
        });
    }
    let Request {
        uid,
        desired,
        objects,
    } = review.request;
    let mut response = match converted(objects, &desired) {
        Ok(objects) => json!({ "result": { "status": "Success" }, "convertedObjects": objects }),
        Err(message) => json!({ "result": { "status": "Failure", "message": message } }),
    };
    response["uid"] = json!(uid);
    Ok(json!({ "apiVersion": API_VERSION, "kind": KIND, "response": response }))
}

fn converted(objects: Vec<Value>, desired: &str) -> Result<Vec<Value>, String> {
    let mut all = Vec::with_capacity(objects.len());
    for object in objects {
        let name = object.pointer("/metadata/name").and_then(Value::as_str);
        let name = name.unwrap_or_default().to_owned();
        let told = |error: ConversionError| format!("cannot convert {name:?} to {desired}: {error}");
        all.push(convert(object, desired).map_err(told)?);
    }
    Ok(all)
}
