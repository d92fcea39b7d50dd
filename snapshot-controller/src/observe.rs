//! From the caches to what the decisions read. Synchronous; sends nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crds::names;
use crds::v1::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use runtime::cache::IndexTaken;
use runtime::objects::{Claim, ClaimPhase, DataSource, Volume};
use runtime::{Cache, ObjectKey, Selection, Watches};

use crate::group::caches::Switch;
use crate::plan::content::ObservedContent;
use crate::plan::group::member;
use crate::plan::protect::ObservedClaim;
use crate::plan::topology::NodeFacts;
use crate::plan::{Lookup, Observed, Options, Source, class, content_name, is_ready};

/// Nodes with their metadata only.
pub(crate) type NodeMeta = PartialObjectMeta<Node>;

/// Snapshots without a bound content, by the name of their class; "" for those that name none.
pub(crate) const WAITING_BY_CLASS: &str = "waiting-by-class";
/// Dynamic snapshots by `namespace/name` of their claim, while they may need it or wait for it.
pub(crate) const WAITING_BY_CLAIM: &str = "waiting-by-claim";
/// Snapshots that may wait for something, under "".
pub(crate) const WAITING: &str = "waiting";
/// Snapshots by the name of their content; contents by `namespace/name` of their snapshot.
pub(crate) const BY_PARTNER: &str = "partner";
/// Claims by `namespace/name` of the snapshot that they are filled from.
pub(crate) const BY_ORIGIN: &str = "origin";
/// Snapshots by `namespace/name` of the group that they are members of, and all members under "".
pub(crate) const BY_GROUP: &str = "group";
/// Contents by the handle of the group that their snapshot belongs to, and all that have one under "".
pub(crate) const BY_GROUP_HANDLE: &str = "group-handle";
/// Default classes, under "".
pub(crate) const DEFAULTS: &str = "default";

/// The caches of the function.
#[derive(Clone)]
pub(crate) struct Caches {
    pub(crate) snapshots: Cache<VolumeSnapshot>,
    pub(crate) contents: Cache<VolumeSnapshotContent>,
    pub(crate) classes: Cache<VolumeSnapshotClass>,
    pub(crate) claims: Cache<Claim>,
    pub(crate) volumes: Cache<Volume>,
    /// Only with distributed snapshotting.
    pub(crate) nodes: Option<Cache<NodeMeta>>,
    pub(crate) options: Options,
    /// Contents whose POST had an unclear outcome.
    pub(crate) unclear: Arc<Names>,
    /// Contents whose POST the API server has refused for what it is: a right, a rule or a webhook denies it.
    pub(crate) refused: Arc<Names>,
    /// The group kinds, once it is known that there are any.
    pub(crate) groups: Switch,
}

/// Names of contents of which something is remembered.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<BTreeSet<String>>);

impl Names {
    pub(crate) fn add(&self, name: &str) {
        self.with(|names| names.insert(name.to_owned()));
    }

    pub(crate) fn clear(&self, name: &str) {
        self.with(|names| names.remove(name));
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.with(|names| names.contains(name))
    }

    fn with<T>(&self, see: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        see(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Caches {
    /// Starts the watches and their indexes.
    pub(crate) fn start(watches: &Watches, options: Options) -> Result<Self, IndexTaken> {
        let all = Selection::default;
        let caches = Self {
            snapshots: watches.cache(all()),
            contents: watches.cache(all()),
            classes: watches.cache(all()),
            claims: watches.cache(all()),
            volumes: watches.cache(all()),
            nodes: options.distributed.then(|| watches.cache(all())),
            options,
            unclear: Arc::default(),
            refused: Arc::default(),
            groups: Switch::default(),
        };
        caches.index()?;
        Ok(caches)
    }

    fn index(&self) -> Result<(), IndexTaken> {
        self.snapshots
            .index(WAITING_BY_CLASS, |snapshot: &VolumeSnapshot| {
                let class = snapshot
                    .spec
                    .volume_snapshot_class_name
                    .clone()
                    .unwrap_or_default();
                is_waiting(snapshot).then_some(class).into_iter().collect()
            })?;
        self.snapshots
            .index(WAITING_BY_CLAIM, |snapshot: &VolumeSnapshot| {
                match Source::of(snapshot) {
                    Source::Dynamic(claim) if is_waiting(snapshot) => {
                        vec![joined(snapshot.metadata.namespace.as_deref(), claim)]
                    }
                    _ => Vec::new(),
                }
            })?;
        self.snapshots.index(WAITING, |snapshot: &VolumeSnapshot| {
            is_waiting(snapshot).then(String::new).into_iter().collect()
        })?;
        self.snapshots.index(BY_PARTNER, |snapshot: &VolumeSnapshot| {
            content_name(snapshot).into_iter().collect()
        })?;
        self.contents
            .index(BY_PARTNER, |content: &VolumeSnapshotContent| {
                let reference = &content.spec.volume_snapshot_ref;
                let name = reference.name.as_deref().unwrap_or_default();
                vec![joined(reference.namespace.as_deref(), name)]
            })?;
        self.snapshots.index(BY_GROUP, groups_of)?;
        self.contents
            .index(BY_GROUP_HANDLE, |content: &VolumeSnapshotContent| {
                let handle = group_handle(content);
                handle.map_or_else(Vec::new, |handle| vec![handle.to_owned(), String::new()])
            })?;
        self.classes.index(DEFAULTS, |candidate: &VolumeSnapshotClass| {
            class::is_default(candidate)
                .then(String::new)
                .into_iter()
                .collect()
        })?;
        self.claims.index(BY_ORIGIN, origins)
    }

    /// Resolves when all hold what the API server held at the time of the call.
    pub(crate) async fn caught_up(&self) {
        let nodes = async {
            if let Some(nodes) = &self.nodes {
                nodes.caught_up().await;
            }
        };
        tokio::join!(
            self.snapshots.caught_up(),
            self.contents.caught_up(),
            self.classes.caught_up(),
            self.claims.caught_up(),
            self.volumes.caught_up(),
            nodes,
        );
    }

    /// What is known about a snapshot; none if it is gone.
    pub(crate) fn snapshot(&self, key: &ObjectKey) -> Option<Observed> {
        self.snapshots.get(key).map(|snapshot| self.around(snapshot))
    }

    fn around(&self, snapshot: Arc<VolumeSnapshot>) -> Observed {
        let claim = match Source::of(&snapshot) {
            Source::Dynamic(name) => {
                let key = ObjectKey::new(snapshot.namespace().unwrap_or_default(), name);
                look(self.claims.get(&key))
            }
            Source::PreProvisioned(_) | Source::Member | Source::Invalid => Lookup::NotReferenced,
        };
        let volume = match claim.found().and_then(|claim| claim.volume_name.as_deref()) {
            Some(name) => look(self.volumes.get(&ObjectKey::cluster(name))),
            None => Lookup::NotReferenced,
        };
        let class = match snapshot.spec.volume_snapshot_class_name.as_deref() {
            Some(name) => look(self.classes.get(&ObjectKey::cluster(name))),
            None => Lookup::NotReferenced,
        };
        let content = self.content_of(&snapshot);
        let nodes = self.nodes(&snapshot, &content);
        let is_content_refused = content_name(&snapshot).is_some_and(|name| self.refused.has(&name));
        Observed {
            group: self
                .groups
                .group_of(&snapshot, content.found().map(AsRef::as_ref)),
            content,
            is_content_refused,
            class,
            default_classes: self.classes.indexed(DEFAULTS, ""),
            claim,
            volume,
            restores: self.restores(&snapshot),
            nodes,
            is_live: self.are_followed(),
            sees_users: self.contents.is_followed() && self.claims.is_followed(),
            options: self.options,
            snapshot,
        }
    }

    pub(crate) fn content_of(&self, snapshot: &VolumeSnapshot) -> Lookup<Arc<VolumeSnapshotContent>> {
        let Some(name) = content_name(snapshot) else {
            return Lookup::NotReferenced;
        };
        match self.contents.get(&ObjectKey::cluster(name.as_str())) {
            Some(content) => Lookup::Found(content),
            None if self.unclear.has(&name) => Lookup::Unknown,
            None => Lookup::Absent,
        }
    }

    /// Members, what is bound to them and what is filled from them.
    pub(crate) fn follow_users(&self) -> bool {
        self.snapshots.is_followed() && self.contents.is_followed() && self.claims.is_followed()
    }

    pub(crate) fn are_followed(&self) -> bool {
        self.snapshots.is_followed()
            && self.contents.is_followed()
            && self.classes.is_followed()
            && self.claims.is_followed()
            && self.volumes.is_followed()
            && self.nodes.as_ref().is_none_or(Cache::is_followed)
    }

    /// Only a snapshot that is being deleted asks for them.
    fn restores(&self, snapshot: &VolumeSnapshot) -> Vec<ObjectKey> {
        if snapshot.metadata.deletion_timestamp.is_none() {
            return Vec::new();
        }
        self.pending(snapshot)
    }

    /// Pending claims that are to be filled from the snapshot.
    pub(crate) fn pending(&self, snapshot: &VolumeSnapshot) -> Vec<ObjectKey> {
        let claims = self
            .claims
            .indexed(BY_ORIGIN, &ObjectKey::of(snapshot).to_string());
        claims
            .iter()
            .filter(|claim| claim.phase == ClaimPhase::Pending)
            .map(|claim| ObjectKey::of(&**claim))
            .collect()
    }

    /// Only a snapshot that waits for its content asks for them.
    fn nodes(
        &self,
        snapshot: &VolumeSnapshot,
        content: &Lookup<Arc<VolumeSnapshotContent>>,
    ) -> Vec<Arc<NodeFacts>> {
        if !is_waiting(snapshot) || content.found().is_some() {
            return Vec::new();
        }
        let nodes = self.nodes.as_ref().map(Cache::all).unwrap_or_default();
        nodes
            .iter()
            .map(|node| {
                Arc::new(NodeFacts {
                    name: node.name_any(),
                    labels: node.labels().clone(),
                })
            })
            .collect()
    }

    /// The driver of a snapshot, as far as its content or its class tells.
    pub(crate) fn driver_of(&self, snapshot: &VolumeSnapshot) -> Option<String> {
        let content = content_name(snapshot).and_then(|name| self.contents.get(&ObjectKey::cluster(name)));
        if let Some(content) = content {
            return Some(content.spec.driver.clone());
        }
        let class = snapshot.spec.volume_snapshot_class_name.as_deref()?;
        let class = self.classes.get(&ObjectKey::cluster(class))?;
        Some(class.driver.clone())
    }

    /// What is known about a content; none if it is gone.
    pub(crate) fn content(&self, key: &ObjectKey) -> Option<ObservedContent> {
        let content = self.contents.get(key)?;
        let snapshot = match reference_key(&content) {
            Some(key) => look(self.snapshots.get(&key)),
            None => Lookup::NotReferenced,
        };
        let class = snapshot
            .found()
            .and_then(|snapshot: &Arc<VolumeSnapshot>| snapshot.spec.volume_snapshot_class_name.as_deref());
        let class = match class {
            Some(name) => look(self.classes.get(&ObjectKey::cluster(name))),
            None => Lookup::NotReferenced,
        };
        Some(ObservedContent {
            content,
            class,
            snapshot,
            is_read: false,
        })
    }

    /// What is known about a claim and of the snapshots that may need it; none if it is gone.
    pub(crate) fn claim(&self, key: &ObjectKey) -> Option<ObservedClaim> {
        let snapshots = self.snapshots.indexed(WAITING_BY_CLAIM, &key.to_string());
        Some(ObservedClaim {
            claim: self.claims.get(key)?,
            snapshots: snapshots
                .into_iter()
                .map(|snapshot| self.around(snapshot))
                .collect(),
        })
    }
}

/// True for a snapshot that may still wait for a class, a claim, a volume or a node. A bound one may: its
/// content can be gone.
pub(crate) fn is_waiting(snapshot: &VolumeSnapshot) -> bool {
    !is_ready(snapshot) && snapshot.metadata.deletion_timestamp.is_none()
}

/// The key of the snapshot that a content refers to.
pub(crate) fn reference_key(content: &VolumeSnapshotContent) -> Option<ObjectKey> {
    let reference = &content.spec.volume_snapshot_ref;
    Some(ObjectKey::new(
        reference.namespace.as_deref()?,
        reference.name.as_deref()?,
    ))
}

/// `namespace/name` of the group that a snapshot is a member of: by its owner, else by its status.
pub(crate) fn groups_of(snapshot: &VolumeSnapshot) -> Vec<String> {
    let by_status = || {
        let status = snapshot.status.as_ref()?;
        status.volume_group_snapshot_name.as_deref()
    };
    let owner = member::owner(snapshot).map(|owner| owner.name.as_str());
    match owner.or_else(by_status) {
        Some(name) => vec![
            joined(snapshot.metadata.namespace.as_deref(), name),
            String::new(),
        ],
        None => Vec::new(),
    }
}

/// The handle of the group that a content's snapshot belongs to.
pub(crate) fn group_handle(content: &VolumeSnapshotContent) -> Option<&str> {
    content.status.as_ref()?.volume_group_snapshot_handle.as_deref()
}

/// `namespace/name` of the snapshots that a claim is filled from: `dataSource` and `dataSourceRef`, which may
/// name another namespace (spec snapshot Q45).
pub(crate) fn origins(claim: &Claim) -> Vec<String> {
    let mut origins: Vec<String> = claim
        .data_source
        .iter()
        .chain(&claim.data_source_ref)
        .filter(|source| is_snapshot(source))
        .map(|source| {
            let own = claim.metadata.namespace.as_deref();
            let other = source.namespace.as_deref().filter(|other| !other.is_empty());
            joined(other.or(own), &source.name)
        })
        .collect();
    origins.dedup();
    origins
}

fn is_snapshot(source: &DataSource) -> bool {
    source.api_group.as_deref() == Some(names::GROUP) && source.kind == "VolumeSnapshot"
}

pub(crate) fn joined(namespace: Option<&str>, name: &str) -> String {
    ObjectKey::new(namespace.unwrap_or_default(), name).to_string()
}

pub(crate) fn look<T>(found: Option<T>) -> Lookup<T> {
    found.map_or(Lookup::Absent, Lookup::Found)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// Caches that hold what the test records, and follow nothing.
    pub(crate) fn recorded() -> Caches {
        Caches::start(&watches(), Options::default()).unwrap()
    }

    /// Watches of a cluster that nobody runs.
    pub(crate) fn watches() -> Watches {
        let (clock, random, scope) = (base::Clock::system(), base::Random::seeded(1), base::Scope::new());
        let api = sandbox::kube::ApiServer::new(clock.clone(), random.fork(), &scope);
        let transport = sandbox::faults::transports::kubernetes(&api, "u", &sandbox::faults::Faults::none());
        let client = kube::Client::new(transport, "default");
        Watches::new(client, clock, random, &scope, &prometheus::Registry::new())
    }

    /// A snapshot of the claim `ns/p`.
    pub(crate) fn recorded_snapshot(caches: &Caches, name: &str, claim: &str, is_ready: bool) -> ObjectKey {
        let version = if is_ready { "2" } else { "1" };
        let snapshot: VolumeSnapshot = serde_json::from_value(json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": version},
            "spec": {"source": {"persistentVolumeClaimName": claim}},
            "status": {"readyToUse": is_ready, "creationTime": "2026-01-01T00:00:00Z"},
        }))
        .unwrap();
        caches.snapshots.record(snapshot);
        ObjectKey::new("ns", name)
    }

    #[tokio::test]
    async fn snapshots_that_no_longer_need_a_claim_are_not_looked_at() {
        let caches = recorded();
        for number in 0..50 {
            recorded_snapshot(&caches, &format!("ready-{number}"), "p", true);
        }
        recorded_snapshot(&caches, "waiting", "p", false);
        recorded_snapshot(&caches, "of-another", "q", false);
        let claim: Claim = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "1"},
        }))
        .unwrap();
        caches.claims.record(claim);
        let observed = caches.claim(&ObjectKey::new("ns", "p")).unwrap();
        let names: Vec<_> = observed
            .snapshots
            .iter()
            .map(|around| around.snapshot.metadata.name.as_deref().unwrap())
            .collect();
        assert_eq!(names, ["waiting"]);
    }

    #[test]
    fn snapshot_case_67_restores_are_found_through_both_fields_and_across_namespaces() {
        let claim: Claim = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns"},
            "spec": {
                "dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"},
                "dataSourceRef": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s",
                    "namespace": "other"},
            },
        }))
        .unwrap();
        assert_eq!(origins(&claim), ["ns/s", "other/s"]);
        let clone: Claim = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns"},
            "spec": {"dataSource": {"kind": "PersistentVolumeClaim", "name": "s"}},
        }))
        .unwrap();
        assert!(origins(&clone).is_empty());
    }
}
