//! The first list, and each later one: as a stream where the server offers that, else page by page.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::Cached;
use super::decode::{Event, Outline};
use super::kept::{Item, Place};
use super::list::list_all;
use super::store::Listed;
use super::stream::{From, Stream};
use super::version::Version;
use super::watcher::Watcher;
use super::watches::Listing;
use crate::error::{ApiError, ApiErrorClass};
use crate::objects::ObjectKey;

/// A streaming list that says nothing for so long is no list: pages are asked for this time.
const STREAM_SILENCE: Duration = Duration::from_secs(10);
/// Streaming lists in a row that end early, after which pages are asked for this time: something on the way may cut
/// every answer that takes long.
const EARLY_ENDS: u32 = 3;
/// A server that refuses streaming lists is asked again after this: it may have been upgraded since.
const REFUSED_FOR: Duration = Duration::from_secs(3600);
/// Lists in a row that are older than what was seen, after which the server is believed to have gone back.
const STALE_LISTS: u32 = 3;

/// What is remembered from list to list.
#[derive(Default)]
pub(super) struct Lists {
    /// The server offers no streaming lists; told then.
    refused: Option<Instant>,
    early_ends: u32,
    stale: u32,
    /// A watch was silent for too long: it may be because the server went back.
    pub(super) suspects_older: bool,
}

/// What became of a streaming list.
enum Streamed<K> {
    Whole(Listed<Item<K>>, Stream<K>),
    /// Not offered.
    Refused,
    /// No list came of it, whatever the reason.
    Stuck,
}

/// What a streaming list has shown so far.
struct Shown<K> {
    objects: BTreeMap<Place, Item<K>>,
    unreadable: BTreeSet<ObjectKey>,
}

impl<K> Default for Shown<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            unreadable: BTreeSet::new(),
        }
    }
}

impl<K: Cached> Watcher<K> {
    /// Lists all objects into the store. Returns where to watch from, and the open watch of a streaming list.
    pub(super) async fn begin(&mut self) -> Result<(String, Option<Stream<K>>), ApiError> {
        let ask = self.hub.asks().made();
        self.state.attended = ask;
        let (listed, stream) = match self.streamed().await? {
            Some((listed, stream)) => (listed, Some(stream)),
            None => {
                let take = |object: K| self.hub.item(object);
                (list_all(&self.client, &self.selection, take).await?, None)
            }
        };
        let version = listed.version.clone();
        let lists = &mut self.state.lists;
        let force = lists.suspects_older || lists.stale + 1 >= STALE_LISTS;
        let seen = self.hub.read(super::store::Store::seen);
        if self.hub.replace(listed, force, ask).is_err() {
            lists.stale += 1;
            return Err(ApiError::no_answer("the list is older than what was seen before"));
        }
        if Version::parse(&version).is_older_than(seen) {
            let kind = K::kind(&());
            tracing::warn!(%kind, %seen, listed = version, "the API server went back, as after a restored backup: its present state counts");
        }
        lists.stale = 0;
        lists.suspects_older = false;
        Ok((version, stream))
    }

    /// A streaming list; `None` where pages are to be asked for.
    async fn streamed(&mut self) -> Result<Option<(Listed<Item<K>>, Stream<K>)>, ApiError> {
        let refused = self.state.lists.refused;
        if self.listing == Listing::Paged || refused.is_some_and(|at| at.elapsed() < REFUSED_FOR) {
            return Ok(None);
        }
        let kind = K::kind(&());
        match self.list_by_watch().await? {
            Streamed::Whole(listed, stream) => {
                self.state.lists.refused = None;
                self.state.lists.early_ends = 0;
                return Ok(Some((listed, stream)));
            }
            Streamed::Refused => {
                tracing::debug!(%kind, "no streaming lists on this API server: paged lists instead");
                self.state.lists.refused = Some(Instant::now());
            }
            Streamed::Stuck => tracing::info!(%kind, "the streaming list does not end: a paged one instead"),
        }
        self.state.lists.early_ends = 0;
        Ok(None)
    }

    async fn list_by_watch(&mut self) -> Result<Streamed<K>, ApiError> {
        let lasting = self.lasting();
        let opened = Stream::open(&self.client, &self.selection, From::InitialEvents, lasting).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) if error.class() == ApiErrorClass::Invalid => return Ok(Streamed::Refused),
            Err(error) => return Err(error),
        };
        let mut shown = Shown::default();
        loop {
            let Ok(event) = tokio::time::timeout(STREAM_SILENCE, stream.next()).await else {
                return Ok(Streamed::Stuck);
            };
            match event {
                Ok(Some(Event::Bookmark {
                    version,
                    initial_events_end: true,
                })) => {
                    return Ok(Streamed::Whole(shown.listed(version), stream));
                }
                Ok(Some(Event::Failed(error))) if error.class() == ApiErrorClass::Invalid => {
                    return Ok(Streamed::Refused);
                }
                Ok(Some(Event::Failed(error))) => return Err(error),
                Ok(Some(event)) => self.collect(&mut shown, event),
                Ok(None) => return self.ended_early(ApiError::no_answer("the streaming list ended early")),
                Err(error) => return self.ended_early(error),
            }
        }
    }

    /// An event before the end of the list: objects, and what becomes of them meanwhile.
    fn collect(&mut self, shown: &mut Shown<K>, event: Event<K>) {
        match event {
            Event::Applied(object) => {
                let key = ObjectKey::of(&object);
                match self.hub.item(object) {
                    Some(item) => {
                        shown.unreadable.remove(&key);
                        shown.objects.insert(item.place.clone(), item);
                    }
                    None => shown.drop(&key),
                }
            }
            Event::Deleted(object) => shown.drop(&ObjectKey::of(&object)),
            Event::Unreadable {
                is_deletion,
                object: Outline { key: Some(key), .. },
                error,
            } => {
                shown.drop(&key);
                if !is_deletion {
                    self.skip(&key, &error);
                    shown.unreadable.insert(key);
                }
            }
            // Nothing of it can be told, or it does not concern objects.
            Event::Unreadable { .. } | Event::Bookmark { .. } | Event::Failed(_) => {}
        }
    }

    /// The connection broke, most likely: it is tried again, but not for ever.
    fn ended_early(&mut self, error: ApiError) -> Result<Streamed<K>, ApiError> {
        self.state.lists.early_ends += 1;
        if self.state.lists.early_ends >= EARLY_ENDS {
            return Ok(Streamed::Stuck);
        }
        Err(error)
    }
}

impl<K> Shown<K> {
    /// Takes an object out again.
    fn drop(&mut self, key: &ObjectKey) {
        self.objects.remove(&Place::of(key));
        self.unreadable.remove(key);
    }

    /// The list, which is complete now.
    fn listed(self, version: String) -> Listed<Item<K>> {
        Listed {
            objects: self.objects.into_values().collect(),
            unreadable: self.unreadable,
            version,
        }
    }
}
