//! Requests on one lease: GET, POST, PUT, and a watch to be woken by.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{PostParams, WatchEvent, WatchParams};
use tokio::time::{Instant, timeout_at};

use super::record::holder;

/// The lease as an object of the API.
#[derive(Clone)]
pub(super) struct Lock {
    api: Api<Lease>,
    lease: String,
}

/// Why a request on the lease came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    #[error("the lease does not exist")]
    NotFound,
    #[error("another writer was faster")]
    Conflict,
    #[error("no answer in time")]
    Timeout,
    #[error("{0}")]
    Failed(String),
}

impl Lock {
    pub(super) fn new(client: &kube::Client, namespace: &str, lease: &str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            lease: lease.to_owned(),
        }
    }

    pub(super) async fn get(&self, until: Instant) -> Result<Lease, LockError> {
        bounded(until, self.api.get(&self.lease)).await
    }

    pub(super) async fn create(&self, lease: &Lease, until: Instant) -> Result<Lease, LockError> {
        bounded(until, self.api.create(&PostParams::default(), lease)).await
    }

    /// Writes over the version in `lease`; a conflict when the lease moved on.
    pub(super) async fn replace(&self, lease: &Lease, until: Instant) -> Result<Lease, LockError> {
        bounded(
            until,
            self.api.replace(&self.lease, &PostParams::default(), lease),
        )
        .await
    }

    /// Watches until the lease loses its holder or is deleted after `version`.
    async fn watch(self, version: String) -> Watched {
        let params = WatchParams::default()
            .fields(&format!("metadata.name={}", self.lease))
            .timeout(WATCH_SECONDS)
            .disable_bookmarks();
        let Ok(events) = self.api.watch(&params, &version).await else {
            return Watched::Refused;
        };
        let mut events = Box::pin(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease)) if !holder(&lease).is_empty() => {}
                Ok(WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_)) => {
                    return Watched::Freed;
                }
                Ok(WatchEvent::Bookmark(_)) => {}
                Ok(WatchEvent::Error(_)) | Err(_) => return Watched::Refused,
            }
        }
        Watched::Ended
    }
}

/// How long the API server keeps a watch open; below its own limit of some five minutes.
const WATCH_SECONDS: u32 = 290;
/// Pause after a watch that was not possible.
const WATCH_PAUSE: Duration = Duration::from_secs(60);

enum Watched {
    Freed,
    Ended,
    Refused,
}

/// Wakes a candidate when the lease is given back. Only a convenience: where watching is not possible it
/// never rings and the next GET sees it. One watch lasts over many GETs.
#[derive(Default)]
pub(super) struct Alarm {
    watch: Option<BoxFuture<'static, Watched>>,
    not_before: Option<Instant>,
}

impl Alarm {
    /// Watches from this version on, unless a watch is under way.
    pub(super) fn set(&mut self, lock: &Lock, version: String) {
        if self.watch.is_none() && self.not_before.is_none_or(|at| at <= Instant::now()) {
            self.watch = Some(Box::pin(lock.clone().watch(version)));
        }
    }

    /// Resolves when the lease is given back; may be dropped and called again.
    pub(super) async fn rings(&mut self) {
        if let Some(watch) = &mut self.watch {
            let watched = watch.await;
            self.watch = None;
            match watched {
                Watched::Freed => return,
                Watched::Ended => {}
                Watched::Refused => self.not_before = Some(Instant::now() + WATCH_PAUSE),
            }
        }
        std::future::pending().await
    }
}

/// Time of one try: half of what there is, so that a second fits.
pub(super) fn half_of(deadline: Duration) -> Duration {
    (deadline / 2).max(Duration::from_millis(1))
}

async fn bounded<T>(
    until: Instant,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, LockError> {
    match timeout_at(until, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(match status.code {
            404 => LockError::NotFound,
            409 => LockError::Conflict,
            code => LockError::Failed(format!("{} ({code})", status.message)),
        }),
        Ok(Err(error)) => Err(LockError::Failed(crate::client::explain(&error))),
        Err(_) => Err(LockError::Timeout),
    }
}
