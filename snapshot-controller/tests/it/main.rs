//! Tests of the snapshot controller: the decisions by tables and properties, then the whole controller
//! against the sandbox.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod budgets;
mod crash;
mod group_crash;
mod group_properties;
mod group_scene;
mod group_world;
mod groups;
mod lifecycle;
mod orphans;
mod plan_create;
mod plan_delete;
mod plan_group;
mod plan_import;
mod plan_inputs;
mod plan_protect;
mod properties;
mod refusals;
mod scene;
mod waking;
mod webhook;
mod world;
