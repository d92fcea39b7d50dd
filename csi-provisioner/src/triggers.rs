//! Which changes concern which claims, volumes and sources. Source: sidecars.md 2.2, 2.7, 2.8, 2.11.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use controller::Difference;
use crds::v1::VolumeSnapshotContent;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use kube::Resource;
use runtime::objects::{Attachment, AttributesClass, Claim, NodeLabels, Volume, VolumePhase};
use runtime::{Cache, ObjectKey};

use crate::deletion;
use crate::grants::ReferenceGrant;
use crate::local::LocalNode;
use crate::observe::Settings;
use crate::plan::is_ours;
use crate::plan::source::{self, Kind, SourceKey};

/// Index of claims without a volume by UID.
pub(crate) const BY_UID: &str = "csi-provisioner-uid";
/// Index of claims without a volume by what they are made from.
pub(crate) const BY_SOURCE: &str = "csi-provisioner-source";
/// Index of claims without a volume by class.
pub(crate) const BY_CLASS: &str = "csi-provisioner-class";
/// Index of claims without a volume by attributes class.
pub(crate) const BY_ATTRIBUTES: &str = "csi-provisioner-attributes";
/// Index of claims without a volume by selected node; empty for those that have none.
pub(crate) const BY_NODE: &str = "csi-provisioner-node";
/// Index of claims without a volume by the other namespace that their source is in.
pub(crate) const BY_SOURCE_NAMESPACE: &str = "csi-provisioner-source-namespace";
/// Index of attachments by volume.
pub(crate) const BY_VOLUME: &str = "csi-provisioner-volume";

pub(crate) fn uid_of(claim: &Claim) -> Vec<String> {
    let uid = claim.metadata.uid.as_ref().filter(|_| claim.wish.is_some());
    uid.into_iter().cloned().collect()
}

pub(crate) fn sources_of(claim: &Claim) -> Vec<String> {
    sources(claim).iter().map(ToString::to_string).collect()
}

/// What a claim without a volume is made from.
pub(crate) fn sources(claim: &Claim) -> Vec<SourceKey> {
    match claim.wish {
        Some(_) => source::used_by(claim),
        None => Vec::new(),
    }
}

pub(crate) fn class_of(claim: &Claim) -> Vec<String> {
    let class = claim.class_of_new_volume().filter(|_| claim.wish.is_some());
    class.into_iter().map(str::to_owned).collect()
}

pub(crate) fn attributes_of(claim: &Claim) -> Vec<String> {
    let class = claim.wanted_class().filter(|_| claim.wish.is_some());
    class.into_iter().map(str::to_owned).collect()
}

pub(crate) fn node_of(claim: &Claim) -> Vec<String> {
    let node = claim.wish.as_ref().map(|wish| wish.selected_node());
    node.map(|node| node.unwrap_or_default().to_owned())
        .into_iter()
        .collect()
}

pub(crate) fn source_namespace_of(claim: &Claim) -> Vec<String> {
    let reference = source::reference(claim).filter(|_| claim.wish.is_some());
    let elsewhere = reference.and_then(|reference| source::elsewhere(claim, reference));
    elsewhere.into_iter().map(str::to_owned).collect()
}

pub(crate) fn volume_of(attachment: &Attachment) -> Vec<String> {
    attachment.volume.iter().cloned().collect()
}

/// The key of a claim in the queue: another claim of its name is another key.
pub(crate) fn key_of(claim: &Claim) -> ObjectKey {
    let metadata = &claim.metadata;
    ObjectKey::new(
        metadata.namespace.clone().unwrap_or_default(),
        metadata.uid.clone().unwrap_or_default(),
    )
}

/// The claims of a change: those of ours that ask for another volume than before, and those that ask for none any more.
pub(crate) fn of_claim(change: Difference<'_, Claim>, settings: &Settings) -> Vec<ObjectKey> {
    let asks = |claim: &&Claim| claim.wish.as_ref().is_some_and(|wish| is_ours(wish, settings));
    let is_same = matches!((change.old, change.new), (Some(old), Some(new))
        if old.metadata.uid == new.metadata.uid && same_wish(old, new));
    if is_same {
        return Vec::new();
    }
    let mut keys: Vec<ObjectKey> = change.sides().filter(asks).map(key_of).collect();
    keys.dedup();
    keys
}

fn same_wish(old: &Claim, new: &Claim) -> bool {
    old.wish == new.wish
        && old.request == new.request
        && old.data_source == new.data_source
        && old.data_source_ref == new.data_source_ref
        && old.storage_class_name == new.storage_class_name
        && old.wanted_class() == new.wanted_class()
}

/// The claims that wait for a class that has come, is another one now, or was changed where it can be.
pub(crate) fn of_class(change: Difference<'_, StorageClass>, claims: &Cache<Claim>) -> Vec<ObjectKey> {
    let is_edited = change.old.zip(change.new).is_some_and(|(old, new)| {
        old.allowed_topologies != new.allowed_topologies || old.mount_options != new.mount_options
    });
    if is_edited || is_another(change) {
        waiting(claims, BY_CLASS, &change.key.name)
    } else {
        Vec::new()
    }
}

/// The claims that wait for an attributes class that has come, or is another one now.
pub(crate) fn of_attributes(
    change: Difference<'_, AttributesClass>,
    claims: &Cache<Claim>,
) -> Vec<ObjectKey> {
    let has_changed = change
        .new
        .is_some_and(|new| change.old.is_none_or(|old| old != new));
    if has_changed {
        waiting(claims, BY_ATTRIBUTES, &change.key.name)
    } else {
        Vec::new()
    }
}

/// The topology keys of the driver on a node; none where it is not registered there.
pub(crate) fn registration(node: Option<&CSINode>, driver: &str) -> Option<Vec<String>> {
    let ours = node?.spec.drivers.iter().find(|one| one.name == driver)?;
    Some(ours.topology_keys.clone().unwrap_or_default())
}

/// Whether a claim for which no node was chosen has found no place to make its volume in. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Placeless(Arc<AtomicBool>);

impl Placeless {
    /// One has. Whoever notes it must look once more: a place may have come meanwhile.
    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// The claims for a node that is another place now, and those that had none.
    fn and_those_for(&self, claims: &Cache<Claim>, node: &str) -> Vec<ObjectKey> {
        let mut concerned = waiting(claims, BY_NODE, node);
        if self.0.swap(false, Ordering::SeqCst) {
            concerned.extend(waiting(claims, BY_NODE, ""));
        }
        concerned
    }
}

/// The claims that wait for a node on which the driver was registered, or registered anew.
pub(crate) fn of_driver(
    change: Difference<'_, CSINode>,
    claims: &Cache<Claim>,
    driver: &str,
    placeless: &Placeless,
) -> Vec<ObjectKey> {
    let keys = |node| registration(node, driver).unwrap_or_default();
    let keys_now = keys(change.new);
    if !keys_now.is_empty() && (change.old.is_none() || keys(change.old) != keys_now) {
        placeless.and_those_for(claims, &change.key.name)
    } else {
        Vec::new()
    }
}

/// The claims that wait for a node that came, or has other labels now.
pub(crate) fn of_labels(
    change: Difference<'_, NodeLabels>,
    claims: &Cache<Claim>,
    placeless: &Placeless,
) -> Vec<ObjectKey> {
    let labels = |node: Option<&NodeLabels>| node.map(|node| node.labels.clone());
    if change.new.is_some() && labels(change.old) != labels(change.new) {
        placeless.and_those_for(claims, &change.key.name)
    } else {
        Vec::new()
    }
}

/// The claim of a volume that was not known before.
pub(crate) fn claim_of_new(change: Difference<'_, Volume>) -> Option<ObjectKey> {
    claim_of(change.new.filter(|_| change.old.is_none())?)
}

fn claim_of(volume: &Volume) -> Option<ObjectKey> {
    let claim = volume.claim.as_ref()?;
    Some(ObjectKey::new(claim.namespace.clone(), claim.name.clone()))
}

/// The claims that are to be clones of the one whose volume is bound now.
pub(crate) fn of_bound(change: Difference<'_, Volume>, claims: &Cache<Claim>) -> Vec<ObjectKey> {
    let is_bound = |volume: &&Volume| volume.phase == VolumePhase::Bound;
    let now = change.new.filter(is_bound);
    match now.and_then(claim_of) {
        Some(key) if change.old.filter(is_bound).is_none() => of_source(claims, Kind::Claim, &key),
        _ => Vec::new(),
    }
}

/// The claims with a source in the namespace of a grant.
pub(crate) fn of_grant(change: Difference<'_, ReferenceGrant>, claims: &Cache<Claim>) -> Vec<ObjectKey> {
    let says = |grant: Option<&ReferenceGrant>| grant.map(|grant| grant.spec.clone());
    if change.new.is_some() && says(change.old) != says(change.new) {
        waiting(claims, BY_SOURCE_NAMESPACE, &change.key.namespace)
    } else {
        Vec::new()
    }
}

/// The claims that are to be made from the snapshot of a content.
pub(crate) fn of_content(
    change: Difference<'_, VolumeSnapshotContent>,
    claims: &Cache<Claim>,
) -> Vec<ObjectKey> {
    let of = change.new.map(|content| &content.spec.volume_snapshot_ref);
    match of.and_then(|of| of.namespace.clone().zip(of.name.clone())) {
        Some((namespace, name)) => of_source(claims, Kind::Snapshot, &ObjectKey::new(namespace, name)),
        None => Vec::new(),
    }
}

/// The claims that are to be made from a source that has changed.
pub(crate) fn of_source(claims: &Cache<Claim>, kind: Kind, key: &ObjectKey) -> Vec<ObjectKey> {
    let source = SourceKey {
        kind,
        key: key.clone(),
    };
    waiting(claims, BY_SOURCE, &source.to_string())
}

fn waiting(claims: &Cache<Claim>, index: &'static str, value: &str) -> Vec<ObjectKey> {
    let claims = claims.indexed(index, value);
    claims.iter().map(|claim| key_of(claim)).collect()
}

/// What claims of this class are to be cloned from.
pub(crate) fn sources_under_class(claims: &Cache<Claim>, class: &str) -> Vec<SourceKey> {
    let mut named = named_by(claims, BY_CLASS, class);
    named.retain(|source| source.kind == Kind::Claim);
    named
}

/// What claims of other namespaces name in that of a grant.
pub(crate) fn sources_under_grant(claims: &Cache<Claim>, namespace: &str) -> Vec<SourceKey> {
    named_by(claims, BY_SOURCE_NAMESPACE, namespace)
}

fn named_by(claims: &Cache<Claim>, index: &'static str, value: &str) -> Vec<SourceKey> {
    let claims = claims.indexed(index, value);
    claims.iter().flat_map(|claim| sources(claim)).collect()
}

pub(crate) fn is_another<K: Resource>(change: Difference<'_, K>) -> bool {
    let came = |new: &K| change.old.is_none_or(|old| old.meta().uid != new.meta().uid);
    change.new.is_some_and(came)
}

/// The sources that a claim used and uses no more: it has its volume, or is gone. Where each node has a process of its own those of
/// claims of this node: what another one still does with the source only that one knows.
pub(crate) fn ended_sources(change: Difference<'_, Claim>, local: Option<&LocalNode>) -> Vec<SourceKey> {
    let is_here = |claim: &&Claim| {
        let wish = claim.wish.as_ref();
        wish.is_some_and(|wish| local.is_none_or(|local| wish.selected_node() == Some(&*local.name)))
    };
    let Some(old) = change.old.filter(is_here) else {
        return Vec::new();
    };
    let goes_on = |new: &Claim| new.metadata.uid == old.metadata.uid && new.wish.is_some();
    if change.new.is_some_and(goes_on) {
        return Vec::new();
    }
    source::used_by(old)
}

/// Whether something that a volume's deletion or its finalizers depend on has changed. What is remembered of one that is
/// gone goes with it.
pub(crate) fn concerns_volume(change: Difference<'_, Volume>) -> bool {
    let Some(new) = change.new else {
        return true;
    };
    if change.sides().all(deletion::rests) {
        return false;
    }
    let Some(old) = change.old else {
        return true;
    };
    old.metadata.uid != new.metadata.uid
        || old.phase != new.phase
        || old.reclaim_policy != new.reclaim_policy
        || old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        || old.metadata.finalizers != new.metadata.finalizers
        || old.provisioned_by != new.provisioned_by
        || old.migrated_to != new.migrated_to
        || old.deletion_secret != new.deletion_secret
}

/// The volume whose attachment is gone, where that is waited for.
pub(crate) fn of_attachment(change: Difference<'_, Attachment>, volumes: &Cache<Volume>) -> Vec<ObjectKey> {
    let gone = change.old.filter(|_| change.new.is_none());
    let volume = gone.and_then(|gone| gone.volume.as_ref()).map(ObjectKey::cluster);
    let waits = |key: &ObjectKey| {
        volumes
            .get(key)
            .is_some_and(|volume| deletion::awaits_detachment(&volume))
    };
    volume.filter(waits).into_iter().collect()
}
