//! The loop of one cache: list, watch, resume, catch up, relist, back off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::Random;
use kube::Client;
use tokio::time::Instant;

use super::decode::{Event, Outline};
use super::hub::{AnyHub as _, Hub};
use super::initial::Lists;
use super::list::{PAGE, newest_version};
use super::metrics::Metrics;
use super::silence::Silence;
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
/// A watch to catch up by. kube-apiserver sends a bookmark two seconds before the end of a watch.
const CATCH_UP: Duration = Duration::from_secs(3);
/// A failure that lasts is logged this often.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Objects that cannot be decoded are remembered up to this number, to be logged once.
const BROKEN_KEPT: usize = 1000;
/// Status of what is not there.
const NOT_FOUND: u16 = 404;

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
    pub(super) lists: Lists,
    /// The newest ask that was taken notice of.
    pub(super) attended: u64,
    silence: Silence,
    failures: u32,
    logged: Option<Instant>,
    broken: BTreeSet<ObjectKey>,
}

/// How one open watch ended.
enum End {
    /// As it should; resume from the last version.
    Ended,
    /// By a failure; resume from the last version after a pause.
    Broken(ApiError),
    /// Somebody asks for a fresh cache.
    Asked,
    /// The version that was waited for is passed.
    Passed,
    /// Listing again is necessary.
    Relist(Why),
}

/// Why the objects are listed again.
enum Why {
    /// Somebody wants to be sure.
    Asked,
    /// The watch said nothing for too long.
    Silent,
    /// An object that nobody can name was deleted.
    Unnamed,
    /// The server sends to the list.
    Refused(ApiError),
}

impl Why {
    /// What to pause for before the list: one that helps nobody must not be asked for again and again.
    fn pauses(self, was_healthy: bool) -> Option<ApiError> {
        match self {
            Self::Refused(error) if error.class() == ApiErrorClass::Gone && was_healthy => None,
            Self::Refused(error) => Some(error),
            Self::Unnamed if !was_healthy => Some(ApiError::no_answer("what was deleted cannot be decoded")),
            Self::Asked | Self::Silent | Self::Unnamed => None,
        }
    }

    /// For the label of the metric.
    fn name(&self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Silent => "silent",
            Self::Unnamed => "unreadable",
            Self::Refused(error) => match error.class() {
                ApiErrorClass::Gone => "expired",
                ApiErrorClass::NotFound => "not_found",
                _ => "error",
            },
        }
    }
}

impl<K: Cached> Watcher<K> {
    pub(super) async fn run(mut self) {
        loop {
            let (version, stream) = match self.begin().await {
                Ok(begun) => begun,
                Err(error) => {
                    self.pause("list", &error).await;
                    continue;
                }
            };
            let began = Instant::now();
            let why = self.follow(version, stream).await;
            if let Some(metrics) = &self.metrics {
                metrics.relisted(&K::kind(&()), why.name());
            }
            let is_silent = matches!(why, Why::Silent);
            self.state.silence.listed(is_silent);
            self.state.lists.suspects_older = is_silent;
            tracing::info!(kind = %K::kind(&()), why = why.name(), "listing again");
            if let Some(error) = why.pauses(began.elapsed() >= HEALTHY) {
                self.pause("watch", &error).await;
            }
        }
    }

    /// Watches, resuming as long as the server lets us. Returns why to list again.
    async fn follow(&mut self, mut version: String, mut stream: Option<Stream<K>>) -> Why {
        loop {
            let began = Instant::now();
            let end = match self.hub.asks().open() {
                Some(_) if self.lists_quickly() => return Why::Asked,
                Some(ask) => {
                    // It would tell once more, and from before, what is caught up with.
                    stream = None;
                    self.catch_up(ask, &mut version).await
                }
                None => self.watch(stream.take(), &mut version, None).await,
            };
            match end {
                End::Relist(why) => return why,
                End::Asked | End::Passed => {}
                End::Ended if began.elapsed() >= HEALTHY => self.recovered(),
                End::Ended => {
                    self.pause("watch", &ApiError::no_answer("the watch ended early"))
                        .await;
                }
                End::Broken(error) => self.pause("watch", &error).await,
            }
        }
    }

    /// Whether who asks for a fresh cache is served by a list: because only that will do, or because it is one request
    /// and one page.
    fn lists_quickly(&self) -> bool {
        let few = usize::try_from(PAGE).unwrap_or(usize::MAX);
        self.hub.asks().wants_list() || self.hub.objects() <= few
    }

    /// Shows without a list that the cache is fresh: asks for the version of now, and watches until it is passed.
    ///
    /// Sends: LIST of nothing, WATCH. A quiet kind's watch shows that it has passed a version by a bookmark only, and
    /// one comes at once near the end of a watch: so it is a short one.
    async fn catch_up(&mut self, ask: u64, version: &mut String) -> End {
        self.state.attended = ask;
        let now = match newest_version::<K>(&self.client, &self.selection).await {
            Ok(now) => now,
            Err(error) => return End::Broken(error),
        };
        if !self.has_passed(now) {
            match self.watch(None, version, Some(now)).await {
                End::Passed => {}
                // Servers before Kubernetes 1.31 may not have brought their watches up to that version.
                End::Ended => return End::Relist(Why::Asked),
                end => return end,
            }
        }
        self.hub.passed(ask);
        End::Passed
    }

    fn has_passed(&self, version: Version) -> bool {
        self.hub.read(|store| store.has_passed(version))
    }

    /// Follows one watch to its end, or until it has passed a version; `version` follows its events.
    async fn watch(&mut self, open: Option<Stream<K>>, version: &mut String, until: Option<Version>) -> End {
        let lasting = if until.is_some() { CATCH_UP } else { self.lasting() };
        let opened = match open {
            Some(stream) => Ok(stream),
            None => Stream::open(&self.client, &self.selection, From::Version(version), lasting).await,
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => {
                return match error.class() {
                    ApiErrorClass::Gone | ApiErrorClass::NotFound | ApiErrorClass::Invalid => {
                        End::Relist(Why::Refused(error))
                    }
                    _ => End::Broken(error),
                };
            }
        };
        let now = Instant::now();
        self.state.silence.opened(now);
        self.hub.contact(|contact| contact.opened(now));
        let end = self.read(&mut stream, version, until).await;
        let now = Instant::now();
        self.state.silence.closed(now);
        self.hub.contact(|contact| contact.closed(now));
        end
    }

    async fn read(&mut self, stream: &mut Stream<K>, version: &mut String, until: Option<Version>) -> End {
        loop {
            let silent = self.state.silence.ends();
            let event = tokio::select! {
                biased;
                () = self.hub.until(|asks| asks.open().is_some()), if until.is_none() => return End::Asked,
                event = stream.next() => event,
                () = until_then(silent) => return End::Relist(Why::Silent),
            };
            let event = match event {
                Ok(Some(event)) => event,
                Ok(None) => return End::Ended,
                Err(error) => return End::Broken(error),
            };
            if let Some(why) = self.take(event, version) {
                return End::Relist(why);
            }
            self.state.silence.heard(Instant::now());
            self.recovered();
            if until.is_some_and(|until| self.has_passed(until)) {
                return End::Passed;
            }
        }
    }

    /// Applies one event. Returns why to list again, if that is necessary.
    fn take(&mut self, event: Event<K>, version: &mut String) -> Option<Why> {
        match event {
            Event::Applied(object) => {
                note(version, object.meta().resource_version.as_deref());
                self.hub.apply(object);
            }
            Event::Deleted(object) => {
                note(version, object.meta().resource_version.as_deref());
                let uid = object.meta().uid.as_deref().unwrap_or_default();
                self.hub
                    .apply_deleted(&ObjectKey::of(&object), uid, Version::of(&object));
            }
            Event::Bookmark { version: reached, .. } => {
                note(version, Some(&reached));
                self.hub.advance(Version::parse(&reached));
            }
            Event::Unreadable {
                is_deletion,
                object,
                error,
            } => {
                if let Some(number) = object.version.number() {
                    *version = number.to_string();
                }
                return self.take_unreadable(is_deletion, &object, &error);
            }
            Event::Failed(error) => return Some(Why::Refused(error)),
        }
        None
    }

    /// An object that cannot be decoded keeps its last readable state, but it can go.
    fn take_unreadable(&mut self, is_deletion: bool, object: &Outline, error: &str) -> Option<Why> {
        match &object.key {
            None => {
                self.skip(&ObjectKey::default(), error);
                return is_deletion.then_some(Why::Unnamed);
            }
            Some(key) if is_deletion => {
                self.state.broken.remove(key);
                self.hub.apply_deleted(key, &object.uid, object.version);
            }
            Some(key) => {
                self.skip(key, error);
                self.hub.advance(object.version);
            }
        }
        None
    }

    /// Logs it once.
    pub(super) fn skip(&mut self, key: &ObjectKey, error: &str) {
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

    /// Waits before the next attempt: exponential with jitter, not less than the server asked for. Who asks for a
    /// fresh cache meanwhile ends the pause, once.
    async fn pause(&mut self, verb: &str, error: &ApiError) {
        self.hub.contact(|contact| match error.class() {
            ApiErrorClass::NotFound => contact.kind_is_gone(),
            _ if error.code() == NOT_FOUND => contact.kind_is_unknown(Instant::now()),
            _ => contact.failed(Instant::now()),
        });
        let factor = 2_u32.saturating_pow(self.state.failures);
        self.state.failures = self.state.failures.saturating_add(1).min(16);
        let wait = self
            .random
            .jittered(BACKOFF_START.saturating_mul(factor).min(BACKOFF_MAX), 1.0);
        let at_least = error.retry_after().unwrap_or_default();
        let wait = wait.max(at_least);
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
        tokio::time::sleep(at_least).await;
        let attended = self.state.attended;
        tokio::select! {
            biased;
            () = self.hub.until(|asks| asks.made() > attended) => self.state.attended = self.hub.asks().made(),
            () = tokio::time::sleep(wait.saturating_sub(at_least)) => {}
        }
    }

    pub(super) fn lasting(&self) -> Duration {
        Duration::from_secs(WATCH_SECONDS + self.random.below(WATCH_SECONDS / 4))
    }
}

async fn until_then(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

/// Where to resume from; what is not a version is ignored.
fn note(version: &mut String, reached: Option<&str>) {
    if let Some(reached) = reached.filter(|reached| !reached.is_empty()) {
        reached.clone_into(version);
    }
}
