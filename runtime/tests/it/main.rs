//! Integration tests of the runtime, on paused time where nothing real is involved.

// Helpers of tests are tests too; Clippy only knows functions with the attribute.
#![allow(clippy::panic, clippy::unwrap_used)]

mod args;
mod cache;
mod client;
mod election;
mod events;
mod http;
mod script;
mod startup;
mod store;
mod write;
