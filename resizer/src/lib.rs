//! Expands and changes volumes as PersistentVolumeClaims ask for: what upstream's `csi-resizer` sidecar does.
//!
//! ```text
//! changes of claims, volumes and classes ── triggers ── two queues ── the frame (crate `controller`)
//!     observe: caches, and what is remembered
//!     plan:    pure, all the rules
//!     take:    one request or CSI call a step
//! PersistentVolumeClaim/status <── PATCH mark, PATCH outcome
//! PersistentVolume             <── PATCH size, PATCH annotation, PATCH class
//! driver                       <── ControllerExpandVolume, ControllerModifyVolume
//! ```
//!
//! An expansion costs four requests with a stage on the node and three without: the mark before the call, the size
//! of the volume, the outcome, and later the annotation away; and exactly one call (decisions 25 and 26). A good
//! answer is remembered until it is written, so that a refused write never repeats the call.
//!
//! A change by attributes class costs three requests and one call. Expansions and changes of one claim go on side by
//! side, each with a queue and a back-off of its own; they share the writer of the claim's status, and where both begin
//! together the mark (decision 110).
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | upstream's flags, and the checked [`Config`] |
//! | [`observe`] | what a plan is made from |
//! | [`plan`] | the decisions |
//! | [`patch`] | writes as patches |
//! | `calls` | calls of the driver |
//! | `claims`, `modifications` | sizes and classes as the frame runs them |
//! | `status` | the one writer of the status of claims |
//! | `attributes_api` | whether classes can be followed |
//! | `triggers` | which changes wake a claim |
//! | `kept` | which claims are kept in memory |
//! | `metrics` | claims by the stage they are in |
//! | `usage` | whether a volume is in use |
//! | [`events`] | reasons of events |
//! | `driver` | what the driver can do |
//! | `run` | start-up and work |
//!
//! Replaces `kubernetes-csi/external-resizer: cmd/csi-resizer`; specification `resize.md`.

pub mod args;
mod attributes_api;
mod calls;
mod claims;
mod driver;
pub mod events;
mod kept;
mod metrics;
mod modifications;
pub mod observe;
pub mod patch;
pub mod plan;
mod run;
mod status;
mod triggers;
mod usage;

pub use args::{Args, Config};
pub use run::ENTRY;
