//! Amazon's HTTP connector over a tower service in the same process, and its clock over ours.

use std::fmt;
use std::time::SystemTime;

use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use base::Clock;
use bytes::Bytes;
use tower::ServiceExt;

use super::InProcessService;

/// Calls a service instead of the network.
#[derive(Clone)]
pub(super) struct InProcess(pub(super) InProcessService);

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpClient for InProcess {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let service = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = plain_request(request)?;
            let answer = service.oneshot(request).await.map_err(ConnectorError::io)?;
            let answer = answer.map(SdkBody::from);
            HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The request with its whole body; those of the Query protocol are always in memory.
fn plain_request(request: HttpRequest) -> Result<http::Request<Bytes>, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body
        .bytes()
        .map(Bytes::copy_from_slice)
        .ok_or_else(|| ConnectorError::user("the body of the request is a stream".into()))?;
    Ok(http::Request::from_parts(parts, body))
}

/// The clock by which requests are signed.
#[derive(Clone, Debug)]
pub(super) struct ClockSource(pub(super) Clock);

impl TimeSource for ClockSource {
    fn now(&self) -> SystemTime {
        self.0.now().into()
    }
}
