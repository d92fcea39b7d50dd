//! Our own retries, in place of those of Amazon's crates: seeded, on tokio's time, ended by the caller's deadline.
//! Source: spec 3.8.

use std::time::Duration;

use base::Random;
use tokio::time::Instant;

use super::codes::Meaning;
use super::errors::{Action, Ec2Error, Failure, Lost};
use super::limit::Limits;
use crate::deadline::Deadline;
use crate::metrics::Metrics;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(30);
/// Most attempts of one call.
const ATTEMPTS: u32 = 50;
/// Longest pause between two attempts.
const CEILING: Duration = Duration::from_secs(20);

/// Sends calls: limits, times, records and repeats them.
#[derive(Debug)]
pub struct Caller {
    limits: Limits,
    random: Random,
    metrics: Metrics,
}

impl Caller {
    /// A caller that draws its pauses from `random`.
    #[must_use]
    pub fn new(random: Random, metrics: Metrics) -> Self {
        Self {
            limits: Limits::default(),
            random,
            metrics,
        }
    }

    /// Sends until there is an answer that repeating would not change, at most until the deadline. A call
    /// that would have to pause beyond the deadline ends at once with the last error, so that the caller still
    /// gets an answer of ours.
    pub async fn call<T, F: Future<Output = Result<T, Ec2Error>>>(
        &self,
        action: Action,
        deadline: Deadline,
        attempt: impl Fn() -> F,
    ) -> Result<T, Ec2Error> {
        self.repeat(action, deadline, attempt, Some(&self.metrics)).await
    }

    /// The same for a dry run, of which the metrics know nothing.
    pub async fn rehearse<T, F: Future<Output = Result<T, Ec2Error>>>(
        &self,
        action: Action,
        deadline: Deadline,
        attempt: impl Fn() -> F,
    ) -> Result<T, Ec2Error> {
        self.repeat(action, deadline, attempt, None).await
    }

    async fn repeat<T, F: Future<Output = Result<T, Ec2Error>>>(
        &self,
        action: Action,
        deadline: Deadline,
        attempt: impl Fn() -> F,
        metrics: Option<&Metrics>,
    ) -> Result<T, Ec2Error> {
        let mut pause = self.limits.reserve(action);
        let mut last = None;
        for number in 1.. {
            if deadline.ends_within(pause) {
                break;
            }
            tokio::time::sleep(pause).await;
            let outcome = self.attempt(action, deadline, attempt(), metrics).await;
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let gives_up = number >= ATTEMPTS || !error.is_worth_repeating();
            last = Some(explained(error, last));
            if gives_up {
                break;
            }
            pause = self.pause(number).max(self.limits.reserve(action));
        }
        Err(last
            .unwrap_or_else(|| Ec2Error::lost(action, Lost::NotSent, "the caller's deadline is too near")))
    }

    /// One attempt of at most 30 s. Its time may be out before the answer comes: then the outcome is unclear.
    async fn attempt<T>(
        &self,
        action: Action,
        deadline: Deadline,
        attempt: impl Future<Output = Result<T, Ec2Error>>,
        metrics: Option<&Metrics>,
    ) -> Result<T, Ec2Error> {
        let begun = Instant::now();
        let outcome = deadline
            .earlier(Deadline::within(ATTEMPT))
            .limit(attempt)
            .await
            .unwrap_or_else(|| Err(Ec2Error::lost(action, Lost::Timeout, "")));
        if let Some(metrics) = metrics {
            metrics.attempt(action, begun.elapsed(), &outcome);
        }
        match &outcome {
            Err(error) if error.meaning() == Meaning::Throttled => self.limits.throttled(action),
            Ok(_)
            | Err(Ec2Error {
                failure: Failure::Answer { .. },
                ..
            }) => self.limits.accepted(action),
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
    use crate::metrics::DeprecatedNames;

    fn caller() -> Caller {
        let metrics = Metrics::new(&Registry::new(), DeprecatedNames::Off).unwrap();
        Caller::new(Random::seeded(1), metrics)
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
            .call(action, deadline, || async {
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
            .call(Action::DescribeVolumes, deadline, || async {
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
            .call(Action::DescribeVolumes, deadline, || async {
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
                Action::CreateSnapshot,
                Deadline::NONE,
                std::future::pending::<Result<(), Ec2Error>>,
            )
            .await
            .unwrap_err();
        assert_eq!(error, Ec2Error::lost(Action::CreateSnapshot, Lost::Timeout, ""));
    }
}
