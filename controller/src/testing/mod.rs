//! What the tests of controllers share: a cluster and a scriptable CSI driver on paused time, and a function between
//! them that is started, killed and started again under faults. Behind the feature `testing`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod attaching;
mod driver;
mod group;
pub mod objects;
mod process;
pub mod resources;
mod rpc;
mod socket;
mod volumes;
mod world;

use std::time::Duration;

pub use attaching::Attaching;
pub use driver::{Answer, Driver, DriverState};
pub use group::Groups;
pub use process::Process;
pub use socket::{Socket, until};
pub use volumes::{VolumeAnswer, Volumes};
pub use world::{Told, World};

/// Lets so much time pass.
pub async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
