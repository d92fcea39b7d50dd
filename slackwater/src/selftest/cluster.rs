//! The requests of the selftest: its objects are followed by watches and made, grown and deleted by one request each.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Random, Scope};
use futures::future::join_all;
use kube::{Client, Resource};
use prometheus::Registry;
use runtime::{ApiError, ApiErrorClass, Cache, Deleted, ObjectKey, Selection, Subscription, Watches, Writer};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::judge::{self, Stage};
use super::objects::{Claim, Event, Object, Pod, Snapshot, Volume, text};

/// Who writes.
const MANAGER: &str = "slackwater-selftest";
/// Between two tries of a request without an answer.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the API server may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// The objects of one run, and the way to the API server.
pub(super) struct Cluster {
    client: Client,
    namespace: String,
    watches: Watches,
    pods: Cache<Pod>,
    claims: Cache<Claim>,
    snapshots: Option<Cache<Snapshot>>,
    changed: Arc<Notify>,
    _subscriptions: Vec<Subscription>,
}

/// Why something did not come about.
#[derive(Debug)]
pub(super) enum Missed {
    /// It is known that it will not.
    Failed(String),
    /// The time is over; what was seen last.
    TooLate(String),
}

impl Cluster {
    /// Follows the objects of a selector. Snapshots are asked for only where they are wanted: their kind may not be there.
    ///
    /// # Errors
    /// A kind cannot be listed, or the API server does not answer.
    pub(super) async fn follow(
        client: &Client,
        (clock, random): (&Clock, &Random),
        scope: &Scope,
        (namespace, selector): (&str, &str),
        with_snapshots: bool,
    ) -> Result<Self, ApiError> {
        let selection = Selection::labels(selector).within(namespace);
        // A watch tries for ever; what is denied or not there is told at once.
        listed::<Claim>(client, &selection).await?;
        listed::<Pod>(client, &selection).await?;
        if with_snapshots {
            listed::<Snapshot>(client, &selection).await?;
        }
        let watches = Watches::new(
            client.clone(),
            clock.clone(),
            random.fork(),
            scope,
            &Registry::new(),
        );
        let changed = Arc::new(Notify::new());
        let pods: Cache<Pod> = watches.cache(selection.clone());
        let claims: Cache<Claim> = watches.cache(selection.clone());
        let snapshots = with_snapshots.then(|| watches.cache::<Snapshot>(selection));
        let mut subscriptions = vec![told(&pods, &changed), told(&claims, &changed)];
        subscriptions.extend(snapshots.iter().map(|cache| told(cache, &changed)));
        Ok(Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
            watches,
            pods,
            claims,
            snapshots,
            changed,
            _subscriptions: subscriptions,
        })
    }

    /// The key of an object of this name.
    pub(super) fn key(&self, name: &str) -> ObjectKey {
        ObjectKey::new(&self.namespace, name)
    }

    pub(super) fn pod(&self, name: &str) -> Option<Value> {
        found(&self.pods, &self.key(name))
    }

    pub(super) fn claim(&self, name: &str) -> Option<Value> {
        found(&self.claims, &self.key(name))
    }

    pub(super) fn snapshot(&self, name: &str) -> Option<Value> {
        found(self.snapshots.as_ref()?, &self.key(name))
    }

    /// Makes a claim.
    ///
    /// # Errors
    /// The API server refuses it, or does not answer.
    pub(super) async fn create_claim(&self, claim: Value) -> Result<(), ApiError> {
        self.create(&self.claims, claim).await
    }

    /// Makes a pod.
    ///
    /// # Errors
    /// The API server refuses it, or does not answer.
    pub(super) async fn create_pod(&self, pod: Value) -> Result<(), ApiError> {
        self.create(&self.pods, pod).await
    }

    /// Makes a snapshot, where they are followed.
    ///
    /// # Errors
    /// The API server refuses it, or does not answer.
    pub(super) async fn create_snapshot(&self, snapshot: Value) -> Result<(), ApiError> {
        match &self.snapshots {
            Some(snapshots) => self.create(snapshots, snapshot).await,
            None => Ok(()),
        }
    }

    async fn create<K>(&self, cache: &Cache<Object<K>>, object: Value) -> Result<(), ApiError>
    where
        K: Resource<DynamicType = ()> + 'static,
    {
        let object =
            Object::<K>::try_from(object).map_err(|error| ApiError::bad_request(&error.to_string()))?;
        let writer: Writer<Object<K>> = Writer::new(&self.client, MANAGER);
        let (writer, object) = (&writer, &object);
        patiently(|attempt| async move {
            match writer.create(object).await {
                // The answer to the request before was lost; nobody else makes objects of this name.
                Err(error) if attempt > 0 && error.class() == ApiErrorClass::AlreadyExists => Ok(()),
                made => made.map(|made| drop(cache.record(made))),
            }
        })
        .await
    }

    /// Asks for a larger claim.
    ///
    /// # Errors
    /// The API server refuses it, or does not answer.
    pub(super) async fn grow(&self, claim: &str, gib: u32) -> Result<(), ApiError> {
        let writer: Writer<Claim> = Writer::new(&self.client, MANAGER);
        let patch = json!({ "spec": { "resources": { "requests": { "storage": format!("{gib}Gi") } } } });
        let key = self.key(claim);
        patiently(|_| writer.patch_merge(&key, &patch)).await?;
        Ok(())
    }

    /// Deletes a pod.
    ///
    /// # Errors
    /// The API server refuses it, or does not answer.
    pub(super) async fn delete_pod(&self, name: &str) -> Result<(), ApiError> {
        match self.pods.get(&self.key(name)) {
            Some(pod) => delete(&self.client, &self.pods, &pod).await,
            None => Ok(()),
        }
    }

    /// Waits until an object is as it should be; what it waits for is told whenever it is another thing.
    ///
    /// # Errors
    /// It will not be so, or is not within the time.
    pub(super) async fn until(
        &self,
        within: Duration,
        judge: impl Fn(&Self) -> Stage,
        mut tell: impl FnMut(&str),
    ) -> Result<(), Missed> {
        let (deadline, mut last) = (Instant::now() + within, String::new());
        loop {
            match judge(self) {
                Stage::Done => return Ok(()),
                Stage::Failed(why) => return Err(Missed::Failed(why)),
                Stage::Waits(seen) if seen != last => {
                    tell(&seen);
                    last = seen;
                }
                Stage::Waits(_) => {}
            }
            if tokio::time::timeout_at(deadline, self.changed.notified())
                .await
                .is_err()
            {
                if !self.is_followed() {
                    last += "; the API server does not answer";
                }
                return Err(Missed::TooLate(last));
            }
        }
    }

    fn is_followed(&self) -> bool {
        self.pods.is_followed()
            && self.claims.is_followed()
            && self.snapshots.as_ref().is_none_or(Cache::is_followed)
    }

    /// The newest warning about objects of these names; none where there is none, or it cannot be read.
    pub(super) async fn warning(&self, names: &[String]) -> Option<String> {
        let writer: Writer<Event> = Writer::new(&self.client, MANAGER);
        let mut events = Vec::new();
        for name in names {
            let about = Selection::fields(format!("involvedObject.name={name}")).within(&self.namespace);
            match writer.list(&about).await {
                Ok(found) => events.extend(found),
                Err(error) => tracing::warn!(%error, "events are not told"),
            }
        }
        judge::last_warning(&events.iter().map(Object::value).collect::<Vec<_>>())
    }

    /// Deletes all that the watches show, until nothing is left of it and of the volumes of the claims.
    ///
    /// # Errors
    /// What is left after that time, and why.
    pub(super) async fn remove_all(&self, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        let _ = tokio::time::timeout_at(deadline, self.caught_up()).await;
        let (mut volumes, mut refusal) = (Vec::<Followed>::new(), None);
        loop {
            self.follow_volumes(&mut volumes);
            if let Err(error) = self.delete_what_is_there().await {
                refusal = Some(error);
            }
            let left = self.left(&volumes);
            if left.is_empty() {
                return Ok(());
            }
            // What could not be deleted is tried again.
            let again = deadline.min(Instant::now() + PAUSE * 5);
            let _ = tokio::time::timeout_at(again, self.changed.notified()).await;
            if Instant::now() >= deadline {
                let why = refusal.map(|error| format!(" ({error})")).unwrap_or_default();
                return Err(format!("{}{why}", left.join(", ")));
            }
        }
    }

    /// What was made is shown.
    async fn caught_up(&self) {
        self.pods.caught_up().await;
        self.claims.caught_up().await;
        if let Some(snapshots) = &self.snapshots {
            snapshots.caught_up().await;
        }
    }

    /// The volumes of the claims, each by its name: those of others are nobody's business here.
    fn follow_volumes(&self, volumes: &mut Vec<Followed>) {
        for claim in self.claims.all() {
            let name = text(claim.value(), "/spec/volumeName");
            if name.is_empty() || volumes.iter().any(|volume| volume.name == name) {
                continue;
            }
            let cache = self
                .watches
                .cache(Selection::fields(format!("metadata.name={name}")));
            volumes.push(Followed {
                name: name.to_owned(),
                _subscription: told(&cache, &self.changed),
                cache,
            });
        }
    }

    async fn delete_what_is_there(&self) -> Result<(), ApiError> {
        delete_all(&self.client, &self.pods).await?;
        if let Some(snapshots) = &self.snapshots {
            delete_all(&self.client, snapshots).await?;
        }
        delete_all(&self.client, &self.claims).await
    }

    fn left(&self, volumes: &[Followed]) -> Vec<String> {
        let mut left = names(&self.pods);
        left.extend(self.snapshots.iter().flat_map(names));
        left.extend(names(&self.claims));
        for volume in volumes {
            if !volume.cache.is_synced() || !volume.cache.is_empty() {
                left.push(Volume::spelled(&ObjectKey::cluster(&volume.name)));
            }
        }
        left
    }
}

/// A volume that is to go.
struct Followed {
    name: String,
    cache: Cache<Volume>,
    _subscription: Subscription,
}

fn told<K>(cache: &Cache<Object<K>>, changed: &Arc<Notify>) -> Subscription
where
    K: Resource<DynamicType = ()> + 'static,
{
    let changed = changed.clone();
    cache.subscribe(move |_| changed.notify_one())
}

fn found<K>(cache: &Cache<Object<K>>, key: &ObjectKey) -> Option<Value>
where
    K: Resource<DynamicType = ()> + 'static,
{
    cache.get(key).map(|object| object.value().clone())
}

fn names<K>(cache: &Cache<Object<K>>) -> Vec<String>
where
    K: Resource<DynamicType = ()> + 'static,
{
    let objects = cache.all().into_iter();
    objects
        .map(|object| Object::<K>::spelled(&ObjectKey::of(&*object)))
        .collect()
}

async fn delete_all<K>(client: &Client, cache: &Cache<Object<K>>) -> Result<(), ApiError>
where
    K: Resource<DynamicType = ()> + 'static,
{
    let objects: Vec<_> = cache
        .all()
        .into_iter()
        .filter(|object| !object.is_deleting())
        .collect();
    let deleted = join_all(objects.iter().map(|object| delete(client, cache, object))).await;
    deleted.into_iter().collect()
}

async fn delete<K>(client: &Client, cache: &Cache<Object<K>>, object: &Object<K>) -> Result<(), ApiError>
where
    K: Resource<DynamicType = ()> + 'static,
{
    let (key, uid) = (ObjectKey::of(object), text(object.value(), "/metadata/uid"));
    match Writer::<Object<K>>::new(client, MANAGER)
        .delete(&key, uid, None)
        .await
    {
        Ok(Deleted::Gone) => cache.record_deleted(&key, uid),
        Ok(Deleted::Pending(marked)) => {
            cache.record(marked);
        }
        // Gone, and perhaps made again under its name.
        Err(error) if matches!(error.class(), ApiErrorClass::NotFound | ApiErrorClass::Conflict) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// All objects of a kind.
///
/// # Errors
/// The API server refuses it, or does not answer.
pub(super) async fn listed<K>(client: &Client, selection: &Selection) -> Result<Vec<K>, ApiError>
where
    K: runtime::Cached,
{
    let writer: Writer<K> = Writer::new(client, MANAGER);
    patiently(|_| writer.list(selection)).await
}

/// One object.
///
/// # Errors
/// The API server refuses it, or does not answer.
pub(super) async fn read<K>(client: &Client, key: &ObjectKey) -> Result<K, ApiError>
where
    K: runtime::Cached,
{
    let writer: Writer<K> = Writer::new(client, MANAGER);
    patiently(|_| writer.get(key)).await
}

/// Repeats a request while it has no answer, for as long as the API server may be silent. It is told how many there were before.
async fn patiently<T, F>(mut ask: impl FnMut(u32) -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    let (deadline, mut attempt) = (Instant::now() + SILENCE, 0);
    loop {
        let error = match ask(attempt).await {
            Err(error) if error.class() == ApiErrorClass::Transient => error,
            answered => return answered,
        };
        if Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(error.retry_after().unwrap_or(PAUSE)).await;
        attempt += 1;
    }
}
