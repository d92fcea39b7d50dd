//! The Slackwater binary.

use std::process::ExitCode;

/// Less processor time than with the system's allocator, for no more memory: see `docs/performance.md`.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    slackwater::run(std::env::args_os())
}
