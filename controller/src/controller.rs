//! What a controller gives to the frame.

use std::future;

use async_trait::async_trait;
use csi::Operation;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::{ApiError, ObjectKey};

use crate::call::CallFailure;
use crate::failures::UNKNOWN_DRIVER;
use crate::memory::Past;
use crate::plan::Plan;
use crate::secret::SecretRead;

/// The rules of one controller, and how its steps are taken. [`crate::Reconciler`] runs it.
#[async_trait]
pub trait Controller: Send + Sync + 'static {
    /// What a plan is made from.
    type Seen: Send + Sync;
    /// What is remembered of an object between runs. Empty after a restart: it may delay or dampen, never decide.
    type Memory: Clone + Default + PartialEq + Send + Sync;
    /// One request or one call.
    type Step: Send + Sync;
    /// What a step brings that is in no cache.
    type Answer: Send + Sync;

    /// What the caches hold of the object of this key and of what it refers to; none when it is gone. Sends nothing.
    fn observe(&self, key: &ObjectKey) -> Option<Self::Seen>;

    /// UID of the object: what is remembered and answered of it is not that of another one of its name.
    fn uid<'a>(&self, seen: &'a Self::Seen) -> &'a str;

    /// The object, for the events about it.
    fn reference(&self, seen: &Self::Seen) -> ObjectReference;

    /// Decides what the object needs now. Pure: no request, no clock, no randomness, no log line.
    fn plan(
        &self,
        seen: &Self::Seen,
        past: &Past<Self::Memory>,
        run: &Run<Self::Answer>,
        now: Timestamp,
    ) -> Plan<Self::Step, Self::Memory>;

    /// Takes one step. Knows no rule.
    ///
    /// # Errors
    /// What the API server did not do. A call that failed is an answer, not an error.
    async fn take(
        &self,
        seen: &Self::Seen,
        step: &Self::Step,
        run: &Run<Self::Answer>,
    ) -> Result<Option<Self::Answer>, Failure>;

    /// Reason of the event that tells that the API server refuses this step.
    fn refusal_reason(&self, step: &Self::Step) -> &'static str;

    /// The driver that the object belongs to, for metrics.
    fn driver<'a>(&'a self, _seen: &'a Self::Seen) -> &'a str {
        UNKNOWN_DRIVER
    }

    /// The call behind an answer, if it failed.
    fn failed_call<'a>(&self, _answer: &'a Self::Answer) -> Option<(Operation, &'a CallFailure)> {
        None
    }
}

/// What one run of a key has brought so far.
#[derive(Clone, Debug)]
pub struct Run<A> {
    /// The answers of the latest round that had any, until what they led to is written.
    pub answers: Vec<A>,
    /// The Secret that was read.
    pub secret: Option<SecretRead>,
}

impl<A> Default for Run<A> {
    fn default() -> Self {
        Self {
            answers: Vec::new(),
            secret: None,
        }
    }
}

/// A step that the API server did not take.
pub enum Failure {
    /// The plan was made from a state that has passed.
    Outdated(Outdated),
    /// Refused, or nothing is known of the outcome.
    Refused(ApiError),
}

/// A lost race, and how the caches come to know the present state.
pub struct Outdated {
    /// What the API server said.
    pub error: ApiError,
    /// Resolves when the caches know it: true if it is another one than was planned from.
    pub catch_up: BoxFuture<'static, Result<bool, ApiError>>,
}

impl Failure {
    /// A lost race that the caches know of already.
    #[must_use]
    pub fn outdated(error: ApiError) -> Self {
        Self::Outdated(Outdated {
            error,
            catch_up: Box::pin(future::ready(Ok(true))),
        })
    }
}
