//! Starts the programs that judge Slackwater, and Slackwater before them: real etcd, kube-apiserver and
//! kube-controller-manager on loopback, `kubectl`, and the EC2 of the sandbox as a process of its own.
//!
//! | Module | Subject |
//! |---|---|
//! | `programs` | where the binaries are |
//! | `process`, `keeper` | a process that ends with this one, whatever happens |
//! | `control_plane` | [`ControlPlane`]: start, users, kill and restart, compaction |
//! | `audit` | what the API server wrote down of each request |
//! | `hand`, `kubectl` | requests as a user, by HTTP and by `kubectl` |
//! | `ec2` | [`Ec2Process`]: the EC2 of the sandbox |
//! | `one_node` | [`OneNode`]: a cluster of one machine, with containerd and kubelet |
//! | `suite` | [`Suite`]: modes of Slackwater, or programs with the same flags |
//!
//! Nothing here is linked into the binary `slackwater`. Unlike everywhere else time is real.

mod audit;
mod control_plane;
mod ec2;
mod error;
mod hand;
mod keeper;
mod kubectl;
mod one_node;
mod process;
mod programs;
mod suite;

pub use audit::{Audit, Mark, Record};
pub use control_plane::{ADMIN, ControlPlane, Options, User};
pub use ec2::{Data, Ec2Process, Snapshot, State, Volume};
pub use error::Error;
pub use hand::{Answer, Hand, Patch};
pub use keeper::Keeper;
pub use kubectl::{Kubectl, Output};
pub use one_node::OneNode;
pub use process::{Launch, Process, Usage, free_port};
pub use programs::{
    NodePrograms, Peers, Programs, ec2_sandbox, foreign_definitions, helm, helm_3, images, prometheus,
    slackwater,
};
pub use suite::Suite;

use std::time::Duration;

/// How often something that must become true is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `look` gives something.
///
/// # Errors
/// [`Error::Late`] with `what` after `patience`.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<T, Error> {
    let begun = std::time::Instant::now();
    loop {
        if let Some(seen) = look().await {
            return Ok(seen);
        }
        if begun.elapsed() > patience {
            return Err(Error::Late {
                what: what.to_owned(),
                patience,
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}
