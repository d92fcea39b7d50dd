//! Snapshots that wait for a quota of EBS: how many may be pending in the account and of a volume, and how soon after each
//! other those of a volume may be taken. Nothing is held back before EC2 refuses one; then there is a line, and a timer
//! that knows when there is room, so that nothing is sent only to be refused. Source: spec 3.8; decisions 64, 123.
//!
//! `state` decides, without I/O; [`Quotas`] looks what is pending, in one call for all that wait.

mod state;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::ec2::Ec2;
use crate::ec2::errors::{Action, Ec2Error, Lost};
use crate::ec2::limit::line::Asks;
use crate::ec2::types::Snapshot;
use crate::metrics::Metrics;
use crate::waits::Waits;

pub use state::Wait;
use state::{Decision, State};

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(15);

/// Whether a caller waits for room itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Patience {
    /// It waits until its deadline.
    Waits,
    /// It keeps `google.rpc.RetryInfo`, and would rather do something else meanwhile.
    ComesBack,
}

/// The quotas of one driver. Clones share them.
#[derive(Clone)]
pub struct Quotas {
    ec2: Arc<dyn Ec2>,
    waits: Waits,
    metrics: Metrics,
    state: Arc<Mutex<State>>,
    /// One looks at a time; the others take what it saw.
    looking: Arc<tokio::sync::Mutex<()>>,
    /// Held by the one that is sent alone.
    alone: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for Quotas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quotas").finish_non_exhaustive()
    }
}

impl Quotas {
    /// Nothing was refused yet.
    #[must_use]
    pub fn new(ec2: Arc<dyn Ec2>, waits: Waits, metrics: Metrics) -> Self {
        Self {
            ec2,
            waits,
            metrics,
            state: Arc::default(),
            looking: Arc::default(),
            alone: Arc::default(),
        }
    }

    /// Waits until EC2 is likely to take snapshots of these volumes.
    ///
    /// # Errors
    /// When that is not before the deadline, at once where the caller comes back by itself; or when EC2 does not say what is
    /// pending.
    pub async fn room(
        &self,
        asks: Asks,
        volumes: BTreeSet<String>,
        patience: Patience,
        deadline: Deadline,
    ) -> Result<Room, Ec2Error> {
        let begun = Instant::now();
        let mut alone = None;
        loop {
            let is_alone = alone.is_some();
            let decision = self.with(|state, now| state.decide(&asks, &volumes, is_alone, now));
            match decision {
                Decision::Go => {
                    self.metrics.waited("pending_snapshots", begun.elapsed());
                    return Ok(Room {
                        quotas: self.clone(),
                        needs: asks.needs,
                        volumes,
                        _alone: alone,
                    });
                }
                Decision::Alone => {
                    let turn = deadline.limit(self.alone.clone().lock_owned()).await;
                    let out_of_time = || Ec2Error::lost(Action::CreateSnapshot, Lost::NotSent, "");
                    alone = Some(turn.ok_or_else(out_of_time)?);
                }
                Decision::Look => self.look(deadline).await?,
                Decision::Wait(wait) if patience == Patience::ComesBack => return Err(wait.error()),
                Decision::Wait(wait) => {
                    // Whoever is next must not wait for this one's pauses too.
                    alone = None;
                    let pause = self.waits.pause(wait.after, deadline).await;
                    pause.map_err(|_| wait.error())?;
                }
            }
        }
    }

    async fn look(&self, deadline: Deadline) -> Result<(), Ec2Error> {
        let _looking = self.looking.lock().await;
        if self.with(|state, now| state.is_fresh(now)) {
            return Ok(());
        }
        let deadline = deadline.earlier(Deadline::within(LOOK));
        let pending = self.ec2.pending_snapshots(deadline).await?;
        self.with(|state, now| state.look(pending, now));
        Ok(())
    }

    /// How many wait for room in the account.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.with(|state, now| {
            state.line.forget(now);
            state.line.len()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut state, Instant::now())
    }
}

/// Room for snapshots that are being taken.
#[derive(Debug)]
pub struct Room {
    quotas: Quotas,
    needs: usize,
    volumes: BTreeSet<String>,
    _alone: Option<OwnedMutexGuard<()>>,
}

impl Room {
    /// EC2 has taken these.
    pub fn taken(&self, snapshots: &[Snapshot]) {
        self.quotas.with(|state, now| state.taken(snapshots, now));
    }

    /// What a refusal means: the wait that it is where it is a quota that gets free by itself, else the error as it is.
    #[must_use]
    pub fn refused(&self, error: Ec2Error) -> Ec2Error {
        let code = error.code().unwrap_or_default();
        let wait = self
            .quotas
            .with(|state, now| state.refused(code, &self.volumes, now));
        wait.map_or(error, Wait::error)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.quotas.with(|state, _| state.under_way -= self.needs);
    }
}

#[cfg(test)]
mod tests {
    use base::{Clock, Random};
    use prometheus::Registry;
    use sandbox::ec2::Ec2Options;
    use tokio_util::sync::CancellationToken;
    use tower::util::BoxCloneSyncService;

    use super::*;
    use crate::args::Config;
    use crate::ec2::client::{Ec2Transport, QueryEc2};
    use crate::ec2::limit::Limits;
    use crate::ec2::limit::bucket::Assume;
    use crate::ec2::retry::Caller;
    use crate::ec2::types::SnapshotState;
    use crate::metrics::DeprecatedNames;

    fn quotas() -> Quotas {
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let ec2 = sandbox::ec2::Ec2::new(clock.clone(), Random::seeded(7), Ec2Options::instant());
        let metrics = Metrics::new(&Registry::new(), DeprecatedNames::Off).unwrap();
        let limits = Limits::new(Assume::Nothing);
        let caller = Caller::new(limits.clone(), Random::seeded(1), metrics.clone());
        let transport = Ec2Transport::InProcess(BoxCloneSyncService::new(ec2));
        let client = QueryEc2::new(transport, Config::default().ec2, clock, caller);
        Quotas::new(
            Arc::new(client),
            Waits::new(CancellationToken::new(), limits),
            metrics,
        )
    }

    async fn room(quotas: &Quotas, volume: &str) -> Room {
        let asks = Asks {
            work: volume.to_owned(),
            owner: String::new(),
            needs: 1,
        };
        let volumes = BTreeSet::from([volume.to_owned()]);
        let room = quotas.room(asks, volumes, Patience::Waits, Deadline::NONE);
        room.await.unwrap()
    }

    /// As many are pending as are published: each is sent alone. One that has to wait for its volume then holds no other up.
    #[tokio::test(start_paused = true)]
    async fn ebs_case_183_who_waits_is_not_the_one_that_is_sent_alone() {
        let quotas = quotas();
        let snapshot = |number: usize, volume: &str| Snapshot {
            id: format!("snap-{number}"),
            volume_id: volume.to_owned(),
            state: SnapshotState::Pending,
            message: None,
            started: None,
            size_gib: 1,
            tags: std::collections::BTreeMap::new(),
        };
        let taken: Vec<Snapshot> = (0..100).map(|number| snapshot(number, "vol-0")).collect();
        quotas.with(|state, now| state.taken(&taken, now));
        let first = room(&quotas, "vol-1").await;
        let meanwhile = async {
            tokio::task::yield_now().await;
            // The one that is sent is refused: its volume has to wait, and so has the next of it, which is alone by then.
            let volume = BTreeSet::from(["vol-1".to_owned()]);
            let code = "SnapshotCreationPerVolumeRateExceeded";
            quotas.with(|state, now| state.refused(code, &volume, now));
            drop(first);
        };
        let begun = Instant::now();
        let timed = async |volume| {
            drop(room(&quotas, volume).await);
            begun.elapsed()
        };
        let (same, other, ()) = tokio::join!(timed("vol-1"), timed("vol-2"), meanwhile);
        assert!(same >= Duration::from_secs(10), "{same:?}");
        assert!(other < Duration::from_secs(1), "{other:?}");
    }
}
