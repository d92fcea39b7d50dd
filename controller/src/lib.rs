//! The frame of every controller and sidecar: one loop around pure plans, and its start-up.
//!
//! ```text
//! changes of caches -> Enqueue -> work queue -> Reconciler, a round:
//!     observe   caches only, sends nothing
//!     plan      pure: what to do, what to tell, what to remember, when to look again
//!     take      one request or one call a step; the answers go to the overlay and to the next round
//! ```
//! A controller gives its rules as a [`Controller`]; the frame owns what is the same for all of them: rounds and their
//! bound, lost races, back-off, memory, events, Secrets, patches.
//!
//! | Module | Subject |
//! |---|---|
//! | `controller` | [`Controller`]: what a controller gives |
//! | [`plan`] | what it decides: actions, events, when to look again |
//! | `reconciler` | the loop |
//! | [`memory`] | what is remembered of an object, and how often it failed |
//! | [`objects`] | a cache with its writes: own writes are seen at once, lost races are caught up (decision 17) |
//! | [`enqueue`] | from a change of an object to the keys that it concerns |
//! | [`patch`] | patches that change single keys |
//! | [`edit`] | finalizers and annotations under roles with and without PATCH |
//! | [`secret`] | reading Secrets |
//! | [`template`] | names of Secrets in parameters of classes |
//! | [`call`] | CSI calls that failed |
//! | [`capability`] | how a call says that a volume is accessed |
//! | [`args`] | flags of every sidecar |
//! | `function` | [`Function`]: leadership, events, queues of one function |
//! | `driver`, `sidecar` | [`Sidecar`]: a function that meets a CSI driver |
//! | `entry` | [`Entry`]: what the binary knows of a function before it runs |
//! | `error` | why a function ends |
//! | [`failures`] | how failures are counted |
//! | [`stages`] | gauges of objects that are under way |
//! | `young` | objects that may be ahead of what they name |
//! | `testing` | what the tests of controllers share; a feature |

pub mod args;
pub mod call;
pub mod capability;
mod controller;
mod driver;
pub mod edit;
pub mod enqueue;
mod entry;
mod error;
pub mod failures;
mod function;
pub mod memory;
pub mod objects;
pub mod patch;
pub mod plan;
mod reconciler;
pub mod secret;
mod sidecar;
pub mod stages;
pub mod template;
#[cfg(feature = "testing")]
pub mod testing;
mod young;

pub use call::CallFailure;
pub use controller::{Controller, Failure, Outdated, Run};
pub use driver::Driver;
pub use edit::{Edit, Editor};
pub use enqueue::{Difference, Enqueue, serve_by_namespace};
pub use entry::{Command, ConfigError, Definitions, Entry, Parsed, Start, prepare};
pub use error::Error;
pub use function::{Function, FunctionOptions, Ready};
pub use memory::{Past, Retries};
pub use objects::{Known, Objects, Part};
pub use plan::{Action, Event, Next, Plan};
pub use reconciler::Reconciler;
pub use secret::{SecretAnswer, SecretRead};
pub use sidecar::{Sidecar, SidecarOptions};
pub use young::{UNTIL_GROWN, is_young, is_young_at};
