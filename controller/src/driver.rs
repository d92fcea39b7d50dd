//! What a sidecar knows of its driver.

use std::future::Future;
use std::time::Duration;

use csi::Channel;

use crate::Error;

/// Pause between two questions to a driver that is away.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// What a sidecar knows of its driver. It must stay the same over a reconnection: work that was planned for one
/// driver is not carried out by another.
pub trait Driver: Clone + PartialEq + Send + Sync + 'static {
    /// Such as `ebs.csi.aws.com`.
    fn name(&self) -> &str;

    /// Name and capabilities, for people.
    fn text(&self) -> String;

    /// Waits until the driver is ready and asks who it is and what it can do.
    ///
    /// # Errors
    /// [`Error::Identity`] when it cannot be asked, [`Error::Incapable`] when the sidecar cannot work with it.
    fn ask(channel: &Channel, timeout: Duration) -> impl Future<Output = Result<Self, Error>> + Send;
}

/// Asks; where that is allowed, again each second while the driver is away.
pub(crate) async fn meet<D: Driver>(channel: &Channel, timeout: Duration, patient: bool) -> Result<D, Error> {
    let mut told = false;
    loop {
        match D::ask(channel, timeout).await {
            Err(Error::Identity(error)) if patient && error.is_unreachable() => {
                if !told {
                    tracing::warn!(%error, "waiting for the CSI driver");
                }
                told = true;
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}
