//! Whether volumes are in use, watched only while a driver has refused one for it. Source: resize.md section 7.
//!
//! VolumeAttachments where the driver attaches volumes and our role shows them, else the pods of the claim's namespace, else
//! nothing: one access review a term and verb decides, never a denied request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Clock, Queue, Random, Scope};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::storage::v1::CSIDriver;
use kube::Api;
use kube::core::ObjectMeta;
use prometheus::Registry;
use runtime::ApiErrorClass;
use runtime::access::{Permission, may, verdict};
use runtime::cache::IndexTaken;
use runtime::objects::{Attachment, Claim};
use runtime::{Cache, ObjectKey, Selection, Subscription, Watches};
use serde::Deserialize;

use crate::observe::Usage;

const GET_DRIVERS: Permission = Permission {
    verb: "get",
    group: "storage.k8s.io",
    resource: "csidrivers",
};
const LIST_ATTACHMENTS: Permission = Permission {
    verb: "list",
    group: "storage.k8s.io",
    resource: "volumeattachments",
};
const WATCH_ATTACHMENTS: Permission = Permission {
    verb: "watch",
    ..LIST_ATTACHMENTS
};
const LIST_PODS: Permission = Permission {
    verb: "list",
    group: "",
    resource: "pods",
};
const WATCH_PODS: Permission = Permission {
    verb: "watch",
    ..LIST_PODS
};
/// Index of pods by claim.
const BY_CLAIM: &str = "claim";

/// Finds out which volumes are in use. Clones share what is known.
#[derive(Clone)]
pub(crate) struct Usages {
    inner: Arc<Inner>,
}

struct Inner {
    /// The driver's name.
    driver: String,
    client: kube::Client,
    clock: Clock,
    random: Random,
    scope: Scope,
    queue: Queue<ObjectKey>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    source: Source,
    /// Claims that were refused.
    records: BTreeSet<ObjectKey>,
    /// Ends when the last record goes.
    attachments: Option<Watched<Attachment>>,
    /// By namespace.
    pods: BTreeMap<String, Watched<PodUse>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Source {
    #[default]
    Unasked,
    Asking,
    Attachments,
    Pods,
    Nothing,
}

/// A cache of its own, whose watch ends with it.
struct Watched<K> {
    cache: Cache<K>,
    _subscription: Subscription,
    _watches: Watches,
    scope: Scope,
}

impl<K> Drop for Watched<K> {
    fn drop(&mut self) {
        self.scope.abort();
    }
}

impl Usages {
    pub(crate) fn new(
        driver: &str,
        client: kube::Client,
        clock: Clock,
        random: Random,
        scope: &Scope,
        queue: Queue<ObjectKey>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                driver: driver.to_owned(),
                client,
                clock,
                random,
                scope: scope.child(),
                queue,
                state: Mutex::default(),
            }),
        }
    }

    /// What is known of the claim's volume. With a record the watches that it takes are begun; who learns anything
    /// queues the claim.
    pub(crate) fn of(&self, key: &ObjectKey, claim: &Claim, is_recorded: bool) -> Usage {
        let Some(volume) = claim.volume_name.as_deref().filter(|_| is_recorded) else {
            return Usage::Unknown;
        };
        let mut state = self.inner.lock();
        state.records.insert(key.clone());
        match state.source {
            Source::Unasked => {
                state.source = Source::Asking;
                self.ask();
                Usage::Unknown
            }
            Source::Asking => Usage::Unknown,
            Source::Nothing => Usage::Hidden,
            Source::Attachments => {
                let watched = state.attachments.get_or_insert_with(|| self.attachments());
                answer(&watched.cache, |cache| cache.attaches(volume))
            }
            Source::Pods => {
                let namespace = key.namespace.clone();
                let watched = state.pods.entry(namespace.clone());
                let watched = watched.or_insert_with(|| self.pods(&namespace));
                answer(&watched.cache, |cache| cache.has(BY_CLAIM, &key.name))
            }
        }
    }

    /// The claim is not, or no longer, of interest.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        let mut state = self.inner.lock();
        if !state.records.remove(key) {
            return;
        }
        let dropped = state.records.is_empty().then(|| state.attachments.take());
        let records = std::mem::take(&mut state.records);
        let needed = |namespace: &String| records.iter().any(|record| record.namespace == *namespace);
        let (kept, pods): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut state.pods)
            .into_iter()
            .partition(|(namespace, _)| needed(namespace));
        state.pods = kept;
        state.records = records;
        drop(state);
        // Outside of the lock: dropping ends subscriptions.
        drop((dropped, pods));
    }

    /// Asks once what our role allows, then queues who waits.
    fn ask(&self) {
        let inner = Arc::downgrade(&self.inner);
        let (client, random) = (self.inner.client.clone(), self.inner.random.fork());
        let driver = self.inner.driver.clone();
        self.inner.scope.spawn(async move {
            let source = source(&client, &random, &driver).await;
            if let Some(inner) = inner.upgrade() {
                let mut state = inner.lock();
                state.source = source;
                let records = state.records.clone();
                drop(state);
                records.into_iter().for_each(|key| inner.queue.add(key));
            }
        });
    }

    fn attachments(&self) -> Watched<Attachment> {
        self.watch(Selection::default(), Cache::<Attachment>::index_by_volume)
    }

    fn pods(&self, namespace: &str) -> Watched<PodUse> {
        let running = "status.phase!=Succeeded,status.phase!=Failed";
        self.watch(
            Selection::fields(running).within(namespace),
            |cache: &Cache<PodUse>| {
                cache.index(BY_CLAIM, |pod: &PodUse| pod.claims.iter().cloned().collect())
            },
        )
    }

    fn watch<K: runtime::cache::Cached>(
        &self,
        selection: Selection,
        index: impl Fn(&Cache<K>) -> Result<(), IndexTaken>,
    ) -> Watched<K> {
        let inner = &self.inner;
        let scope = inner.scope.child();
        let (client, clock) = (inner.client.clone(), inner.clock.clone());
        // Its metrics would come and go.
        let watches = Watches::new(client, clock, inner.random.fork(), &scope, &Registry::new());
        let cache = watches.cache::<K>(selection);
        if let Err(error) = index(&cache) {
            tracing::error!(%error, "cannot see whether volumes are in use");
        }
        let wake = |inner: &Inner| {
            let records = inner.lock().records.clone();
            records.into_iter().for_each(|key| inner.queue.add(key));
        };
        let told = Arc::downgrade(inner);
        let subscription = cache.subscribe(move |change| {
            // What ends may free a volume.
            if change.old.is_some()
                && let Some(inner) = told.upgrade()
            {
                wake(&inner);
            }
        });
        let (synced, told) = (cache.clone(), Arc::downgrade(inner));
        scope.spawn(async move {
            synced.synced().await;
            if let Some(inner) = told.upgrade() {
                wake(&inner);
            }
        });
        Watched {
            cache,
            _subscription: subscription,
            _watches: watches,
            scope,
        }
    }
}

/// What shows that a volume of the driver is in use, as far as our role lets us look.
async fn source(client: &kube::Client, random: &Random, driver: &str) -> Source {
    let both = async |list, watch| may(client, random, list).await && may(client, random, watch).await;
    if attaches(client, random, driver).await && both(LIST_ATTACHMENTS, WATCH_ATTACHMENTS).await {
        return Source::Attachments;
    }
    if both(LIST_PODS, WATCH_PODS).await {
        return Source::Pods;
    }
    tracing::warn!(
        "cannot see whether volumes are in use: neither volumeattachments, where the driver has them, nor pods may be listed"
    );
    Source::Nothing
}

/// `attachRequired` of the driver's CSIDriver; true where there is none, or where our role does not show it.
async fn attaches(client: &kube::Client, random: &Random, driver: &str) -> bool {
    if !may(client, random, GET_DRIVERS).await {
        return true;
    }
    let drivers: Api<CSIDriver> = Api::all(client.clone());
    match verdict(random, || drivers.get(driver)).await {
        Ok(found) => found.spec.attach_required.unwrap_or(true),
        Err(error) => {
            if error.class() != ApiErrorClass::NotFound {
                tracing::warn!(%error, "cannot see whether the CSI driver attaches volumes; it is taken to");
            }
            true
        }
    }
}

fn answer<K: runtime::cache::Cached>(cache: &Cache<K>, is_used: impl FnOnce(&Cache<K>) -> bool) -> Usage {
    if !cache.is_synced() {
        Usage::Unknown
    } else if is_used(cache) {
        Usage::InUse
    } else {
        Usage::Free
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pod on a node, and the claims that it uses.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(from = "Pod")]
struct PodUse {
    metadata: ObjectMeta,
    claims: BTreeSet<String>,
}

/// Name, namespace, UID, version and deletion.
fn trimmed(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        ..ObjectMeta::default()
    }
}

impl From<Pod> for PodUse {
    /// A pod without a node uses nothing yet (Q21).
    fn from(pod: Pod) -> Self {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let spec = pod
            .spec
            .filter(|spec| spec.node_name.as_deref().is_some_and(|node| !node.is_empty()));
        let volumes = spec.and_then(|spec| spec.volumes).unwrap_or_default();
        let claims = volumes.into_iter().filter_map(|volume| {
            match (volume.persistent_volume_claim, volume.ephemeral) {
                (Some(claim), _) => Some(claim.claim_name),
                (None, Some(_)) => Some(format!("{name}-{}", volume.name)),
                (None, None) => None,
            }
        });
        Self {
            claims: claims.collect(),
            metadata: trimmed(pod.metadata),
        }
    }
}

runtime::part_of!(PodUse, Pod);
