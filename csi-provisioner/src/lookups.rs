//! Objects that claims name. They are followed where our role shows the kind, else asked for one by one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use controller::{Failure, Known, Objects};
use kube::Client;
use runtime::{ApiError, ApiErrorClass, Cache, Cached, ObjectKey, Selection, Writer};
use tokio::time::Instant;

use crate::observe::Lookup;

/// The objects of one kind.
pub(crate) enum Lookups<K: Cached> {
    /// A watch keeps them.
    Followed(Objects<K>),
    /// Each is asked for when it is needed.
    Asked(Asked<K>),
}

/// The answer about each object, with when it came.
type Answers<K> = BTreeMap<ObjectKey, (Instant, Found<K>)>;

/// What was asked for lately.
pub(crate) struct Asked<K> {
    writer: Writer<K>,
    /// So long an answer is good.
    good_for: Duration,
    /// The API server had the kind when the term began.
    is_served: bool,
    answers: Mutex<Answers<K>>,
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
    /// Those of this cache; without one they are asked for, and an answer is good for so long.
    pub(crate) fn new(
        cache: Option<Cache<K>>,
        client: &Client,
        name: &'static str,
        good_for: Duration,
    ) -> Self {
        match cache {
            Some(cache) => Self::Followed(Objects::new(cache, client, name)),
            None => Self::Asked(Asked {
                writer: Writer::new(client, name),
                good_for,
                is_served: true,
                answers: Mutex::default(),
            }),
        }
    }

    /// The same of a kind that the API server may not have had when the term began; it may come.
    pub(crate) fn where_served(self, is_served: bool) -> Self {
        match self {
            Self::Asked(asked) => Self::Asked(Asked { is_served, ..asked }),
            followed @ Self::Followed(_) => followed,
        }
    }

    /// The same in the version of the API of this selection.
    pub(crate) fn in_version_of(self, selection: &Selection) -> Self {
        match self {
            Self::Asked(asked) => Self::Asked(Asked {
                writer: asked.writer.in_version_of(selection),
                ..asked
            }),
            followed @ Self::Followed(_) => followed,
        }
    }

    /// What is known.
    pub(crate) fn find(&self, key: &ObjectKey) -> Found<K> {
        match self {
            Self::Followed(objects) => objects.cache().get(key).map_or(Found::Absent, Found::Here),
            Self::Asked(asked) => match asked.lock().get(key) {
                Some((at, answer)) if at.elapsed() < asked.good_for => answer.clone(),
                _ => Found::Unread,
            },
        }
    }

    /// The same for what never changes of an object: where it was asked for, the latest answer counts, however old it is.
    pub(crate) fn recall(&self, key: &ObjectKey) -> Found<K> {
        if let Self::Asked(asked) = self
            && let Some((_, Found::Here(object))) = asked.lock().get(key)
        {
            return Found::Here(object.clone());
        }
        self.find(key)
    }

    /// GET, where it is not followed.
    pub(crate) async fn read(&self, key: &ObjectKey) -> Result<(), Failure> {
        match self {
            Self::Followed(objects) => objects.read(key).await.map(drop).map_err(Failure::Refused),
            Self::Asked(asked) => {
                let answer = match asked.writer.get(key).await {
                    Ok(object) => Found::Here(Arc::new(object)),
                    Err(error) if error.class() == ApiErrorClass::NotFound => Found::Absent,
                    // Of a kind that it does not have the API server says so in words that it does not use elsewhere.
                    Err(error) if !asked.is_served && error.code() == 404 => Found::Unserved,
                    Err(error) => return Err(Failure::Refused(error)),
                };
                asked.keep(key, answer);
                Ok(())
            }
        }
    }

    /// Takes the answer to a write.
    pub(crate) fn settle(&self, known: &Known, outcome: Result<K, ApiError>) -> Result<(), Failure> {
        match self {
            Self::Followed(objects) => objects.settle(known, outcome),
            Self::Asked(asked) => match outcome {
                Ok(object) => {
                    asked.keep(&known.key, Found::Here(Arc::new(object)));
                    Ok(())
                }
                Err(error) => {
                    asked.lock().remove(&known.key);
                    Err(match error.class() {
                        ApiErrorClass::Conflict | ApiErrorClass::NotFound => Failure::outdated(error),
                        _ => Failure::Refused(error),
                    })
                }
            },
        }
    }
}

impl<K> Asked<K> {
    fn keep(&self, key: &ObjectKey, answer: Found<K>) {
        let mut answers = self.lock();
        answers.retain(|_, (at, _)| at.elapsed() < self.good_for);
        answers.insert(key.clone(), (Instant::now(), answer));
    }

    fn lock(&self) -> MutexGuard<'_, Answers<K>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
