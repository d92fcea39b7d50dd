//! The whole function in simulated time.

mod answers;
mod crash;
mod create;
mod delete;
mod nodes;
mod refusals;
mod refused;
mod sources;
mod start;
