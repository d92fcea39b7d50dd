//! Which keys a change concerns, for groups (spec snapshot 2.2, Q3, Q34, Q38).

use std::sync::Arc;
use std::time::Duration;

use base::{Queue, Scope};
use controller::{Difference, Enqueue};
use crds::group::v1::{
    VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent, VolumeGroupSnapshotStatus,
};
use runtime::objects::{Claim, ClaimPhase, Volume};
use runtime::{Cache, ObjectKey};

use super::caches::{GroupCaches, WAITING_BY_NAMESPACE, handle, reference_key};
use super::follow::Queues;
use crate::metrics::Metrics;
use crate::observe::{BY_GROUP, BY_GROUP_HANDLE, BY_PARTNER, Caches, WAITING_BY_CLASS, groups_of, origins};
use crate::plan::group::create::is_default;

/// Fills the queues from the caches, as long as what is returned lives.
pub(super) fn enqueue(
    concerned: &Arc<Concerned>,
    metrics: &Arc<Metrics>,
    resync: Duration,
    scope: &Scope,
) -> Enqueue {
    let mut enqueue = Enqueue::new();
    let (caches, groups) = (concerned.caches.clone(), concerned.groups.clone());
    let (told, counted) = (concerned.clone(), metrics.clone());
    let subscription = enqueue.tell(&groups.groups, move |change| {
        if let Some(old) = change.old.filter(|_| is_gone(change)) {
            counted.gone_group(old);
        }
        told.by_group(change);
    });
    subscription.resync_every(resync, scope);
    let told = concerned.clone();
    let subscription = enqueue.tell(&groups.contents, move |change| told.by_content(change));
    subscription.resync_every(resync, scope);
    let told = concerned.clone();
    enqueue.tell(&groups.classes, move |change| told.by_class(change));
    let told = concerned.clone();
    enqueue.tell(&caches.claims, move |change| told.by_claim(change));
    let told = concerned.clone();
    enqueue.tell(&caches.volumes, move |change| told.by_volume(change));
    enqueue
}

/// Knows who is concerned.
pub(super) struct Concerned {
    pub(super) caches: Caches,
    pub(super) groups: GroupCaches,
    pub(super) queues: Queues,
    pub(super) snapshots: Queue<ObjectKey>,
}

impl Concerned {
    /// The group itself, unless only its error was written: whoever refuses it does so by its own timer. Its members and
    /// its contents, when it comes or goes.
    fn by_group(&self, change: Difference<'_, VolumeGroupSnapshot>) {
        let differs = match (change.old, change.new) {
            (Some(old), Some(new)) => but_for_its_error(old) != but_for_its_error(new),
            _ => true,
        };
        if differs {
            self.queues.groups.add(change.key.clone());
        }
        let key = change.key.to_string();
        if change.old.is_none() || is_gone(change) {
            add_all(&self.snapshots, &self.caches.snapshots, BY_GROUP, &key);
            // Those that nobody has told their group.
            let contents = self.groups.contents.indexed(BY_PARTNER, &key);
            let handles = contents.iter().filter_map(|content| handle(content));
            handles.for_each(|handle| self.by_group_handle(handle));
        }
        if is_gone(change) {
            add_all(&self.queues.contents, &self.groups.contents, BY_PARTNER, &key);
        }
    }

    /// The content itself, the group that it refers to, and those that refer to it. Snapshots that wait for the name of
    /// the group of this handle.
    fn by_content(&self, change: Difference<'_, VolumeGroupSnapshotContent>) {
        self.queues.contents.add(change.key.clone());
        for key in change.sides().filter_map(reference_key) {
            self.queues.groups.add(key);
        }
        add_all(
            &self.queues.groups,
            &self.groups.groups,
            BY_PARTNER,
            &change.key.name,
        );
        let (old, new) = (change.old.and_then(handle), change.new.and_then(handle));
        if old != new {
            let handles = old.into_iter().chain(new);
            handles.for_each(|handle| self.by_group_handle(handle));
        }
    }

    /// Snapshots whose contents bear the handle of this group.
    fn by_group_handle(&self, handle: &str) {
        for content in self.caches.contents.indexed(BY_GROUP_HANDLE, handle) {
            if let Some(key) = crate::observe::reference_key(&content) {
                self.snapshots.add(key);
            }
        }
    }

    /// Groups that wait for this class, or for a default one.
    fn by_class(&self, change: Difference<'_, VolumeGroupSnapshotClass>) {
        self.waiting(WAITING_BY_CLASS, &change.key.name);
        if change.sides().any(is_default) {
            self.waiting(WAITING_BY_CLASS, "");
        }
    }

    /// Groups of the namespace that have no content, once a claim is bound or gone: it may be the one that they wait for.
    /// Groups whose deletion waits for the claim to be filled.
    fn by_claim(&self, change: Difference<'_, Claim>) {
        let is_bound = |claim: Option<&Claim>| claim.is_some_and(|claim| claim.phase == ClaimPhase::Bound);
        if is_bound(change.new) != is_bound(change.old) || change.new.is_none() {
            self.waiting(WAITING_BY_NAMESPACE, &change.key.namespace);
        }
        for origin in change.sides().flat_map(origins) {
            let Some((namespace, name)) = origin.split_once('/') else {
                continue;
            };
            let snapshot = self.caches.snapshots.get(&ObjectKey::new(namespace, name));
            for group in snapshot.iter().flat_map(|snapshot| groups_of(snapshot)) {
                if let Some((namespace, name)) = group.split_once('/') {
                    self.queues.groups.add(ObjectKey::new(namespace, name));
                }
            }
        }
    }

    /// Groups that wait for the volume of a claim of their namespace.
    fn by_volume(&self, change: Difference<'_, Volume>) {
        if change.old.map(|volume| &volume.claim) == change.new.map(|volume| &volume.claim) {
            return;
        }
        for claim in change.sides().filter_map(|volume| volume.claim.as_ref()) {
            self.waiting(WAITING_BY_NAMESPACE, &claim.namespace);
        }
    }

    fn waiting(&self, index: &'static str, value: &str) {
        add_all(&self.queues.groups, &self.groups.groups, index, value);
    }
}

/// It went, also when another one of its name has come.
fn is_gone(change: Difference<'_, VolumeGroupSnapshot>) -> bool {
    let uid = |group: Option<&VolumeGroupSnapshot>| group.and_then(|group| group.metadata.uid.clone());
    change.old.is_some() && uid(change.old) != uid(change.new)
}

fn but_for_its_error(group: &VolumeGroupSnapshot) -> VolumeGroupSnapshot {
    let mut group = group.clone();
    group.metadata.resource_version = None;
    group.metadata.managed_fields = None;
    if let Some(status) = &mut group.status {
        status.error = None;
        // It is lowered with the error, and in a first status both are all.
        status.ready_to_use = status.ready_to_use.filter(|ready| *ready);
    }
    group.status = group
        .status
        .filter(|status| *status != VolumeGroupSnapshotStatus::default());
    group
}

fn add_all<K: runtime::Cached>(queue: &Queue<ObjectKey>, cache: &Cache<K>, index: &'static str, value: &str) {
    for object in cache.indexed(index, value) {
        queue.add(ObjectKey::of(&*object));
    }
}
