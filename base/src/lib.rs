//! What every program of the suite needs and Kubernetes has no part in: a driver, a registrar and a liveness probe are
//! built on this alone.
//!
//! Nothing here is process-wide: the registry, the clock, the random numbers and the tasks of a mode hang from the
//! values given to its `run`, so that a test runs three replicas in one process and drops one in the middle of a write.
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | command line groups in Go's spellings |
//! | `bucket` | a token bucket |
//! | [`clock`] | wall time on the tokio clock |
//! | [`error`] | texts of errors |
//! | [`every`] | work that is due once in a while |
//! | [`http`] | metrics and health over HTTP |
//! | [`logging`] | log lines as text or JSON |
//! | [`metrics`] | metrics in the registry of one function |
//! | [`panics`] | panics of tasks |
//! | [`process`] | signals, process metrics, termination log |
//! | [`queue`] | keyed work queue and its back-off |
//! | [`random`] | seeded random numbers |
//! | [`scope`] | tasks that end with their owner, and graceful stop |
//! | [`traces`] | spans of calls, and their way from process to process |

pub mod args;
mod bucket;
pub mod clock;
pub mod error;
pub mod every;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod panics;
pub mod process;
pub mod queue;
pub mod random;
pub mod scope;
pub mod traces;

pub use bucket::{Bucket, RateLimit};
pub use clock::Clock;
pub use every::Every;
pub use panics::{Panics, TaskPanicked};
pub use queue::{Backoff, Outcome, Queue, QueueKey, QueueOptions, QueueTerm, Reconcile};
pub use random::Random;
pub use scope::Scope;
