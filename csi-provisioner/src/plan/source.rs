//! What a volume is made from: nothing, a snapshot, another claim. Source: sidecars.md 2.3 steps 1, 3, 10; 2.7; 2.8.

use std::fmt;

use base::args::parse_bool;
use crds::names::GROUP as SNAPSHOT_GROUP;
use crds::v1::{VolumeSnapshot, VolumeSnapshotContent};
use csi::v1::VolumeContentSource;
use csi::v1::volume_content_source::{SnapshotSource, Type, VolumeSource};
use runtime::ObjectKey;
use runtime::migration;
use runtime::objects::{Claim, ClaimPhase, DataSource, Quantity, Volume, VolumeMode};

use super::Obstacle;
use super::parameters::Class;
use crate::observe::{Lookup, Observed};

/// Keeps a snapshot while a volume is restored from it.
pub const SNAPSHOT_FINALIZER: &str = "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection";
/// Keeps a claim while its volume is cloned.
pub const CLONE_FINALIZER: &str = "provisioner.storage.kubernetes.io/cloning-protection";
const SNAPSHOT: &str = "VolumeSnapshot";
const CLAIM: &str = "PersistentVolumeClaim";
const ALLOW_MODE_CHANGE: &str = "snapshot.storage.kubernetes.io/allow-volume-mode-change";

/// The kind of a source that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// VolumeSnapshot of `snapshot.storage.k8s.io`.
    Snapshot,
    /// PersistentVolumeClaim.
    Claim,
}

/// A snapshot or claim that volumes are made from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceKey {
    /// Which of the two.
    pub kind: Kind,
    /// Where it is.
    pub key: ObjectKey,
}

/// As it stands in the index of claims.
impl fmt::Display for SourceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Snapshot => SNAPSHOT,
            Kind::Claim => CLAIM,
        };
        write!(formatter, "{kind} {}", self.key)
    }
}

/// What a reference of a claim means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A kind that we know.
    Known(SourceKey),
    /// Any other kind: somebody else fills the volume (Q7).
    Foreign,
}

/// The reference that counts: `spec.dataSource`, else `spec.dataSourceRef`.
#[must_use]
pub fn reference(claim: &Claim) -> Option<&DataSource> {
    claim.data_source.as_ref().or(claim.data_source_ref.as_ref())
}

/// What a reference of this claim means.
#[must_use]
pub fn meaning(claim: &Claim, reference: &DataSource) -> Source {
    let kind = match (
        reference.api_group.as_deref().unwrap_or_default(),
        reference.kind.as_str(),
    ) {
        (SNAPSHOT_GROUP, SNAPSHOT) => Kind::Snapshot,
        ("", CLAIM) => Kind::Claim,
        _ => return Source::Foreign,
    };
    let own = claim.metadata.namespace.as_deref().unwrap_or_default();
    let namespace = elsewhere(claim, reference).unwrap_or(own);
    Source::Known(SourceKey {
        kind,
        key: ObjectKey::new(namespace, &reference.name),
    })
}

/// The namespace of a source where it is another one than the claim's.
#[must_use]
pub fn elsewhere<'a>(claim: &Claim, reference: &'a DataSource) -> Option<&'a str> {
    let namespace = reference
        .namespace
        .as_deref()
        .filter(|namespace| !namespace.is_empty());
    namespace.filter(|namespace| Some(*namespace) != claim.metadata.namespace.as_deref())
}

/// Both references of a claim that are of kinds that we know, for counting who uses a source (Q11, Q19). A snapshot may be
/// named without its group.
#[must_use]
pub fn used_by(claim: &Claim) -> Vec<SourceKey> {
    let references = [&claim.data_source, &claim.data_source_ref].into_iter().flatten();
    let known = references.filter_map(|reference| {
        let mut reference = reference.clone();
        if reference.kind == SNAPSHOT && reference.api_group.is_none() {
            reference.api_group = Some(SNAPSHOT_GROUP.to_owned());
        }
        match meaning(claim, &reference) {
            Source::Known(key) => Some(key),
            Source::Foreign => None,
        }
    });
    let mut known: Vec<SourceKey> = known.collect();
    known.dedup();
    known
}

/// What CreateVolume is to fill the volume from, and what must be protected for it first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filled {
    /// For the request.
    pub content: Option<VolumeContentSource>,
    /// Of which object.
    pub source: Option<SourceKey>,
    /// It does not carry our finalizer yet.
    pub is_unprotected: bool,
}

/// The checks of steps 1, 3, 4 and 10.
///
/// # Errors
/// What stands in the way.
pub fn filled(observed: &Observed<'_>, class: &Class<'_>, size: Quantity) -> Result<Filled, Obstacle> {
    let claim = observed.claim;
    let Some(reference) = reference(claim) else {
        return match claim.wish.as_ref().and_then(|wish| wish.dropped_source.as_ref()) {
            Some(dropped) => Err(dropped_by_the_server(dropped)),
            None => Ok(Filled::default()),
        };
    };
    if reference
        .namespace
        .as_deref()
        .is_some_and(|namespace| !namespace.is_empty())
    {
        may_cross(observed, reference)?;
    }
    let key = match meaning(claim, reference) {
        Source::Foreign => return Err(Obstacle::LeftToPopulator),
        Source::Known(_) if reference.name.is_empty() => {
            return Err(Obstacle::refused("the data source has no name"));
        }
        Source::Known(key) => key,
    };
    let driver = &observed.settings.driver;
    let filled = match key.kind {
        Kind::Snapshot if !driver.snapshots => {
            return Err(lacks(driver.name.as_str(), "CREATE_DELETE_SNAPSHOT"));
        }
        Kind::Snapshot => restored(observed, class, key, size),
        Kind::Claim if !driver.clones => return Err(lacks(driver.name.as_str(), "CLONE_VOLUME")),
        Kind::Claim => cloned(observed, class, key, size),
    };
    filled.map_err(|obstacle| match obstacle {
        // These words, as upstream's, are what people search for.
        Obstacle::Refused(text) => Obstacle::Refused(format!(
            "error getting handle for DataSource Type {} by Name {}: {text}",
            reference.kind, reference.name
        )),
        other => other,
    })
}

/// Without the source the volume would be empty, and nobody would know why.
fn dropped_by_the_server(dropped: &DataSource) -> Obstacle {
    let (kind, name) = (&dropped.kind, &dropped.name);
    let why = match dropped.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
        Some(namespace) => format!(
            "it is of namespace {namespace:?}, which takes the feature gate CrossNamespaceVolumeDataSource in API server and \
             provisioner; switch it on"
        ),
        None => "spec.dataSource takes PersistentVolumeClaims and VolumeSnapshots alone; name it in spec.dataSourceRef".to_owned(),
    };
    Obstacle::Refused(format!(
        "the claim was applied with the data source {kind} {name:?}, which the API server has dropped without a word, and no \
         empty volume is made in its place: {why}, delete the claim and apply it again"
    ))
}

pub(super) fn lacks(driver: &str, capability: &str) -> Obstacle {
    Obstacle::Refused(format!(
        "the CSI driver {driver} cannot do this: it lacks the capability {capability}"
    ))
}

fn may_cross(observed: &Observed<'_>, reference: &DataSource) -> Result<(), Obstacle> {
    if !observed.settings.cross_namespace {
        return Err(Obstacle::refused(
            "dataSourceRef names a namespace, which needs the feature gate CrossNamespaceVolumeDataSource of the csi-provisioner",
        ));
    }
    match elsewhere(observed.claim, reference) {
        Some(namespace) if !observed.is_granted => Err(Obstacle::Refused(format!(
            "accessing {namespace}/{} of {} from this namespace isn't allowed: no ReferenceGrant in namespace {namespace} \
             lets its PersistentVolumeClaims use it",
            reference.name, reference.kind
        ))),
        _ => Ok(()),
    }
}

fn restored(
    observed: &Observed<'_>,
    class: &Class<'_>,
    key: SourceKey,
    size: Quantity,
) -> Result<Filled, Obstacle> {
    let snapshot = match observed.snapshot {
        Lookup::Unread => return Err(Obstacle::ReadSnapshot(key.key)),
        Lookup::Unserved => return Err(no_snapshots()),
        Lookup::Absent => return Err(Obstacle::Refused(format!("snapshot {} does not exist", key.key))),
        Lookup::Found(snapshot) => snapshot,
    };
    let is_protected = has_finalizer(snapshot.metadata.finalizers.as_deref(), SNAPSHOT_FINALIZER);
    if snapshot.metadata.deletion_timestamp.is_some() && !is_protected {
        return Err(Obstacle::Refused(format!(
            "snapshot {} is being deleted",
            key.key
        )));
    }
    let status = snapshot.status.as_ref();
    let Some(name) = status.and_then(|status| status.bound_volume_snapshot_content_name.as_deref()) else {
        return Err(Obstacle::Refused(format!(
            "snapshot {} is not bound to a content yet",
            key.key
        )));
    };
    let content = match observed.content {
        Lookup::Unread => return Err(Obstacle::ReadContent(name.to_owned())),
        Lookup::Unserved => return Err(no_snapshots()),
        Lookup::Absent => {
            return Err(Obstacle::Refused(format!(
                "snapshot content {name} does not exist"
            )));
        }
        Lookup::Found(content) => content,
    };
    let handle = usable(observed, class, (snapshot, content), size)?;
    Ok(Filled {
        content: Some(VolumeContentSource {
            r#type: Some(Type::Snapshot(SnapshotSource {
                snapshot_id: handle.to_owned(),
            })),
        }),
        source: Some(key),
        is_unprotected: !is_protected,
    })
}

fn no_snapshots() -> Obstacle {
    Obstacle::refused(
        "the API server has no VolumeSnapshots: install the definitions of snapshot.storage.k8s.io (`slackwater crds | kubectl apply \
         --server-side -f -`) and a snapshot-controller",
    )
}

/// The handle of a snapshot that can be restored as the claim asks.
fn usable<'a>(
    observed: &Observed<'_>,
    class: &Class<'_>,
    (snapshot, content): (&VolumeSnapshot, &'a VolumeSnapshotContent),
    size: Quantity,
) -> Result<&'a str, Obstacle> {
    let refuse = |text: String| Err(Obstacle::Refused(text));
    let name = content.metadata.name.as_deref().unwrap_or_default();
    let (of, about) = (&content.spec.volume_snapshot_ref, &snapshot.metadata);
    let is_bound = of.uid == about.uid && of.namespace == about.namespace && of.name == about.name;
    if !is_bound {
        return refuse(format!("snapshot content {name} is bound to another snapshot"));
    }
    if content.spec.driver != class.driver {
        return refuse(format!(
            "the snapshot is of driver {}, and the class of {}: name a class of that driver",
            content.spec.driver, class.driver
        ));
    }
    let status = snapshot.status.as_ref();
    if status.and_then(|status| status.ready_to_use) != Some(true) {
        let name = about.name.as_deref().unwrap_or_default();
        return refuse(format!("snapshot {name} is not ready"));
    }
    let handle = content
        .status
        .as_ref()
        .and_then(|status| status.snapshot_handle.as_deref());
    let Some(handle) = handle.filter(|handle| !handle.is_empty()) else {
        return refuse(format!("snapshot content {name} has no snapshot handle yet"));
    };
    let least = status.and_then(|status| status.restore_size.as_ref());
    if let Some(least) = least.and_then(|least| Quantity::parse(&least.0))
        && size < least
    {
        return refuse(format!(
            "requested volume size {size} is less than the size {least} of the snapshot"
        ));
    }
    mode_may_change(observed, content)?;
    Ok(handle)
}

/// What a pod writes to a block device may be a crafted file system (2.7).
fn mode_may_change(observed: &Observed<'_>, content: &VolumeSnapshotContent) -> Result<(), Obstacle> {
    let asked = observed
        .claim
        .wish
        .as_ref()
        .and_then(|wish| wish.mode)
        .map(VolumeMode::as_str);
    let (Some(source), Some(asked)) = (content.spec.source_volume_mode.as_deref(), asked) else {
        return Ok(());
    };
    let annotations = content.metadata.annotations.as_ref();
    let allowed = annotations.and_then(|annotations| annotations.get(ALLOW_MODE_CHANGE));
    let is_allowed = allowed.is_some_and(|allowed| parse_bool(allowed) == Ok(true));
    if source == asked || is_allowed || !observed.settings.prevent_mode_conversion {
        return Ok(());
    }
    let (claim, content) = (ObjectKey::of(observed.claim), content.metadata.name.as_deref());
    Err(Obstacle::Refused(format!(
        "requested volume {claim} modifies the mode of the source volume but does not have permission to do so: it is to be {asked}, \
         and the snapshotted volume is {source}; annotate the snapshot content {} with {ALLOW_MODE_CHANGE}=true to allow that",
        content.unwrap_or_default()
    )))
}

fn cloned(
    observed: &Observed<'_>,
    class: &Class<'_>,
    key: SourceKey,
    size: Quantity,
) -> Result<Filled, Obstacle> {
    let refuse = |text: String| Err(Obstacle::Refused(text));
    let origin = match observed.origin {
        Lookup::Unread => return Err(Obstacle::ReadOrigin(key.key)),
        Lookup::Unserved | Lookup::Absent => {
            return refuse(format!("the source claim {} does not exist", key.key));
        }
        Lookup::Found(origin) => origin,
    };
    if origin.phase != ClaimPhase::Bound {
        return refuse(format!("the source claim {} is not bound", key.key));
    }
    // Protected, it stays until the last claim that names it has its volume: to refuse that one would keep both for ever.
    let is_protected = has_finalizer(origin.metadata.finalizers.as_deref(), CLONE_FINALIZER);
    if origin.metadata.deletion_timestamp.is_some() && !is_protected {
        return refuse(format!("the source claim {} is being deleted", key.key));
    }
    if origin.storage_class_name.is_none() || observed.claim.storage_class_name.is_none() {
        return refuse("a clone and its source both need a storageClassName".to_owned());
    }
    let least = origin.request.unwrap_or_default();
    if size < least {
        return refuse(format!(
            "requested volume size {size} is less than the size {least} of the source claim"
        ));
    }
    let source = match observed.origin_volume {
        Lookup::Unread => {
            let name = origin.volume_name.clone().unwrap_or_default();
            return Err(Obstacle::ReadOriginVolume(name));
        }
        Lookup::Unserved | Lookup::Absent => None,
        Lookup::Found(volume) => matching(observed, class, origin, volume),
    };
    let Some(handle) = source else {
        return refuse(format!(
            "claim in dataSource not bound or invalid: the volume of {} is not one of driver {} that is bound to it, in the same \
             volume mode",
            key.key, class.driver
        ));
    };
    Ok(Filled {
        content: Some(VolumeContentSource {
            r#type: Some(Type::Volume(VolumeSource { volume_id: handle })),
        }),
        source: Some(key),
        is_unprotected: !is_protected,
    })
}

/// The handle of a volume that can be cloned.
fn matching(observed: &Observed<'_>, class: &Class<'_>, origin: &Claim, volume: &Volume) -> Option<String> {
    let source = migration::source_of(volume).ok()?;
    let of = volume.claim.as_ref()?;
    let about = &origin.metadata;
    let is_bound = of.uid == about.uid
        && Some(&of.namespace) == about.namespace.as_ref()
        && Some(&of.name) == about.name.as_ref()
        && volume.phase == runtime::objects::VolumePhase::Bound;
    let mode = |mode: Option<VolumeMode>| mode.unwrap_or(VolumeMode::Filesystem);
    let asked = observed.claim.wish.as_ref().and_then(|wish| wish.mode);
    let is_alike = source.driver == class.driver && mode(volume.mode) == mode(asked);
    (is_bound && is_alike).then(|| source.volume_handle.clone())
}

fn has_finalizer(finalizers: Option<&[String]>, name: &str) -> bool {
    finalizers.unwrap_or_default().iter().any(|other| other == name)
}
