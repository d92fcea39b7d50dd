//! Turns at EC2: each request waits until its bucket has a token for it. Source: spec 3.8; decision 122.
//!
//! | Module | Decides |
//! |---|---|
//! | [`bucket`] | from which bucket a request takes, and when that has a token |
//! | [`line`] | who is next |
//!
//! Here is only the waiting.

pub mod bucket;
pub mod line;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use bucket::{Assume, Bucket, Level};
use line::{Asks, Line, Place};

use crate::deadline::Deadline;

/// Why there is no turn before the deadline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotYet {
    /// After this time it comes, as far as is known.
    pub after: Duration,
    /// How many are before it.
    pub ahead: usize,
}

/// The buckets and their lines. Clones share them.
#[derive(Clone, Debug)]
pub struct Limits {
    assume: Assume,
    buckets: Arc<Mutex<BTreeMap<Bucket, State>>>,
}

#[derive(Debug)]
struct State {
    level: Level,
    line: Line<Arc<Notify>>,
}

impl State {
    /// Whoever is first now has to look at the time.
    fn wake_first(&self) {
        if let Some((_, first)) = self.line.first_here() {
            first.notify_one();
        }
    }
}

impl Limits {
    /// Full buckets.
    #[must_use]
    pub fn new(assume: Assume) -> Self {
        Self {
            assume,
            buckets: Arc::default(),
        }
    }

    fn with<T>(&self, bucket: Bucket, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let state = buckets.entry(bucket).or_insert_with(|| State {
            level: Level::new(bucket.published(), self.assume, now),
            line: Line::default(),
        });
        act(state, now)
    }

    /// Waits for the turn of a request, at most until the deadline. `former` is the place that EC2 refused, which is taken
    /// again.
    ///
    /// # Errors
    /// At once when the turn cannot come before the deadline. Then the place is kept for who comes back in time.
    pub async fn turn(
        &self,
        bucket: Bucket,
        asks: &Asks,
        former: Option<Place>,
        deadline: Deadline,
    ) -> Result<Place, NotYet> {
        let waker = Arc::new(Notify::new());
        let mut waiting = self.join(bucket, asks, former, waker.clone());
        loop {
            let wait = match waiting.look(deadline) {
                Look::Turn => return Ok(waiting.place),
                Look::NotYet(not_yet) => return Err(not_yet),
                Look::First(wait) => Deadline::within(wait),
                Look::Behind => Deadline::NONE,
            };
            let _ = deadline.earlier(wait).limit(waker.notified()).await;
        }
    }

    fn join(&self, bucket: Bucket, asks: &Asks, former: Option<Place>, waker: Arc<Notify>) -> Waiting<'_> {
        let place = self.with(bucket, |state, now| match former {
            Some(place) => {
                state.line.rejoin(place, asks, waker);
                place
            }
            None => state.line.join(asks, waker, now),
        });
        Waiting {
            limits: self,
            bucket,
            place,
            is_in_line: true,
        }
    }

    /// Learns from a refusal of a request that was sent at this moment.
    pub fn refused(&self, bucket: Bucket, sent: Instant) {
        self.with(bucket, |state, now| state.level.refused(sent, now));
    }

    /// Learns from an answer that was no refusal.
    pub fn accepted(&self, bucket: Bucket) {
        self.with(bucket, |state, now| state.level.accepted(now));
    }

    /// How many wait for a bucket, those that were told to come back among them.
    #[must_use]
    pub fn waiting(&self, bucket: Bucket) -> usize {
        self.with(bucket, |state, now| {
            state.line.forget(now);
            state.line.len()
        })
    }
}

/// What somebody in line sees.
enum Look {
    /// It is served.
    Turn,
    /// The deadline comes first.
    NotYet(NotYet),
    /// It is the first of those that are here, and there is a token after this time.
    First(Duration),
    /// Others are before it.
    Behind,
}

/// Somebody in line; who is dropped there leaves it.
struct Waiting<'a> {
    limits: &'a Limits,
    bucket: Bucket,
    place: Place,
    is_in_line: bool,
}

impl Waiting<'_> {
    fn look(&mut self, deadline: Deadline) -> Look {
        let place = self.place;
        let look = self.limits.with(self.bucket, |state, now| {
            let is_first = state.line.first_here().is_some_and(|(first, _)| first == place);
            if is_first && state.level.take(now) {
                state.line.serve(place);
                state.wake_first();
                return Look::Turn;
            }
            let ahead = state.line.ahead(place);
            let after = state.level.due(ahead, now);
            let wait = if is_first { state.level.due(0, now) } else { after };
            if deadline.ends_within(wait) {
                state.line.go_away(place, after, now);
                state.wake_first();
                return Look::NotYet(NotYet { after, ahead });
            }
            if is_first { Look::First(wait) } else { Look::Behind }
        });
        self.is_in_line = !matches!(look, Look::Turn | Look::NotYet(_));
        look
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_in_line {
            self.limits.with(self.bucket, |state, _| {
                state.line.leave(self.place);
                state.wake_first();
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(work: &str, owner: &str) -> Asks {
        Asks {
            work: work.to_owned(),
            owner: owner.to_owned(),
            needs: 1,
        }
    }

    const BUCKET: Bucket = Bucket::Snapshots;

    async fn spent() -> Limits {
        let limits = Limits::new(Assume::Published);
        for number in 0..90 {
            let asks = asks(&number.to_string(), "");
            limits.turn(BUCKET, &asks, None, Deadline::NONE).await.unwrap();
        }
        limits
    }

    #[tokio::test(start_paused = true)]
    async fn ebs_case_115_turns_come_at_the_rate_of_the_bucket_in_order() {
        let limits = spent().await;
        let start = Instant::now();
        let order = Mutex::new(Vec::new());
        let turn = async |work: &'static str, owner: &str| {
            limits
                .turn(BUCKET, &asks(work, owner), None, Deadline::NONE)
                .await
                .unwrap();
            order.lock().unwrap().push((work, start.elapsed().as_millis()));
        };
        tokio::join!(turn("a1", "a"), turn("a2", "a"), turn("b1", "b"));
        assert_eq!(*order.lock().unwrap(), [("a1", 200), ("b1", 400), ("a2", 600)]);
        let other = asks("x", "");
        let free = limits.turn(Bucket::Volumes, &other, None, Deadline::NONE);
        free.await.unwrap();
        assert_eq!(start.elapsed().as_millis(), 600, "each bucket by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn ebs_case_118_who_cannot_wait_is_told_when_and_finds_the_place_kept() {
        let limits = spent().await;
        let patient = |work: &'static str| {
            let limits = limits.clone();
            tokio::spawn(async move {
                let asks = asks(work, "");
                limits.turn(BUCKET, &asks, None, Deadline::NONE).await.unwrap();
                Instant::now()
            })
        };
        let start = Instant::now();
        let first = [patient("1"), patient("2")];
        tokio::task::yield_now().await;
        let hasty = asks("3", "");
        let soon = Deadline::within(Duration::from_millis(500));
        let not_yet = limits.turn(BUCKET, &hasty, None, soon).await.unwrap_err();
        assert_eq!((not_yet.after.as_millis(), not_yet.ahead), (600, 2));
        assert_eq!(start.elapsed(), Duration::ZERO, "at once");
        let later = [patient("4"), patient("5")];
        for turn in first {
            turn.await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        limits.turn(BUCKET, &hasty, None, Deadline::NONE).await.unwrap();
        assert_eq!(start.elapsed().as_millis(), 600, "before those that came later");
        for turn in later {
            turn.await.unwrap();
        }
        assert_eq!(limits.waiting(BUCKET), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_holds_nobody_up() {
        let limits = spent().await;
        let start = Instant::now();
        let (gone, stays) = (asks("1", ""), asks("2", ""));
        let impatient = limits.turn(BUCKET, &gone, None, Deadline::NONE);
        let gives_up = tokio::time::timeout(Duration::from_millis(50), impatient);
        let patient = limits.turn(BUCKET, &stays, None, Deadline::NONE);
        let (gave_up, served) = tokio::join!(gives_up, patient);
        assert!(gave_up.is_err() && served.is_ok());
        assert_eq!(start.elapsed().as_millis(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_request_goes_before_those_that_came_later() {
        let limits = Limits::new(Assume::Published);
        let (refused, later) = (asks("1", ""), asks("2", ""));
        let place = limits.turn(BUCKET, &refused, None, Deadline::NONE).await.unwrap();
        limits.refused(BUCKET, Instant::now());
        let start = Instant::now();
        let waits = limits.turn(BUCKET, &later, None, Deadline::NONE);
        let again = async {
            tokio::task::yield_now().await;
            limits
                .turn(BUCKET, &refused, Some(place), Deadline::NONE)
                .await
                .unwrap();
            start.elapsed().as_millis()
        };
        let (waited, again) = tokio::join!(waits, again);
        waited.unwrap();
        assert_eq!((again, start.elapsed().as_millis()), (250, 500));
    }
}
