//! Kubernetes for controllers: client, caches, writes, events, leases. What has nothing to do with Kubernetes is in
//! [`base`]; no custom kind is known here.
//!
//! | Module | Subject |
//! |---|---|
//! | [`access`] | what our service account may do |
//! | [`args`] | command line groups of every controller |
//! | [`cache`] | watch caches with an overlay of our own writes |
//! | [`client`] | clients of the API server with their layers |
//! | [`context`] | what a mode is given |
//! | [`crds`] | waiting for custom resource definitions |
//! | [`error`] | classes of the API server's refusals |
//! | [`events`] | recorder of Events |
//! | [`leader`] | leader election |
//! | [`migration`] | in-tree volumes as CSI volumes |
//! | [`objects`] | object keys and trimmed core types |
//! | [`write`] | typed API writes |

pub mod access;
pub mod args;
pub mod cache;
pub mod client;
pub mod context;
pub mod crds;
pub mod error;
pub mod events;
pub mod leader;
mod managed_fields;
pub mod migration;
pub mod objects;
mod request;
pub mod write;

/// The JSON patch types of [`Writer::patch_json`].
pub use json_patch;

pub use cache::{Cache, Cached, Change, IndexTaken, Listing, Selection, Source, Subscription, Watches};
pub use context::Context;
pub use error::{ApiError, ApiErrorClass};
pub use events::{EventType, Recorder};
pub use leader::{ElectionOptions, Ended, LeaderElector};
pub use objects::ObjectKey;
pub use write::{Deleted, Writer};
