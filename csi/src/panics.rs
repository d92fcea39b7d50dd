//! A panic in one RPC answers Aborted and is counted; the process and the other calls go on (decision 8).
//! Aborted and not Internal: a final code would say that nothing is running and nothing was made, which
//! nobody knows after a panic.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use http::{Request, Response};
use prometheus::{IntCounter, Registry};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::Routes;
use tower::Layer;

/// Counts the panics of a server in `slackwater_rpc_panics_total`. The log has their methods: with them as a label the first
/// panic of each would begin a series, which is no increase to Prometheus.
#[derive(Clone, Debug)]
pub struct Panics {
    caught: IntCounter,
}

impl Panics {
    /// Registers the counter.
    ///
    /// # Errors
    /// The registry holds a metric of this name already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let caught = IntCounter::new("slackwater_rpc_panics_total", "RPCs whose handler panicked.")?;
        registry.register(Box::new(caught.clone()))?;
        Ok(Self { caught })
    }

    /// The same routes, with panics caught.
    #[must_use]
    pub fn catch(&self, routes: Routes) -> Routes {
        Routes::from(
            routes
                .into_axum_router()
                .layer(CatchPanics { panics: self.clone() }),
        )
    }
}

/// The layer behind [`Panics::catch`], for any gRPC service.
#[derive(Clone, Debug)]
pub struct CatchPanics {
    panics: Panics,
}

impl<S> Layer<S> for CatchPanics {
    type Service = Catching<S>;

    fn layer(&self, inner: S) -> Catching<S> {
        Catching {
            inner,
            panics: self.panics.clone(),
        }
    }
}

/// A service whose panics are caught.
#[derive(Clone, Debug)]
pub struct Catching<S> {
    inner: S,
    panics: Panics,
}

impl<S, B, R> Service<Request<B>> for Catching<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    S::Future: Send + 'static,
    R: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    R::Error: Into<crate::channel::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let method = request.uri().path().to_string();
        let panics = self.panics.clone();
        let inner = &mut self.inner;
        // Some handlers do their work before they return a future.
        match std::panic::catch_unwind(AssertUnwindSafe(|| inner.call(request))) {
            Err(panic) => Box::pin(std::future::ready(Ok(panics.answer(&method, &*panic)))),
            Ok(called) => Box::pin(async move {
                Ok(match AssertUnwindSafe(called).catch_unwind().await {
                    Ok(Ok(response)) => response.map(Body::new),
                    Ok(Err(never)) => match never {},
                    Err(panic) => panics.answer(&method, &*panic),
                })
            }),
        }
    }
}

impl Panics {
    /// The panic's text goes to the log only: it may hold request data.
    fn answer(&self, method: &str, panic: &(dyn Any + Send)) -> Response<Body> {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!(method, panic = text.unwrap_or("(no text)"), "an RPC panicked");
        self.caught.inc();
        Status::aborted(format!("{method} panicked; the log of the driver says where")).into_http()
    }
}
