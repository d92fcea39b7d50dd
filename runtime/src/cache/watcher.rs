//! The loop of one cache: list, watch, resume, relist, back off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::Random;
use kube::Client;
use tokio::time::Instant;

use super::decode::Event;
use super::hub::Hub;
use super::kept::Item;
use super::list::list_all;
use super::metrics::Metrics;
use super::store::Listed;
use super::stream::{From, Stream};
use super::version::Version;
use super::watches::Listing;
use super::{Cached, Selection};
use crate::error::{ApiError, ApiErrorClass};
use crate::objects::ObjectKey;

/// Back-off after failures: this times 2^n, up to the maximum, and up to twice that by jitter.
const BACKOFF_START: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A watch that lasted this long ended for an ordinary reason.
const HEALTHY: Duration = Duration::from_secs(10);
/// Watches last this long and up to a quarter more, so that they do not all end together.
const WATCH_SECONDS: u64 = 230;
/// A streaming list that says nothing for this long is not one.
const STREAM_SILENCE: Duration = Duration::from_secs(10);
/// Lists in a row that are older than what was seen, after which the server is believed to have gone back.
const STALE_LISTS: u32 = 3;
/// A failure that lasts is logged this often.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Objects that cannot be decoded are remembered up to this number, to be logged once.
const BROKEN_KEPT: usize = 1000;

pub(super) struct Watcher<K> {
    pub(super) client: Client,
    pub(super) random: Random,
    pub(super) hub: Arc<Hub<K>>,
    pub(super) selection: Selection,
    pub(super) listing: Listing,
    pub(super) metrics: Option<Metrics>,
    pub(super) state: Progress,
}

/// What the loop remembers between requests.
#[derive(Default)]
pub(super) struct Progress {
    failures: u32,
    stale_lists: u32,
    logged: Option<Instant>,
    broken: BTreeSet<ObjectKey>,
}

/// How one open watch ended.
enum End {
    /// As it should; resume from the last version.
    Ended,
    /// By a failure; resume from the last version after a pause.
    Broken(ApiError),
    /// Listing again is necessary.
    Relist(ApiError),
}

impl<K: Cached> Watcher<K> {
    pub(super) async fn run(mut self) {
        loop {
            let begun = match self.begin().await {
                Ok(begun) => begun,
                Err(error) => {
                    self.pause("list", &error).await;
                    continue;
                }
            };
            let (version, stream) = begun;
            let began = Instant::now();
            let error = self.follow(version, stream).await;
            let reason = match error.class() {
                ApiErrorClass::Gone => "expired",
                ApiErrorClass::NotFound => "not_found",
                _ => "error",
            };
            if let Some(metrics) = &self.metrics {
                metrics.relisted(&K::kind(&()), reason);
            }
            tracing::info!(kind = %K::kind(&()), %error, "listing again");
            if self.hub.is_listing() {
                continue;
            }
            if error.class() != ApiErrorClass::Gone || began.elapsed() < HEALTHY {
                self.pause("watch", &error).await;
            }
        }
    }

    /// The first list, or a relist, into the store. Returns where to watch from, and the open watch of a
    /// streaming list.
    async fn begin(&mut self) -> Result<(String, Option<Stream<K>>), ApiError> {
        let streamed = match self.listing {
            Listing::Streaming => self.list_by_watch().await?,
            Listing::Paged => None,
        };
        let (listed, stream) = match streamed {
            Some((listed, stream)) => (listed, Some(stream)),
            None => {
                let take = |object: K| self.hub.item(object);
                (list_all(&self.client, &self.selection, take).await?, None)
            }
        };
        let version = listed.version.clone();
        let force = self.state.stale_lists + 1 >= STALE_LISTS;
        if self.hub.replace(listed, force).is_err() {
            self.state.stale_lists += 1;
            return Err(ApiError::no_answer("the list is older than what was seen before"));
        }
        self.state.stale_lists = 0;
        Ok((version, stream))
    }

    /// A streaming list; `None` where the server does not offer it, which is then not tried again.
    async fn list_by_watch(&mut self) -> Result<Option<(Listed<Item<K>>, Stream<K>)>, ApiError> {
        let lasting = self.lasting();
        let opened = Stream::open(&self.client, &self.selection, From::InitialEvents, lasting).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) if error.class() == ApiErrorClass::Invalid => return Ok(self.no_streaming()),
            Err(error) => return Err(error),
        };
        let mut listed = Listed {
            objects: Vec::new(),
            unreadable: BTreeSet::new(),
            version: String::new(),
        };
        loop {
            let Ok(event) = tokio::time::timeout(STREAM_SILENCE, stream.next()).await else {
                return Ok(self.no_streaming());
            };
            match event? {
                Some(Event::Applied(object)) => listed.objects.push(self.hub.item(object)),
                Some(Event::Unreadable { key, error, .. }) => {
                    self.skip(&key, &error);
                    listed.unreadable.insert(key);
                }
                Some(Event::Bookmark {
                    version,
                    initial_events_end: true,
                }) => {
                    listed.version = version;
                    return Ok(Some((listed, stream)));
                }
                Some(Event::Failed(error)) if error.class() != ApiErrorClass::Invalid => return Err(error),
                Some(_) | None => return Ok(self.no_streaming()),
            }
        }
    }

    fn no_streaming<T>(&mut self) -> Option<T> {
        tracing::debug!(kind = %K::kind(&()), "no streaming lists on this API server: paged lists instead");
        self.listing = Listing::Paged;
        None
    }

    /// Watches, resuming as long as the server lets us. Returns why to list again.
    async fn follow(&mut self, mut version: String, mut stream: Option<Stream<K>>) -> ApiError {
        loop {
            let opened = match stream.take() {
                Some(stream) => Ok(stream),
                None => {
                    let from = From::Version(&version);
                    Stream::open(&self.client, &self.selection, from, self.lasting()).await
                }
            };
            let began = Instant::now();
            let end = match opened {
                Ok(mut stream) => self.read(&mut stream, &mut version).await,
                Err(error) => match error.class() {
                    ApiErrorClass::Gone | ApiErrorClass::NotFound | ApiErrorClass::Invalid => {
                        End::Relist(error)
                    }
                    _ => End::Broken(error),
                },
            };
            if self.hub.is_listing() {
                return ApiError::no_answer("a list is asked for");
            }
            match end {
                End::Relist(error) => return error,
                End::Ended if began.elapsed() >= HEALTHY => self.recovered(),
                End::Ended => {
                    self.pause("watch", &ApiError::no_answer("the watch ended early"))
                        .await
                }
                End::Broken(error) => self.pause("watch", &error).await,
            }
            if self.hub.is_listing() {
                return ApiError::no_answer("a list is asked for");
            }
        }
    }

    /// Applies the events of one open watch; `version` follows them.
    async fn read(&mut self, stream: &mut Stream<K>, version: &mut String) -> End {
        loop {
            let event = tokio::select! {
                biased;
                () = self.hub.relist_wanted() => return End::Ended,
                event = stream.next() => event,
            };
            let event = match event {
                Ok(Some(event)) => event,
                Ok(None) => return End::Ended,
                Err(error) => return End::Broken(error),
            };
            match event {
                Event::Applied(object) => {
                    note(version, object.meta().resource_version.as_deref());
                    self.hub.apply(object);
                }
                Event::Deleted(object) => {
                    note(version, object.meta().resource_version.as_deref());
                    self.hub.apply_deleted(&object);
                }
                Event::Bookmark { version: reached, .. } => {
                    note(version, Some(&reached));
                    self.hub.advance(Version::parse(&reached));
                }
                Event::Unreadable {
                    key,
                    version: reached,
                    error,
                } => {
                    self.skip(&key, &error);
                    if let Some(number) = reached.number() {
                        *version = number.to_string();
                    }
                }
                Event::Failed(error) => return End::Relist(error),
            }
            self.recovered();
        }
    }

    /// An object that cannot be decoded keeps its last readable state.
    fn skip(&mut self, key: &ObjectKey, error: &str) {
        if self.state.broken.len() >= BROKEN_KEPT {
            self.state.broken.clear();
        }
        if self.state.broken.insert(key.clone()) {
            tracing::warn!(kind = %K::kind(&()), %key, error, "an object cannot be decoded and is skipped");
        }
    }

    fn recovered(&mut self) {
        self.state.failures = 0;
        if self.state.logged.take().is_some() {
            tracing::info!(kind = %K::kind(&()), "watching again");
        }
    }

    /// Waits before the next attempt: exponential with jitter, not less than the server asked for.
    async fn pause(&mut self, verb: &str, error: &ApiError) {
        let factor = 2_u32.saturating_pow(self.state.failures);
        self.state.failures = self.state.failures.saturating_add(1).min(16);
        let wait = self
            .random
            .jittered(BACKOFF_START.saturating_mul(factor).min(BACKOFF_MAX), 1.0);
        let wait = wait.max(error.retry_after().unwrap_or_default());
        let kind = K::kind(&());
        if self
            .state
            .logged
            .is_none_or(|logged| logged.elapsed() >= LOG_EVERY)
            && self.state.failures > 1
        {
            self.state.logged = Some(Instant::now());
            tracing::warn!(%kind, verb, %error, "cannot follow the objects of this kind: trying again");
        } else {
            tracing::debug!(%kind, verb, %error, ?wait, "trying again");
        }
        tokio::select! {
            biased;
            () = self.hub.relist_wanted() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    fn lasting(&self) -> Duration {
        Duration::from_secs(WATCH_SECONDS + self.random.below(WATCH_SECONDS / 4))
    }
}

/// Where to resume from; what is not a version is ignored.
fn note(version: &mut String, reached: Option<&str>) {
    if let Some(reached) = reached.filter(|reached| !reached.is_empty()) {
        reached.clone_into(version);
    }
}
