//! One request to the API server and its answer.
//!
//! Used instead of [`kube::Api`] where the answer's headers matter (`Retry-After`) or its body must not reach
//! a log: the client library logs bodies that it cannot decode.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::core::Status;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use crate::error::{ApiError, unreadable};
use crate::managed_fields::without_managed_fields;

/// Longest wait for the rest of an answer that has begun. How long one may take to begin is the client's to say, which knows
/// when the request was sent.
pub(crate) const REST_WITHIN: Duration = Duration::from_secs(60);

/// How long a short question may take with all: the wait for the rate limit, and the rest of an answer that has begun.
pub(crate) const WHOLE_ANSWER: Duration = Duration::from_secs(120);

/// Sends and returns the answer with its body still to be read; refusals are errors.
pub(crate) async fn open(client: &Client, request: Request<Vec<u8>>) -> Result<Response<Body>, ApiError> {
    let answer = client.send(request.map(Body::from)).await?;
    let code = answer.status();
    if !code.is_client_error() && !code.is_server_error() {
        return Ok(answer);
    }
    let retry_after = retry_after(&answer);
    let body = rest(answer).await?;
    let status = serde_json::from_slice::<Status>(&body)
        .unwrap_or_else(|_| Status::failure(&String::from_utf8_lossy(&body), ""));
    Err(ApiError::from_status(code.as_u16(), &status, retry_after))
}

/// Sends and reads the whole answer.
pub(crate) async fn exchange(client: &Client, request: Request<Vec<u8>>) -> Result<Bytes, ApiError> {
    rest(open(client, request).await?).await
}

/// How long an answer may take to begin from the moment when its request is sent, where that is not the client's own limit:
/// an extension of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerWithin(pub(crate) Duration);

/// Sends a write of whose answer only the status is of interest.
pub(crate) async fn tell(
    client: &Client,
    mut request: Request<Vec<u8>>,
    within: Duration,
) -> Result<(), ApiError> {
    request.extensions_mut().insert(AnswerWithin(within));
    exchange(client, request).await.map(drop)
}

async fn rest(answer: Response<Body>) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(REST_WITHIN, answer.into_body().collect()).await {
        Ok(body) => Ok(body?.to_bytes()),
        Err(_) => {
            let seconds = REST_WITHIN.as_secs();
            let text = format!("the answer of the API server did not end within {seconds} s");
            Err(ApiError::no_answer(&text))
        }
    }
}

/// Path of a collection, in another version of the API than the type's own where one is named.
pub(crate) fn path<K: Resource<DynamicType = ()>>(version: Option<&str>, namespace: Option<&str>) -> String {
    let path = K::url_path(&(), namespace);
    let Some(version) = version else {
        return path;
    };
    let group = K::group(&());
    let own = format!("/apis/{group}/{}/", K::version(&()));
    path.replacen(&own, &format!("/apis/{group}/{version}/"), 1)
}

/// Decodes an answer, but for `managedFields`.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    decode_whole(&without_managed_fields(body))
}

/// Decodes all of an answer.
pub(crate) fn decode_whole<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::no_answer(&unreadable(&error)))
}

/// A request that could not even be built, as an [`ApiError`].
pub(crate) fn built(
    request: Result<Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Request<Vec<u8>>, ApiError> {
    request.map_err(|error| ApiError::bad_request(&base::error::chain(&error)))
}

/// `Retry-After` in seconds; the form with a date is not used by API servers.
fn retry_after(answer: &Response<Body>) -> Option<Duration> {
    let value = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}
