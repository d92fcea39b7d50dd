//! Waiting until a volume is filled from its snapshot. Source: spec 3.7, Q6.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use crate::deadline::Deadline;
use crate::driver::Core;
use crate::ec2::codes::Purpose;
use crate::ec2::types::Initialization;

/// How long to wait at least where EC2 names a time.
const SHORTEST: Duration = Duration::from_secs(60);
/// How long to wait where it names none.
const UNKNOWN: Duration = Duration::from_secs(120);

/// Waits until the volume is filled. What an interrupted call has learned counts for the next one, which therefore
/// does not ask again too early.
pub(super) async fn wait(core: &Core, volume_id: &str, deadline: Deadline) -> Result<(), Status> {
    loop {
        match core.attachments.filling(volume_id) {
            Some((Initialization::Done, _)) => return Ok(()),
            Some((Initialization::Running(_), again)) => {
                core.waits.until(again, deadline).await.map_err(|interrupted| {
                    Status::internal(format!(
                        "volume {volume_id} is attached and still being filled from its snapshot: {interrupted}"
                    ))
                })?;
            }
            None => {}
        }
        let answer = core.lookups.initialization.get(volume_id, deadline).await;
        let state = answer
            .map_err(|error| Purpose::AttachRead.status(&error))?
            .ok_or_else(|| Status::internal(format!("EC2 has no status of volume {volume_id}")))?;
        let pause = match state {
            Initialization::Done => Duration::ZERO,
            Initialization::Running(Some(left)) => left.max(SHORTEST),
            Initialization::Running(None) => UNKNOWN,
        };
        core.attachments
            .learn_filling(volume_id, state, Instant::now() + pause);
    }
}
