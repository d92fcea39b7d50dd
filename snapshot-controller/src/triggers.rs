//! Which keys a change concerns (spec snapshot 2.2, Q3): whoever waits for an object is found through an index, not by the
//! next retry.

use std::sync::Arc;
use std::time::Duration;

use base::{Queue, Scope};
use controller::{Difference, Enqueue};
use crds::v1::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use runtime::objects::{Claim, Volume};
use runtime::{Cache, ObjectKey};

use crate::metrics::Metrics;
use crate::observe::{
    BY_PARTNER, Caches, NodeMeta, WAITING, WAITING_BY_CLAIM, WAITING_BY_CLASS, is_waiting, origins,
    reference_key,
};
use crate::plan::protect::is_protected;
use crate::plan::{Source, class, content_name, is_deleting};

/// The queues of the function.
#[derive(Clone)]
pub(crate) struct Queues {
    pub(crate) snapshots: Queue<ObjectKey>,
    pub(crate) contents: Queue<ObjectKey>,
    pub(crate) claims: Queue<ObjectKey>,
}

/// Fills the queues from all caches, as long as what is returned lives.
pub(crate) fn enqueue(
    caches: &Caches,
    queues: &Queues,
    metrics: &Arc<Metrics>,
    resync: Duration,
    scope: &Scope,
) -> Enqueue {
    let mut enqueue = Enqueue::new();
    let (concerned, counted) = (Concerned::new(caches, queues), metrics.clone());
    let snapshots = enqueue.tell(&caches.snapshots, move |change| {
        if let Some(old) = gone(change) {
            counted.gone(old);
        }
        counted.count(&concerned.caches, change.key);
        if gone(change).is_some() || change.old.is_none() {
            for content in concerned
                .caches
                .contents
                .indexed(BY_PARTNER, &change.key.to_string())
            {
                counted.count_content(&concerned.caches, &ObjectKey::of(&*content));
            }
        }
        concerned.by_snapshot(change);
    });
    snapshots.resync_every(resync, scope);
    let (concerned, counted) = (Concerned::new(caches, queues), metrics.clone());
    let contents = enqueue.tell(&caches.contents, move |change| {
        for key in change.sides().filter_map(reference_key) {
            // Its driver may be known by now.
            counted.count(&concerned.caches, &key);
        }
        counted.count_content(&concerned.caches, change.key);
        concerned.by_content(change);
    });
    contents.resync_every(resync, scope);
    let concerned = Concerned::new(caches, queues);
    enqueue.tell(&caches.classes, move |change| concerned.by_class(change));
    let concerned = Concerned::new(caches, queues);
    enqueue.tell(&caches.claims, move |change| concerned.by_claim(change));
    let concerned = Concerned::new(caches, queues);
    enqueue.tell(&caches.volumes, move |change| concerned.by_volume(change));
    if let Some(nodes) = &caches.nodes {
        let concerned = Concerned::new(caches, queues);
        enqueue.tell(nodes, move |change| concerned.by_node(change));
    }
    enqueue
}

/// The snapshot that went, also when another one of its name has come.
fn gone(change: Difference<'_, VolumeSnapshot>) -> Option<&VolumeSnapshot> {
    let old = change.old?;
    let stays = change.new.is_some_and(|new| new.metadata.uid == old.metadata.uid);
    (!stays).then_some(old)
}

/// Knows who is concerned.
pub(crate) struct Concerned {
    caches: Caches,
    queues: Queues,
}

impl Concerned {
    pub(crate) fn new(caches: &Caches, queues: &Queues) -> Self {
        Self {
            caches: caches.clone(),
            queues: queues.clone(),
        }
    }

    /// The snapshot itself; its claim, which may be free now; the content that it asks for; its contents, when it is gone.
    fn by_snapshot(&self, change: Difference<'_, VolumeSnapshot>) {
        self.queues.snapshots.add(change.key.clone());
        for snapshot in change.sides() {
            match Source::of(snapshot) {
                Source::Dynamic(claim) => {
                    self.held_claim(&ObjectKey::new(change.key.namespace.as_str(), claim))
                }
                // It may be told why it is not bound.
                Source::PreProvisioned(content) if is_waiting(snapshot) => {
                    self.queues.contents.add(ObjectKey::cluster(content));
                }
                Source::PreProvisioned(_) | Source::Member | Source::Invalid => {}
            }
        }
        if let Some(old) = gone(change) {
            if let Some(name) = content_name(old) {
                self.caches.refused.clear(&name);
            }
            add_all(
                &self.queues.contents,
                &self.caches.contents,
                BY_PARTNER,
                &change.key.to_string(),
            );
        }
    }

    fn held_claim(&self, key: &ObjectKey) {
        let claim = self.caches.claims.get(key);
        if claim.is_some_and(|claim| is_protected(&claim)) {
            self.queues.claims.add(key.clone());
        }
    }

    /// The content itself, the snapshot that it refers to with its claim, and those that refer to it.
    fn by_content(&self, change: Difference<'_, VolumeSnapshotContent>) {
        self.queues.contents.add(change.key.clone());
        for content in change.sides() {
            if let Some(key) = reference_key(content) {
                self.going_claim(&key);
                self.queues.snapshots.add(key);
            }
        }
        self.snapshots(BY_PARTNER, &change.key.name);
    }

    /// The claim of a snapshot, if it is held and is to go: that no snapshot of it is taken may let it.
    pub(crate) fn going_claim(&self, snapshot: &ObjectKey) {
        let Some(snapshot) = self.caches.snapshots.get(snapshot) else {
            return;
        };
        let Source::Dynamic(claim) = Source::of(&snapshot) else {
            return;
        };
        let key = ObjectKey::new(snapshot.metadata.namespace.clone().unwrap_or_default(), claim);
        let claim = self.caches.claims.get(&key);
        if claim.is_some_and(|claim| is_deleting(&*claim)) {
            self.held_claim(&key);
        }
    }

    /// Snapshots that wait for this class, or for a default one.
    fn by_class(&self, change: Difference<'_, VolumeSnapshotClass>) {
        self.snapshots(WAITING_BY_CLASS, &change.key.name);
        if change.sides().any(class::is_default) {
            self.snapshots(WAITING_BY_CLASS, "");
        }
    }

    /// Snapshots of this claim that wait; snapshots whose deletion waits for it to be filled; the claim, if it is
    /// held.
    fn by_claim(&self, change: Difference<'_, Claim>) {
        self.snapshots(WAITING_BY_CLAIM, &change.key.to_string());
        for origin in change.sides().flat_map(origins) {
            if let Some((namespace, name)) = origin.split_once('/') {
                self.deleting(ObjectKey::new(namespace, name));
            }
        }
        // One that is gone is forgotten there.
        if change.new.is_none_or(is_protected) {
            self.queues.claims.add(change.key.clone());
        }
    }

    fn deleting(&self, key: ObjectKey) {
        let snapshot = self.caches.snapshots.get(&key);
        if snapshot.is_some_and(|snapshot| snapshot.metadata.deletion_timestamp.is_some()) {
            self.queues.snapshots.add(key);
        }
    }

    /// Snapshots that wait for the volume of their claim.
    fn by_volume(&self, change: Difference<'_, Volume>) {
        for claim in change.sides().filter_map(|volume| volume.claim.as_ref()) {
            let key = ObjectKey::new(claim.namespace.as_str(), claim.name.as_str());
            self.snapshots(WAITING_BY_CLAIM, &key.to_string());
        }
    }

    /// All snapshots that wait. A node's status changes all the time; its labels do not.
    fn by_node(&self, change: Difference<'_, NodeMeta>) {
        let labels = |node: Option<&NodeMeta>| node.and_then(|node| node.metadata.labels.clone());
        if labels(change.old) == labels(change.new) {
            return;
        }
        self.snapshots(WAITING, "");
    }

    fn snapshots(&self, index: &'static str, value: &str) {
        add_all(&self.queues.snapshots, &self.caches.snapshots, index, value);
    }
}

fn add_all<K: runtime::Cached>(queue: &Queue<ObjectKey>, cache: &Cache<K>, index: &'static str, value: &str) {
    for object in cache.indexed(index, value) {
        queue.add(ObjectKey::of(&*object));
    }
}
