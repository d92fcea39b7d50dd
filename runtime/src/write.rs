//! Writes of one kind: each sends our field manager, is one request, and fails with a class.

use std::marker::PhantomData;

use bytes::Bytes;
use kube::api::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cache::{Selection, list_all};
use crate::error::ApiError;
use crate::objects::ObjectKey;
use crate::request::{built, decode, decode_whole, exchange, path};

/// Reads and writes objects of one kind. Cheap to clone.
///
/// Trimmed types ([`crate::objects`]) can be patched and deleted, and are what is returned; PUT of such an
/// object goes through [`Writer::get_raw`] and [`Writer::replace_raw`].
///
/// Errors of all methods: [`ApiError`], naming verb, resource and object.
pub struct Writer<K> {
    client: Client,
    manager: &'static str,
    version: Option<&'static str>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Writer<K> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            manager: self.manager,
            version: self.version,
            kind: PhantomData,
        }
    }
}

/// What became of a DELETE.
#[derive(Clone, Debug, PartialEq)]
pub enum Deleted<K> {
    /// The object is gone.
    Gone,
    /// The object is marked and stays until its finalizers (or its grace period) are gone.
    Pending(K),
}

/// Which part of an object a request is about.
#[derive(Clone, Copy)]
enum Part {
    Main,
    Status,
}

impl<K: Resource<DynamicType = ()> + DeserializeOwned> Writer<K> {
    /// Writes under this field manager.
    #[must_use]
    pub fn new(client: &Client, manager: &'static str) -> Self {
        Self {
            client: client.clone(),
            manager,
            version: None,
            kind: PhantomData,
        }
    }

    /// The same in the version of the API of this selection.
    #[must_use]
    pub fn in_version_of(self, selection: &Selection) -> Self {
        Self {
            version: selection.version,
            ..self
        }
    }

    /// GET of one object, past all caches.
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn get(&self, key: &ObjectKey) -> Result<K, ApiError> {
        self.answer("get", key, Part::Main, get(key)).await
    }

    /// GET of one object with all its fields.
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn get_raw(&self, key: &ObjectKey) -> Result<Value, ApiError> {
        let raw = async { decode_whole(&self.exchange(key, get(key)).await?) };
        raw.await
            .map_err(|error: ApiError| error.during(operation::<K>("get", key, Part::Main)))
    }

    /// LIST in pages of 500, in the server's order. Objects that cannot be decoded are left out and logged.
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn list(&self, selection: &Selection) -> Result<Vec<K>, ApiError> {
        let listed = list_all(&self.client, selection, |object: K| Some(object)).await;
        Ok(listed
            .map_err(|error| error.during(format!("list {}", K::plural(&()))))?
            .objects)
    }

    /// POST of a new object.
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn create(&self, object: &K) -> Result<K, ApiError>
    where
        K: Serialize,
    {
        let mut key = ObjectKey::of(object);
        if key.name.is_empty() {
            key.name = format!("{}*", object.meta().generate_name.as_deref().unwrap_or_default());
        }
        let body = serde_json::to_vec(object).map_err(unsendable)?;
        let post = |request: Request| request.create(&self.post_params(), body);
        self.answer("create", &key, Part::Main, post).await
    }

    /// POST of a new object given with all its fields: for trimmed types.
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn create_raw<F: Resource<DynamicType = ()> + Serialize>(
        &self,
        object: &F,
    ) -> Result<K, ApiError> {
        let body = serde_json::to_vec(object).map_err(unsendable)?;
        let post = |request: Request| request.create(&self.post_params(), body);
        self.answer("create", &ObjectKey::of(object), Part::Main, post)
            .await
    }

    /// JSON patch of the main resource. A failed `test` is a [`crate::ApiErrorClass::Conflict`].
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn patch_json(&self, key: &ObjectKey, patch: json_patch::Patch) -> Result<K, ApiError> {
        self.json(key, Part::Main, patch).await
    }

    /// JSON patch of the status subresource.
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn patch_json_status(&self, key: &ObjectKey, patch: json_patch::Patch) -> Result<K, ApiError> {
        self.json(key, Part::Status, patch).await
    }

    /// Merge patch of the main resource.
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn patch_merge(&self, key: &ObjectKey, patch: &impl Serialize) -> Result<K, ApiError> {
        self.merge(key, Part::Main, patch).await
    }

    /// Merge patch of the status subresource.
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn patch_merge_status(&self, key: &ObjectKey, patch: &impl Serialize) -> Result<K, ApiError> {
        self.merge(key, Part::Status, patch).await
    }

    /// PUT of the whole object, which must carry the resourceVersion that it was read at.
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn replace(&self, object: &K) -> Result<K, ApiError>
    where
        K: Serialize,
    {
        let body = serde_json::to_vec(object).map_err(unsendable)?;
        self.put(&ObjectKey::of(object), Part::Main, body).await
    }

    /// PUT of what [`Writer::get_raw`] returned, changed: for trimmed types, under roles without `patch`
    /// (decision 7).
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn replace_raw(&self, key: &ObjectKey, object: &Value) -> Result<K, ApiError> {
        let body = serde_json::to_vec(object).map_err(unsendable)?;
        self.put(key, Part::Main, body).await
    }

    /// DELETE of the object with this UID and, where given, this resourceVersion; another one there is a
    /// conflict. Dependants are deleted in the background.
    ///
    /// # Errors
    /// See [`Writer`].
    pub async fn delete(
        &self,
        key: &ObjectKey,
        uid: &str,
        resource_version: Option<&str>,
    ) -> Result<Deleted<K>, ApiError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: resource_version.map(ToOwned::to_owned),
            }),
            ..DeleteParams::background()
        };
        let delete = |request: Request| request.delete(&key.name, &params);
        let answered = async { deleted(&self.exchange(key, delete).await?) };
        answered
            .await
            .map_err(|error: ApiError| error.during(operation::<K>("delete", key, Part::Main)))
    }

    async fn json(&self, key: &ObjectKey, part: Part, patch: json_patch::Patch) -> Result<K, ApiError> {
        let tested = patch
            .iter()
            .any(|operation| matches!(operation, json_patch::PatchOperation::Test(_)));
        let outcome = self.patch(key, part, &Patch::<()>::Json(patch)).await;
        outcome.map_err(|error| if tested { error.of_tested_patch() } else { error })
    }

    async fn merge(&self, key: &ObjectKey, part: Part, patch: &impl Serialize) -> Result<K, ApiError> {
        self.patch(key, part, &Patch::Merge(patch)).await
    }

    async fn patch<P: Serialize>(
        &self,
        key: &ObjectKey,
        part: Part,
        patch: &Patch<P>,
    ) -> Result<K, ApiError> {
        let params = PatchParams {
            field_manager: Some(self.manager.to_owned()),
            ..PatchParams::default()
        };
        let build = |request: Request| match part {
            Part::Main => request.patch(&key.name, &params, patch),
            Part::Status => request.patch_subresource("status", &key.name, &params, patch),
        };
        self.answer("patch", key, part, build).await
    }

    async fn put(&self, key: &ObjectKey, part: Part, body: Vec<u8>) -> Result<K, ApiError> {
        let params = self.post_params();
        let build = |request: Request| match part {
            Part::Main => request.replace(&key.name, &params, body),
            Part::Status => request.replace_subresource("status", &key.name, &params, body),
        };
        self.answer("update", key, part, build).await
    }

    fn post_params(&self) -> PostParams {
        PostParams {
            field_manager: Some(self.manager.to_owned()),
            ..PostParams::default()
        }
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        verb: &str,
        key: &ObjectKey,
        part: Part,
        build: impl FnOnce(Request) -> Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, ApiError> {
        let answered = async { decode(&self.exchange(key, build).await?) };
        answered
            .await
            .map_err(|error: ApiError| error.during(operation::<K>(verb, key, part)))
    }

    async fn exchange(
        &self,
        key: &ObjectKey,
        build: impl FnOnce(Request) -> Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Bytes, ApiError> {
        let request = built(build(Request::new(path::<K>(self.version, key.namespace()))))?;
        exchange(&self.client, request).await
    }
}

/// What the answer to a DELETE says: a Status of success, or the object.
fn deleted<K: Resource + DeserializeOwned>(answer: &[u8]) -> Result<Deleted<K>, ApiError> {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(default)]
        kind: String,
    }
    if decode_whole::<Kind>(answer)?.kind == "Status" {
        return Ok(Deleted::Gone);
    }
    let object: K = decode(answer)?;
    let is_pending = object.meta().deletion_timestamp.is_some() && !is_gone(&object);
    Ok(if is_pending {
        Deleted::Pending(object)
    } else {
        Deleted::Gone
    })
}

/// True for an object whose deletion is complete: marked, no finalizers and no grace period left.
pub(crate) fn is_gone<K: Resource>(object: &K) -> bool {
    let meta = object.meta();
    meta.deletion_timestamp.is_some()
        && meta.finalizers.as_ref().is_none_or(Vec::is_empty)
        && meta.deletion_grace_period_seconds.unwrap_or_default() == 0
}

/// The parameters of a LIST of this selection.
pub(crate) fn list_params(selection: &Selection) -> ListParams {
    ListParams {
        label_selector: selection.labels.clone(),
        field_selector: selection.fields.clone(),
        ..ListParams::default()
    }
}

fn get(
    key: &ObjectKey,
) -> impl FnOnce(Request) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
    |request| request.get(&key.name, &GetParams::default())
}

fn operation<K: Resource<DynamicType = ()>>(verb: &str, key: &ObjectKey, part: Part) -> String {
    let subresource = match part {
        Part::Main => "",
        Part::Status => "/status",
    };
    format!("{verb} {}{subresource} {key}", K::plural(&()))
}

fn unsendable(error: serde_json::Error) -> ApiError {
    ApiError::bad_request(&format!("the object cannot be sent: {error}"))
}
