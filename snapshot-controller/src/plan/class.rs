//! Which class a snapshot is taken with (spec snapshot 2.3 step 1, 2.4).

use std::sync::Arc;

use crds::v1::VolumeSnapshotClass;
use kube::ResourceExt;

use super::create::source;
use super::refusal::Refusal;
use super::{Lookup, Observed};
use crate::events::{GET_SNAPSHOT_CLASS_FAILED, SET_DEFAULT_SNAPSHOT_CLASS_FAILED};

/// The class of a snapshot, and how it came by it.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice<'a> {
    /// The snapshot names it.
    Named(&'a Arc<VolumeSnapshotClass>),
    /// The only default class of the volume's driver; its name is to be stored in the snapshot.
    Default(&'a Arc<VolumeSnapshotClass>),
}

impl<'a> Choice<'a> {
    /// The class.
    #[must_use]
    pub fn class(&self) -> &'a VolumeSnapshotClass {
        match self {
            Self::Named(class) | Self::Default(class) => class,
        }
    }
}

/// The class of a dynamic snapshot.
///
/// # Errors
/// When the named class is missing, or not exactly one default class is of the driver of the source volume.
pub fn choose(observed: &Observed) -> Result<Choice<'_>, Refusal> {
    match &observed.class {
        Lookup::Found(class) => Ok(Choice::Named(class)),
        Lookup::NotReferenced => default(observed).map(Choice::Default),
        Lookup::Absent | Lookup::Unknown => Err(missing(observed)),
    }
}

/// The refusal for a named class that does not exist, if that is so.
#[must_use]
pub fn named_but_missing(observed: &Observed) -> Option<Refusal> {
    matches!(observed.class, Lookup::Absent | Lookup::Unknown).then(|| missing(observed))
}

fn missing(observed: &Observed) -> Refusal {
    let name = observed
        .snapshot
        .spec
        .volume_snapshot_class_name
        .as_deref()
        .unwrap_or_default();
    Refusal::keeping(
        GET_SNAPSHOT_CLASS_FAILED,
        format!(
            "Failed to get snapshot class with error volumesnapshotclass.snapshot.storage.k8s.io {name:?} not found"
        ),
    )
}

fn default(observed: &Observed) -> Result<&Arc<VolumeSnapshotClass>, Refusal> {
    let refuse = |error: String| {
        Refusal::keeping(
            SET_DEFAULT_SNAPSHOT_CLASS_FAILED,
            format!("Failed to set default snapshot class with error {error}"),
        )
    };
    let source = source(observed).map_err(refuse)?;
    let candidates = observed
        .default_classes
        .iter()
        .filter(|class| is_default(class) && class.driver == source.csi.driver);
    only(candidates, "snapshot").map_err(refuse)
}

/// The only one of these default classes.
///
/// # Errors
/// There is none, or there are several: they are named.
pub(super) fn only<'a, K: ResourceExt>(
    candidates: impl Iterator<Item = &'a Arc<K>>,
    of: &str,
) -> Result<&'a Arc<K>, String> {
    let candidates: Vec<_> = candidates.collect();
    match candidates.as_slice() {
        [class] => Ok(class),
        [] => Err(format!("cannot find default {of} class")),
        several => {
            let mut names: Vec<String> = several.iter().map(|class| class.name_any()).collect();
            names.sort();
            let (count, names) = (names.len(), names.join(", "));
            Err(format!("{count} default {of} classes were found: {names}"))
        }
    }
}

/// True for a class with the default annotation; only the exact value `true` counts.
#[must_use]
pub fn is_default(class: &VolumeSnapshotClass) -> bool {
    class
        .annotations()
        .get(crds::names::DEFAULT_CLASS_ANNOTATION)
        .is_some_and(|value| value == "true")
}
