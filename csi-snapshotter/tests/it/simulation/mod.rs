//! The whole function against the API server and the driver of the sandbox: requests counted, time paused.

mod connection;
mod create;
mod delete;
mod faults;
mod group_faults;
mod groups;
mod incapable;
mod start;
mod statically;

use sandbox::faults::{Call, Fault, Schedule};

/// A write of metadata: the mark, or the finalizer.
const MARK: &str = "patch volumesnapshotcontents 200";
const STATUS: &str = "patch volumesnapshotcontents/status 200";

/// A schedule from a function.
struct Scripted<F>(F);

impl<F: Fn(&Call) -> Fault + Send + Sync> Schedule for Scripted<F> {
    fn fault(&self, call: &Call) -> Fault {
        (self.0)(call)
    }
}
