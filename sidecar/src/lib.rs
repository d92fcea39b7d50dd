//! What every CSI sidecar does around its own work: it meets its driver, leads or waits to lead, and ends when
//! its driver is gone for good or has become another one (`spec/sidecars.md` 1).
//!
//! | Module | Subject |
//! |---|---|
//! | [`driver`] | what a sidecar knows of its driver, and asking for it |
//! | [`sidecar`] | [`Sidecar`]: start-up, leadership, the watch over the driver |
//! | [`error`] | why a sidecar ends |
//!
//! A sidecar gives it a [`Driver`] of its own (which capabilities it needs, and why it cannot work without them),
//! [`Options`], and its work: a function that runs until the scope it is given is stopping.

mod driver;
mod error;
mod sidecar;

pub use driver::Driver;
pub use error::Error;
pub use sidecar::{Options, Sidecar};
