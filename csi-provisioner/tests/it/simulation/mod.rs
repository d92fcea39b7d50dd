//! The whole function in simulated time.

mod answers;
mod capacity;
mod crash;
mod create;
mod delete;
mod grants;
mod local;
mod nodes;
mod pending;
mod refusals;
mod refused;
mod sources;
mod start;
