//! What failed, as operators count it: `slackwater_failures_total` (spec snapshot 6).

use base::metrics::register;
use csi::status::code_name;
use csi::{Class, Operation};
use prometheus::{IntCounterVec, Opts, Registry};
use runtime::{ApiError, ApiErrorClass};

use crate::call::CallFailure;

/// The driver of an object that names none that is known.
pub const UNKNOWN_DRIVER: &str = "unknown";

const RETRYABLE: &str = "retryable";
const INFEASIBLE: &str = "infeasible";
/// No failure to whoever looks: the driver has said when it may be asked again.
const WAITING: &str = "waiting";
const CONFLICT: &str = "conflict";
const FORBIDDEN: &str = "forbidden";

/// Counts failures of one function. Labels are kinds of failures, never names of objects. Clones count together.
#[derive(Clone, Debug)]
pub struct Failures {
    component: &'static str,
    total: IntCounterVec,
}

impl Failures {
    /// Registers the counter.
    ///
    /// # Errors
    /// The registry has it already.
    pub fn new(registry: &Registry, component: &'static str) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "slackwater_failures_total",
            "Failed CSI calls by RPC (class waiting: put off by the driver to a time), requests that the API server did not take \
             and objects that cannot be worked on by the reason of their event.",
        );
        let labels = ["component", "operation", "driver_name", "grpc_code", "class"];
        let total = register(registry, IntCounterVec::new(opts, &labels)?)?;
        Ok(Self { component, total })
    }

    /// A CSI call that failed.
    pub(crate) fn call(&self, operation: Operation, driver: &str, failure: &CallFailure) {
        let class = match failure.class {
            Class::Infeasible => INFEASIBLE,
            _ if failure.retry_after.is_some() => WAITING,
            Class::Ok | Class::Final | Class::InProgress => RETRYABLE,
        };
        let code = failure.code.map_or("", code_name);
        self.count(operation.rpc(), driver, code, class);
    }

    /// A request that the API server did not take, by the reason under which that is told.
    pub(crate) fn request(&self, reason: &str, driver: &str, error: &ApiError) {
        let class = match error.class() {
            ApiErrorClass::Conflict => CONFLICT,
            ApiErrorClass::Forbidden => FORBIDDEN,
            ApiErrorClass::NotFound
            | ApiErrorClass::AlreadyExists
            | ApiErrorClass::Invalid
            | ApiErrorClass::Transient
            | ApiErrorClass::Gone => RETRYABLE,
        };
        self.count(reason, driver, "", class);
    }

    /// An object that cannot be worked on as it is, by the reason of the event that says why.
    pub(crate) fn refusal(&self, reason: &str, driver: &str) {
        self.count(reason, driver, "", RETRYABLE);
    }

    fn count(&self, operation: &str, driver: &str, code: &str, class: &str) {
        let labels = [self.component, operation, driver, code, class];
        self.total.with_label_values(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_that_the_driver_puts_off_is_counted_apart() {
        for (class, retry_after, counted) in [
            (Class::Final, None, RETRYABLE),
            (Class::Final, Some(Duration::from_secs(9)), WAITING),
            (Class::InProgress, Some(Duration::from_secs(9)), WAITING),
            (Class::Infeasible, Some(Duration::from_secs(9)), INFEASIBLE),
        ] {
            let failures = Failures::new(&Registry::new(), "csi-resizer").unwrap();
            let failure = CallFailure {
                retry_after,
                ..CallFailure::nonsense(class, "")
            };
            failures.call(Operation::ExpandVolume, "d", &failure);
            let labels = ["csi-resizer", "ControllerExpandVolume", "d", "Internal", counted];
            let count = failures.total.with_label_values(&labels).get();
            assert_eq!(count, 1, "{class:?} {retry_after:?}");
        }
    }
}
