//! A cache with its writes: own writes are seen at once, and lost races are caught up (decision 17).

use std::sync::Arc;
use std::time::Duration;

use kube::{Client, Resource};
use runtime::{ApiError, ApiErrorClass, Cache, Cached, Deleted, ObjectKey, Writer};
use serde::Serialize;

use crate::controller::{Failure, Outdated};
use crate::patch::Change;

/// How long the cache may take to pass a version that was refused (decision 17).
const CACHE_PATIENCE: Duration = Duration::from_secs(1);

/// The objects of one kind: what is known of them, and writes to them. Cheap to clone.
pub struct Objects<K> {
    cache: Cache<K>,
    writer: Writer<K>,
}

impl<K> Clone for Objects<K> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            writer: self.writer.clone(),
        }
    }
}

/// Which part of an object a patch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All but the status.
    Main,
    /// The status.
    Status,
}

/// The object, and its version, that a write was planned from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Its place.
    pub key: ObjectKey,
    /// Its UID.
    pub uid: String,
    /// Its resourceVersion.
    pub version: String,
}

impl Known {
    /// As it was observed.
    #[must_use]
    pub fn of<K: Resource>(object: &K) -> Self {
        Self {
            key: ObjectKey::of(object),
            uid: object.meta().uid.clone().unwrap_or_default(),
            version: version_of(object).to_owned(),
        }
    }
}

fn version_of<K: Resource>(object: &K) -> &str {
    object.meta().resource_version.as_deref().unwrap_or_default()
}

impl<K: Cached> Objects<K> {
    /// Objects of this cache, written under this field manager.
    #[must_use]
    pub fn new(cache: Cache<K>, client: &Client, manager: &'static str) -> Self {
        Self {
            writer: Writer::new(client, manager),
            cache,
        }
    }

    /// What is known.
    #[must_use]
    pub fn cache(&self) -> &Cache<K> {
        &self.cache
    }

    /// Plain requests, for what the others do not do; give their answers to [`Objects::settle`].
    #[must_use]
    pub fn writer(&self) -> &Writer<K> {
        &self.writer
    }

    /// PATCH of an object as it was observed.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn patch(&self, known: &Known, part: Part, change: &Change) -> Result<(), Failure> {
        let (writer, key) = (&self.writer, &known.key);
        let sent = async {
            match (change, part) {
                (Change::Json(patch), Part::Main) => writer.patch_json(key, patch.clone()).await,
                (Change::Json(patch), Part::Status) => writer.patch_json_status(key, patch.clone()).await,
                (Change::Merge(body), Part::Main) => writer.patch_merge(key, body).await,
                (Change::Merge(body), Part::Status) => writer.patch_merge_status(key, body).await,
            }
        };
        self.settle(known, sent.await)
    }

    /// POST of a new object.
    ///
    /// # Errors
    /// As the API server answers. Nothing is known after [`ApiErrorClass::Transient`].
    pub async fn create(&self, object: &K) -> Result<(), ApiError>
    where
        K: Serialize,
    {
        self.cache.record(self.writer.create(object).await?);
        Ok(())
    }

    /// POST of a new object with all its fields, of a kind of which only a part is known here.
    ///
    /// # Errors
    /// As the API server answers. Nothing is known after [`ApiErrorClass::Transient`].
    pub async fn create_raw<F>(&self, object: &F) -> Result<(), ApiError>
    where
        F: Resource<DynamicType = ()> + Serialize,
    {
        self.cache.record(self.writer.create_raw(object).await?);
        Ok(())
    }

    /// DELETE of the object that was observed. That it is gone already is success.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn delete(&self, known: &Known) -> Result<(), Failure> {
        let sent = self.writer.delete(&known.key, &known.uid, None).await;
        match sent {
            Ok(Deleted::Pending(object)) => {
                self.cache.record(object);
                Ok(())
            }
            Ok(Deleted::Gone) => {
                self.gone(known);
                Ok(())
            }
            Err(error) if error.class() == ApiErrorClass::NotFound => {
                self.gone(known);
                Ok(())
            }
            Err(error) => self.settle(known, Err(error)),
        }
    }

    /// GET past the cache, into it; none when there is no such object, and then the cache has it no more either.
    ///
    /// # Errors
    /// Any but "not found".
    pub async fn read(&self, key: &ObjectKey) -> Result<Option<Arc<K>>, ApiError> {
        let cached = self.cache.get(key);
        match self.writer.get(key).await {
            Ok(found) => Ok(Some(self.cache.record(found))),
            Err(error) if error.class() == ApiErrorClass::NotFound => {
                if let Some(uid) = cached.and_then(|object| object.meta().uid.clone()) {
                    self.cache.record_deleted(key, &uid);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the answer to a write into the overlay. After a lost race the caches are caught up before the next plan:
    /// up to 1 s for the cache to pass the version that was planned from, then one GET.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn settle(&self, known: &Known, outcome: Result<K, ApiError>) -> Result<(), Failure> {
        let error = match outcome {
            Ok(written) => {
                self.cache.record(written);
                return Ok(());
            }
            Err(error) => error,
        };
        match error.class() {
            ApiErrorClass::NotFound => {
                self.gone(known);
                Err(Failure::outdated(error))
            }
            ApiErrorClass::Conflict => {
                let (objects, known) = (self.clone(), known.clone());
                Err(Failure::Outdated(Outdated {
                    error,
                    catch_up: Box::pin(async move { objects.catch_up(&known).await }),
                }))
            }
            _ => Err(Failure::Refused(error)),
        }
    }

    /// Whether the object is another one than was planned from.
    async fn catch_up(&self, known: &Known) -> Result<bool, ApiError> {
        if self
            .cache
            .passes(&known.key, &known.version, CACHE_PATIENCE)
            .await
        {
            return Ok(true);
        }
        let Some(found) = self.read(&known.key).await? else {
            self.gone(known);
            return Ok(true);
        };
        Ok(version_of(&*found) != known.version)
    }

    fn gone(&self, known: &Known) {
        self.cache.record_deleted(&known.key, &known.uid);
    }
}
