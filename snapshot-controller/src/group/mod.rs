//! Group snapshots: what the decisions of `plan::group` are given, and what becomes of their steps. All of it sleeps
//! until the API server serves the group kinds.

pub(crate) mod caches;
mod controllers;
mod execute;
mod follow;
mod triggers;

pub(crate) use follow::{Groups, Queues};
