//! Whole controllers in the sandbox, on simulated time.

// Helpers of tests are tests too; Clippy only knows functions with the attribute.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod bad_input;
mod budget;
mod claims_storm;
mod crash_walk;
mod denied;
mod driver_socket;
mod failed_snapshot;
mod fairness;
mod file_driver;
mod fleet;
mod former;
mod groups;
mod half_way;
mod journeys;
mod leases;
mod lifecycle;
mod liveness;
mod manifests;
mod migrated;
mod node_mode;
mod node_pod;
mod orphans;
mod pace;
mod panics;
mod process;
mod quotas;
mod replay;
mod same_name;
mod seeds;
mod storm;
mod traces;
mod world;
