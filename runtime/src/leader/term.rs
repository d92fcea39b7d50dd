//! One term of leadership: work and renewals side by side.

use std::time::Duration;

use base::Scope;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::{Instant, sleep_until};

use super::lock::{LockError, half_of};
use super::record::holder;
use super::{Ended, Held, LeaderElector};

/// Time for aborted tasks to be gone: they end at their next await.
const ABORT_WITHIN: Duration = Duration::from_secs(1);

/// The leader may no longer work.
struct Deposed;

impl LeaderElector {
    /// Runs `work` while the lease is renewed.
    pub(super) async fn term<T>(
        &self,
        mut held: Held,
        scope: &Scope,
        work: impl Future<Output = T>,
        step_down: impl Future<Output = ()>,
    ) -> Ended<T> {
        let ended = {
            let mut work = std::pin::pin!(work);
            let stopping = scope.stopping_token();
            let outcome = tokio::select! {
                biased;
                Deposed = self.renew(&mut held) => Ended::Lost,
                () = stopping.cancelled() => Ended::Stopped,
                () = step_down => {
                    scope.stop();
                    Ended::SteppedDown
                }
                output = &mut work => Ended::Finished(output),
            };
            match outcome {
                Ended::Stopped | Ended::SteppedDown => self.drain(&mut held, work, outcome).await,
                Ended::Lost | Ended::Finished(_) => outcome,
            }
        };
        // What is left of the work must not outlive the lease.
        scope.abort();
        if matches!(ended, Ended::Lost) {
            self.tell(&held.lease, "stopped leading");
        } else {
            let _ = tokio::time::timeout(ABORT_WITHIN, scope.finished()).await;
            self.release(held.lease).await;
        }
        ended
    }

    /// Lets the work end while the lease is kept.
    async fn drain<T>(&self, held: &mut Held, work: impl Future<Output = T>, ended: Ended<T>) -> Ended<T> {
        tokio::select! {
            biased;
            Deposed = self.renew(held) => Ended::Lost,
            _ = work => ended,
            () = tokio::time::sleep(self.options.drain) => {
                let seconds = self.options.drain.as_secs();
                tracing::warn!(lease = %self.options.lease, "running work has not ended within {seconds} s: aborted");
                ended
            }
        }
    }

    /// Renews each retry period; returns when the deadline passed without success or another holds the
    /// lease. Dropping it between two awaits leaves `held` as the last known version.
    async fn renew(&self, held: &mut Held) -> Deposed {
        loop {
            sleep_until(held.sent + self.options.retry_period).await;
            let deadline = held.sent + self.options.renew_deadline;
            let mut look_first = false;
            loop {
                let sent = Instant::now();
                // A request that hangs leaves time for another one.
                let until = sent + deadline.saturating_duration_since(sent) * 2 / 3;
                match self.renew_once(&mut held.lease, look_first, until).await {
                    Ok(sent) => {
                        held.sent = sent;
                        self.health.renewed(Some(sent));
                        break;
                    }
                    Err(Renewal::Usurped(other)) => {
                        tracing::error!(lease = %self.options.lease, holder = %other, "lease lost to another holder");
                        return Deposed;
                    }
                    Err(Renewal::Failed(error)) => {
                        tracing::warn!(lease = %self.options.lease, %error, "lease not renewed, trying on");
                        // A first conflict is followed up at once, anything else after a short pause: a
                        // whole period would leave one try before the deadline.
                        let moved = matches!(error, LockError::Conflict | LockError::NotFound);
                        let at_once = moved && !look_first;
                        look_first = moved;
                        if !at_once {
                            sleep_until(deadline.min(Instant::now() + self.options.retry_period / 5)).await;
                        }
                    }
                }
                if Instant::now() >= deadline {
                    let seconds = self.options.renew_deadline.as_secs();
                    tracing::error!(lease = %self.options.lease, "lease lost: not renewed within {seconds} s");
                    return Deposed;
                }
            }
        }
    }

    /// One renewal; the moment at which the successful write was sent.
    async fn renew_once(
        &self,
        lease: &mut Lease,
        look_first: bool,
        until: Instant,
    ) -> Result<Instant, Renewal> {
        if look_first {
            self.metrics.slow_path.inc();
            match self.lock.get(until).await {
                Ok(seen) if holder(&seen) != self.options.identity => {
                    return Err(Renewal::Usurped(holder(&seen).to_owned()));
                }
                Ok(seen) => *lease = seen,
                Err(LockError::NotFound) => return self.create_again(lease, until).await,
                Err(error) => return Err(Renewal::Failed(error)),
            }
        }
        let sent = Instant::now();
        let renewed = self.writer.taken(lease, self.clock.now());
        *lease = self
            .lock
            .replace(&renewed, until)
            .await
            .map_err(Renewal::Failed)?;
        Ok(sent)
    }

    /// Somebody deleted the lease under its holder.
    async fn create_again(&self, lease: &mut Lease, until: Instant) -> Result<Instant, Renewal> {
        let sent = Instant::now();
        let first = self.writer.first(self.clock.now());
        *lease = self.lock.create(&first, until).await.map_err(Renewal::Failed)?;
        Ok(sent)
    }

    /// Gives the lease back. A failure costs the successor the lease duration, nothing more.
    async fn release(&self, lease: Lease) {
        self.tell(&lease, "stopped leading");
        let until = || Instant::now() + half_of(self.options.renew_deadline);
        let mut released = self.writer.released(&lease, self.clock.now());
        let mut result = self.lock.replace(&released, until()).await;
        if matches!(result, Err(LockError::Conflict)) {
            // Our own last renewal may have been cut off after its effect.
            match self.lock.get(until()).await {
                Ok(seen) if holder(&seen) == self.options.identity => {
                    released = self.writer.released(&seen, self.clock.now());
                    result = self.lock.replace(&released, until()).await;
                }
                Ok(_) => return,
                Err(error) => result = Err(error),
            }
        }
        if let Err(error) = result {
            tracing::warn!(lease = %self.options.lease, %error, "lease not given back; it runs out by itself");
        }
    }
}

enum Renewal {
    Usurped(String),
    Failed(LockError),
}
