//! Functions in one process: one for the modes that replace an upstream image, several for
//! `slackwater controller`.
//!
//! ```text
//! flags ── args ──> Settings ── process ──> Outside (real transports) ─┐
//!                       │              quickstart, tests (sandbox) ────┤
//!                       └──────────────> Assembly <────────────────────┘
//!                         the driver, the functions of the registry,
//!                         one set of watch caches, one lease a function
//! ```

mod args;
mod assembly;
mod process;
mod registry;
mod settings;

pub use args::{ArgsError, Commands, ControllerArgs, ControllerCommand};
pub use assembly::{Assembly, Error, Freshness, Outside};
pub use process::{run, run_controller};
pub use registry::Function;
pub use settings::{Settings, WhenLost, driver_guard, driver_http};
