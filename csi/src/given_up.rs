//! Calls that go on when their caller gives them up.

use tonic::Status;
use tracing::Instrument as _;

/// Runs the work of a call to its end, whether or not somebody waits for it until then. kubelet waits for two minutes: a program
/// that is killed for it begins anew at the next call, or leaves half of its work behind. What guards the work belongs into it,
/// so that the next call finds it running.
///
/// # Errors
/// Those of the work; Aborted when the process ends before.
pub async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Status::aborted("the process is ending")),
        },
    }
}
