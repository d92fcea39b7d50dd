//! Integration tests of the base, on paused time where nothing real is involved.

// Helpers of tests are tests too; Clippy only knows functions with the attribute.
#![allow(clippy::panic, clippy::unwrap_used)]

mod process;
mod queue;
