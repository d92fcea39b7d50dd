//! What every Slackwater controller needs once.
//!
//! Nothing here is process-wide: the client, the registry, the clock, the random numbers and the tasks
//! of a mode hang from the values given to its `run`, so that a test runs three replicas in one process
//! and drops one in the middle of a write.
//!
//! | Module | Subject |
//! |---|---|
//! | [`access`] | what our service account may do |
//! | [`args`] | command line groups in Go's spellings |
//! | [`cache`] | watch caches with an overlay of our own writes |
//! | [`client`] | clients of the API server with their layers |
//! | [`clock`] | wall time on the tokio clock |
//! | [`context`] | what a mode is given |
//! | [`crds`] | waiting for custom resource definitions |
//! | [`error`] | classes of the API server's refusals |
//! | [`events`] | recorder of Events |
//! | [`every`] | work that is due once in a while |
//! | [`http`] | metrics and health over HTTP |
//! | [`leader`] | leader election |
//! | [`logging`] | log lines as text or JSON |
//! | [`metrics`] | metrics in the registry of one function |
//! | [`objects`] | object keys and trimmed core types |
//! | [`process`] | signals, process metrics, termination log |
//! | [`queue`] | keyed work queue |
//! | [`random`] | seeded random numbers |
//! | [`scope`] | tasks that end with their owner, and graceful stop |
//! | [`write`] | typed API writes |

pub mod access;
pub mod args;
pub mod cache;
pub mod client;
pub mod clock;
pub mod context;
pub mod crds;
pub mod error;
pub mod events;
pub mod every;
pub mod http;
pub mod leader;
pub mod logging;
mod managed_fields;
pub mod metrics;
pub mod objects;
pub mod process;
pub mod queue;
pub mod random;
mod request;
pub mod scope;
pub mod write;

/// The JSON patch types of [`Writer::patch_json`].
pub use json_patch;

pub use cache::{Cache, Cached, Change, Listing, Selection, Source, Subscription, Watches};
pub use clock::Clock;
pub use context::Context;
pub use error::{ApiError, ApiErrorClass};
pub use events::{EventType, Recorder};
pub use every::Every;
pub use leader::{ElectionOptions, Ended, LeaderElector};
pub use objects::ObjectKey;
pub use queue::{Backoff, Outcome, Queue, QueueKey, QueueOptions, Reconcile};
pub use random::Random;
pub use scope::Scope;
pub use write::{Deleted, Writer};
