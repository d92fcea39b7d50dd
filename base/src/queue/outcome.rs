//! Keys, their work, and what comes of it.

use std::error::Error;
use std::fmt::Display;
use std::hash::Hash;
use std::time::Duration;

use async_trait::async_trait;

/// What can be queued.
pub trait QueueKey: Ord + Hash + Clone + Display + Send + Sync + 'static {
    /// Keys are served round robin by this, so that a thousand keys of one namespace do not hold up the one
    /// of another (decision 18). [`crate::Queue::serve_by`] goes before it.
    fn fairness_key(&self) -> String;
}

/// The work on a key.
#[async_trait]
pub trait Reconcile<T: QueueKey>: Send + Sync {
    /// Does what the key needs now. Never runs twice at the same time for one key.
    async fn reconcile(&self, key: &T) -> Outcome;
}

/// What comes after a run of a key. A timer set by an earlier outcome of the key is void when it runs again.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing to do until the key is added again. Ends the back-off.
    Done,
    /// Run again at once, after the other keys; counts as neither success nor failure.
    Again,
    /// Run again after this time. Ends the back-off.
    After(Duration),
    /// Failed: logged, and run again after the back-off.
    Retry(Box<dyn Error + Send + Sync>),
    /// Another writer was faster (decision 17): the first two in a row run again at once, further ones back off.
    /// The caller has waited for the cache.
    Conflict,
}

impl Outcome {
    /// [`Outcome::Retry`] of any error.
    #[must_use]
    pub fn retry(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Retry(error.into())
    }
}
