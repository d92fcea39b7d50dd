//! Our own retries, in place of those of Amazon's crates: seeded, on tokio's time, ended by the caller's deadline.
//! Source: spec 3.8.

use std::time::Duration;

use base::Random;
use tokio::time::Instant;

use super::codes::Meaning;
use super::errors::{Action, Ec2Error, Failure, Lost};
use super::limit::bucket::Bucket;
use super::limit::line::{Asks, Place};
use super::limit::{Limits, NotYet};
use super::spans;
use crate::deadline::Deadline;
use crate::metrics::Metrics;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(30);
/// What a call needs after its turn, where it waits for what it began.
const REST: Duration = Duration::from_secs(5);
/// Most attempts of one call.
const ATTEMPTS: u32 = 50;
/// Longest pause between two attempts.
const CEILING: Duration = Duration::from_secs(20);

/// What is sent, as far as its turn goes.
#[derive(Clone, Debug)]
pub struct Request {
    /// The action.
    pub action: Action,
    /// From which bucket it takes.
    pub bucket: Bucket,
    /// Who asks for what.
    pub asks: Asks,
}

/// Sends calls: waits for their turn, times, records and repeats them.
#[derive(Debug)]
pub struct Caller {
    limits: Limits,
    random: Random,
    metrics: Metrics,
}

impl Caller {
    /// A caller that keeps these limits and draws its pauses from `random`.
    #[must_use]
    pub fn new(limits: Limits, random: Random, metrics: Metrics) -> Self {
        Self {
            limits,
            random,
            metrics,
        }
    }

    /// Sends until there is an answer that repeating would not change, at most until the deadline. A call
    /// that would have to wait or pause beyond the deadline ends at once, so that the caller still gets an answer of ours:
    /// where only its turn is missing it is told when that comes, else the last error.
    pub async fn call<T, F: Future<Output = Result<T, Ec2Error>>>(
        &self,
        request: &Request,
        deadline: Deadline,
        attempt: impl Fn() -> F,
    ) -> Result<T, Ec2Error> {
        self.repeat(request, deadline, attempt, Some(&self.metrics)).await
    }

    /// The same for a dry run, of which the metrics know nothing.
    pub async fn rehearse<T, F: Future<Output = Result<T, Ec2Error>>>(
        &self,
        request: &Request,
        deadline: Deadline,
        attempt: impl Fn() -> F,
    ) -> Result<T, Ec2Error> {
        self.repeat(request, deadline, attempt, None).await
    }

    async fn repeat<T, F: Future<Output = Result<T, Ec2Error>>>(
        &self,
        request: &Request,
        deadline: Deadline,
        attempt: impl Fn() -> F,
        metrics: Option<&Metrics>,
    ) -> Result<T, Ec2Error> {
        let mut pause = Duration::ZERO;
        let mut place = None;
        let mut last = None;
        for number in 1.. {
            if deadline.ends_within(pause) {
                break;
            }
            tokio::time::sleep(pause).await;
            place = Some(self.turn(request, place, deadline).await?);
            let outcome = self.attempt(request, deadline, attempt(), metrics).await;
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let gives_up = number >= ATTEMPTS || !error.is_worth_repeating();
            // The bucket says when there is a token again.
            let is_throttled = error.meaning() == Meaning::Throttled;
            last = Some(explained(error, last));
            if gives_up {
                break;
            }
            pause = if is_throttled {
                Duration::ZERO
            } else {
                self.pause(number)
            };
        }
        Err(last.unwrap_or_else(|| {
            Ec2Error::lost(request.action, Lost::NotSent, "the caller's deadline is too near")
        }))
    }

    async fn turn(
        &self,
        request: &Request,
        former: Option<Place>,
        deadline: Deadline,
    ) -> Result<Place, Ec2Error> {
        let begun = Instant::now();
        // A turn that leaves no time for what follows would be a wasted one.
        let deadline = match request.action.begins_a_wait() {
            true => deadline.leaving(REST),
            false => deadline,
        };
        let turn = self.limits.turn(request.bucket, &request.asks, former, deadline);
        let place = turn.await.map_err(|NotYet { after, ahead }| {
            tracing::debug!(
                action = request.action.name(),
                ahead,
                ?after,
                "no turn before the deadline"
            );
            // Always the same words, so that an event that repeats them is counted up.
            Ec2Error::waits(request.action, after, "its turn at EC2's request rate")
        })?;
        self.metrics.waited(request.bucket.label(), begun.elapsed());
        Ok(place)
    }

    /// One attempt of at most 30 s. Its time may be out before the answer comes: then the outcome is unclear.
    async fn attempt<T>(
        &self,
        request: &Request,
        deadline: Deadline,
        attempt: impl Future<Output = Result<T, Ec2Error>>,
        metrics: Option<&Metrics>,
    ) -> Result<T, Ec2Error> {
        let (action, bucket) = (request.action, request.bucket);
        let begun = Instant::now();
        let span = spans::begin(action);
        let outcome = deadline
            .earlier(Deadline::within(ATTEMPT))
            .limit(attempt)
            .await
            .unwrap_or_else(|| Err(Ec2Error::lost(action, Lost::Timeout, "")));
        spans::end(&span, &outcome);
        if let Some(metrics) = metrics {
            metrics.attempt(action, begun.elapsed(), &outcome);
        }
        match &outcome {
            Err(error) if error.meaning() == Meaning::Throttled => self.limits.refused(bucket, begun),
            Ok(_)
            | Err(Ec2Error {
                failure: Failure::Answer { .. },
                ..
            }) => self.limits.accepted(bucket),
            Err(_) => {}
        }
        outcome
    }

    /// Exponential from one second with full jitter.
    fn pause(&self, number: u32) -> Duration {
        let ceiling = Duration::from_secs(1 << (number - 1).min(5)).min(CEILING);
        let millis = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.random.below(millis))
    }
}

/// An attempt that the deadline cut short says nothing; the one before may have said why.
fn explained(error: Ec2Error, before: Option<Ec2Error>) -> Ec2Error {
    match (&error.failure, before) {
        (Failure::Lost { why, detail }, Some(before)) if *why == Lost::Timeout && detail.is_empty() => {
            Ec2Error::lost(
                error.action,
                Lost::Timeout,
                format!("the attempt before: {}", before.cause()),
            )
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use prometheus::Registry;

    use super::*;
    use crate::ec2::limit::bucket::Assume;
    use crate::metrics::DeprecatedNames;

    fn caller() -> Caller {
        let metrics = Metrics::new(&Registry::new(), DeprecatedNames::Off).unwrap();
        Caller::new(Limits::new(Assume::Published), Random::seeded(1), metrics)
    }

    fn request(action: Action) -> Request {
        Request {
            action,
            bucket: Bucket::of(action, true),
            asks: Asks::default(),
        }
    }

    fn answer(action: Action, code: &str) -> Ec2Error {
        Ec2Error {
            action,
            failure: Failure::Answer {
                status: 503,
                code: code.into(),
                message: String::new(),
            },
        }
    }

    async fn attempts(action: Action, code: &str, succeeds_at: u32, deadline: Deadline) -> (bool, u32) {
        let count = AtomicU32::new(0);
        let outcome = caller()
            .call(&request(action), deadline, || async {
                if count.fetch_add(1, Ordering::SeqCst) + 1 >= succeeds_at {
                    Ok(())
                } else {
                    Err(answer(action, code))
                }
            })
            .await;
        (outcome.is_ok(), count.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_calls_are_repeated_and_unclear_ones_only_where_it_is_safe() {
        let none = Deadline::NONE;
        assert_eq!(
            attempts(Action::CreateSnapshot, "RequestLimitExceeded", 4, none).await,
            (true, 4)
        );
        assert_eq!(
            attempts(Action::CreateSnapshot, "InternalError", 4, none).await,
            (false, 1)
        );
        assert_eq!(
            attempts(Action::DescribeVolumes, "InternalError", 4, none).await,
            (true, 4)
        );
        assert_eq!(
            attempts(Action::DescribeVolumes, "InternalError", 999, none).await,
            (false, 50)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_a_call_with_its_last_error() {
        let deadline = Deadline::within(Duration::from_secs(60));
        let begun = Instant::now();
        let error = caller()
            .call(&request(Action::DescribeVolumes), deadline, || async {
                Err::<(), _>(answer(Action::DescribeVolumes, "RequestLimitExceeded"))
            })
            .await
            .unwrap_err();
        assert_eq!(error.meaning(), Meaning::Throttled);
        assert!(begun.elapsed() < Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_the_deadline_cuts_tells_what_was_known_before() {
        let count = AtomicU32::new(0);
        let deadline = Deadline::within(Duration::from_secs(25));
        let error = caller()
            .call(&request(Action::DescribeVolumes), deadline, || async {
                if count.fetch_add(1, Ordering::SeqCst) == 0 {
                    let refused = "Connection refused";
                    return Err(Ec2Error::lost(Action::DescribeVolumes, Lost::Connection, refused));
                }
                std::future::pending::<Result<(), Ec2Error>>().await
            })
            .await
            .unwrap_err();
        assert_eq!(error.meaning(), Meaning::Unclear);
        assert_eq!(
            error.to_string(),
            "DescribeVolumes: no answer in time: the attempt before: no connection to EC2: Connection refused"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_an_answer_is_unclear() {
        let error = caller()
            .call(
                &request(Action::CreateSnapshot),
                Deadline::NONE,
                std::future::pending::<Result<(), Ec2Error>>,
            )
            .await
            .unwrap_err();
        assert_eq!(error, Ec2Error::lost(Action::CreateSnapshot, Lost::Timeout, ""));
    }
}
