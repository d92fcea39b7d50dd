//! What a mode is given.

use base::{Clock, Random, Scope};
use kube::Client;
use prometheus::Registry;

use crate::Watches;

/// Everything that the `run` of a function needs from outside. Cloning is cheap; clones share everything.
///
/// A task of `scope` must not hold a clone of this (see [`Scope`]): give it what it needs, or a
/// [`Context::child`].
#[derive(Clone)]
pub struct Context {
    /// API client, already layered: request metrics, rate limit, user agent.
    pub client: Client,
    /// API client for leases: never limited, so that load cannot starve renewals.
    pub lease_client: Client,
    /// Wall time.
    pub clock: Clock,
    /// Jitter and generated names.
    pub random: Random,
    /// Metrics of this function: one registry a function, never the default one (decision 29).
    pub registry: Registry,
    /// Tasks of this function. Its `run` returns `Ok(())` after [`Scope::stopping`] and draining.
    pub scope: Scope,
    /// Watch caches of the process. In `slackwater controller` all functions share one.
    pub watches: Watches,
    /// Holder identity in leases: the flag where given, else the host name (decision 37).
    pub identity: String,
    /// Own namespace, where the leases are.
    pub namespace: String,
}

impl Context {
    /// The same with a [`Scope::child`]: for one term of leadership, or for a task.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            scope: self.scope.child(),
            ..self.clone()
        }
    }
}
