//! Calls as spans of a trace: that of the client, and below it that of the server. Of a call they tell the method and the code
//! that it ended with; neither message nor metadata is part of them. Source: OpenTelemetry's conventions for RPC.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use base::traces::{self, TARGET};
use http::{Request, Response};
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::Routes;
use tower::Layer;
use tracing::{Instrument as _, Span, field};

use crate::answer::code_of;

/// Begins a call of ours, and tells the server of it.
pub(crate) fn begin(request: &mut Request<Body>) -> Span {
    let (service, method) = parts(request.uri().path());
    let span = tracing::info_span!(
        target: TARGET,
        "call",
        otel.name = request.uri().path().trim_start_matches('/'),
        otel.kind = "client",
        otel.status_code = field::Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
    );
    traces::inject(&span, request.headers_mut());
    span
}

/// Says how it ended. To a client each error is one.
pub(crate) fn end(span: &Span, code: Code) {
    record(span, code, code != Code::Ok);
}

fn record(span: &Span, code: Code, is_error: bool) {
    span.record("rpc.grpc.status_code", i64::from(i32::from(code)));
    if is_error {
        span.record("otel.status_code", "ERROR");
    }
}

/// `/csi.v1.Controller/CreateVolume` is a service and a method.
fn parts(path: &str) -> (&str, &str) {
    let path = path.trim_start_matches('/');
    path.split_once('/').unwrap_or((path, ""))
}

/// The same routes, each of whose calls is a span below the client's.
#[must_use]
pub fn trace(routes: Routes) -> Routes {
    Routes::from(routes.into_axum_router().layer(TraceCalls))
}

/// The layer behind [`trace`].
#[derive(Clone, Copy, Debug)]
struct TraceCalls;

impl<S> Layer<S> for TraceCalls {
    type Service = Tracing<S>;

    fn layer(&self, inner: S) -> Tracing<S> {
        Tracing { inner }
    }
}

/// A service whose calls are spans.
#[derive(Clone, Debug)]
struct Tracing<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Tracing<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (service, method) = parts(request.uri().path());
        let span = tracing::info_span!(
            target: TARGET,
            parent: None,
            "call",
            otel.name = request.uri().path().trim_start_matches('/'),
            otel.kind = "server",
            otel.status_code = field::Empty,
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
            rpc.grpc.status_code = field::Empty,
        );
        traces::extract(&span, request.headers());
        let called = span.in_scope(|| self.inner.call(request));
        let answering = async move {
            let answered = called.await;
            if let Ok(response) = &answered {
                // An error stands in the head of the answer; what has a body is OK.
                let code = code_of(response.headers()).unwrap_or(Code::Ok);
                record(&Span::current(), code, is_fault(code));
            }
            answered
        };
        Box::pin(answering.instrument(span))
    }
}

/// Whether a code tells of a fault of the server, not of the request.
fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
