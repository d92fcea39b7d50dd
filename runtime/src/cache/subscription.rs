//! Changes, those who are told of them, and resync.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::Scope;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::objects::ObjectKey;

/// Why a handler is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The watch or a list showed it.
    Watch,
    /// [`super::Cache::record`] or [`super::Cache::record_deleted`].
    OwnWrite,
    /// [`Subscription::resync`]; old and new are the same object.
    Resync,
    /// Present when the handler subscribed.
    Subscribed,
}

/// One object that came (`new` only), changed (both) or went (`old` only).
#[derive(Debug)]
pub struct Change<K> {
    /// The object.
    pub key: ObjectKey,
    /// What the cache held before.
    pub old: Option<Arc<K>>,
    /// What it holds now. Under one name an object with another UID may follow without a deletion between.
    pub new: Option<Arc<K>>,
    /// Where it comes from.
    pub source: Source,
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            old: self.old.clone(),
            new: self.new.clone(),
            source: self.source,
        }
    }
}

/// A handler of changes; dropping this ends it.
pub struct Subscription {
    resync: Arc<dyn Fn() + Send + Sync>,
    end: Box<dyn Fn() + Send + Sync>,
    ended: CancellationToken,
    _end_on_drop: DropGuard,
}

impl Subscription {
    pub(super) fn new(
        resync: impl Fn() + Send + Sync + 'static,
        end: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let ended = CancellationToken::new();
        Self {
            resync: Arc::new(resync),
            end: Box::new(end),
            _end_on_drop: ended.clone().drop_guard(),
            ended,
        }
    }

    /// Calls the handler now with every present object, as [`Source::Resync`], in key order.
    pub fn resync(&self) {
        (self.resync)();
    }

    /// Calls [`Subscription::resync`] every `period` (`--resync-period`) until the subscription or `scope` ends
    /// or stops; zero means never.
    pub fn resync_every(&self, period: Duration, scope: &Scope) {
        if period.is_zero() {
            return;
        }
        let (resync, ended, stopping) = (self.resync.clone(), self.ended.clone(), scope.stopping_token());
        scope.spawn_named("resync", async move {
            loop {
                tokio::select! {
                    biased;
                    () = ended.cancelled() => return,
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(period) => resync(),
                }
            }
        });
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        (self.end)();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Subscription").finish_non_exhaustive()
    }
}
