//! The whole function against the API server and the driver of the sandbox: requests counted, time paused.

mod attach;
mod compare;
mod detach;
mod faults;
mod metrics;
mod start;
mod volumes;

use sandbox::faults::{Call, Fault, Schedule};

/// A schedule from a function.
struct Scripted<F>(F);

impl<F: Fn(&Call) -> Fault + Send + Sync> Schedule for Scripted<F> {
    fn fault(&self, call: &Call) -> Fault {
        (self.0)(call)
    }
}
