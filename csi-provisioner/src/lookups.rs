//! Objects that claims name. They are followed where our role shows the kind, else asked for one by one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use controller::{Failure, Known, Objects};
use kube::Client;
use runtime::{ApiError, ApiErrorClass, Cache, Cached, ObjectKey, Selection, Writer};
use tokio::time::Instant;

use crate::observe::Lookup;
use crate::plan::source::SourceKey;

/// So long it is remembered of an object that was asked for what never changes of it.
const RECALLED_FOR: Duration = Duration::from_secs(60);

/// Who asks. What one was told is for its own run alone, however long that takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asker {
    /// The claim of this key in the queue.
    Claim(ObjectKey),
    /// The guard of this source.
    Guard(SourceKey),
}

/// The objects of one kind.
pub(crate) enum Lookups<K: Cached> {
    /// A watch keeps them.
    Followed(Objects<K>),
    /// Each is asked for when it is needed.
    Asked(Asked<K>),
    /// A watch keeps some of them; another one may be needed, or not be there yet.
    Kept(Objects<K>, Asked<K>),
}

/// What was asked for lately.
pub(crate) struct Asked<K> {
    writer: Writer<K>,
    /// The API server had the kind when the term began.
    is_served: bool,
    answers: Mutex<Answers<K>>,
}

struct Answers<K> {
    /// Of runs that are not over.
    told: BTreeMap<(Asker, ObjectKey), Found<K>>,
    /// Whoever asked, with when the answer came.
    latest: BTreeMap<ObjectKey, (Instant, Arc<K>)>,
}

/// What is known of an object.
pub(crate) enum Found<K> {
    /// It must be asked for.
    Unread,
    /// The API server does not have the kind.
    Unserved,
    Absent,
    Here(Arc<K>),
}

impl<K> Clone for Found<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Unread => Self::Unread,
            Self::Unserved => Self::Unserved,
            Self::Absent => Self::Absent,
            Self::Here(object) => Self::Here(object.clone()),
        }
    }
}

impl<K> Found<K> {
    pub(crate) fn lookup(&self) -> Lookup<'_, K> {
        match self {
            Self::Unread => Lookup::Unread,
            Self::Unserved => Lookup::Unserved,
            Self::Absent => Lookup::Absent,
            Self::Here(object) => Lookup::Found(object),
        }
    }
}

impl<K: Cached> Lookups<K> {
    /// Those of this cache; without one they are asked for.
    pub(crate) fn new(cache: Option<Cache<K>>, client: &Client, name: &'static str) -> Self {
        match cache {
            Some(cache) => Self::Followed(Objects::new(cache, client, name)),
            None => Self::Asked(Asked::new(client, name)),
        }
    }

    /// Those of this cache, which keeps some of the kind; others are asked for.
    pub(crate) fn kept(cache: Cache<K>, client: &Client, name: &'static str) -> Self {
        Self::Kept(Objects::new(cache, client, name), Asked::new(client, name))
    }

    /// The same of a kind that the API server may not have had when the term began; it may come.
    pub(crate) fn where_served(self, is_served: bool) -> Self {
        match self {
            Self::Asked(asked) => Self::Asked(Asked { is_served, ..asked }),
            known => known,
        }
    }

    /// The same in the version of the API of this selection.
    pub(crate) fn in_version_of(self, selection: &Selection) -> Self {
        match self {
            Self::Asked(asked) => Self::Asked(Asked {
                writer: asked.writer.in_version_of(selection),
                ..asked
            }),
            known => known,
        }
    }

    /// What is known.
    pub(crate) fn find(&self, asker: &Asker, key: &ObjectKey) -> Found<K> {
        match self {
            Self::Followed(objects) => objects.cache().get(key).map_or(Found::Absent, Found::Here),
            Self::Asked(asked) => asked.find(asker, key),
            Self::Kept(objects, asked) => match objects.cache().get(key) {
                Some(object) => Found::Here(object),
                None => asked.find(asker, key),
            },
        }
    }

    /// The same for what never changes of an object: where it was asked for, the latest answer counts, whoever got it.
    pub(crate) fn recall(&self, asker: &Asker, key: &ObjectKey) -> Found<K> {
        if let Self::Asked(asked) = self
            && let Some((_, object)) = asked.lock().latest.get(key)
        {
            return Found::Here(object.clone());
        }
        self.find(asker, key)
    }

    /// GET, where it is not followed.
    pub(crate) async fn read(&self, asker: &Asker, key: &ObjectKey) -> Result<(), Failure> {
        match self {
            Self::Followed(objects) => objects.read(key).await.map(drop).map_err(Failure::Refused),
            Self::Asked(asked) | Self::Kept(_, asked) => asked.read(asker, key).await,
        }
    }

    /// Takes the answer to a write.
    pub(crate) fn settle(
        &self,
        asker: &Asker,
        known: &Known,
        outcome: Result<K, ApiError>,
    ) -> Result<(), Failure> {
        match self {
            Self::Followed(objects) => objects.settle(known, outcome),
            Self::Asked(asked) => asked.settle(asker, known, outcome),
            Self::Kept(objects, asked) => {
                // The watch drops it again where it is none of those that are kept.
                match &outcome {
                    Ok(object) => asked.keep(asker, &known.key, Found::Here(Arc::new(object.clone()))),
                    Err(_) => asked.drop_told(asker, &known.key),
                }
                objects.settle(known, outcome)
            }
        }
    }

    /// The run is over: the next one asks anew.
    pub(crate) fn forget(&self, asker: &Asker) {
        if let Self::Asked(asked) | Self::Kept(_, asked) = self {
            asked.lock().told.retain(|(other, _), _| other != asker);
        }
    }
}

impl<K: Cached> Asked<K> {
    fn new(client: &Client, name: &'static str) -> Self {
        Self {
            writer: Writer::new(client, name),
            is_served: true,
            answers: Mutex::new(Answers {
                told: BTreeMap::new(),
                latest: BTreeMap::new(),
            }),
        }
    }

    fn find(&self, asker: &Asker, key: &ObjectKey) -> Found<K> {
        let told = self.lock().told.get(&(asker.clone(), key.clone())).cloned();
        told.unwrap_or(Found::Unread)
    }

    async fn read(&self, asker: &Asker, key: &ObjectKey) -> Result<(), Failure> {
        let answer = match self.writer.get(key).await {
            Ok(object) => Found::Here(Arc::new(object)),
            Err(error) if error.class() == ApiErrorClass::NotFound => Found::Absent,
            // Of a kind that it does not have the API server says so in words that it does not use elsewhere.
            Err(error) if !self.is_served && error.code() == 404 => Found::Unserved,
            Err(error) => return Err(Failure::Refused(error)),
        };
        self.keep(asker, key, answer);
        Ok(())
    }

    fn settle(&self, asker: &Asker, known: &Known, outcome: Result<K, ApiError>) -> Result<(), Failure> {
        match outcome {
            Ok(object) => {
                self.keep(asker, &known.key, Found::Here(Arc::new(object)));
                Ok(())
            }
            Err(error) => {
                self.drop_told(asker, &known.key);
                Err(match error.class() {
                    ApiErrorClass::Conflict | ApiErrorClass::NotFound => Failure::outdated(error),
                    _ => Failure::Refused(error),
                })
            }
        }
    }

    fn keep(&self, asker: &Asker, key: &ObjectKey, answer: Found<K>) {
        let mut answers = self.lock();
        answers.latest.retain(|_, (at, _)| at.elapsed() < RECALLED_FOR);
        match &answer {
            Found::Here(object) => {
                let latest = (Instant::now(), object.clone());
                answers.latest.insert(key.clone(), latest);
            }
            Found::Unread | Found::Unserved | Found::Absent => {
                answers.latest.remove(key);
            }
        }
        answers.told.insert((asker.clone(), key.clone()), answer);
    }

    fn drop_told(&self, asker: &Asker, key: &ObjectKey) {
        self.lock().told.remove(&(asker.clone(), key.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Answers<K>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
