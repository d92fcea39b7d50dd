//! Functions in one process: one for the modes that replace an upstream image, several for
//! `slackwater controller`.
//!
//! ```text
//! flags ── args ──> Settings ── process ──> Outside (real transports) ─┐
//!                       │              quickstart, tests (sandbox) ────┤
//!                       └──────────────> Assembly <────────────────────┘
//!                         driver, snapshot-controller, csi-snapshotter, csi-resizer,
//!                         one set of watch caches, one lease a function
//! ```

mod args;
mod assembly;
mod process;
mod settings;

pub use args::{ArgsError, Commands, ControllerArgs, ControllerCommand};
pub use assembly::{Assembly, Error, Outside};
pub use process::{run, run_controller};
pub use settings::{Function, Settings, WhenLost, driver_guard, driver_http};
