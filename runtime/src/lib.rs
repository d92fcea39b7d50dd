//! What every Slackwater controller needs once.
//!
//! Nothing here is process-wide: the client, the registry, the clock, the random numbers and the tasks
//! of a mode hang from the values given to its `run`, so that a test runs three replicas in one process
//! and drops one in the middle of a write.
//!
//! | Module | Subject |
//! |---|---|
//! | [`clock`] | wall time on the tokio clock |
//! | [`random`] | seeded random numbers |
//! | [`scope`] | tasks that end with their owner, and graceful stop |

pub mod clock;
pub mod random;
pub mod scope;

pub use clock::Clock;
pub use random::Random;
pub use scope::Scope;
