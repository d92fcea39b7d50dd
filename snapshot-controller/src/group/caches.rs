//! The caches of the group kinds, and what is read from them. Synchronous; sends nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crds::group::v1::{VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent};
use crds::names::group as names;
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use kube::ResourceExt;
use runtime::cache::IndexTaken;
use runtime::migration;
use runtime::objects::Volume;
use runtime::{Cache, ObjectKey, Selection, Watches};

use crate::observe::{
    BY_GROUP, BY_PARTNER, Caches, DEFAULTS, Names, WAITING_BY_CLASS, group_handle, joined, look,
};
use crate::plan::group::content::ObservedGroupContent;
use crate::plan::group::{
    ObservedGroup, ObservedMember, SelectedClaim, bound_name, content_name, create, delete as group_delete,
    is_ready, may_bind, member,
};
use crate::plan::{Lookup, delete, is_deleting};

/// Groups without a content, by their namespace.
pub(super) const WAITING_BY_NAMESPACE: &str = "waiting-by-namespace";
/// Contents of groups by their handle.
const BY_HANDLE: &str = "handle";
/// Volumes by driver and handle.
const BY_VOLUME: &str = "volume";

/// The caches of the group kinds.
#[derive(Clone)]
pub(crate) struct GroupCaches {
    pub(super) groups: Cache<VolumeGroupSnapshot>,
    pub(super) contents: Cache<VolumeGroupSnapshotContent>,
    pub(super) classes: Cache<VolumeGroupSnapshotClass>,
    /// Contents whose POST had an unclear outcome.
    pub(super) unclear: Arc<Names>,
}

/// What is known of the group kinds. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Switch(Arc<Mutex<Known>>);

#[derive(Clone, Default)]
enum Known {
    /// Not yet whether there are any, or not all that there is.
    #[default]
    Nothing,
    /// There are none, or they are not ours to look at.
    Off,
    On(Box<GroupCaches>),
}

impl Switch {
    pub(super) fn off(&self) {
        *self.lock() = Known::Off;
    }

    pub(super) fn on(&self, caches: &GroupCaches) {
        *self.lock() = Known::On(Box::new(caches.clone()));
    }

    /// The group that a snapshot is a member of: by its owner reference, else by its status, else by the handle of its
    /// content. A content whose group nobody knows belongs to none (spec snapshot Q11), and neither does a snapshot whose
    /// group has only the name of the one that it was cut with.
    pub(crate) fn group_of(
        &self,
        snapshot: &VolumeSnapshot,
        content: Option<&VolumeSnapshotContent>,
    ) -> Lookup<Arc<VolumeGroupSnapshot>> {
        let owner = member::owner(snapshot);
        let by_status = || {
            let status = snapshot.status.as_ref()?;
            status.volume_group_snapshot_name.clone()
        };
        let named = owner.map(|owner| owner.name.clone()).or_else(by_status);
        let handle = content.and_then(group_handle);
        if named.is_none() && handle.is_none() {
            return Lookup::NotReferenced;
        }
        let caches = match &*self.lock() {
            Known::Nothing => return Lookup::Unknown,
            Known::Off => return Lookup::NotReferenced,
            Known::On(caches) => caches.clone(),
        };
        let namespace = snapshot.namespace().unwrap_or_default();
        if let Some(name) = named {
            let found = caches.groups.get(&ObjectKey::new(namespace, name));
            let same = |group: &Arc<VolumeGroupSnapshot>| match owner {
                Some(owner) => group.metadata.uid.as_ref() == Some(&owner.uid),
                None => handle.is_some_and(|handle| caches.is_of(group, handle)),
            };
            return look(found.filter(same));
        }
        let found = handle.and_then(|handle| caches.by_handle(&namespace, handle));
        found.map_or(Lookup::NotReferenced, Lookup::Found)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupCaches {
    /// Starts the watches and their indexes.
    pub(super) fn start(watches: &Watches, caches: &Caches) -> Result<Self, IndexTaken> {
        let started = Self {
            groups: watches.cache(Selection::default()),
            contents: watches.cache(Selection::default()),
            classes: watches.cache(Selection::default()),
            unclear: Arc::default(),
        };
        started.index()?;
        caches.volumes.index(BY_VOLUME, |volume: &Volume| {
            let csi = migration::source_of(volume).into_iter();
            csi.map(|csi| place(&csi.driver, &csi.volume_handle)).collect()
        })?;
        Ok(started)
    }

    fn index(&self) -> Result<(), IndexTaken> {
        self.groups
            .index(WAITING_BY_CLASS, |group: &VolumeGroupSnapshot| {
                let class = group.spec.volume_group_snapshot_class_name.clone();
                let is_waiting = !is_ready(group) && !is_deleting(group);
                is_waiting
                    .then(|| class.unwrap_or_default())
                    .into_iter()
                    .collect()
            })?;
        self.groups
            .index(WAITING_BY_NAMESPACE, |group: &VolumeGroupSnapshot| {
                let is_waiting = bound_name(group).is_none() && !is_deleting(group);
                group.namespace().filter(|_| is_waiting).into_iter().collect()
            })?;
        self.groups.index(BY_PARTNER, |group: &VolumeGroupSnapshot| {
            content_name(group).into_iter().collect()
        })?;
        self.contents
            .index(BY_PARTNER, |content: &VolumeGroupSnapshotContent| {
                let reference = &content.spec.volume_group_snapshot_ref;
                let name = reference.name.as_deref().unwrap_or_default();
                vec![joined(reference.namespace.as_deref(), name)]
            })?;
        self.contents
            .index(BY_HANDLE, |content: &VolumeGroupSnapshotContent| {
                handle(content).map(str::to_owned).into_iter().collect()
            })?;
        self.classes
            .index(DEFAULTS, |candidate: &VolumeGroupSnapshotClass| {
                create::is_default(candidate)
                    .then(String::new)
                    .into_iter()
                    .collect()
            })
    }

    /// Resolves when all hold what the API server held at the time of the call.
    pub(super) async fn caught_up(&self) {
        tokio::join!(
            self.groups.caught_up(),
            self.contents.caught_up(),
            self.classes.caught_up()
        );
    }

    fn by_handle(&self, namespace: &str, handle: &str) -> Option<Arc<VolumeGroupSnapshot>> {
        let contents = self.contents.indexed(BY_HANDLE, handle);
        contents.iter().find_map(|content| {
            let key = reference_key(content).filter(|key| key.namespace == namespace)?;
            self.groups.get(&key).filter(|group| may_bind(content, group))
        })
    }

    /// Whether a content of this very group bears the handle. That of a former group of the name refers to it too.
    fn is_of(&self, group: &VolumeGroupSnapshot, handle: &str) -> bool {
        let mut contents = self.contents.indexed(BY_HANDLE, handle).into_iter();
        contents.any(|content| may_bind(&content, group))
    }

    /// What is known about a group; none if it is gone.
    pub(super) fn group(&self, caches: &Caches, key: &ObjectKey) -> Option<ObservedGroup> {
        let group = self.groups.get(key)?;
        let class = match group.spec.volume_group_snapshot_class_name.as_deref() {
            Some(name) => look(self.classes.get(&ObjectKey::cluster(name))),
            None => Lookup::NotReferenced,
        };
        let content = self.content_of(&group);
        let taken = content
            .found()
            .and_then(|content| group_delete::takes_along(&group, content));
        let mut owned = caches.snapshots.indexed(BY_GROUP, &key.to_string());
        owned.retain(|snapshot| match member::owner(snapshot) {
            Some(owner) => group.metadata.uid.as_ref() == Some(&owner.uid),
            None => {
                let content = caches.content_of(snapshot);
                let of_group = content.found().and_then(|content| group_handle(content));
                taken.is_some() && of_group == taken
            }
        });
        let holding = |member: &Arc<VolumeSnapshot>| delete::holding(member, &caches.pending(member));
        let restores = match is_deleting(&*group) {
            true => owned.iter().flat_map(holding).collect(),
            false => Vec::new(),
        };
        Some(ObservedGroup {
            members: members(caches, &group, content.found().map(AsRef::as_ref)),
            content,
            class,
            default_classes: self.classes.indexed(DEFAULTS, ""),
            owned,
            restores,
            is_live: self.are_followed() && caches.are_followed(),
            sees_users: self.contents.is_followed() && caches.follow_users(),
            options: caches.options,
            group,
        })
    }

    fn content_of(&self, group: &VolumeGroupSnapshot) -> Lookup<Arc<VolumeGroupSnapshotContent>> {
        let Some(name) = content_name(group) else {
            return Lookup::NotReferenced;
        };
        match self.contents.get(&ObjectKey::cluster(name.as_str())) {
            Some(content) => Lookup::Found(content),
            None if self.unclear.has(&name) => Lookup::Unknown,
            None => Lookup::Absent,
        }
    }

    fn are_followed(&self) -> bool {
        self.groups.is_followed() && self.contents.is_followed() && self.classes.is_followed()
    }

    /// What is known about a content; none if it is gone.
    pub(super) fn content(&self, key: &ObjectKey) -> Option<ObservedGroupContent> {
        let content = self.contents.get(key)?;
        let group = match reference_key(&content) {
            Some(key) => look(self.groups.get(&key)),
            None => Lookup::NotReferenced,
        };
        Some(ObservedGroupContent {
            content,
            group,
            is_read: false,
        })
    }
}

/// What the content lists, and what was made of it. Only a group that is not ready asks for it.
fn members(
    caches: &Caches,
    group: &VolumeGroupSnapshot,
    content: Option<&VolumeGroupSnapshotContent>,
) -> Vec<ObservedMember> {
    let status = content.and_then(|content| content.status.as_ref());
    let (Some(content), Some(status), false) = (content, status, is_ready(group)) else {
        return Vec::new();
    };
    let (uid, namespace) = (
        group.uid().unwrap_or_default(),
        group.namespace().unwrap_or_default(),
    );
    let infos = status.volume_snapshot_info_list.iter().flatten();
    let member = |info: &crds::group::v1::VolumeSnapshotInfo| {
        let handle = info.volume_handle.as_deref().unwrap_or_default();
        let name = member::name(&uid, handle);
        let volumes = caches
            .volumes
            .indexed(BY_VOLUME, &place(&content.spec.driver, handle));
        let is_near = |volume: &&Arc<Volume>| {
            let claim = volume.claim.as_ref();
            claim.is_some_and(|claim| claim.namespace == namespace)
        };
        ObservedMember {
            info: info.clone(),
            snapshot: look(
                caches
                    .snapshots
                    .get(&ObjectKey::new(namespace.as_str(), name.as_str())),
            ),
            content: member_content(caches, &name),
            volume: volumes.iter().find(is_near).or_else(|| volumes.first()).cloned(),
        }
    };
    infos.map(member).collect()
}

fn member_content(caches: &Caches, member: &str) -> Lookup<Arc<VolumeSnapshotContent>> {
    let Some(name) = names::member_content_name(member) else {
        return Lookup::NotReferenced;
    };
    match caches.contents.get(&ObjectKey::cluster(name.as_str())) {
        Some(content) => Lookup::Found(content),
        None if caches.unclear.has(&name) => Lookup::Unknown,
        None => Lookup::Absent,
    }
}

/// Claims that a LIST brought, each with its volume.
pub(super) fn with_volumes(caches: &Caches, claims: Vec<runtime::objects::Claim>) -> Vec<SelectedClaim> {
    let with_volume = |claim: runtime::objects::Claim| SelectedClaim {
        volume: match claim.volume_name.as_deref() {
            Some(name) => look(caches.volumes.get(&ObjectKey::cluster(name))),
            None => Lookup::NotReferenced,
        },
        claim: Arc::new(claim),
    };
    claims.into_iter().map(with_volume).collect()
}

/// The key of the group that a content refers to.
pub(super) fn reference_key(content: &VolumeGroupSnapshotContent) -> Option<ObjectKey> {
    let reference = &content.spec.volume_group_snapshot_ref;
    Some(ObjectKey::new(
        reference.namespace.as_deref()?,
        reference.name.as_deref()?,
    ))
}

/// The handle of the group that a content stands for.
pub(super) fn handle(content: &VolumeGroupSnapshotContent) -> Option<&str> {
    content.status.as_ref()?.volume_group_snapshot_handle.as_deref()
}

fn place(driver: &str, handle: &str) -> String {
    format!("{driver}^{handle}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::observe::tests::watches;
    use crate::plan::Options;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn member(finalizers: &Value) -> VolumeSnapshot {
        serde_json::from_value(json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": "m", "namespace": "ns", "uid": "mu", "resourceVersion": "1",
                "finalizers": finalizers, "ownerReferences": [
                {"apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
                    "name": "g", "uid": "gu"}]},
            "spec": {"source": {"persistentVolumeClaimName": "p"}},
        }))
        .unwrap()
    }

    /// One of this namespace that is to be filled from the member.
    fn pending(namespace: &str) -> runtime::objects::Claim {
        serde_json::from_value(json!({
            "metadata": {"name": "r", "namespace": namespace, "uid": "ru", "resourceVersion": "1"},
            "spec": {"dataSourceRef": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot",
                "name": "m", "namespace": "ns"}},
            "status": {"phase": "Pending"},
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn snapshot_case_171_a_claim_of_another_namespace_holds_a_group_only_while_it_is_provisioned() {
        let provisioned = json!([crds::names::PROVISIONER_FINALIZER]);
        for (namespace, finalizers, holds) in [
            ("theirs", json!([]), false),
            ("theirs", provisioned, true),
            ("ns", json!([]), true),
        ] {
            let watches = watches();
            let caches = Caches::start(&watches, Options::default()).unwrap();
            let groups = GroupCaches::start(&watches, &caches).unwrap();
            let group = json!({
                "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
                "metadata": {"name": "g", "namespace": "ns", "uid": "gu", "resourceVersion": "1",
                    "deletionTimestamp": NOW, "finalizers": [names::SNAPSHOT_FINALIZER]},
                "spec": {"source": {"selector": {}}},
            });
            groups.groups.record(serde_json::from_value(group).unwrap());
            caches.snapshots.record(member(&finalizers));
            caches.claims.record(pending(namespace));
            let seen = groups.group(&caches, &ObjectKey::new("ns", "g")).unwrap();
            assert_eq!(seen.owned.len(), 1);
            assert_eq!(
                seen.restores.len(),
                usize::from(holds),
                "{namespace} {finalizers}"
            );
        }
    }
}
