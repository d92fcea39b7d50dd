//! `rest_client_*`: what client-go tells of its requests, under the names, labels and buckets of
//! `k8s.io/component-base: metrics/prometheus/restclient`. What is only there for Go's transports and exec plugins is left
//! out, as is the counter of retries: this client retries nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base::metrics::register;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use kube::client::Body;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tokio::time::Instant;
use tower::BoxError;

use super::transport::Answer;

const SECONDS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];
/// From 64 bytes to 16 MiB.
const BYTES: [f64; 11] = [
    64.0,
    256.0,
    512.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];
/// The code of a request without an answer.
const NO_ANSWER: &str = "<error>";

/// The requests of the clients of one registry.
#[derive(Clone)]
pub(super) struct RestClientMetrics {
    /// Of the API server, with its port.
    host: String,
    requests: IntCounterVec,
    seconds: HistogramVec,
    request_bytes: HistogramVec,
    response_bytes: HistogramVec,
    waits: HistogramVec,
}

impl RestClientMetrics {
    pub(super) fn new(host: &str, registry: &Registry) -> Result<Self, prometheus::Error> {
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let help = format!("[ALPHA] {help} Broken down by verb, and host.");
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            register(registry, HistogramVec::new(options, &["verb", "host"])?)
        };
        let requests = Opts::new(
            "rest_client_requests_total",
            "[ALPHA] Number of HTTP requests, partitioned by status code, method, and host.",
        );
        Ok(Self {
            host: host.to_owned(),
            requests: register(
                registry,
                IntCounterVec::new(requests, &["code", "method", "host"])?,
            )?,
            seconds: histogram(
                "rest_client_request_duration_seconds",
                "Request latency in seconds.",
                &SECONDS,
            )?,
            request_bytes: histogram("rest_client_request_size_bytes", "Request size in bytes.", &BYTES)?,
            response_bytes: histogram(
                "rest_client_response_size_bytes",
                "Response size in bytes.",
                &BYTES,
            )?,
            waits: histogram(
                "rest_client_rate_limiter_duration_seconds",
                "Client side rate limiter latency in seconds.",
                &SECONDS,
            )?,
        })
    }

    /// A request that is wanted from now on. Watches are streams: only their beginnings are counted.
    pub(super) fn begin(&self, request: &Request<Body>, is_stream: bool) -> Call {
        Call {
            metrics: self.clone(),
            method: request.method().clone(),
            request_bytes: request.body().size_hint().exact(),
            is_stream,
            begun: Instant::now(),
            counted: false,
        }
    }
}

/// One request. Dropped without an answer it counts as one that got none.
pub(super) struct Call {
    metrics: RestClientMetrics,
    method: Method,
    /// None where it is not known.
    request_bytes: Option<u64>,
    is_stream: bool,
    begun: Instant,
    counted: bool,
}

impl Call {
    fn labels(&self) -> [&str; 2] {
        [self.method.as_str(), &self.metrics.host]
    }

    /// It waited so long for the limit of requests; zero where there is a limit and room in it.
    pub(super) fn waited(&self, waited: Duration) {
        let waits = self.metrics.waits.with_label_values(&self.labels());
        waits.observe(waited.as_secs_f64());
    }

    /// The answer begins; what is measured of it ends with its body.
    pub(super) fn answered(mut self, response: Response<Answer>) -> Response<Counted> {
        self.count(response.status().as_str());
        response.map(|body| Counted {
            body,
            bytes: 0,
            call: self,
        })
    }

    fn count(&mut self, code: &str) {
        if std::mem::replace(&mut self.counted, true) {
            return;
        }
        let [method, host] = self.labels();
        self.metrics
            .requests
            .with_label_values(&[code, method, host])
            .inc();
        if let Some(bytes) = self.request_bytes.filter(|_| !self.is_stream) {
            let sizes = self.metrics.request_bytes.with_label_values(&self.labels());
            sizes.observe(bytes as f64);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.count(NO_ANSWER);
        if !self.is_stream {
            let seconds = self.metrics.seconds.with_label_values(&self.labels());
            seconds.observe(self.begun.elapsed().as_secs_f64());
        }
    }
}

/// The body of an answer, whose bytes are counted.
pub(super) struct Counted {
    body: Answer,
    bytes: usize,
    call: Call,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.bytes += frame.data_ref().map_or(0, Bytes::len);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let call = &self.call;
        if !call.is_stream {
            let sizes = call.metrics.response_bytes.with_label_values(&call.labels());
            sizes.observe(self.bytes as f64);
        }
    }
}
