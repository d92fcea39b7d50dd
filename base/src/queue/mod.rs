//! Keyed work queue.
//!
//! Semantics of upstream's queues (client-go): a key is queued once however often it is added; it never runs
//! twice at the same time; added while it runs, it runs again afterwards. On top: keys are served round robin by
//! their fairness key (decision 18), timers are the queue's own, failures back off exponentially with
//! jitter, and a panic is caught for its key (decision 8).
//!
//! | File | Subject |
//! |---|---|
//! | `metrics.rs` | `workqueue_*`, `slackwater_work_seconds`, `slackwater_panics_total` |
//! | `options.rs` | [`QueueOptions`], [`Backoff`] |
//! | `outcome.rs` | [`Reconcile`], [`Outcome`], [`QueueKey`] |
//! | `queue.rs` | [`Queue`]: adding and running |
//! | `state.rs` | which key is where; no I/O |

mod metrics;
mod options;
mod outcome;
#[allow(
    clippy::module_inception,
    reason = "the type named like the module has its own file"
)]
mod queue;
mod state;

pub use options::{Backoff, QueueOptions};
pub use outcome::{Outcome, QueueKey, Reconcile};
pub use queue::{Queue, QueueTerm};
