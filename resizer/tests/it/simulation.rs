//! The function in the sandbox.

mod connection;
mod crash;
mod expand;
mod failures;
mod in_use;
mod migrated;
mod modify;
