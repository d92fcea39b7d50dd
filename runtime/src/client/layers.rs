//! The service between a function and the shared connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::Bucket;
use http::header::USER_AGENT;
use http::{HeaderValue, Request, Response};
use kube::client::Body;
use tokio::sync::Semaphore;
use tower::{BoxError, Service, ServiceExt as _};

use super::metrics::{RequestKind, RequestMetrics};
use super::rest_client::{Call, Counted, RestClientMetrics};
use super::transport::Transport;
use crate::request::AnswerWithin;

/// Signs with the user agent, waits for the rate limit and for its turn, sends, and counts. The time that an answer may take
/// begins when the request is sent: what waits is not given up, since its token is spent.
pub(super) struct Layered {
    pub(super) base: Transport,
    pub(super) agent: Option<HeaderValue>,
    pub(super) metrics: RequestMetrics,
    pub(super) rest_client: RestClientMetrics,
    pub(super) bucket: Option<Bucket>,
    /// A place for each request that is not answered yet.
    pub(super) places: Option<Arc<Semaphore>>,
    pub(super) answer_timeout: Duration,
}

impl Service<Request<Body>> for Layered {
    type Response = Response<Counted>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Counted>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(agent) = &self.agent {
            request.headers_mut().insert(USER_AGENT, agent.clone());
        }
        let (base, metrics) = (self.base.clone(), self.metrics.clone());
        let own = request.extensions().get::<AnswerWithin>();
        let limit = own.map_or(self.answer_timeout, |own| own.0);
        let call = self
            .rest_client
            .begin(&request, RequestKind::of(&request).verb == "watch");
        let wait = self.bucket.as_ref().map(Bucket::take);
        let places = self.places.clone();
        Box::pin(async move {
            if let Some(wait) = wait {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                    metrics.throttled(wait);
                }
                call.waited(wait);
            }
            // Closed by nobody: without a place the request would go out all the same.
            let _place = match &places {
                Some(places) => places.acquire().await.ok(),
                None => None,
            };
            send(base, &metrics, call, limit, request).await
        })
    }
}

async fn send(
    base: Transport,
    metrics: &RequestMetrics,
    call: Call,
    limit: Duration,
    request: Request<Body>,
) -> Result<Response<Counted>, BoxError> {
    let head = {
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        head
    };
    let mut measured = metrics.measure(RequestKind::of(&head));
    let answer = tokio::time::timeout(limit, base.oneshot(request)).await;
    match &answer {
        Ok(Ok(response)) => measured.end(response.status().as_str()),
        Ok(Err(_)) | Err(_) => measured.end("error"),
    }
    match answer {
        Ok(Ok(response)) => Ok(call.answered(response)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Box::new(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("timed out: no answer within {} s", limit.as_secs()),
        ))),
    }
}
