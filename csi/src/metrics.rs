//! `csi_sidecar_operations_seconds` (snapshot.md 6, sidecars.md 1.5).

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{HistogramOpts, HistogramVec, Registry};
use tokio::time::Instant;
use tonic::Code;

use crate::status::code_name;

/// The driver's name before it is known.
pub const UNKNOWN_DRIVER: &str = "unknown-driver";

/// Seconds.
const BUCKETS: [f64; 13] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 50.0, 120.0, 300.0, 600.0,
];

/// Durations of the calls of one sidecar function. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    seconds: HistogramVec,
    driver: Arc<Mutex<Arc<str>>>,
}

impl Metrics {
    /// Registers the histogram; the driver is [`UNKNOWN_DRIVER`] until named.
    ///
    /// # Errors
    /// The registry holds a metric of this name already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = HistogramOpts::new(
            "csi_sidecar_operations_seconds",
            "[ALPHA] Container Storage Interface operation duration with gRPC error code status total",
        );
        let labels = ["driver_name", "method_name", "grpc_status_code"];
        let seconds = HistogramVec::new(options.buckets(BUCKETS.to_vec()), &labels)?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self {
            seconds,
            driver: Arc::new(Mutex::new(UNKNOWN_DRIVER.into())),
        })
    }

    /// Calls that begin from now on carry this driver name.
    pub fn set_driver(&self, name: &str) {
        *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = name.into();
    }

    fn observe(&self, driver: &str, method: &str, code: Code, seconds: f64) {
        let labels = [driver, method, code_name(code)];
        self.seconds.with_label_values(&labels).observe(seconds);
    }
}

/// One call under measurement. Dropped without an end, it counts as canceled by us.
pub(crate) struct Measured {
    metrics: Option<Metrics>,
    driver: Arc<str>,
    method: String,
    started: Instant,
    ended: bool,
}

impl Measured {
    /// Begins now. The driver's name is that of the beginning: the call that asks for the name has none.
    pub(crate) fn start(metrics: Option<&Metrics>, method: &str) -> Self {
        let driver = metrics.map_or_else(
            || UNKNOWN_DRIVER.into(),
            |metrics| {
                metrics
                    .driver
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone()
            },
        );
        Self {
            metrics: metrics.cloned(),
            driver,
            method: method.to_string(),
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
        if let Some(metrics) = &self.metrics {
            metrics.observe(
                &self.driver,
                &self.method,
                code,
                self.started.elapsed().as_secs_f64(),
            );
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}
