//! Which keys a change wakes (spec snapshot 2.2, Q3): whoever waits for an object is found through an index, not
//! by the next retry.

use base::{Queue, Scope};
use crds::v1::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use runtime::objects::{Claim, Volume};
use runtime::{Change, ObjectKey, Subscription};

use std::sync::Arc;
use std::time::Duration;

use crate::metrics::Metrics;
use crate::observe::{
    BY_CLAIM, BY_PARTNER, Caches, WAITING_BY_CLASS, is_protected, is_waiting, origins, reference_key,
};
use crate::plan::{Source, class};

/// The queues of the function.
#[derive(Clone)]
pub(crate) struct Queues {
    pub(crate) snapshots: Queue<ObjectKey>,
    pub(crate) contents: Queue<ObjectKey>,
    pub(crate) claims: Queue<ObjectKey>,
}

/// Subscribes the queues to all caches. They are woken as long as the subscriptions live.
pub(crate) fn subscribe(
    caches: &Caches,
    queues: &Queues,
    metrics: &Arc<Metrics>,
    resync: Duration,
    scope: &Scope,
) -> Vec<Subscription> {
    let mut subscriptions = Vec::new();
    let wake = Wake {
        caches: caches.clone(),
        queues: queues.clone(),
    };
    let (of, metrics) = (wake.clone(), metrics.clone());
    let snapshots = caches.snapshots.subscribe(move |change| {
        if let Some(old) = gone(change) {
            metrics.gone(old);
        }
        of.snapshot(change);
    });
    snapshots.resync_every(resync, scope);
    let of = wake.clone();
    let contents = caches.contents.subscribe(move |change| of.content(change));
    contents.resync_every(resync, scope);
    subscriptions.extend([snapshots, contents]);
    let of = wake.clone();
    subscriptions.push(caches.classes.subscribe(move |change| of.class(change)));
    let of = wake.clone();
    subscriptions.push(caches.claims.subscribe(move |change| of.claim(change)));
    let of = wake.clone();
    subscriptions.push(caches.volumes.subscribe(move |change| of.volume(change)));
    if let Some(nodes) = &caches.nodes {
        subscriptions.push(nodes.subscribe(move |change| {
            // A node's status changes all the time; its labels do not.
            if change.old.as_ref().map(|node| &node.metadata.labels)
                != change.new.as_ref().map(|node| &node.metadata.labels)
            {
                wake.node();
            }
        }));
    }
    subscriptions
}

/// The snapshot that went, also when another one of its name has come.
fn gone(change: &Change<VolumeSnapshot>) -> Option<&VolumeSnapshot> {
    let old = change.old.as_deref()?;
    let stays = change
        .new
        .as_ref()
        .is_some_and(|new| new.metadata.uid == old.metadata.uid);
    (!stays).then_some(old)
}

#[derive(Clone)]
struct Wake {
    caches: Caches,
    queues: Queues,
}

impl Wake {
    /// The snapshot itself; its claim, which may be free now; its contents, when it is gone.
    fn snapshot(&self, change: &Change<VolumeSnapshot>) {
        self.queues.snapshots.add(change.key.clone());
        for snapshot in change.old.iter().chain(&change.new) {
            if let Source::Dynamic(claim) = Source::of(snapshot) {
                self.held_claim(&ObjectKey::new(change.key.namespace.as_str(), claim));
            }
        }
        if gone(change).is_some() {
            for content in self.caches.contents.indexed(BY_PARTNER, &change.key.to_string()) {
                self.queues.contents.add(ObjectKey::of(&*content));
            }
        }
    }

    fn held_claim(&self, key: &ObjectKey) {
        if self
            .caches
            .claims
            .get(key)
            .is_some_and(|claim| is_protected(&claim))
        {
            self.queues.claims.add(key.clone());
        }
    }

    /// The content itself, the snapshot that it refers to, and those that refer to it.
    fn content(&self, change: &Change<VolumeSnapshotContent>) {
        self.queues.contents.add(change.key.clone());
        for content in change.old.iter().chain(&change.new) {
            if let Some(key) = reference_key(content) {
                self.queues.snapshots.add(key);
            }
        }
        for snapshot in self.caches.snapshots.indexed(BY_PARTNER, &change.key.name) {
            self.queues.snapshots.add(ObjectKey::of(&*snapshot));
        }
    }

    /// Snapshots that wait for this class, or for a default one.
    fn class(&self, change: &Change<VolumeSnapshotClass>) {
        self.waiting(WAITING_BY_CLASS, &change.key.name);
        if change
            .old
            .iter()
            .chain(&change.new)
            .any(|changed| class::is_default(changed))
        {
            self.waiting(WAITING_BY_CLASS, "");
        }
    }

    /// Snapshots of this claim that wait; snapshots whose deletion waits for it to be filled; the claim, if it is
    /// held.
    fn claim(&self, change: &Change<Claim>) {
        self.waiting(BY_CLAIM, &change.key.to_string());
        for claim in change.old.iter().chain(&change.new) {
            for origin in origins(claim) {
                if let Some((namespace, name)) = origin.split_once('/') {
                    self.deleting(ObjectKey::new(namespace, name));
                }
            }
        }
        // One that is gone is forgotten there.
        if change.new.is_none() || change.new.as_ref().is_some_and(|claim| is_protected(claim)) {
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
    fn volume(&self, change: &Change<Volume>) {
        for volume in change.old.iter().chain(&change.new) {
            if let Some(claim) = &volume.claim {
                let key = ObjectKey::new(claim.namespace.as_str(), claim.name.as_str());
                self.waiting(BY_CLAIM, &key.to_string());
            }
        }
    }

    /// All snapshots that wait.
    fn node(&self) {
        for snapshot in self.caches.snapshots.all() {
            if is_waiting(&snapshot) {
                self.queues.snapshots.add(ObjectKey::of(&*snapshot));
            }
        }
    }

    fn waiting(&self, index: &'static str, value: &str) {
        for snapshot in self.caches.snapshots.indexed(index, value) {
            if is_waiting(&snapshot) {
                self.queues.snapshots.add(ObjectKey::of(&*snapshot));
            }
        }
    }
}
