//! The function in the sandbox.

mod crash;
mod expand;
mod failures;
mod in_use;
mod modify;
