//! Answers that refuse a call without effect, in the form of each transport.

use bytes::Bytes;
use http::{Response, StatusCode, header};

use super::Transport;

/// Why a call is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Too many requests; for Kubernetes with `Retry-After: 1`.
    Throttled,
    /// The server fails.
    ServerError,
    /// For Kubernetes: the object was changed meanwhile. Elsewhere as [`Refusal::ServerError`].
    Conflict,
    /// For Kubernetes: a JSON patch does not apply, as a failed `test` of it. Elsewhere as [`Refusal::ServerError`].
    FailedTest,
    /// For Kubernetes: an admission webhook denies it, in its default form. Elsewhere as [`Refusal::ServerError`].
    Denied,
}

impl Refusal {
    /// The answer that a client of this transport sees.
    #[must_use]
    pub fn response(self, transport: Transport) -> Response<Bytes> {
        match transport {
            Transport::Kubernetes => self.kubernetes(),
            Transport::Ec2 => self.ec2(),
            Transport::Csi => self.csi(),
        }
    }

    fn kubernetes(self) -> Response<Bytes> {
        let (code, reason, message) = match self {
            Self::Throttled => (
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequests",
                "the server is currently unable to handle the request",
            ),
            Self::ServerError => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                "an injected fault",
            ),
            Self::Conflict => (
                StatusCode::CONFLICT,
                "Conflict",
                "the object has been modified; please apply your changes to the latest version and try again",
            ),
            Self::FailedTest => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                "the server rejected our request due to an error in our request",
            ),
            Self::Denied => (
                StatusCode::BAD_REQUEST,
                "",
                "admission webhook \"policy.example.com\" denied the request: no snapshots on Fridays",
            ),
        };
        let status = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "code": code.as_u16(),
            "reason": reason,
            "message": message,
        });
        let mut response = answer(code, "application/json", status.to_string());
        if self == Self::Throttled {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }

    fn ec2(self) -> Response<Bytes> {
        let (status, code, message) = match self {
            Self::Throttled => (
                StatusCode::SERVICE_UNAVAILABLE,
                "RequestLimitExceeded",
                "Request limit exceeded.",
            ),
            Self::ServerError | Self::Conflict | Self::FailedTest | Self::Denied => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                "An internal error has occurred",
            ),
        };
        let body = format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
             <RequestID>00000000-0000-4000-8000-000000000000</RequestID></Response>"
        );
        answer(status, "text/xml;charset=UTF-8", body)
    }

    /// A gRPC answer without a body carries its status in the headers.
    fn csi(self) -> Response<Bytes> {
        let mut response = answer(StatusCode::OK, "application/grpc", String::new());
        let (status, message) = match self {
            Self::Throttled => ("8", "an injected fault: too many requests"),
            Self::ServerError | Self::Conflict | Self::FailedTest | Self::Denied => {
                ("14", "an injected fault: unavailable")
            }
        };
        let headers = response.headers_mut();
        headers.insert("grpc-status", header::HeaderValue::from_static(status));
        headers.insert("grpc-message", header::HeaderValue::from_static(message));
        response
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    response
}
