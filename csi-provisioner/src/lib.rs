//! Makes and deletes volumes as PersistentVolumeClaims and PersistentVolumes ask for: what upstream's `csi-provisioner` sidecar does.
//!
//! ```text
//! changes of claims, volumes, classes, snapshots, nodes, attachments ── triggers ── four queues ── the frame (crate `controller`)
//!     observe: caches, and what is remembered
//!     plan:    pure, all the rules
//!     take:    one request or CSI call a step
//! PersistentVolume       <── POST; PATCH finalizer; DELETE
//! driver                 <── CreateVolume, DeleteVolume
//! VolumeSnapshot, claim  <── finalizer while volumes are made from them
//! ```
//!
//! A plain claim costs one call and two requests: the volume, and the event that it is there. Its end costs one call and two
//! requests, one where the user has deleted the volume before (sidecars.md 7.1, 7.2).
//!
//! | Module | Subject |
//! |---|---|
//! | [`args`] | upstream's flags, and the checked [`Config`] |
//! | [`observe`] | what a plan for a claim is made from |
//! | [`plan`] | what a claim needs: request, answers, volume |
//! | [`topology`] | where a volume is asked for |
//! | [`capacity`] | how much room there is, for the scheduler |
//! | [`local`] | the node of a process that serves one alone |
//! | [`deletion`] | what a volume needs: finalizer, end |
//! | [`grants`] | sources of other namespaces |
//! | `claims`, `volumes`, `guards` | claims, volumes and their sources as the frame runs them |
//! | `busy` | claims that are worked on although they may be gone |
//! | `calls` | calls of the driver |
//! | `lookups` | objects that our role may not let us follow |
//! | `triggers` | which changes concern what |
//! | `places` | where volumes can be made, as the nodes tell it |
//! | `kept` | which claims are kept in memory |
//! | `metrics` | upstream's counts |
//! | `pending` | claims that wait for their volume, as metrics |
//! | `former` | claims for which a volume may have been made before |
//! | `orphans` | volumes of this cluster that nobody owns |
//! | `driver` | what the driver can do |
//! | [`events`] | reasons of events |
//! | `run` | start-up and work |
//!
//! Replaces `kubernetes-csi/external-provisioner: cmd/csi-provisioner`; specification `sidecars.md` 2.

pub mod args;
mod busy;
mod calls;
pub mod capacity;
mod claims;
pub mod deletion;
mod driver;
pub mod events;
mod former;
pub mod grants;
mod guards;
mod kept;
pub mod local;
mod lookups;
mod metrics;
pub mod observe;
pub mod orphans;
mod pending;
mod places;
pub mod plan;
mod run;
pub mod topology;
mod triggers;
mod volumes;

pub use args::{Args, Config};
pub use driver::Driver;
pub use run::ENTRY;
