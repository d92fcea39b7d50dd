//! Amazon's JSON protocol, version 1.1, in which SageMaker speaks. Only what it does with volumes of HyperPod is here.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::errors::Ec2Error;
use super::query::{Form, Query};
use super::xml::Xml;

/// Names the action, as `SageMaker.AttachClusterNodeVolume`.
const TARGET: &str = "x-amz-target";

/// The action of a request of this protocol.
pub(super) fn action(headers: &HeaderMap) -> Option<String> {
    let target = headers.get(TARGET)?.to_str().ok()?;
    let action = target.rsplit_once('.').map_or(target, |(_, action)| action);
    Some(action.to_owned())
}

/// The members of the body as a form.
///
/// # Errors
/// `SerializationException` for a body that is no flat object.
pub(super) fn parse(action: String, body: &Bytes) -> Result<Query, Ec2Error> {
    let members: BTreeMap<String, Value> = serde_json::from_slice(body)
        .map_err(|error| Ec2Error::new("SerializationException", error.to_string()))?;
    let pairs = members.into_iter().map(|(name, value)| match value {
        Value::String(text) => (name, text),
        other => (name, other.to_string()),
    });
    Ok(Query {
        action,
        form: Form::of(pairs),
    })
}

/// The body of a good answer.
pub(super) fn document(fields: &Xml) -> String {
    let fields = fields.fields().into_iter().map(|(name, value)| {
        // Moments are numbers of seconds.
        let number = value.parse::<f64>().ok().filter(|_| name == "AttachTime");
        (name, number.map_or_else(|| json!(value), |number| json!(number)))
    });
    Value::Object(fields.collect()).to_string()
}

/// Status and body of a refusal. What EC2 refuses SageMaker tells in its own words.
pub(super) fn refusal(error: &Ec2Error) -> (StatusCode, String) {
    let is_own = error.code.ends_with("Exception") || error.code == "ResourceNotFound";
    let (kind, message) = match (is_own, error.code.as_str()) {
        (true, code) => (code, error.message.clone()),
        (false, "RequestLimitExceeded") => ("ThrottlingException", error.message.clone()),
        (false, code) => (
            "ValidationException",
            format!("HyperPod - Ec2ErrCode: {code} : Ec2ErrMsg: {}", error.message),
        ),
    };
    let body = json!({ "__type": kind, "message": message });
    (StatusCode::BAD_REQUEST, body.to_string())
}
