//! `csi_sidecar_operations_seconds` (snapshot.md 6, sidecars.md 1.5).

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{HistogramOpts, HistogramVec, Registry};
use tokio::time::Instant;
use tonic::Code;
use tonic::body::Body;
use tracing::Span;

use crate::status::code_name;
use crate::traces;

/// The driver's name before it is known.
pub const UNKNOWN_DRIVER: &str = "unknown-driver";

/// Seconds.
const BUCKETS: [f64; 13] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 50.0, 120.0, 300.0, 600.0,
];

const LABELS: [&str; 4] = ["driver_name", "method_name", "grpc_status_code", "migrated"];

/// Marks a request that is made for a volume of an in-tree plugin. It stays in this process.
#[derive(Clone, Copy, Debug)]
pub struct Migrated;

/// Durations of the calls of one sidecar function. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    seconds: HistogramVec,
    /// How many of the labels there are.
    labels: usize,
    driver: Arc<Mutex<MeasuredDriver>>,
}

#[derive(Clone, Debug)]
struct MeasuredDriver {
    name: Arc<str>,
    took_over: bool,
}

impl Metrics {
    /// Registers the histogram; the driver is [`UNKNOWN_DRIVER`] until named.
    ///
    /// # Errors
    /// The registry holds a metric of this name already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Self::labelled(registry, LABELS.len() - 1)
    }

    /// The same with the label `migrated`: whether a call is made for a volume of an in-tree plugin ([`Migrated`]). It is
    /// empty, which to Prometheus is as good as absent, for drivers that took none over.
    ///
    /// # Errors
    /// As [`Metrics::new`].
    pub fn telling_migrated(registry: &Registry) -> Result<Self, prometheus::Error> {
        Self::labelled(registry, LABELS.len())
    }

    fn labelled(registry: &Registry, labels: usize) -> Result<Self, prometheus::Error> {
        let options = HistogramOpts::new(
            "csi_sidecar_operations_seconds",
            "[ALPHA] Container Storage Interface operation duration with gRPC error code status total",
        );
        let seconds = HistogramVec::new(options.buckets(BUCKETS.to_vec()), &LABELS[..labels])?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self {
            seconds,
            labels,
            driver: Arc::new(Mutex::new(MeasuredDriver {
                name: UNKNOWN_DRIVER.into(),
                took_over: false,
            })),
        })
    }

    /// Calls that begin from now on carry this driver name; `took_over` for one that took over an in-tree plugin.
    pub fn set_driver(&self, name: &str, took_over: bool) {
        let name = name.into();
        *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = MeasuredDriver { name, took_over };
    }

    fn driver(&self) -> MeasuredDriver {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn observe(&self, driver: &MeasuredDriver, method: &str, code: Code, migrated: bool, seconds: f64) {
        let migrated = match (driver.took_over, migrated) {
            (false, _) => "",
            (true, false) => "false",
            (true, true) => "true",
        };
        let values = [&driver.name, method, code_name(code), migrated];
        let values = &values[..self.labels];
        self.seconds.with_label_values(values).observe(seconds);
    }
}

/// One call under measurement. Dropped without an end, it counts as canceled by us.
pub(crate) struct Measured {
    /// And the driver.
    metrics: Option<(Metrics, MeasuredDriver)>,
    method: String,
    migrated: bool,
    started: Instant,
    /// Its part of a trace.
    span: Span,
    ended: bool,
}

impl Measured {
    /// Begins now. The driver's name is that of the beginning: the call that asks for the name has none.
    pub(crate) fn start(metrics: Option<&Metrics>, request: &mut http::Request<Body>) -> Self {
        Self {
            span: traces::begin(request),
            metrics: metrics.map(|metrics| (metrics.clone(), metrics.driver())),
            method: request.uri().path().to_string(),
            migrated: request.extensions().get::<Migrated>().is_some(),
            started: Instant::now(),
            ended: false,
        }
    }

    /// The full gRPC name, such as `/csi.v1.Controller/CreateSnapshot`.
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// Records the end; only the first one counts.
    pub(crate) fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        traces::end(&self.span, code);
        if let Some((metrics, driver)) = &self.metrics {
            let seconds = self.started.elapsed().as_secs_f64();
            metrics.observe(driver, &self.method, code, self.migrated, seconds);
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}
