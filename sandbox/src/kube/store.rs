//! Direct access to the objects, for actors and tests: the same rules, no HTTP, no audit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use serde_json::Value;
use tokio::sync::mpsc;

use super::collection::{Change, ChangeKind};
use super::delete::{self, DeleteOptions};
use super::error::ApiError;
use super::object::{Object, metadata_str};
use super::quota::{self, Amounts};
use super::resource::GroupResource;
use super::server::Inner;
use super::state::State;
use super::write::{self, Operation, Target};

/// The objects as one user reaches them. Every call is atomic and takes effect at once.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    user: String,
}

/// The changes of some types, in order. See [`Store::subscribe`].
#[derive(Debug)]
pub struct Subscription {
    receiver: mpsc::UnboundedReceiver<Change>,
}

impl Store {
    pub(crate) fn new(inner: Arc<Inner>, user: &str) -> Self {
        Self {
            inner,
            user: user.to_owned(),
        }
    }

    /// The object, in the storage version of its type. `namespace` is empty for objects of the cluster.
    #[must_use]
    pub fn get(&self, resource: GroupResource<'_>, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.inner.lock().object(resource, namespace, name).cloned()
    }

    /// The objects of a namespace, or all, in key order.
    #[must_use]
    pub fn list(&self, resource: GroupResource<'_>, namespace: Option<&str>) -> Vec<Arc<Object>> {
        let state = self.inner.lock();
        let collection = state.collection(resource);
        collection
            .into_iter()
            .flat_map(|collection| collection.range(namespace, None))
            .cloned()
            .collect()
    }

    /// Creates an object; its namespace stands in its metadata.
    ///
    /// # Errors
    /// As those of a POST.
    pub fn create(&self, resource: GroupResource<'_>, object: Value) -> Result<Arc<Object>, ApiError> {
        let namespace = metadata_str(&object, "namespace").to_owned();
        self.with_target(resource, &namespace, "", "", |state, target| {
            write::create(state, target, object, Operation::Update)
        })
    }

    /// Changes an object (all but its status, where that is a subresource). No write when nothing changes.
    ///
    /// # Errors
    /// As those of a PUT of what `change` leaves.
    pub fn update(
        &self,
        resource: GroupResource<'_>,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Object>, ApiError> {
        self.change(resource, namespace, name, "", change)
    }

    /// Changes the status of an object.
    ///
    /// # Errors
    /// As those of a PUT of the status subresource with what `change` leaves.
    pub fn update_status(
        &self,
        resource: GroupResource<'_>,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Object>, ApiError> {
        self.change(resource, namespace, name, "status", change)
    }

    fn change(
        &self,
        resource: GroupResource<'_>,
        namespace: &str,
        name: &str,
        subresource: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Object>, ApiError> {
        self.with_target(resource, namespace, name, subresource, |state, target| {
            let stored = target.stored(state)?;
            let old = write::seen(target, &stored);
            let mut new = old.clone().into_owned();
            change(&mut new);
            write::update(state, target, &stored, &old, new, Operation::Update)
        })
    }

    /// Deletes an object with grace 0 (pods go at once), or begins to where finalizers keep it.
    /// With `uid`, only that object.
    ///
    /// # Errors
    /// NotFound, Conflict for another UID.
    pub fn delete(
        &self,
        resource: GroupResource<'_>,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
    ) -> Result<Arc<Object>, ApiError> {
        self.with_target(resource, namespace, name, "", |state, target| {
            let stored = target.stored(state)?;
            let options = DeleteOptions {
                uid: uid.map(str::to_owned),
                grace_seconds: Some(0),
                ..DeleteOptions::default()
            };
            delete::delete(state, &target.resource, &stored, &options).map(|deleted| deleted.object)
        })
    }

    /// Every present object of these types as added, type by type, then every change in order.
    /// Nothing is lost however late it is read; a type may be registered later.
    #[must_use]
    pub fn subscribe(&self, resources: &[GroupResource<'_>]) -> Subscription {
        Subscription {
            receiver: self.inner.lock().subscribe(resources),
        }
    }

    /// The changes that are wanted, by type and kind: of the present objects as added, type by type, then as they come.
    pub(crate) fn subscribe_where(
        &self,
        wanted: impl Fn(GroupResource<'_>, ChangeKind) -> bool + Send + 'static,
    ) -> Subscription {
        Subscription {
            receiver: self.inner.lock().subscribe_where(wanted),
        }
    }

    /// What the objects of a namespace take of the named limits of a quota.
    pub(crate) fn used<'a>(&self, namespace: &str, names: impl Iterator<Item = &'a str> + Clone) -> Amounts {
        quota::used(&self.inner.lock(), namespace, names)
    }

    fn with_target<T>(
        &self,
        resource: GroupResource<'_>,
        namespace: &str,
        name: &str,
        subresource: &str,
        operation: impl FnOnce(&mut State, &Target<'_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut state = self.inner.lock();
        let collection = state
            .collection(resource)
            .ok_or_else(ApiError::no_such_resource)?;
        let resource = collection.resource.clone();
        let version = resource.storage().to_owned();
        let target = Target {
            resource,
            version: &version,
            namespace,
            name,
            subresource,
            manager: &self.user,
            dry_run: false,
        };
        operation(&mut state, &target)
    }
}

impl Subscription {
    /// The next change; none when the server is gone.
    pub async fn next(&mut self) -> Option<Change> {
        self.receiver.recv().await
    }

    /// The next change that is there already.
    pub fn try_next(&mut self) -> Option<Change> {
        self.receiver.try_recv().ok()
    }
}

impl Stream for Subscription {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        self.receiver.poll_recv(context)
    }
}
